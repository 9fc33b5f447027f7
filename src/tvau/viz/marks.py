"""Lines on pictures that are seen on any ground, in print and without colours: light ones with a dark edge.

All draw on the picture that they are given, uint8 [H, W, 3], RGB, contiguous.
"""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
LIGHT, DARK = (255, 255, 255), (24, 24, 24)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def thickness(picture: Image) -> int:
    """Of a line, pixels."""
    return max(1, round(min(picture.shape[:2]) / 300))


def edged(picture: Image, draw: Callable[[Colour, int], Any], colour: Colour = LIGHT) -> None:
    """Draws twice: dark and wide, then light and narrow."""
    width = thickness(picture)
    draw(DARK, width + 2)
    draw(colour, width)


def outline(picture: Image, inside: NDArray[np.bool_], corner: tuple[int, int] = (0, 0)) -> None:
    """The outline of what is True in a mask [h, w], whose upper left corner is at x, y of the picture."""
    found, _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=corner)
    edged(picture, lambda colour, width: cv2.drawContours(picture, found, -1, colour, width, cv2.LINE_4))


def frame_boxes(picture: Image, boxes: NDArray[np.floating], numbers: Sequence[int]) -> None:
    """Boxes [n, 5], x1 y1 x2 y2 (inclusive pixels) and score, each with its target's number and its score."""
    for (*corners, score), number in zip(boxes.tolist(), numbers, strict=True):
        left, top, right, bottom = (round(corner) for corner in corners)
        edged(picture, lambda c, w, a=(left, top), b=(right, bottom): cv2.rectangle(picture, a, b, c, w))  # type: ignore[misc]
        label(picture, f"{number}  {score:.2f}", (left, top), text_scale(picture.shape[0]), above=True)


def way(picture: Image, points: NDArray[np.floating]) -> None:
    """An arrow along points [n, 2], x and y in [0, 1] of the picture, with a dot where it begins."""
    height, width = picture.shape[:2]
    path = np.round(points * (width - 1, height - 1)).astype(np.int32)
    dot, tip = tuple(map(int, path[0])), tuple(map(int, path[-1]))
    size = max(3.0, min(height, width) / 60)

    def draw(colour: Colour, wide: int) -> None:
        cv2.polylines(picture, [path.reshape(-1, 1, 2)], False, colour, wide + 1, cv2.LINE_AA)
        cv2.circle(picture, dot, round(size * 0.8) + wide // 2, colour, -1, cv2.LINE_AA)
        far = np.hypot(*(path - path[-1]).T)
        back = path[np.flatnonzero(far >= size)[-1]] if (far >= size).any() else None  # where the tip comes from
        if back is not None:
            along = (path[-1] - back) / np.hypot(*(path[-1] - back))
            wings = [path[-1] - size * 1.6 * along + side * size * along[::-1] * (1, -1) for side in (-1, 1)]
            head = np.round([tip, *wings]).astype(np.int32).reshape(-1, 1, 2)
            cv2.polylines(picture, [head], True, colour, wide + 1, cv2.LINE_AA)
            cv2.fillPoly(picture, [head], colour, cv2.LINE_AA)

    edged(picture, draw)


def text_scale(height: int) -> float:
    """OpenCV's scale of small text for a picture of this height."""
    return max(height / 1000, 0.4)


def text_size(text: str, scale: float) -> tuple[int, int, int]:
    """Width, height above and below the base line, pixels."""
    (width, height), below = cv2.getTextSize(text, FONT, scale, stroke(scale))
    return width, height, below


def stroke(scale: float) -> int:
    """The thickness of letters, pixels."""
    return max(1, round(1.4 * scale))


def write(picture: Image, text: str, at: tuple[int, int], scale: float) -> None:
    """Small light text, its base line beginning at x, y."""
    cv2.putText(picture, text, at, FONT, scale, LIGHT, stroke(scale), cv2.LINE_AA)


def label(picture: Image, text: str, at: tuple[int, int], scale: float, above: bool = False) -> None:
    """Text on a darkened ground, its upper left corner (its lower one with `above`) at x, y, kept inside."""
    width, height, below = text_size(text, scale)
    tall = height + below + 3
    left = int(np.clip(at[0], 0, max(picture.shape[1] - width - 6, 0)))
    top = int(np.clip(at[1] - tall * above, 0, max(picture.shape[0] - tall, 0)))
    picture[top : top + tall, left : left + width + 6] //= 4
    write(picture, text, (left + 3, top + height + 1), scale)
