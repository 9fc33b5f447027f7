"""Boxes that come frame by frame, without masks: which of them are the same target. (Of masks: `tvau.data.linking`.)"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tvau.data.linking import PATIENCE

OVERLAP = 0.1  # intersection over union with the target's last box, at least; outlines of heatmaps flicker


class Follower:
    """Numbers boxes as they come, those of one target alike.

    Boxes and targets are paired so that the sum of their overlaps is highest; what overlaps no target is a new one. A
    target that is not seen for up to `PATIENCE` frames keeps its number.
    """

    def __init__(self) -> None:
        self.count = 0
        self.last: dict[int, tuple[int, NDArray[np.float64]]] = {}  # of each target: when it was seen, and its box

    def __call__(self, frame: int, boxes: NDArray[np.floating]) -> NDArray[np.int64]:
        """The targets' numbers [n], from 1.

        Args:
            frame: rising from call to call.
            boxes: [n, 4 or more], x1 y1 x2 y2 in pixels, inclusive.
        """
        self.last = {number: seen for number, seen in self.last.items() if frame - seen[0] <= PATIENCE + 1}
        numbers, corners = np.zeros(len(boxes), np.int64), boxes[:, :4] + np.array([0.0, 0, 1, 1])
        known = list(self.last)
        if known and len(boxes):
            before = np.stack([box for _, box in self.last.values()])
            shares = overlaps(corners, before)
            for row, column in zip(*linear_sum_assignment(-shares), strict=True):
                if shares[row, column] >= OVERLAP:
                    numbers[row] = known[column]
        for row in np.flatnonzero(numbers == 0):
            self.count += 1
            numbers[row] = self.count
        self.last |= {int(number): (frame, box) for number, box in zip(numbers, corners, strict=True)}
        return numbers


def overlaps(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, m] intersection over union of boxes [n, 4] and [m, 4], x0 y0 x1 y1, ends exclusive."""
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    common = sides.clip(min=0).prod(-1)
    return np.asarray(common / ((a[:, 2:] - a[:, :2]).prod(1)[:, None] + (b[:, 2:] - b[:, :2]).prod(1) - common))
