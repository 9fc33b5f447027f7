"""What suits an LVLM on a card, from what `tvau.costs` computes: clips at a time, precision, frame size."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from transformers import PreTrainedConfig

from tvau.backbones.families import adapter_for
from tvau.costs import cost, without_weights
from tvau.errors import BackboneError, OptionError

STEP = 8  # clips of a step of the optimizer, as in the demo's configs
FILLED = 0.8  # share of a card that may be filled by what is computed; the rest is what `tvau.costs` leaves out
WORLD = (192, 320)  # (height, width) in which the synthetic world is drawn where the tower takes that
BITS = (None, 4)  # of the language model, in the order of preference


@dataclass(frozen=True)
class Proposal:
    """How to train on a card.

    Attributes:
        size: (height, width) of frames.
        dtype: of the frozen LVLM.
        bits: of the language model; None: `dtype`.
        checkpointing: whether stage 2 keeps no activations of the language model's layers.
        heatmap, dialog: clips at a time in stages 1 and 2; a step of the optimizer gathers `STEP` of them.
    """

    size: tuple[int, int]
    dtype: str
    bits: int | None = None
    checkpointing: bool = False
    heatmap: int = 1
    dialog: int = 1

    def backbone(self) -> dict[str, Any]:
        """The arguments of the LVLM, beside those of its preset."""
        return {"dtype": self.dtype, "bits": self.bits, "gradient_checkpointing": self.checkpointing}


def propose(
    preset: Mapping[str, Any], config: PreTrainedConfig, memory: float, gpu: bool = True,
    size: tuple[int, int] | None = None,
) -> Proposal:  # fmt: skip
    """The fastest way to train that fits.

    Whole weights are preferred to those of 4 bits, which change what the LVLM says, and activations that are kept to
    those that are computed twice; then as many clips at a time as fit, `STEP` at most.

    Args:
        preset: arguments of an LVLM, see `tvau.backbones.load`.
        config: of its checkpoint.
        memory: of the card, or of the machine where there is none, bytes.
        gpu: whether there is a card: else weights are float32, and there are no 4 bits.
        size: (height, width) of frames; None: `frame_size`.

    Raises:
        OptionError: not even one clip fits, of 4 bits.
    """
    start = Proposal(size or frame_size(preset, config), str(preset.get("dtype", "bfloat16")) if gpu else "float32")
    if start.dtype == "auto":
        start = replace(start, dtype="bfloat16")
    model, least = without_weights(config), 0.0
    for bits, checkpointing in product(BITS if gpu else BITS[:1], (False, True)):
        found = replace(start, bits=bits, checkpointing=checkpointing)
        given = {**preset, **found.backbone(), "size": found.size}
        costs = {clips: cost(given, config, found.size, clips, model=model) for clips in (8, 4, 2, 1)}
        fits = {
            stage: next((clips for clips, each in costs.items() if getattr(each, stage) <= FILLED * memory), 0)
            for stage in ("heatmap", "dialog")
        }
        if all(fits.values()):
            return replace(found, heatmap=fits["heatmap"], dialog=fits["dialog"])
        least = max(costs[1].heatmap, costs[1].dialog)
    raise OptionError(
        f"a clip of {start.size[0]}x{start.size[1]} pixels needs about {least / FILLED / 1e9:.0f} GB, this machine has "
        f"{memory / 1e9:.0f}: choose a smaller LVLM (tvau backbones), or smaller frames"
    )


def frame_size(preset: Mapping[str, Any], config: PreTrainedConfig) -> tuple[int, int]:
    """(height, width) of frames: the preset's, the tower's only one, or about `WORLD`, in whole cells of the tower.

    Raises:
        BackboneError: no such size.
    """
    adapter = adapter_for(config, str(preset["checkpoint"]))
    given = preset.get("size") or adapter.native_size(config)
    if given:
        return int(given[0]), int(given[1])
    for cell in range(1, WORLD[0] + 1):
        height, width = (max(round(side / cell), 1) * cell for side in WORLD)
        try:
            adapter.patches(config, int(preset.get("frames", 16)), height, width)
        except BackboneError:
            continue
        return height, width
    raise BackboneError(f"{preset['checkpoint']}: no frames of about {WORLD[0]}x{WORLD[1]} fit its tower")
