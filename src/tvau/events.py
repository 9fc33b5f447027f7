"""From scores and boxes to events and tracks, by one rule (see `tvau.metrics.events`, which also scores them)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvau.data.images import Size
from tvau.data.linking import link
from tvau.data.traces import Trace
from tvau.errors import DataError
from tvau.metrics.boxes import scaled
from tvau.metrics.events import EventRule, spans

__all__ = ["Event", "EventRule", "find"]

Boxes = NDArray[np.float64]  # [n, 5]: x1, y1, x2, y2 (pixels, inclusive), score


@dataclass(frozen=True, eq=False)
class Event:
    """One event of a video.

    Attributes:
        start, end: first and last frame of the source, 0-based, inclusive.
        seconds: when these two are shown.
        peak: the highest score of its frames.
        key: the source frame of that score.
        boxes: by source frame, in pixels of the heatmap; frames without a box are left out.
        track: [n, 3] of the main target: source frame, x and y of its centre in [0, 1] of the picture. Boxes that lie
            on one another from frame to frame are one target (`tvau.data.linking`); the main one is that whose boxes'
            scores have the highest sum.
    """

    start: int
    end: int
    seconds: tuple[float, float]
    peak: float
    key: int
    boxes: dict[int, Boxes] = field(repr=False)
    track: NDArray[np.float64] = field(repr=False)

    def told(self, of: Size, to: Size) -> dict[str, Any]:
        """What events.json holds of it, boxes of heatmaps of size `of` in pixels of pictures of size `to`."""
        return {
            "frames": [self.start, self.end], "seconds": [round(second, 3) for second in self.seconds],
            "peak": round(self.peak, 6), "key": self.key,
            "boxes": {str(at): scaled(own, of, to).round(3).tolist() for at, own in self.boxes.items()},
            "track": self.track.round(4).tolist(),
        }  # fmt: skip


def find(
    scores: NDArray[np.floating],
    frames: NDArray[np.integer],
    seconds: NDArray[np.floating],
    boxes: Sequence[Boxes] | None,
    rule: EventRule,
    size: tuple[int, int] = (1, 1),
) -> list[Event]:
    """The events of a video, in order.

    Args:
        scores: [N] in [0, 1], smoothed where the rule for maps says so.
        frames: [N] of the source, rising: those that were sampled, or all.
        seconds: [N] when they are shown.
        boxes: of each of the N frames [n, 5], only those of events are asked for; None: not known.
        rule: see `tvau.metrics.events`.
        size: (height, width) of the heatmaps of which the boxes are; needed with boxes.

    Raises:
        DataError: parts that do not agree.
    """
    if not len(scores) == len(frames) == len(seconds) == (len(scores) if boxes is None else len(boxes)):
        raise DataError(f"{len(scores)} scores, {len(frames)} frames, {len(seconds)} seconds and "
                        f"{'no' if boxes is None else len(boxes)} boxes; expected as many of each.")  # fmt: skip
    events = []
    for first, last in spans(np.asarray(scores), np.asarray(seconds), rule):
        key = first + int(np.argmax(scores[first : last + 1]))
        found = {} if boxes is None else {at: own for at in range(first, last + 1) if len(own := boxes[at])}
        events.append(
            Event(
                int(frames[first]), int(frames[last]), (float(seconds[first]), float(seconds[last])),
                float(scores[key]), int(frames[key]), {int(frames[at]): own for at, own in found.items()},
                main_track(found, size, np.asarray(frames)),
            )
        )  # fmt: skip
    return events


def main_track(boxes: dict[int, Boxes], size: tuple[int, int], frames: NDArray[np.integer]) -> NDArray[np.float64]:
    """The way of the main target, see `Event.track`.

    Args:
        boxes: by index of the frame.
        size: (height, width) of the pictures of which they are.
        frames: [N] of the source, by index.
    """
    traces = link(((at, filled(own, size)) for at, own in boxes.items()), size, len(frames), 0)
    if not traces:
        return np.empty((0, 3))
    main = max(traces, key=lambda trace: weight(trace, boxes))
    return np.column_stack([frames[main.frames], main.centres])


def filled(boxes: Boxes, size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask [H, W] of boxes."""
    mask = np.zeros(size, bool)
    for x1, y1, x2, y2 in np.round(boxes[:, :4]).astype(int):
        mask[max(y1, 0) : y2 + 1, max(x1, 0) : x2 + 1] = True
    return mask


def weight(trace: Trace, boxes: dict[int, Boxes]) -> float:
    """The sum over its frames of the highest score of the boxes on which a target lies."""
    total = 0.0
    for at, (x0, y0, x1, y1) in zip(trace.frames.tolist(), trace.boxes, strict=True):
        own = boxes[at]
        on = (own[:, 0] < x1) & (own[:, 2] >= x0) & (own[:, 1] < y1) & (own[:, 3] >= y0)
        total += float(own[on, 4].max(initial=0.0))
    return total
