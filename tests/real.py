"""Checkpoints with the vocabulary, template and processor of published ones, and a thin random model behind them.

The files are never part of the repository: `../shared/real`, or where TVAU_REAL_CHECKPOINTS says. Its README tells what
is there; what is assembled here from parts of two folders is so as that README says.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from tvau import backbones
from tvau.backbones.huggingface import HuggingFaceLVLM

ROOT = Path(os.environ.get("TVAU_REAL_CHECKPOINTS", Path(__file__).parents[2] / "shared" / "real"))
VOCABULARY = ("vocab.json", "merges.txt")  # one for all Qwens, LLaVA-OneVision and InternVL3
TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2}  # fmt: skip
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
needs_real = pytest.mark.skipif(not ROOT.is_dir(), reason=f"no files of real checkpoints at {ROOT}")


@dataclass(frozen=True)
class Real:
    """How a thin checkpoint is made from real files, and on which frames it is tested."""

    adapter: type[HuggingFaceLVLM]
    files: tuple[str, ...]  # folders or files whose content is laid into one folder, later ones over earlier ones
    size: tuple[int, int]  # (height, width) of frames, pixels
    vision: Mapping[str, Any]  # the thin tower
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # changed by file: the thin tower's sizes
    config: Mapping[str, Any] = field(default_factory=dict)  # where there is no config.json of the release

    def lay(self, folder: Path) -> Path:
        """The real files, in their own sizes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*(f"qwen2_vl/{part}" for part in VOCABULARY), *self.files):
            path = ROOT / name
            for file in path.iterdir() if path.is_dir() else [path]:
                target = "config.json" if path.parent.name == "configs" else file.name
                shutil.copyfile(file, folder / target)
        if self.config:
            (folder / "config.json").write_text(json.dumps(self.config))
        return folder

    def write(self, folder: Path) -> Path:
        """The same with sizes made small and random weights."""
        self.lay(folder)
        for name, changes in self.settings.items():
            (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | dict(changes)))
        config = hf.AutoConfig.from_pretrained(folder)
        text = config.get_text_config()
        config.quantization_config = None
        for part, sizes in ((text, TEXT | {"head_dim": 16}), (config.vision_config, self.vision)):
            for key, value in sizes.items():
                setattr(part, key, value)
        text.layer_types = ["full_attention"] * 2
        if "mrope_section" in (text.rope_parameters or {}):
            text.rope_parameters["mrope_section"] = [4, 2, 2]
        said = (folder / "generation_config.json").read_text() if (folder / "generation_config.json").exists() else None
        torch.manual_seed(0)
        lm = hf.AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
        for weights in lm.parameters():
            if weights.ndim > 1:
                weights.data.normal_(0, weights[0].numel() ** -0.5)
        lm.save_pretrained(folder)
        if said:
            (folder / "generation_config.json").write_text(said)
        return folder


QWEN = {"depth": 3, "num_heads": 4}
SMALL = {"height": 56, "width": 56}
REAL = {
    "qwen2_vl": Real(backbones.Qwen2VL, ("qwen2_vl",), (56, 84), {**QWEN, "embed_dim": 32, "hidden_size": 64}),
    "qwen2_5_vl": Real(
        backbones.Qwen25VL, ("qwen2_vl", "configs/qwen2_5_vl_7b.json"), (112, 140),
        {**QWEN, "hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 64, "fullatt_block_indexes": [1]},
        {"preprocessor_config.json": {"processor_class": "Qwen2_5_VLProcessor"},
         "tokenizer_config.json": {"processor_class": "Qwen2_5_VLProcessor"}},
    ),
    "qwen3_vl": Real(
        backbones.Qwen3VL, ("qwen3_vl",), (64, 96),
        {**QWEN, "hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 64,
         "deepstack_visual_indexes": [0, 1]},
    ),
    "llava_onevision": Real(
        backbones.LlavaOneVision, ("llava_onevision",), (56, 56), {**TOWER, "image_size": 56},
        {"preprocessor_config.json": {"size": SMALL}, "processor_config.json": {"num_image_tokens": 16}},
        {"model_type": "llava_onevision", "image_token_index": 151646, "video_token_index": 151647,
         "text_config": {"model_type": "qwen2", "vocab_size": 152000, "tie_word_embeddings": True},
         "vision_config": {"model_type": "siglip_vision_model", "patch_size": 14, "vision_use_head": False},
         "tie_word_embeddings": True},
    ),
    "internvl": Real(
        backbones.InternVL, ("internvl3_hf",), (56, 56), {**TOWER, "image_size": [56, 56]},
        {"preprocessor_config.json": {"size": SMALL}, "processor_config.json": {"image_seq_length": 4}},
        {"model_type": "internvl", "image_token_id": 151667, "image_seq_length": 4,
         "text_config": {"model_type": "qwen2", "vocab_size": 151674, "tie_word_embeddings": False},
         "vision_config": {"model_type": "internvl_vision", "patch_size": [14, 14]}, "tie_word_embeddings": False},
    ),
}  # fmt: skip
