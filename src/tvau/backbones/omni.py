"""Qwen's omni models: the part of them that sees, reads and writes. Nothing is heard, and nothing is spoken."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tvau.backbones.base import Inputs
from tvau.backbones.qwen import Qwen2VL, Qwen3VL, Qwen25VL
from tvau.types import Turn


class Thinker(Qwen2VL):
    """What both share: time steps stand in the positions by their seconds, and the text follows the last of all.

    The library's processor gives every clip the same rate, whatever is said of it, and would place its time steps by
    that; here they lie where they are.
    """

    def prepare(self, video: Tensor, dialogs: Sequence[Sequence[Turn]], prompts: int, fps: Sequence[float]) -> Inputs:
        inputs = super().prepare(video, dialogs, prompts, fps)
        joined = self.joined(self.lm.config)[0]
        inputs["video_second_per_grid"] = torch.tensor([joined / rate for rate in fps], device=video.device)
        inputs["position_ids"] = self.position_ids(inputs)
        return inputs

    def position_ids(self, inputs: Inputs) -> Tensor:
        """Positions [3, B, L], by the library's own way; Qwen3-Omni's are no whole numbers."""
        return self.lm.get_rope_index(
            inputs["input_ids"], video_grid_thw=inputs["video_grid_thw"], attention_mask=inputs["attention_mask"],
            second_per_grids=inputs["video_second_per_grid"],
        )[0]  # fmt: skip


class Qwen25Omni(Thinker, Qwen25VL):
    """Qwen2.5-Omni."""

    family = "qwen2_5_omni_thinker"


class Qwen3Omni(Thinker, Qwen3VL):
    """Qwen3-Omni: its tower is Qwen3-VL's, but no times are written between the time steps."""

    family = "qwen3_omni_moe_thinker"
    words = Qwen2VL.words
    lora_targets = r"layers\..*\.(q|k|v|o)_proj"  # of names that experts had before, peft would make LoRA on them
