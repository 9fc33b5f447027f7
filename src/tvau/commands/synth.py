"""`tvau synth`: a synthetic data set on disk."""

from pathlib import Path
from typing import Literal

from tvau.errors import OptionError


def synth(
    root: str, set: Literal["demo", "benchmark", "benchmark_more"] = "demo", seed: int = 0, workers: int = 2,
    scale: float = 1.0, size: tuple[int, int] = (192, 320),
) -> None:  # fmt: skip
    """Writes a synthetic data set in UBnormal's layout, half of its videos abnormal.

    Args:
        root: where to; a data set that is partly there is completed.
        set: the demo's (458 videos), the benchmark of record (docs/measure/benchmark.md, 862 videos), or the same with
            three times as many training videos (1,646 videos).
        seed: the same seed gives the same annotations.
        workers: processes that draw.
        scale: 0.5 gives half as many videos.
        size: height and width of the pictures, even; `tvau plan` names one that suits an LVLM.
    """
    from tvau.world import SETS, write

    if not 0 < scale <= 100 or workers < 1:
        raise OptionError(f"--scale {scale:g}, --workers {workers}: expected 0 < scale <= 100 and a worker")
    splits = SETS[set]
    if any(side < 48 or side % 2 for side in size):
        raise OptionError(f"--size {list(size)}: expected an even height and width of 48 pixels or more")
    counts = {name: max(round(split.videos * scale), 2) for name, split in splits.items()}
    write(Path(root), counts, seed, size, workers=workers, splits=splits)
