"""Reading a Hugging Face checkpoint: configuration, processor, weights. Every failure says what to do."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import torch
from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.utils import get_session
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)

from tvau.errors import BackboneError

DType = Literal["auto", "float32", "bfloat16", "float16"]
Bits = Literal[4, 8]
LANGUAGE = r"model\.(language_model|text_model)\."  # how the names of the language model's parts begin
NOT_LANGUAGE = rf"(?!{LANGUAGE}).*"  # tower, projector and head keep their precision
LEARNING = re.compile(rf"{LANGUAGE}layers\.|lm_head")  # what carries LoRA, or is tied to the embeddings
PATIENCE = 4  # seconds that the hub is given to say anything at all
HUB = ("cache_dir", "local_files_only", "revision", "subfolder", "token")  # options that all three readers take


def read_config(checkpoint: str, options: Mapping[str, Any]) -> PreTrainedConfig:
    """The configuration of a hub id or folder; of an omni model that of its thinker, which sees, reads and writes.

    Raises:
        BackboneError: no such checkpoint, one that transformers does not know, or options that would run its code.
    """
    if "trust_remote_code" in options:
        raise BackboneError("options: trust_remote_code is not allowed, tvau runs no code that a checkpoint brings")
    absent = f"{checkpoint} is neither a checkpoint folder nor a hub id (owner/name)"
    looked = f"there is no folder {Path(checkpoint).absolute()}"
    if Path(checkpoint).is_dir():
        if not (Path(checkpoint) / "config.json").is_file():
            raise BackboneError(f"{checkpoint} is a folder without config.json: expected a Hugging Face checkpoint")
        absent, looked = f"{checkpoint} is no checkpoint that transformers can read", "see its config.json"
    elif _is_path(checkpoint):
        raise BackboneError(f"{absent}: {looked}; presets are files, such as backbones/qwen2_5_vl_7b.yaml")
    elif not hub_answers() and not _is_cached(checkpoint, options):
        raise BackboneError(
            f"{absent} within reach: {looked}, it is not in the local cache, and {constants.ENDPOINT} did not answer "
            f"within {PATIENCE} s. Check the network, or download it elsewhere and give the folder"
        )
    try:
        config = AutoConfig.from_pretrained(checkpoint, **_hub(checkpoint, options))
    except (OSError, ValueError) as error:
        raise BackboneError(
            f"{absent}: {looked}; check the name and the network, or download it and give the folder "
            f"({_first_line(error)})"
        ) from error
    return getattr(config, "thinker_config", config)


def read_processor(checkpoint: str, options: Mapping[str, Any]) -> ProcessorMixin:
    """The processor: tokenizer, chat template, and what turns frames into pixels.

    Raises:
        BackboneError: it is missing, broken, or needs a package that is not installed.
    """
    try:
        processor = AutoProcessor.from_pretrained(checkpoint, **_hub(checkpoint, options))
    except (OSError, ValueError, ImportError, AttributeError, TypeError, KeyError) as error:
        missing = "" if isinstance(error, ImportError) else "; add the release's tokenizer and processor files"
        raise BackboneError(
            f"{checkpoint}: its processor could not be loaded ({_first_line(error)}){missing}"
        ) from error
    if not hasattr(processor, "video_processor"):
        raise BackboneError(
            f"{checkpoint}: it brings a {type(processor).__name__} and nothing that reads video; add the release's "
            "preprocessor_config.json, video_preprocessor_config.json or processor_config.json to the folder"
        )
    return processor


def read_model(
    checkpoint: str,
    config: PreTrainedConfig,
    dtype: DType,
    attention: str,
    bits: Bits | None,
    random_weights: bool | int,
    options: Mapping[str, Any],
) -> PreTrainedModel:
    """The model, loaded or drawn anew; for the arguments see `HuggingFaceLVLM`.

    Raises:
        BackboneError: no weights, damaged ones, or a package is missing (flash attention, bitsandbytes).
    """
    common = {"attn_implementation": attention, **options, **_hub(checkpoint, options)}
    try:
        if random_weights is not False:
            given = config.dtype if dtype == "auto" else getattr(torch, dtype)
            seeded = not isinstance(random_weights, bool)
            with torch.random.fork_rng(enabled=seeded):
                if seeded:
                    torch.manual_seed(random_weights)
                return AutoModelForImageTextToText.from_config(config, dtype=given or torch.float32, **common)
        if config.model_type.endswith("_thinker"):  # the library's loader would take the whole omni model's
            common["config"] = config
        if bits is not None:
            common["quantization_config"] = _quantization(config, dtype, bits)
            if torch.cuda.is_available():  # else all processes of a machine would load theirs on its first card
                common.setdefault("device_map", {"": int(os.environ.get("LOCAL_RANK", 0))})
        return AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=dtype, **common)
    except (OSError, SafetensorError) as error:
        raise BackboneError(f"{checkpoint}: no weights could be loaded ({_first_line(error)})") from error
    except ImportError as error:
        raise BackboneError(
            f"{checkpoint}: a package is missing ({_first_line(error)}). `attention: sdpa` needs none; `bits` needs "
            "`pip install tvau[quantize]`"
        ) from error


def context(config: PreTrainedConfig) -> int:
    """The longest sequence that the language model was made for, tokens."""
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    stretched = rope.get("factor", 1) if rope.get("rope_type") in ("linear", "dynamic") else 1
    return int((getattr(text, "max_position_embeddings", None) or 10**9) * stretched)


def fingerprint(lm: nn.Module) -> tuple[float, ...]:
    """A few numbers from the tower, the projector and the token embeddings, which neither LoRA nor `bits` touches."""
    matrices = [p.detach() for n, p in lm.named_parameters() if p.ndim > 1 and not LEARNING.search(n)]
    spread = [matrices[i * len(matrices) // 16].flatten() for i in range(16)]
    picked = [weights[i * len(weights) // 4] for weights in spread for i in range(4)]
    return tuple(float(number) for number in picked if not number.is_meta)


def _quantization(config: PreTrainedConfig, dtype: DType, bits: Bits) -> BitsAndBytesConfig:
    compute = config.dtype if dtype == "auto" else getattr(torch, dtype)
    return BitsAndBytesConfig(
        load_in_4bit=bits == 4, load_in_8bit=bits == 8, bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=compute or torch.float32, llm_int8_skip_modules=[NOT_LANGUAGE],
    )  # fmt: skip


def _is_path(name: str) -> bool:
    """Whether a name is meant as a path: it is never looked up on the hub, where anybody could have taken it."""
    parts = Path(name).parts
    of_a_preset = parts[:1] == ("backbones",) or name.endswith((".yaml", ".json", ".ckpt", ".safetensors"))
    return len(parts) != 2 or name.startswith((".", "~")) or "\\" in name or of_a_preset or Path(name).parent.is_dir()


def _is_cached(checkpoint: str, options: Mapping[str, Any]) -> bool:
    config = str(Path(options.get("subfolder", "")) / "config.json")
    given = {key: options[key] for key in ("cache_dir", "revision") if key in options}
    return isinstance(try_to_load_from_cache(checkpoint, config, **given), str)


def _hub(checkpoint: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What all readers of transformers are told; where the hub is silent, that they need not wait for it."""
    given = {key: options[key] for key in HUB if key in options}
    return given if Path(checkpoint).is_dir() or hub_answers() else given | {"local_files_only": True}


@cache
def hub_answers() -> bool:
    """Whether the hub says anything within PATIENCE seconds; huggingface_hub itself tries for a minute.

    In a thread of its own, since no timeout reaches a name server that is silent.
    """
    answers: list[int] = []

    def ask() -> None:
        with suppress(Exception):  # no network, no name server, a proxy that refuses, HF_HUB_OFFLINE
            answers.append(get_session().head(constants.ENDPOINT, timeout=PATIENCE).status_code)

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return bool(answers)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
