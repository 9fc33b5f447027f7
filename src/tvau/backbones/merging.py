"""LoRA merged into the weights that it tunes, and the LVLM written as plain transformers loads it."""

from pathlib import Path
from typing import Any, cast

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from tvau.backbones.base import VideoLVLM
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.errors import BackboneError


def merge(lvlm: VideoLVLM, folder: Path) -> int:
    """Writes the LVLM with LoRA merged, weights, configuration and processor; returns how many matrices were tuned.

    The LVLM itself is merged, too, and can be tuned by this LoRA no longer.

    Raises:
        BackboneError: an LVLM of another kind, or a quantized one, whose weights would be rounded once more.
    """
    if not isinstance(lvlm, HuggingFaceLVLM) or lvlm.made.get("bits"):
        raise BackboneError(f"{lvlm.name}: only an LVLM in full weights can be merged; name one by --backbone")
    lm: nn.Module = lvlm.lm
    tuned = [(name, part) for name, part in lm.named_modules() if isinstance(part, BaseTunerLayer)]
    for name, part in tuned:
        part.merge(safe_merge=True)
        lm.set_submodule(name, cast(Any, part).get_base_layer())
    lvlm.lm.get_decoder()._hf_peft_config_loaded = False
    lvlm.lm.save_pretrained(folder)
    lvlm.tokens.processor.save_pretrained(folder)
    return len(tuned)
