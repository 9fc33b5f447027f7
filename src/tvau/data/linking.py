"""Targets out of masks that tell nothing but abnormal from normal: components of each frame, linked over time.

A component belongs to the target whose mask of the last frame, moved on by its velocity, lies on it. Where two targets
touch, one component covers both: its pixels go to the nearer of the two (merge), and both go on with their own names
when they part. Where one target falls into parts that stay near one another, somebody stands before it: it stays one
target; parts that leave one another are two targets, from there on (split). A target that is hidden for a few frames
keeps its name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from tvau.data.boxes import box_of
from tvau.data.images import Size
from tvau.data.masks import Mask, Truth
from tvau.data.traces import LEAST, Trace, make_trace

Box = tuple[int, int, int, int]
PATIENCE = 12  # frames for which a target may be hidden
APART = 0.5  # parts further from one another than this share of their size are targets of their own
NEAR = 0.25  # of its size: a part that turns up so near to a target is a part of it
OVERLAP = 0.25  # of the smaller of two masks, so that they are the same target's


@dataclass
class _Target:
    """A target while its video is read; its shape and velocity are those of the frames in which it stood alone."""

    id: int
    mask: Mask  # when it last stood alone
    alone: dict[int, Box] = field(default_factory=dict)
    boxes: dict[int, Box] = field(default_factory=dict)
    areas: dict[int, int] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The frame in which it was last seen."""
        return max(self.boxes)

    def see(self, frame: int, mask: Mask, alone: bool = True) -> None:
        """Note where it is; `alone`: not as a share of a component that covers others too."""
        self.boxes[frame], self.areas[frame] = box_of(mask), int(mask.sum())
        if alone:
            self.mask, self.alone[frame] = mask, self.boxes[frame]

    def expected(self, frame: int) -> Mask:
        """Its mask, moved on by the mean velocity of its last frames."""
        seen = [*self.alone][-6:]
        if len(seen) < 2:
            return self.mask
        a, b = (np.array(self.alone[t], float) for t in (seen[0], seen[-1]))
        step = ((b[:2] + b[2:]) - (a[:2] + a[2:])) / 2 / (seen[-1] - seen[0]) * (frame - seen[-1])
        return _moved(self.mask, round(float(step[0])), round(float(step[1])))


def mask_traces(truth: Truth, labels: NDArray[np.bool_], size: Size, least: float = LEAST) -> list[Trace]:
    """The targets of a video's masks, in the order in which they appear.

    Args:
        truth: of one video.
        labels: [T] frames in which there may be something; the others are not read.
        size: (height, width) of the video's frames.
        least: share of the picture that a component has to cover, or it is left out as noise.
    """
    masks = ((int(frame), truth.mask(int(frame), size)) for frame in np.flatnonzero(labels))
    return link(masks, size, len(labels), least)


def link(masks: Iterable[tuple[int, Mask]], size: Size, total: int, least: float = LEAST) -> list[Trace]:
    """The targets in masks that come as (frame, mask [H, W]), frames rising; see `mask_traces`."""
    every: list[_Target] = []
    for frame, mask in masks:
        alive = [target for target in every if frame - target.last <= PATIENCE + 1]
        parts = _components(mask, least * size[0] * size[1])
        expected = [target.expected(frame) for target in alive]
        shares = _shares(parts, expected)
        _claim_strays(parts, shares, alive, expected)
        _claim_near(parts, shares, expected)
        new = [part for part, share in zip(parts, shares, strict=True) if not share.any()]
        for mine, theirs in _groups(shares >= OVERLAP):
            covering = [parts[at] for at in theirs]
            if len(theirs) < len(mine):  # a merge
                for row, part in zip(theirs, covering, strict=True):
                    inside = [at for at in mine if shares[row, at] >= OVERLAP]
                    for at, piece in zip(inside, _divide(part, [expected[at] for at in inside]), strict=True):
                        alive[at].see(frame, piece, alone=len(inside) == 1)
                continue
            of = _assign(shares[np.ix_(theirs, mine)])
            for column, at in enumerate(mine):
                pieces = [part for part, owner in zip(covering, of, strict=True) if owner == column]
                kept, left = _together(pieces, expected[at])
                alive[at].see(frame, kept)
                new += left
        for part in new:
            every.append(_Target(len(every) + 1, part))
            every[-1].see(frame, part)
    return [make_trace(target.id, target.boxes, target.areas, size, total) for target in every]


def _shares(parts: Sequence[Mask], expected: Sequence[Mask]) -> NDArray[np.float64]:
    """[parts, targets] the overlap of each component with each expected mask, as a share of the smaller one."""
    shares = np.zeros((len(parts), len(expected)))
    for row, part in enumerate(parts):
        area = int(part.sum())
        for column, mask in enumerate(expected):
            share = int((part & mask).sum()) / max(min(area, int(mask.sum())), 1)
            shares[row, column] = share if share >= OVERLAP else 0
    return shares


