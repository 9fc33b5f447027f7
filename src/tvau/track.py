"""The way of one target through the maps of a clip, without a language model."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STEP = 0.3  # what a move of one patch between two time steps costs, of two patches four times that; on validation
AROUND = 1  # patches to each side that decide where in its patch a target stands


def track(logit: NDArray[np.floating], step: float = STEP) -> NDArray[np.float64]:
    """The path of patches that gathers the most evidence (Viterbi): it may begin and end at any time step.

    A path is worth the sum of the logits it passes, less `step` times the squared length of each move, in patches. So
    it runs as long as its target is more probably abnormal than not, and bridges what hides it for a moment; where
    nothing is, it is the highest patch alone.

    Args:
        logit: of the heatmap, [T', H', W'], calibrated: 0 where abnormal and normal are equally probable.
        step: see STEP.

    Returns:
        [n, 3]: time step (0-based, one after the other), x and y in [0, 1] of the picture, each the centre of what is
        hot around the patch.
    """
    times, rows, columns = logit.shape
    worth = logit.reshape(times, -1).astype(float)
    costs = step * _squares(rows, columns)
    best, before = worth.copy(), np.full(worth.shape, -1)
    for time in range(1, times):
        come = best[time - 1] - costs  # [to, from]
        origin = come.argmax(1)
        value = come[np.arange(len(origin)), origin]
        before[time] = np.where(value > 0, origin, -1)  # else a path begins here
        best[time] += value.clip(min=0)
    time, patch = divmod(int(best.argmax()), rows * columns)
    path = [(time, patch)]
    while (patch := int(before[time, patch])) >= 0:
        time -= 1
        path.append((time, patch))
    return np.array([(time, *_centre(logit[time], *divmod(patch, columns))) for time, patch in reversed(path)])


@lru_cache
def _squares(rows: int, columns: int) -> NDArray[np.float64]:
    """Squared distance of each patch from each other, in patches."""
    places = np.stack(np.divmod(np.arange(rows * columns), columns), 1).astype(float)
    return np.square(places[:, None] - places[None]).sum(-1)


def _centre(logit: NDArray[np.floating], row: int, column: int) -> tuple[float, float]:
    """(x, y) in [0, 1] of the middle of the heat around a patch of a map [H', W']."""
    top, left = max(row - AROUND, 0), max(column - AROUND, 0)
    near = logit[top : row + AROUND + 1, left : column + AROUND + 1].astype(float)
    heat = 1 / (1 + np.exp(-near.clip(-30, 30)))
    y, x = np.indices(heat.shape) + 0.5
    return (
        float((left + (x * heat).sum() / heat.sum()) / logit.shape[1]),
        float((top + (y * heat).sum() / heat.sum()) / logit.shape[0]),
    )
