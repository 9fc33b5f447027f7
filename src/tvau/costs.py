"""What an LVLM costs before anybody loads it: parameters, heatmap grid, tokens and GPU memory of each preset.

Parameters are counted on a model without weights (meta tensors). Memory is computed from what stays on the device at
the peak; what is left out: the CUDA context (about 0.5 GB), the logits of the answers (about 0.5 GB a dialog of four
turns where the vocabulary has 150,000 words) and fragmentation.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel

from tvau.backbones.checkpoint import NOT_LANGUAGE, read_config
from tvau.backbones.families import adapter_for
from tvau.backbones.huggingface import HuggingFaceLVLM, relative
from tvau.errors import BackboneError
from tvau.heatmap_decoder import AnomalyHeatmapDecoder
from tvau.region_encoder import RegionAwareAnomalyEncoder
from tvau.shipped import found

DIALOG = 400  # tokens of four questions and their answers
RANK = 16  # of LoRA, the default of stage 2
TRAINED = 16  # bytes a trained weight: itself, its gradient and AdamW's two moments in float32
PUBLISHED = "published.yaml"
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Cost:
    """What one preset needs; memory in bytes."""

    family: str
    parameters: int
    blocks: list[int]
    depth: int
    grid: tuple[int, int, int]
    tokens: int  # of one clip, visual ones
    words: int  # tokens of the template around them, and of the text between them
    predict: float
    heatmap: float
    dialog: float


def without_weights(config: PreTrainedConfig) -> PreTrainedModel:
    """A configuration's model in meta tensors, to be counted on."""
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForImageTextToText.from_config(config)
    return model


def cost(
    preset: dict[str, Any], config: PreTrainedConfig, frame: tuple[int, int], clips: int = 1, dialog: int = DIALOG,
    model: PreTrainedModel | None = None,
) -> Cost:  # fmt: skip
    """Costs of a preset's arguments on a checkpoint's configuration.

    Args:
        preset: arguments of an LVLM, see `HuggingFaceLVLM`.
        config: of the checkpoint.
        frame: (height, width) where both leave it open.
        clips: in a batch.
        dialog: tokens of the questions and answers of a clip.
        model: `without_weights(config)`, which takes a second to make; None: it is made.
    """
    adapter = adapter_for(config, preset["checkpoint"])
    size = preset.get("size") or adapter.native_size(config) or frame
    frames = preset.get("frames", 16)
    grid = adapter.patches(config, frames, *size)
    blocks = preset.get("blocks") or list(relative(config.vision_config.num_hidden_layers))
    model = model or without_weights(config)
    text, one = config.get_text_config(), BYTES[preset.get("dtype", "bfloat16")]
    times, tokens = grid[0], adapter.visual_tokens(config, grid)
    width, hidden = adapter.vision_width(config), text.hidden_size
    with torch.device("meta"):
        decoder, encoder = AnomalyHeatmapDecoder(width, hidden, blocks), RegionAwareAnomalyEncoder(hidden)
    words = adapter.words[0] + adapter.words[1] * times
    length = tokens + words + encoder.prompts(times) + dialog
    weights = weight_bytes(model, one, preset.get("bits"))
    # stage 1 leaves the language model off the device, unless few bits bind it there
    language = nn.ModuleList([model.get_decoder(), model.get_output_embeddings()])
    tower = weights if preset.get("bits") else (_count(model) - _count(language)) * one
    numbers = clips * frames * size[0] * size[1]  # pixels of a batch
    pixels = numbers * 3 * 4
    cells = clips * _cells(grid)
    seen, running = cells * len(blocks) * width * one, cells * running_block(width, config.vision_config) * one
    sizes = layer_sizes(text)
    cache = clips * length * text.num_hidden_layers * 2 * sizes["kv"] * one
    prefill = clips * length * (4 * hidden + 3 * sizes["mlp"]) * one  # of one layer at a time
    kept = clips * kept_activations(text, length, one, bool(preset.get("gradient_checkpointing")))
    # kept for the decoder's gradients: in front of the norm and behind it, three inner tensors; then the loss's own
    maps, loss = cells * len(blocks) * 5 * width * 4, numbers * 7 * 4
    return Cost(
        adapter.family, _count(model), blocks, config.vision_config.num_hidden_layers, grid, tokens, words,
        predict=weights + pixels + seen + max(running, prefill + cache),
        heatmap=tower + _count(decoder) * TRAINED + max(pixels + seen + max(running, maps), maps + loss),
        dialog=weights + pixels + seen + kept + _count(decoder) * 4
        + (_count(encoder) + lora_parameters(adapter, model)) * TRAINED,
    )  # fmt: skip


