"""Gemma 4."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from tvau.backbones.base import Inputs, VisionPass
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.backbones.qwen import Qwen3VL
from tvau.backbones.tokens import ANOMALY


class Gemma4(Qwen3VL):
    """Gemma 4: frames of many sizes, patches row by row, 3x3 of them a visual token; each frame behind its time.

    The small ones feed each layer with a second embedding of a token. Anomaly prompts get that of padding, as the
    library gives it to visual tokens. In the large ones the visual tokens of a frame attend to each other.
    """

    family = "gemma4"
    tower = "vision_tower"
    words = (10, 9)
    processor_options: ClassVar[Mapping[str, Any]] = {}
    position_ids = HuggingFaceLVLM.position_ids

    @classmethod
    def joined(cls, config: PreTrainedConfig) -> tuple[int, int]:
        return 1, config.vision_config.pooling_kernel_size

    def pixels(self, video: Tensor) -> Inputs:
        of_the_text = "num_soft_tokens_per_video"
        return {key: value for key, value in super().pixels(video).items() if key != of_the_text}

    def features(self, inputs: Inputs) -> ModelOutput:
        return self.lm.model.get_video_features(
            inputs["pixel_values_videos"], inputs["video_position_ids"],
            num_frames_per_video=inputs["num_frames_per_video"], output_hidden_states=list(self.blocks),
            return_dict=True,
        )  # fmt: skip

    def raster(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        columns, rows = (inputs["video_position_ids"].amax((0, 1)) + 1).tolist()
        patches = hidden[:, : rows * columns]  # padding lies behind them
        grid = patches.reshape(len(inputs["video"]), -1, rows, columns, hidden.shape[-1])
        return grid.permute(0, 1, 4, 2, 3)

    def _call(self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None, **options: Any) -> dict[str, Any]:
        call = super()._call(inputs, vision, prompts, **options) | {"mm_token_type_ids": inputs["mm_token_type_ids"]}
        text, ids = self.lm.config.get_text_config(), inputs["input_ids"]
        if text.hidden_size_per_layer_input:
            ids = ids.masked_fill((ids == ANOMALY) | (ids == self.tokens.placeholder), text.pad_token_id)
            call["per_layer_inputs"] = self.lm.get_decoder().get_per_layer_inputs(ids)
        return call

    def logits(self, last: Tensor) -> Tensor:
        most, logits = self.lm.config.get_text_config().final_logit_softcapping, super().logits(last)
        return logits if most is None else (logits / most).tanh() * most
