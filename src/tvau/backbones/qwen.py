"""Qwen-style LVLMs: frames of many sizes, patches in merge-block order, three-part rotary positions."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.cache_utils import LinearAttentionCacheLayerMixin
from transformers.utils import ModelOutput
from transformers.vision_utils import get_vision_window_index

from tvau.backbones.base import Dialog, Inputs
from tvau.backbones.huggingface import HuggingFaceLVLM, name
from tvau.errors import BackboneError

VIDEO = 2  # in mm_token_type_ids


class Qwen2VL(HuggingFaceLVLM):
    """Qwen2-VL, and what all Qwen-VL share."""

    family = "qwen2_vl"
    tower = "visual"
    words = (21, 0)
    processor_options: ClassVar[Mapping[str, Any]] = {"cap_pixels_per_frame": False}  # frames come in their final size

    @classmethod
    def vision_width(cls, config: PreTrainedConfig) -> int:
        return config.vision_config.embed_dim  # its hidden_size is that of the language model

    @classmethod
    def joined(cls, config: PreTrainedConfig) -> tuple[int, int]:
        """How many frames become a time step, and how many patches along a side a visual token."""
        return config.vision_config.temporal_patch_size, config.vision_config.spatial_merge_size

    @classmethod
    def patches(cls, config: PreTrainedConfig, frames: int, height: int, width: int) -> tuple[int, int, int]:
        patch, (times, merge) = config.vision_config.patch_size, cls.joined(config)
        cell = patch * merge
        if height % cell or width % cell or not height or not width:
            raise BackboneError(
                f"frames of {height}x{width} pixels do not fit {name(config)}: height and width must be multiples of "
                f"{cell}, for example {max(round(height / cell), 1) * cell}x{max(round(width / cell), 1) * cell}"
            )
        if frames < times or frames % times:
            raise BackboneError(
                f"clips of {frames} frames do not fit {name(config)}: the tower joins {times} frames, so the number "
                "of frames must be a positive multiple of that"
            )
        return frames // times, height // patch, width // patch

    @classmethod
    def token_grid(cls, config: PreTrainedConfig, grid: tuple[int, int, int]) -> tuple[int, int, int]:
        merge = cls.joined(config)[1]
        return grid[0], grid[1] // merge, grid[2] // merge

    def features(self, inputs: Inputs) -> ModelOutput:
        pixels = inputs["pixel_values_videos"].to(self.lm.dtype)
        return self.lm.get_video_features(
            pixels, inputs["video_grid_thw"], output_hidden_states=list(self.blocks), return_dict=True
        )

    def raster(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        grid, merge = inputs["video_grid_thw"], self.joined(self.lm.config)[1]
        clips, (times, rows, columns), size = len(grid), grid[0].tolist(), hidden.shape[-1]
        blocks = hidden.reshape(clips, times, rows // merge, columns // merge, merge, merge, size)
        return blocks.permute(0, 1, 6, 2, 4, 3, 5).reshape(clips, times, size, rows, columns)

    def position_ids(self, inputs: Inputs) -> Tensor:
        """Positions [3, B, L]; the text follows the video's last position, whatever the installed library does.

        Qwen2-VL and Qwen2.5-VL were trained with the text at one more than the largest of the video's temporal, row
        and column ids. transformers 5.23 takes the largest of rows and columns alone, so that behind a long video
        text would stand inside the video's time. Short videos, and Qwen3's, whose time steps stand one by one between
        texts, are not touched by this.
        """
        keys = ("mm_token_type_ids", "video_grid_thw", "second_per_grid_ts", "attention_mask")
        known = {key: inputs[key] for key in keys if key in inputs}
        positions = self.lm.model.get_rope_index(inputs["input_ids"], **known)[0]
        video = inputs["mm_token_type_ids"] == VIDEO  # [B, L]
        last = torch.where(video, positions, -1).amax((0, 2))  # [B], the video's last position
        behind = video.flip(1).cumsum(1).flip(1) == 0  # text after the video
        first = positions[0].masked_fill(~behind, torch.iinfo(positions.dtype).max).amin(1)
        return positions + behind * (last + 1 - first).clamp(min=0)[:, None]


class Qwen25VL(Qwen2VL):
    """Qwen2.5-VL: the tower's windows are undone so that hidden states lie on the true raster."""

    family = "qwen2_5_vl"

    @classmethod
    def vision_width(cls, config: PreTrainedConfig) -> int:
        return config.vision_config.hidden_size

    def raster(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        vision, size = self.lm.config.vision_config, hidden.shape[-1]
        merge, grid = vision.spatial_merge_size, inputs["video_grid_thw"]
        order, _ = get_vision_window_index(grid, merge, vision.window_size, vision.patch_size)
        blocks = hidden.reshape(-1, merge * merge, size)[order.to(hidden.device).argsort()]
        return super().raster(blocks, inputs)


class Qwen3VL(Qwen2VL):
    """Qwen3-VL: each time step of the video stands behind its time, written out in seconds.

    The prompt is the installed library's, token for token. transformers 5 keeps the template's `<|vision_start|>` and
    `<|vision_end|>` around all time steps, the release's own processor (4.57) put the steps in their place: one pair
    more than the model was trained with.
    """

    family = "qwen3_vl"
    words = (10, 9)

    @classmethod
    def vision_width(cls, config: PreTrainedConfig) -> int:
        return config.vision_config.hidden_size


class Qwen3VLMoE(Qwen3VL):
    """Qwen3-VL with experts: LoRA reaches attention and what every token goes through, not the single experts."""

    family = "qwen3_vl_moe"


class Qwen35(Qwen3VL):
    """Qwen3.5: Qwen3-VL's way of video in a language model with recurrent layers. Answers come without thinking.

    The template opens each answer with an empty `<think>` block and drops those of past turns when it renders a history
    anew. Here they stay: recurrent layers cannot forget what they were fed, and training reads the same tokens.

    LoRA reaches the recurrent layers' large maps too, but not in_proj_a and in_proj_b, which have an output a head.
    """

    family = "qwen3_5"
    lora_targets = r"layers\..*\.((q|k|v|o|gate|up|down|out)_proj|in_proj_(qkv|z))"
    template: ClassVar[Mapping[str, Any]] = {"enable_thinking": False}

    @torch.no_grad()
    def feed(self, dialog: Dialog, ids: Tensor, mask: Tensor) -> None:
        """Recurrent layers would take padding for words: while a row is fed padding, its states stay as they are."""
        changes = (mask[:, 1:] != mask[:, :-1]).any(0).nonzero()[:, 0] + 1
        for begin, end in pairwise([0, *changes.tolist(), mask.shape[1]]):
            idle = mask[:, begin] == 0
            layers = [layer for layer in dialog.cache.layers if isinstance(layer, LinearAttentionCacheLayerMixin)]
            states: list[dict[int, Any]] = [s for layer in layers for s in (layer.conv_states, layer.recurrent_states)]
            kept = [{i: state[idle] for i, state in some.items()} for some in states] if idle.any() else []
            super().feed(dialog, ids[:, begin:end], mask[:, begin:end])
            for some, old in zip(states, kept, strict=False):
                for i, rows in old.items():
                    some[i][idle] = rows


class Qwen35MoE(Qwen35):
    """Qwen3.5 with experts; LoRA reaches the shared expert, not the single ones."""

    family = "qwen3_5_moe"
