"""One target over time: where it is in each frame, and what follows from that, in the words of `tvau.language`.

Everything here is geometry. A trace comes from id maps, from the linked components of masks (`tvau.data.linking`) or
from a track file; what is said about positions and movements is said from it alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tvau.data.boxes import BoxTrack, box_of
from tvau.data.images import Size
from tvau.data.masks import IdMaps
from tvau.language import direction, way

LEAST = 0.0003  # share of the picture that a target covers in a frame in which it counts as visible
EDGE = 0.02  # of the picture's width or height: a box this near to the edge touches it
TURN = 0.08  # of the picture: what a path may stray from a straight line before it counts as a turn
STILL = 0.06  # of the picture: a shorter way between first and last place is no movement, as in `language.direction`


@dataclass(frozen=True)
class Trace:
    """One target of a video.

    Attributes:
        id: of the object in the id maps or the track file; a number from 1 for linked components.
        mapped: whether it is an object of id maps, and `id` its number there.
        frames: int64 [N], rising, 0-based; frames in which it is hidden are left out.
        boxes: float64 [N, 4], x0 y0 x1 y1 in pixels, ends exclusive.
        areas: int64 [N], pixels of its mask, or of its box where there is no mask.
        size: (height, width) of the picture, pixels.
        total: frames of the video.
        category: what it is; "" unknown.
        earlier, later: whether it is also seen before and after these frames (of a part of a trace).
    """

    id: int
    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.int64]
    size: Size
    total: int
    category: str = ""
    earlier: bool = False
    later: bool = False
    mapped: bool = False

    def within(self, first: int, last: int) -> "Trace | None":
        """The part between two frames (inclusive); None where it is never visible there."""
        part = (self.frames >= first) & (self.frames <= last)
        if not part.any():
            return None
        return replace(
            self, frames=self.frames[part], boxes=self.boxes[part], areas=self.areas[part],
            earlier=self.earlier or bool(self.frames[0] < first), later=self.later or bool(self.frames[-1] > last),
        )  # fmt: skip

    @property
    def centres(self) -> NDArray[np.float64]:
        """[N, 2] centres of its boxes, in [0, 1] of the picture's width and height."""
        height, width = self.size
        return np.asarray((self.boxes[:, :2] + self.boxes[:, 2:]) / 2 / (width, height), np.float64)

    @cached_property
    def way(self) -> tuple[str, str, str]:
        """Start, end and direction, see `language.way`."""
        (x, y), (u, v) = self.centres[[0, -1]].tolist()
        return way((x, y), (u, v))

    @property
    def start(self) -> str:
        """The 3x3 cell of its centre in its first frame."""
        return self.way[0]

    @property
    def end(self) -> str:
        """The 3x3 cell of its centre in its last frame; that of the first where it gets nowhere."""
        return self.way[1]

    @property
    def direction(self) -> str:
        """The screen direction from its first to its last place; "" where it gets nowhere."""
        return self.way[2]

    @property
    def legs(self) -> list[str]:
        """The directions of its way, one for each stretch that is nearly straight; empty where it gets nowhere."""
        ways = [direction(float(b[0] - a[0]), float(b[1] - a[1]), TURN) for a, b in _corners(self.centres)]
        legs = [way for at, way in enumerate(ways) if way and (at == 0 or way != ways[at - 1])]
        return legs if len(legs) > 1 else [self.direction] if self.direction else []

    @property
    def reach(self) -> float:
        """How far it ever gets from its first place, in picture sizes."""
        return float(np.hypot(*(self.centres - self.centres[0]).T).max())

    @property
    def moves(self) -> bool:
        """Whether it ever gets further from its first place than `STILL`."""
        return self.reach >= STILL

    @property
    def stays(self) -> bool:
        """Whether it is in one place all the time: it neither moves, nor comes into the picture, nor leaves it."""
        return not (self.moves or self.enters or self.leaves)

    @property
    def speed(self) -> float:
        """Its own heights a frame: the median step of its centre, pixels, over the median height of its box.

        Heights make near and far targets comparable; 0 for a single frame.
        """
        if len(self.frames) < 2:
            return 0.0
        span = max(len(self.frames) // 4, 1)  # a longer base than one frame, since outlines flicker
        pixels = (self.centres[span:] - self.centres[:-span]) * (self.size[1], self.size[0])
        steps = np.hypot(pixels[:, 0], pixels[:, 1]) / (self.frames[span:] - self.frames[:-span])
        return float(np.median(steps) / max(np.median(self.boxes[:, 3] - self.boxes[:, 1]), 1))

    @property
    def enters(self) -> bool:
        """Whether it comes into the picture: first seen at its edge, and not from the video's first frame on."""
        return bool(not self.earlier and self.frames[0] > 0 and self._touches(0))

    @property
    def leaves(self) -> bool:
        """Whether it goes out of the picture: last seen at its edge, before the video's last frame."""
        return bool(not self.later and self.frames[-1] < self.total - 1 and self._touches(-1))

    def _touches(self, at: int) -> bool:
        x0, y0, x1, y1 = self.boxes[at] / (self.size[1], self.size[0], self.size[1], self.size[0])
        return bool(min(x0, y0) <= EDGE or max(x1, y1) >= 1 - EDGE)


def _corners(path: NDArray[np.float64]) -> Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The straight stretches of a path [N, 2] (Douglas and Peucker 1973, with the tolerance `TURN`)."""
    first, last = path[0], path[-1]
    along = last - first
    length = float(np.hypot(*along))
    off = path - first
    if length > 0:
        share = np.clip(off @ along / length**2, 0, 1)
        off = off - share[:, None] * along
    away = np.hypot(off[:, 0], off[:, 1])
    at = int(away.argmax())
    if away[at] <= TURN or at in (0, len(path) - 1):
        return [(first, last)]
    return [*_corners(path[: at + 1]), *_corners(path[at:])]


def make_trace(
    id: int, boxes: Mapping[int, tuple[float, float, float, float]], areas: Mapping[int, int] | None, size: Size,
    total: int, category: str = "", mapped: bool = False,
) -> Trace:  # fmt: skip
    """A trace of boxes by frame; without `areas` those of the boxes."""
    frames = sorted(boxes)
    table = np.array([boxes[t] for t in frames], np.float64).reshape(-1, 4)
    sizes = (
        np.maximum((table[:, 2] - table[:, 0]) * (table[:, 3] - table[:, 1]), 1).astype(np.int64)
        if areas is None
        else np.array([areas[t] for t in frames], np.int64)
    )
    return Trace(id, np.array(frames, np.int64), table, sizes, size, total, category, mapped=mapped)


def box_traces(tracks: Iterable[BoxTrack], size: Size, total: int) -> list[Trace]:
    """Traces of a track file; boxes are cut at the picture's edge, those outside it left out."""
    traces = []
    for track in tracks:
        cut = {
            t: (max(x0, 0), max(y0, 0), min(x1, size[1]), min(y1, size[0]))
            for t, (x0, y0, x1, y1) in track.boxes.items()
        }
        inside = {t: box for t, box in cut.items() if box[0] < box[2] and box[1] < box[3] and t < total}
        if inside:
            traces.append(make_trace(track.id, inside, None, size, total))
    return traces


def id_traces(maps: IdMaps, size: Size, total: int, categories: Mapping[int, str], every: bool = False) -> list[Trace]:
    """Traces of the abnormal objects of id maps, within their tracks; with `every` of all objects, in all frames.

    An object counts as visible where it covers at least `LEAST` of the picture.
    """
    least = LEAST * size[0] * size[1]
    boxes: dict[int, dict[int, tuple[float, float, float, float]]] = {}
    areas: dict[int, dict[int, int]] = {}
    frames = range(total) if every else np.flatnonzero(maps.labels(total)).tolist()
    for frame in frames:
        if frame not in maps.mapped:
            continue
        ids = maps.read([frame], size, size, ids=True)["ids"][0]
        counts = np.bincount(ids.ravel(), minlength=256)
        for id in np.flatnonzero(counts).tolist() if every else set(maps.active(frame)):
            if id and counts[id] >= least:
                boxes.setdefault(id, {})[frame] = box_of(ids == id)
                areas.setdefault(id, {})[frame] = int(counts[id])
    return [
        make_trace(id, boxes[id], areas[id], size, total, categories.get(id, "person"), mapped=True)
        for id in sorted(boxes)
    ]


def relative_speed(trace: Trace, others: Iterable[Trace]) -> float | None:
    """A target's speed over the median of the others that move, each in its own heights a frame; None without such."""
    speeds = [other.speed for other in others if other.id != trace.id and other.moves and other.speed > 0]
    return trace.speed / float(np.median(speeds)) if speeds else None
