"""Bootstrap confidence intervals over videos: how much a score hangs on which videos were tested."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

SAMPLES = 1000  # of a test
Score = Callable[[NDArray[np.float64]], Mapping[str, float]]  # weights [videos] -> scores by name


def intervals(
    score: Score, videos: int, samples: int = SAMPLES, level: float = 0.95, seed: int = 0
) -> dict[str, list[float]]:
    """Percentile intervals (Efron and Tibshirani, 1993) of scores under resampling of whole videos.

    Frames of one video are anything but independent, so videos are drawn, with replacement, as many as there are.

    Args:
        score: gives the scores of the test set in which video i comes weights[i] times; undefined ones are absent or
            NaN, and their samples do not count.
        videos: number of videos; below two there is nothing to resample.
        samples: number of resamplings; 0: none.
        level: share of the samples between the bounds.
        seed: of the drawing.

    Returns:
        {name: [low, high]}, empty where nothing was drawn.
    """
    if samples < 1 or videos < 2:
        return {}
    draws = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), samples).astype(float)
    drawn: dict[str, list[float]] = {}
    for weights in draws:
        for name, value in score(weights).items():
            if np.isfinite(value):
                drawn.setdefault(name, []).append(value)
    tail = 50 * (1 - level)
    return {name: [float(x) for x in np.percentile(values, [tail, 100 - tail])] for name, values in drawn.items()}
