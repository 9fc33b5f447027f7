"""VideoLLaMA3."""

from collections.abc import Mapping
from typing import Any, ClassVar

from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from tvau.backbones.base import Inputs
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.backbones.qwen import Qwen3VL


class VideoLlama3(Qwen3VL):
    """VideoLLaMA3: Qwen's order of patches, each frame a time step behind its time, plain positions in the text.

    Its processor would drop the tokens of what stands still between two frames. They stay: clips of a batch have
    as many tokens, whatever moves in them.
    """

    family = "video_llama_3"
    tower = "vision_model"
    words = (11, 7)
    processor_options: ClassVar[Mapping[str, Any]] = {"use_token_compression": False}
    position_ids = HuggingFaceLVLM.position_ids

    @classmethod
    def joined(cls, config: PreTrainedConfig) -> tuple[int, int]:
        return 1, 2  # the second by its processor's settings; its configuration does not say

    def features(self, inputs: Inputs) -> ModelOutput:
        return self.lm.get_video_features(
            inputs["pixel_values_videos"].to(self.lm.dtype), inputs["video_grid_thw"],
            video_merge_sizes=inputs["video_merge_sizes"], output_hidden_states=list(self.blocks), return_dict=True,
        )  # fmt: skip
