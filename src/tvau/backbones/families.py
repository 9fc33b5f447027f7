"""Any checkpoint by its name: the adapter is picked by the checkpoint's own model type."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedConfig

from tvau.backbones.base import VideoLVLM
from tvau.backbones.checkpoint import Bits, DType, read_config
from tvau.backbones.gemma import Gemma4
from tvau.backbones.glm import GLM41V, GLM45V, GLM46V
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.backbones.internvl import InternVL
from tvau.backbones.llava import LlavaNextVideo, LlavaOneVision, VideoLlava
from tvau.backbones.omni import Qwen3Omni, Qwen25Omni
from tvau.backbones.qwen import Qwen2VL, Qwen3VL, Qwen3VLMoE, Qwen25VL, Qwen35, Qwen35MoE
from tvau.backbones.smolvlm import SmolVLM
from tvau.backbones.videollama import VideoLlama3
from tvau.errors import BackboneError
from tvau.shipped import found

FAMILIES: tuple[type[HuggingFaceLVLM], ...] = (
    Qwen2VL, Qwen25VL, Qwen3VL, Qwen3VLMoE, Qwen35, Qwen35MoE, Qwen25Omni, Qwen3Omni, GLM41V, GLM45V, GLM46V,
    LlavaOneVision, LlavaNextVideo, VideoLlava, VideoLlama3, InternVL, SmolVLM, Gemma4,
)  # fmt: skip


def load(
    checkpoint: str,
    blocks: Sequence[int] | None = None,
    dtype: DType = "auto",
    attention: str = "sdpa",
    size: tuple[int, int] | None = None,
    frames: int = 16,
    bits: Bits | None = None,
    gradient_checkpointing: bool = False,
    random_weights: bool | int = False,
    options: Mapping[str, Any] | None = None,
    cache: str | None = None,
) -> VideoLVLM:
    """The LVLM of a hub id or folder, by the adapter of its family.

    Args:
        checkpoint: hub id or folder, loaded without remote code.
        blocks: vision blocks to read, 1-based (the paper's are 1, 8, 16, 32); None: the same relative depths.
        dtype: of the weights; "auto": as the checkpoint was saved.
        attention: attention implementation of transformers ("sdpa", "eager", "flash_attention_2").
        size: (height, width) to which frames are resized before the tower sees them, pixels; None: the tower's own
            size where it has one, else as the frames come.
        frames: number of frames of a clip that suits the model; `tvau backbones` counts with it.
        bits: 4 or 8: the language model is quantized by bitsandbytes (QLoRA); the vision tower is left alone.
        gradient_checkpointing: keep no activations of the language model's layers in training.
        random_weights: draw the weights anew instead of loading them: to pretrain, or as a baseline. A number is the
            seed of the draw; true: the seed of the run.
        options: further arguments of `from_pretrained`.
        cache: a folder in which the frozen vision tower's passes are kept, so that each clip is encoded only once,
            whatever is trained behind it; None: none.

    Raises:
        BackboneError: no such checkpoint, or one of a family that no adapter takes.
    """
    checkpoint = found(checkpoint)
    adapter = adapter_for(read_config(checkpoint, options or {}), checkpoint)
    return adapter(
        checkpoint,
        blocks,
        dtype,
        attention,
        size,
        frames,
        bits,
        gradient_checkpointing,
        random_weights,
        options,
        cache,
    )


def adapter_for(config: PreTrainedConfig, checkpoint: str) -> type[HuggingFaceLVLM]:
    """The adapter of a configuration's model type. Raises BackboneError where there is none."""
    for adapter in FAMILIES:
        if adapter.family == config.model_type:
            return adapter
    raise BackboneError(
        f"{checkpoint} is a {config.model_type} model: expected one of {', '.join(a.family for a in FAMILIES)}; "
        "docs/extend/lvlm.md says how to add another"
    )
