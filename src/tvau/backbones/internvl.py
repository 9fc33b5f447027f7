"""InternVL."""

from torch import Tensor
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from tvau.backbones.base import Inputs
from tvau.backbones.towers import SquareTower


class InternVL(SquareTower):
    """InternVL: to its library a video is a list of images; 2x2 patches become a visual token."""

    family = "internvl"
    tower = "vision_tower"
    modality = "image"
    words = (8, 8)

    @classmethod
    def token_grid(cls, config: PreTrainedConfig, grid: tuple[int, int, int]) -> tuple[int, int, int]:
        return grid[0], int(grid[1] * config.downsample_ratio), int(grid[2] * config.downsample_ratio)

    def pixels(self, video: Tensor) -> Inputs:
        return {"pixel_values": super().pixels(video)["pixel_values_videos"].flatten(0, 1)}

    def features(self, inputs: Inputs) -> ModelOutput:
        return self.lm.model.get_image_features(
            inputs["pixel_values"].to(self.lm.dtype), output_hidden_states=list(self.blocks), return_dict=True
        )
