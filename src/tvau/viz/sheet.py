"""The key frames of a video's events on one sheet: heat, boxes, the way of the main target, times and peaks."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.viz.marks import DARK, Image, frame_boxes, text_size, way, write
from tvau.viz.overlay import beside

WIDTH = 480  # of a key frame, pixels
COLUMNS = 3
SCALE = 0.5  # of the titles
MOST = 12  # events on a sheet: those with the highest peaks


class Moment(NamedTuple):
    """An event as the sheet shows it."""

    first: int  # frame
    last: int  # inclusive
    key: int  # the frame of its highest score
    title: str


class Sheet:
    """Collects key frames while a video goes by; holds no more than `MOST` pictures.

    Args:
        moments: in order of time, and how high each reaches.
    """

    def __init__(self, moments: Sequence[tuple[Moment, float]]) -> None:
        highest = sorted(moments, key=lambda moment: -moment[1])[:MOST]
        self.moments = sorted(moment for moment, _ in highest)
        self.left_out = len(moments) - len(self.moments)
        self.pictures: dict[int, Image] = {}
        self.ways: dict[Moment, dict[int, list[tuple[float, float]]]] = {
            moment: defaultdict(list) for moment in self.moments
        }
        self.weights: dict[Moment, dict[int, float]] = {moment: defaultdict(float) for moment in self.moments}

    def add(self, frame: int, picture: Image, boxes: NDArray[np.floating], numbers: Sequence[int]) -> None:
        """A frame as it is shown.

        Args:
            picture: uint8 [H, W, 3], with its heat; it is not written to.
            boxes: [n, 5] in its pixels, inclusive, and their scores.
            numbers: of the target of each box.
        """
        size = np.array(picture.shape[1::-1], float)
        for moment in self.moments:
            if moment.first <= frame <= moment.last:
                for box, number in zip(boxes, numbers, strict=True):
                    x, y = ((box[:2] + box[2:4] + 1) / 2 / size).tolist()
                    self.ways[moment][number].append((x, y))
                    self.weights[moment][number] += float(box[4])
            if moment.key == frame:
                scale = WIDTH / picture.shape[1]
                height = max(round(picture.shape[0] * scale), 1)
                small = cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA)
                frame_boxes(small, boxes * ([scale] * 4 + [1]), numbers)
                self.pictures[frame] = np.asarray(small)

    def image(self) -> Image | None:
        """The sheet, uint8 [h, w, 3]; None where there was no event."""
        tiles = [self._tile(moment) for moment in self.moments if moment.key in self.pictures]
        if not tiles:
            return None
        columns = min(COLUMNS, len(tiles))
        tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
        return beside([beside(tiles[at : at + columns]) for at in range(0, len(tiles), columns)], axis=0)

    def _tile(self, moment: Moment) -> Image:
        """A key frame with the way of its main target, that whose boxes' scores have the highest sum."""
        picture = self.pictures[moment.key].copy()
        if weights := self.weights[moment]:
            points = np.array(self.ways[moment][max(weights, key=lambda number: weights[number])])
            if len(points) > 1:
                way(picture, smoothed(points))
        _, tall, below = text_size("0:peak", SCALE)  # the same for all
        head = np.full((tall + below + 8, picture.shape[1], 3), DARK, np.uint8)
        write(head, moment.title, (5, tall + 4), SCALE)
        return np.concatenate([head, picture])


def smoothed(points: NDArray[np.floating], reach: int = 4) -> NDArray[np.float64]:
    """A way [n, 2] as means over `reach` places before and behind each: boxes of a heatmap jitter."""
    sums = np.cumsum(np.concatenate([np.zeros((1, 2)), points]), 0)
    at = np.arange(len(points))
    wide = np.minimum(np.minimum(at, at[::-1]), reach)
    return np.asarray((sums[at + wide + 1] - sums[at - wide]) / (2 * wide + 1)[:, None])