def weight_bytes(model: nn.Module, one: int, bits: int | None) -> float:
    """The weights; of few bits those that `read_model` quantizes, a scale of 32 bits for 64 of them, one at work."""
    if bits is None:
        return _count(model) * one
    packed = [m.weight.numel() for name, m in model.named_modules()
              if isinstance(m, nn.Linear) and not re.fullmatch(NOT_LANGUAGE, name)]  # fmt: skip
    return (_count(model) - sum(packed)) * one + sum(packed) * (bits / 8 + 4 / 64) + max(packed) * one


def running_block(width: int, vision: PreTrainedConfig) -> int:
    """Numbers that one block of the tower holds of a patch while it runs."""
    return 6 * width + 2 * (getattr(vision, "intermediate_size", None) or width * getattr(vision, "mlp_ratio", 4))


def layer_sizes(text: PreTrainedConfig) -> dict[str, int]:
    """Widths inside a layer of the language model: queries, keys or values, and the feed-forward part of a token."""
    if text.is_heterogeneous:  # Gemma's last layer is one of the wide ones
        text = text.per_layer_config[text.num_hidden_layers - 1]
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    expert, shared = getattr(text, "moe_intermediate_size", None), getattr(text, "shared_expert_intermediate_size", 0)
    if expert:  # those that a token chooses, and those that all share
        mlp = expert * (text.num_experts_per_tok + getattr(text, "n_shared_experts", 0)) + shared
    else:
        mlp = text.intermediate_size
    return {"q": text.num_attention_heads * head, "kv": text.num_key_value_heads * head, "mlp": mlp}


def kept_activations(text: PreTrainedConfig, length: int, one: int, checkpointing: bool = False) -> float:
    """What a forward pass keeps for the gradients of LoRA and prompts; with gradient checkpointing, one layer's.

    Each token and layer: two norms (in float32, and their results) and the stream between them, queries, keys, values
    and what attention makes of them (no length x length matrix: sdpa and flash attention keep none), four tensors of
    the gated feed-forward part, and the seven inner tensors of LoRA. A test compares this with what autograd keeps.
    """
    s, hidden = layer_sizes(text), text.hidden_size
    each = 2 * hidden * (4 + one) + 4 * hidden + (2 * s["q"] + 2 * s["kv"] + 4 * s["mlp"] + 7 * RANK) * one
    if checkpointing:  # the stream in front of each layer, and one layer that is run again
        return float(length * (text.num_hidden_layers * hidden * one + each))
    return float(length * text.num_hidden_layers * each)


def lora_parameters(adapter: type[HuggingFaceLVLM], model: PreTrainedModel, rank: int = RANK) -> int:
    """Parameters of LoRA on the language model."""
    linear = [(name, m) for name, m in model.get_decoder().named_modules() if isinstance(m, nn.Linear)]
    return sum(
        rank * (m.in_features + m.out_features) for name, m in linear if re.fullmatch(adapter.lora_targets, name)
    )


def read_presets(folder: str | Path) -> dict[str, tuple[dict[str, Any], PreTrainedConfig]]:
    """The presets of a folder with their configurations, from `published.yaml` there, else from the checkpoint.

    Raises:
        BackboneError: no such folder, or a checkpoint that is neither published there nor within reach.
    """
    folder = Path(found(str(folder)))
    if not folder.is_dir():
        raise BackboneError(f"{folder}: no such folder; expected presets as in backbones/ of the repository")
    known, presets = published(folder), {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name == PUBLISHED:
            continue
        preset = yaml.safe_load(path.read_text())["init_args"]
        given = known.get(preset["checkpoint"])
        config = for_published(given["config"]) if given else read_config(found(preset["checkpoint"]), {})
        presets[path.stem] = (preset, config)
    return presets


def published(folder: str | Path) -> dict[str, Any]:
    """What `published.yaml` in a folder of presets says of each checkpoint; nothing where there is none."""
    path = Path(folder) / PUBLISHED
    return yaml.safe_load(path.read_text()) if path.is_file() else {}


def read_measured(path: str | Path, needed: bool) -> list[dict[str, Any]]:
    """Rows of a file of `benchmarks/gpu.py`: preset, clips, bits, gradient_checkpointing, and peaks in bytes.

    Raises:
        BackboneError: it is no such file, or it is needed and not there.
    """
    path = Path(path)
    if not needed and not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text())
        return [dict(row) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise BackboneError(f"{path}: expected the measured.json of benchmarks/gpu.py ({error})") from error


def for_published(sizes: dict[str, Any]) -> PreTrainedConfig:
    """The library's configuration of published sizes."""
    return AutoConfig.for_model(sizes["model_type"], **{k: v for k, v in sizes.items() if k != "model_type"})


def _cells(grid: tuple[int, int, int]) -> int:
    return grid[0] * grid[1] * grid[2]


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
