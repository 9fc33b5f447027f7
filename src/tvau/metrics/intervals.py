"""Bootstrap over videos: how much a score hangs on which videos were tested, and whether two methods differ by more.

The draws depend on nothing but the number of videos, and every metric has its videos in an order of their own names: so
two methods that were tested on the same videos were resampled on the same ones, draw by draw. What each draw gave is
kept beside the scores (`samples`), and the difference of two methods is judged without either of them (`paired`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from tvau.errors import DataError

SAMPLES = 1000  # of a test
DRAWS = "samples.npz"  # in a run's folder: the draws behind its test.json
VIDEOS = "videos"  # of which each split drew, by `VIDEOS/split`: draws of other videos are no pairs
Score = Callable[[NDArray[np.float64]], Mapping[str, float]]  # weights [videos] -> scores by name


def resampled(
    score: Score, videos: int, samples: int = SAMPLES, level: float = 0.95, seed: int = 0
) -> dict[str, dict[str, list[float]]]:
    """Percentile intervals (Efron and Tibshirani, 1993) of scores under resampling of whole videos, and the draws.

    Frames of one video are anything but independent, so videos are drawn, with replacement, as many as there are.

    Args:
        score: gives the scores of the test set in which video i comes weights[i] times; undefined ones are absent or
            NaN, and their samples do not count.
        videos: number of videos; below two there is nothing to resample.
        samples: number of resamplings; 0: none.
        level: share of the samples between the bounds.
        seed: of the drawing.

    Returns:
        {"interval": {name: [low, high]}, "samples": {name: [a score a draw, NaN where it is undefined]}}; where nothing
        was drawn, an empty interval alone.
    """
    if samples < 1 or videos < 2:
        return {"interval": {}}
    draws = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), samples).astype(float)
    drawn: dict[str, NDArray[np.float64]] = {}
    for at, weights in enumerate(draws):
        for name, value in score(weights).items():
            drawn.setdefault(name, np.full(samples, np.nan))[at] = value
    tail = 50 * (1 - level)
    known = {name: values[np.isfinite(values)] for name, values in drawn.items()}
    interval = {name: np.percentile(own, [tail, 100 - tail]).tolist() for name, own in known.items() if len(own)}
    return {"interval": interval, "samples": {name: drawn[name].tolist() for name in interval}}


def take_samples(results: Any, path: Sequence[str] = ()) -> dict[str, list[float]]:
    """Takes the draws out of a tree of results: {keys of the score's part and its name, joined by "/": draws}."""
    taken: dict[str, list[float]] = {}
    if isinstance(results, dict):
        for name, values in results.pop("samples", {}).items():
            taken["/".join((*path, name))] = values
        for key, part in results.items():
            taken |= take_samples(part, (*path, key))
    return taken


def of_videos(names: Iterable[str]) -> NDArray[np.uint32]:
    """A number that stands for these videos, whatever their order."""
    return np.array(crc32("\n".join(sorted(set(names))).encode()), np.uint32)


def read_samples(run: Path) -> dict[str, NDArray[np.float32]]:
    """The draws behind the test of a run's folder, by the keys of `take_samples`; {} where it was not resampled.

    With them, by VIDEOS and the split, `of_videos`; not in the files of version 0.3.0 and before.

    Raises:
        DataError: the file is none of `tvau test`.
    """
    path = run / DRAWS
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: no draws of `tvau test` ({error}); delete it and test again.") from error


def together(splits: Sequence[NDArray[np.floating]]) -> NDArray[np.floating]:
    """Draws [draws] of the mean over splits, from those of each.

    One seed draws the videos of every split, so two of the same size were resampled alike: the first, say, of the
    abnormal videos came as often in all of them. Splits share no video, so unlike draws are set side by side, each
    split's moved on by its place in the list, which is the same for every method.
    """
    return np.mean([np.roll(own, at) for at, own in enumerate(splits)], 0)


def paired(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> float:
    """How likely a difference at least as far on its side of 0 is if there is none: two-sided p-value.

    The paired bootstrap test (Efron and Tibshirani, 1993, chapter 15; for texts Koehn, EMNLP 2004): the share of draws
    in which the difference of both methods, each a mean over its seeds, lies on the other side of 0 or on it, twice.
    The draw that was made stands among them, so it is never 0. It speaks about other videos, not about other seeds.

    Args:
        ours, theirs: [seeds, draws]; draws in which one is not defined do not count.

    Returns:
        The p-value; NaN without a draw.
    """
    difference = ours.mean(0) - theirs.mean(0)
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        return float("nan")
    against = min(int((difference <= 0).sum()), int((difference >= 0).sum()))
    return min(2 * (against + 1) / (len(difference) + 1), 1.0)
