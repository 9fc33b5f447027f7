"""What the page shows of one frame: the picture under its heatmap, and the strip of scores below."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.events import Event
from tvau.viz.overlay import OPACITY, Image, heat

STRIP = (72, 960)  # height and width of the strip of scores
WIDE = 640  # smaller pictures are shown enlarged
INK, PALE, EVENT, NOW = (60, 60, 60), (236, 236, 236), (250, 214, 165), (0, 90, 160)


def overlaid(picture: Image, heatmap: NDArray[np.floating] | None, threshold: float, opacity: float) -> Image:
    """A frame with its heatmap over it, `enlargement` times as large as it is.

    Args:
        picture: uint8 [H, W, 3].
        heatmap: [h, w] in [0, 1]; None: there is none.
        threshold: lower scores are left out.
        opacity: of the highest score, in [0, 1].
    """
    picture = cv2.resize(picture, None, fx=(times := enlargement(picture.shape[1])), fy=times).astype(np.uint8)
    if heatmap is None:
        return picture
    hot = heat(picture, np.where(heatmap >= threshold, heatmap, 0))
    share = min(opacity / OPACITY, 1)
    return np.asarray(cv2.addWeighted(hot, share, picture, 1 - share, 0), np.uint8)


def enlargement(width: int) -> int:
    """How many times as large a picture is shown."""
    return max(1, round(WIDE / width))


def strip(scores: NDArray[np.floating], events: Sequence[tuple[int, int]], now: int) -> Image:
    """Frame scores as a filled curve, events shaded behind it, the frame that is shown as a line.

    Args:
        scores: [N] in [0, 1].
        events: first and last place (in `scores`) of each.
        now: the place of the frame that is shown.

    Returns:
        uint8 [*STRIP, 3].
    """
    height, width = STRIP
    image = np.full((height, width, 3), 255, np.uint8)
    left, right = edges(len(scores))
    for first, last in events:
        image[:, left[first] : right[last]] = EVENT
    columns = np.searchsorted(right, np.arange(width), side="right").clip(max=len(scores) - 1)
    tops = np.round((height - 3) * (1 - np.clip(scores[columns], 0, 1))).astype(int) + 1
    image[np.arange(height)[:, None] >= tops] = INK
    image[-1] = INK
    image[:, left[now] : max(right[now], left[now] + 3)] = NOW
    return image


def edges(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first column of each of `count` places on the strip, and the column behind its last."""
    borders = np.round(np.linspace(0, STRIP[1], count + 1)).astype(np.int64)
    return borders[:-1], borders[1:]


def place(column: float, count: int) -> int:
    """The place that a click on a column of the strip means."""
    return int(np.clip(column * count // STRIP[1], 0, count - 1))


def spans(events: Sequence[Event], frames: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Events as first and last place among the sampled frames."""
    return [
        (int(np.searchsorted(frames, event.start)), int(np.searchsorted(frames, event.end, side="right")) - 1)
        for event in events
    ]