def _groups(touching: NDArray[np.bool_]) -> list[tuple[list[int], list[int]]]:
    """(targets, components) that overlap one another, directly or over others; targets without any are left out."""
    rows, columns = touching.shape
    edges = np.zeros((rows + columns, rows + columns), bool)
    edges[:rows, rows:] = touching
    count, label = connected_components(edges, directed=False)
    groups = [np.flatnonzero(label == at) for at in range(count)]
    split = [([int(i) - rows for i in g if i >= rows], [int(i) for i in g if i < rows]) for g in groups]
    return [(mine, theirs) for mine, theirs in split if mine and theirs]


def _assign(shares: NDArray[np.float64]) -> list[int]:
    """The target of each of at least as many components: each target gets its own, the rest go where they fit best."""
    of = shares.argmax(1)
    rows, columns = linear_sum_assignment(-shares)
    of[rows] = columns
    return of.tolist()


def _components(mask: Mask, least: float) -> list[Mask]:
    """The connected parts of a mask (8 neighbours) that are large enough, the largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    order = sorted(range(1, count), key=lambda at: -int(areas[at]))
    return [labels == at for at in order if areas[at] >= least]


def _claim_strays(
    parts: Sequence[Mask], shares: NDArray[np.float64], alive: Sequence[_Target], expected: Sequence[Mask]
) -> None:
    """Give components that nobody claims to targets that nobody has seen, if they are near and of similar size."""
    lost = {at for at in range(len(alive)) if not shares[:, at].any()}
    for row, part in enumerate(parts):
        if shares[row].any() or not lost:
            continue
        box = box_of(part)
        boxes = {at: _box_or(expected[at], alive[at]) for at in lost}
        near = [(_distance(box, other), at) for at, other in boxes.items() if _alike(box, other)]
        if near and min(near)[0] <= _span(boxes[min(near)[1]]):
            shares[row, min(near)[1]] = 1
            lost.discard(min(near)[1])


def _claim_near(parts: Sequence[Mask], shares: NDArray[np.float64], expected: Sequence[Mask]) -> None:
    """Give components that nobody claims to the target that they lie next to: it comes out from behind something."""
    boxes = [(at, box_of(mask)) for at, mask in enumerate(expected) if mask.any()]
    for row, part in enumerate(parts):
        if shares[row].any() or not boxes:
            continue
        gap, at = min((_gap(box_of(part), box) / _span(box), at) for at, box in boxes)
        if gap <= NEAR:
            shares[row, at] = OVERLAP


def _box_or(mask: Mask, target: _Target) -> Box:
    """The box of an expected mask; of the last one where it is expected outside the picture."""
    return box_of(mask) if mask.any() else target.boxes[target.last]


def _alike(a: Box, b: Box) -> bool:
    return 1 / 3 <= _span(a) / _span(b) <= 3


def _span(box: Box) -> float:
    """The diagonal of a box, pixels."""
    return float(np.hypot(box[2] - box[0], box[3] - box[1]))


def _distance(a: Box, b: Box) -> float:
    """Between the centres of two boxes, pixels."""
    return float(np.hypot((a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2))


def _gap(a: Box, b: Box) -> float:
    """Between the nearest sides of two boxes, pixels; 0 where they overlap."""
    dx, dy = (max(a[i] - b[i + 2], b[i] - a[i + 2], 0) for i in (0, 1))
    return float(np.hypot(dx, dy))


def _divide(part: Mask, expected: Sequence[Mask]) -> list[Mask]:
    """A component shared out among its targets: each pixel to the target that is expected nearest to it."""
    if len(expected) < 2:
        return [part] * len(expected)
    far = np.stack([cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3) for mask in expected])
    inside = np.stack([cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3) for mask in expected])
    nearest = (far - inside).argmin(0)  # where both are expected, to the one in whose middle it lies
    pieces = [part & (nearest == at) for at in range(len(expected))]
    return [piece if piece.any() else part & mask for piece, mask in zip(pieces, expected, strict=True)]


def _together(pieces: list[Mask], expected: Mask) -> tuple[Mask, list[Mask]]:
    """What stays one target, and what has left it: parts stay together over gaps that are small beside them."""
    pieces = sorted(pieces, key=lambda piece: -int((piece & expected).sum()))
    kept, rest = pieces[0], pieces[1:]
    left = []
    for piece in rest:
        box, other = box_of(kept), box_of(piece)
        if _gap(box, other) <= APART * (_span(box) + _span(other)) / 2:
            kept = kept | piece
        else:
            left.append(piece)
    return kept, left


def _moved(mask: Mask, dx: int, dy: int) -> Mask:
    """A mask moved by whole pixels; what leaves the picture is lost."""
    moved = np.zeros_like(mask)
    height, width = mask.shape
    if abs(dx) >= width or abs(dy) >= height:
        return moved
    source = mask[max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)]
    moved[max(dy, 0) : height - max(-dy, 0), max(dx, 0) : width - max(-dx, 0)] = source
    return moved
