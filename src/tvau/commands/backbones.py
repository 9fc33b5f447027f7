"""`tvau backbones`: what each LVLM costs; see `tvau.costs` for how that is computed."""

from pathlib import Path
from typing import Any, Literal

from tvau.shipped import found


def backbones(
    folder: str = "backbones",
    frame: tuple[int, int] = (96, 160),
    clips: int = 1,
    bits: Literal[4, 8] | None = None,
    gradient_checkpointing: bool = False,
    measured: str | None = None,
) -> None:
    """Prints a table of the presets: family, parameters, blocks, heatmap grid, tokens, and GPU memory of each stage.

    Memory is computed. What `benchmarks/gpu.py` measured of a preset, asked for the same, stands beside.

    Args:
        folder: with the presets.
        frame: (height, width) of frames, where preset and tower take them as they come.
        clips: in a batch.
        bits: 4 or 8: the language model quantized; null: the preset's precision.
        gradient_checkpointing: of the language model.
        measured: a file that `benchmarks/gpu.py` wrote; null: measured.json in the folder, if it is there.
    """
    from tvau.costs import cost, published, read_measured, read_presets

    peaks = read_measured(measured or Path(found(folder)) / "measured.json", measured is not None)
    given = {"bits": bits, "gradient_checkpointing": gradient_checkpointing}
    print(
        "| preset | family | parameters | blocks read | heatmap grid | tokens | predict GB | stage 1 GB | stage 2 GB | "
        "measured GB | confirmed |"
    )
    print("|---|---|--:|---|--:|--:|--:|--:|--:|--:|---|")
    known = published(folder)
    for name, (preset, config) in read_presets(folder).items():
        c = cost({**preset, **given}, config, frame, clips)
        grid, blocks = "x".join(map(str, c.grid)), f"{', '.join(map(str, c.blocks))} of {c.depth}"
        memory = " | ".join(f"{m / 1e9:.1f}" for m in (c.predict, c.heatmap, c.dialog))
        confirmed = known.get(preset["checkpoint"], {"confirmed": "read from it"}).get("confirmed", "no")
        print(f"| {name} | {c.family} | {c.parameters / 1e6:,.0f} M | {blocks} | {grid} | {c.tokens} + {c.words} | "
              f"{memory} | {said(peaks, preset=name, clips=clips, **given)} | {confirmed} |")  # fmt: skip
    how = [f"{bits}-bit language model"] if bits else []
    how += [f"{'with' if gradient_checkpointing else 'no'} gradient checkpointing"]
    print(f"\nMemory: computed for {clips} clip{'s' * (clips > 1)} a batch, each with a dialog of four turns, LoRA of "
          f"rank 16, {', '.join(how)}. Tokens of a first question: visual + words of the template. Confirmed: compared "
          "with files of the release; the rest is written down from what is known of the models. Measured: predict / "
          "stage 1 / stage 2 on a card.")  # fmt: skip


def said(peaks: list[dict[str, Any]], **asked: Any) -> str:
    """Measured peaks of a preset as it is asked for, GB: predict / stage 1 / stage 2."""
    row = next((row for row in peaks if {key: row.get(key) for key in asked} == asked), {})
    stages = [f"{row[stage] / 1e9:.1f}" if stage in row else "?" for stage in ("predict", "heatmap", "dialog")]
    return " / ".join(stages) if row else ""
