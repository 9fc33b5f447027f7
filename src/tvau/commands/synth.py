"""`tvau synth`: a synthetic data set on disk."""

from pathlib import Path
from typing import Literal

from tvau.errors import OptionError


def synth(
    root: str, set: Literal["demo", "benchmark"] = "demo", seed: int = 0, workers: int = 2, scale: float = 1.0
) -> None:
    """Writes a synthetic data set in UBnormal's layout, half of its videos abnormal.

    Args:
        root: where to; a data set that is partly there is completed.
        set: the demo's (458 videos), or the benchmark of record (docs/measure/benchmark.md, 862 videos).
        seed: the same seed gives the same annotations.
        workers: processes that draw.
        scale: 0.5 gives half as many videos.
    """
    from tvau.world import SETS, write

    if not 0 < scale <= 100 or workers < 1:
        raise OptionError(f"--scale {scale:g}, --workers {workers}: expected 0 < scale <= 100 and a worker")
    splits = SETS[set]
    counts = {name: max(round(split.videos * scale), 2) for name, split in splits.items()}
    write(Path(root), counts, seed, workers=workers, splits=splits)
