"""SmolVLM."""

from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from tvau.backbones.base import Inputs
from tvau.backbones.towers import SquareTower


class SmolVLM(SquareTower):
    """SmolVLM: to its library a video is a list of images; a square of patches becomes a visual token."""

    family = "smolvlm"
    tower = "vision_model"
    modality = "image"
    words = (21, 17)
    answer_prefix = " "  # prompts end in "Assistant:"

    @classmethod
    def token_grid(cls, config: PreTrainedConfig, grid: tuple[int, int, int]) -> tuple[int, int, int]:
        return grid[0], grid[1] // config.scale_factor, grid[2] // config.scale_factor

    def features(self, inputs: Inputs) -> ModelOutput:
        return self.lm.model.get_image_features(
            inputs["pixel_values"].to(self.lm.dtype), inputs.get("pixel_attention_mask"),
            output_hidden_states=list(self.blocks), return_dict=True,
        )  # fmt: skip
