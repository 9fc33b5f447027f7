"""InternVL."""

from transformers.utils import ModelOutput

from tvau.backbones.base import Inputs
from tvau.backbones.towers import SquareTower


class InternVL(SquareTower):
    """InternVL: to its library a video is a list of images; 2x2 patches become a visual token."""

    family = "internvl"
    tower = "vision_tower"
    modality = "image"

    def features(self, inputs: Inputs) -> ModelOutput:
        return self.lm.model.get_image_features(
            inputs["pixel_values"].to(self.lm.dtype), output_hidden_states=list(self.blocks), return_dict=True
        )
