"""LVLMs whose vision tower takes square frames of one size, one by one: LLaVA's, InternVL, SmolVLM."""

from typing import Any

from torch import Tensor
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from tvau.backbones.base import Inputs
from tvau.backbones.huggingface import HuggingFaceLVLM, name
from tvau.errors import BackboneError


class SquareTower(HuggingFaceLVLM):
    """Every frame is a time step of its own, and its patches lie row by row, behind a class token where there is one.

    Frames are resized to the tower's square without cutting anything off, so that the heatmap covers the whole frame.
    """

    @staticmethod
    def _side(config: PreTrainedConfig) -> tuple[int, int]:
        """Pixels along a side of the tower's square, and of a patch."""
        sides = config.vision_config.image_size, config.vision_config.patch_size
        side, patch = (side[0] if isinstance(side, (list, tuple)) else side for side in sides)
        return side, patch

    @classmethod
    def native_size(cls, config: PreTrainedConfig) -> tuple[int, int]:
        side, _ = cls._side(config)
        return side, side

    @classmethod
    def patches(cls, config: PreTrainedConfig, frames: int, height: int, width: int) -> tuple[int, int, int]:
        side, patch = cls._side(config)
        if (height, width) != (side, side):
            raise BackboneError(
                f"frames of {height}x{width} pixels do not fit {name(config)}: its tower takes {side}x{side} only; "
                "leave `size` out, and frames are resized to that"
            )
        if frames < 1:
            raise BackboneError(f"clips of {frames} frames do not fit {name(config)}: expected at least 1")
        return frames, side // patch, side // patch

    def features(self, inputs: Inputs) -> ModelOutput:
        return self.lm.model.get_video_features(
            inputs["pixel_values_videos"].to(self.lm.dtype),
            output_hidden_states=[*self.blocks, *self._projected()],
            return_dict=True,
        )

    def _projected(self) -> list[Any]:
        """The blocks whose output the library itself hands to the language model: they must be kept too."""
        layers = self.lm.config.vision_feature_layer
        return layers if isinstance(layers, list) else [layers]

    def raster(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        side, patch = self._side(self.lm.config)
        cells, clips = side // patch, len(inputs["video"])
        patches = hidden[:, hidden.shape[1] - cells * cells :]  # without a class token
        grid = patches.reshape(clips, len(hidden) // clips, cells, cells, hidden.shape[-1])
        return grid.permute(0, 1, 4, 2, 3)
