"""The score of every frame as a strip below a picture, with its events and the frame that is shown."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.viz.marks import LIGHT, Image, text_scale, text_size, write

GROUND, AXIS, EVENT, FILL = (28, 28, 32), (120, 120, 126), (68, 68, 78), (33, 145, 140)  # FILL: the middle of viridis


class Strip:
    """A strip as wide as a picture: a line of text, and below it the curve of the scores.

    Events are shaded and have a bar at the bottom; the frame that is shown has an upright line with a tip.

    Args:
        scores: [N] in [0, 1], of every frame.
        events: first and last frame of each, inclusive.
        size: (height, width) of the picture, pixels.
    """

    def __init__(self, scores: NDArray[np.floating], events: Sequence[tuple[int, int]], size: tuple[int, int]) -> None:
        self.total, self.width = len(scores), size[1]
        self.scale = text_scale(size[0])
        _, tall, below = text_size("0", self.scale)
        self.line, self.top = tall + 3, tall + below + 6  # the base line of the text, and where the curve begins
        self.height = self.top + max(size[0] // 10, 20)
        self.height += (size[0] + self.height) % 2  # 4:2:0 colour wants an even number of rows
        self.base = np.full((self.height, self.width, 3), GROUND, np.uint8)
        bar = max(2, self.height // 20)
        self.bottom = self.height - bar - 2  # score 0
        for first, last in events:
            left, right = self._x(first), max(self._x(last + 1), self._x(first) + 2)
            self.base[self.top : self.bottom + 1, left:right] = EVENT
            self.base[-bar:, left:right] = LIGHT
        at = np.arange(self.width) * self.total // max(self.width, 1)
        until = np.maximum((np.arange(self.width) + 1) * self.total // self.width, at + 1)
        tops = np.array([scores[a:b].max() for a, b in zip(at, until, strict=True)])  # a column shows its highest frame
        rows = np.round(self.bottom - tops * (self.bottom - self.top)).astype(int)
        self.base[(np.arange(self.height)[:, None] >= rows) & (np.arange(self.height)[:, None] <= self.bottom)] = FILL
        curve = np.column_stack([np.arange(self.width), rows]).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(self.base, [curve], False, LIGHT, 1)
        self.base[self.bottom + 1] = AXIS

    def _x(self, frame: int) -> int:
        return min(frame * self.width // self.total, self.width)

    def at(self, frame: int, text: str) -> Image:
        """The strip [h, width, 3] while a frame is shown, with a text above its curve."""
        strip = self.base.copy()
        x, reach = min(self._x(frame), self.width - 1), max(3, self.height // 12)
        cv2.line(strip, (x, self.top), (x, self.bottom), LIGHT, max(1, self.height // 50))
        tip = np.array([[x - reach, self.top - reach], [x + reach, self.top - reach], [x, self.top]], np.int32)
        cv2.fillPoly(strip, [tip.reshape(-1, 1, 2)], LIGHT)
        write(strip, text, (4, self.line), self.scale)
        return strip
