"""Qwen-style LVLMs: patches in merge-block order, three-part rotary positions."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from transformers.vision_utils import get_vision_window_index

from tvau.backbones.base import Inputs, VisionPass
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.errors import BackboneError


class Qwen25VL(HuggingFaceLVLM):
    """Qwen2.5-VL: the tower's windows are undone so that hidden states lie on the true raster."""

    family = "qwen2_5_vl"
    processor_options: ClassVar[Mapping[str, Any]] = {"cap_pixels_per_frame": False}  # frames come in their final size

    def tower_size(self) -> tuple[int, int]:
        vision = self.lm.config.vision_config
        return vision.hidden_size, vision.depth

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        vision = self.lm.config.vision_config
        cell = vision.patch_size * vision.spatial_merge_size
        if height % cell or width % cell or not height or not width:
            raise BackboneError(
                f"frames of {height}x{width} pixels do not fit {self.name}: height and width must be multiples of "
                f"{cell}, for example {max(round(height / cell), 1) * cell}x{max(round(width / cell), 1) * cell}"
            )
        if frames < vision.temporal_patch_size or frames % vision.temporal_patch_size:
            raise BackboneError(
                f"clips of {frames} frames do not fit {self.name}: the tower joins {vision.temporal_patch_size} "
                "frames, so the number of frames must be a positive multiple of that"
            )
        return frames // vision.temporal_patch_size, height // vision.patch_size, width // vision.patch_size

    def position_ids(self, inputs: Inputs) -> Tensor:
        keys = ("mm_token_type_ids", "video_grid_thw", "second_per_grid_ts", "attention_mask")
        return self.lm.model.get_rope_index(inputs["input_ids"], **{key: inputs[key] for key in keys})[0]

    def encode(self, inputs: Inputs) -> VisionPass:
        grid = inputs["video_grid_thw"]
        pixels = inputs["pixel_values_videos"].to(self.lm.dtype)
        output = self.lm.get_video_features(pixels, grid, output_hidden_states=list(self.blocks), return_dict=True)
        return VisionPass({k: self._raster(output.hidden_states[k], grid) for k in self.blocks}, output)

    def _raster(self, hidden: Tensor, grid: Tensor) -> Tensor:
        """[B T' H' W', Dv] in the tower's order -> [B, T', Dv, H', W']."""
        vision = self.lm.config.vision_config
        merge = vision.spatial_merge_size
        times, rows, columns = grid[0].tolist()
        order, _ = get_vision_window_index(grid, merge, vision.window_size, vision.patch_size)
        size = hidden.shape[-1]
        blocks = hidden.reshape(-1, merge * merge, size)[order.to(hidden.device).argsort()]
        blocks = blocks.reshape(len(grid), times, rows // merge, columns // merge, merge, merge, size)
        return blocks.permute(0, 1, 6, 2, 4, 3, 5).reshape(len(grid), times, size, rows, columns)
