"""Regions and tracks: RBDC and TBDC (Ramachandra and Jones, WACV 2020) as Georgescu et al. (TPAMI 2021) measure them.

A detection is one box with one score in one frame. At a threshold, those detections count whose score reaches it:

- a true box is found if a counting detection of its frame overlaps it with IoU >= beta; one detection may find several;
- a detection is false if it overlaps no true box of its frame that much; one that finds a found box again is not;
- a track is found if at least the share alpha of its boxes is found;
- RBDR and TBDR are the found shares of boxes and tracks, FPR is false detections / frames of ALL test videos.

RBDC and TBDC are the areas under RBDR and TBDR over FPR from 0 to 1. Detections of equal score are one point of the
curve, and points are joined by straight lines, so the order of the input never counts. The curve is used up to its last
point with FPR <= 1 and goes on flat from there to 1. Boxes are inclusive: a side measures x2 - x1 + 1.

Since a box is found from the highest score that hits it on, and a track from the score of its k-th best box on, the
whole curve needs one sort: n log n in the detections.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tvau.errors import DataError

ALPHA = BETA = 0.1  # of the published evaluator
CHUNK = 1 << 20  # pairs of a detection and a true box in memory at a time

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def _check_boxes(boxes: Floats, rows: int, what: str) -> None:
    if boxes.shape != (rows, 4):
        raise DataError(f"{what}: boxes of shape {boxes.shape}; expected [{rows}, 4]: x1, y1, x2, y2.")
    if not np.isfinite(boxes).all():
        raise DataError(f"{what}: a box is not finite; expected pixels.")
    if (wrong := (boxes[:, :2] > boxes[:, 2:]).any(1)).any():
        raise DataError(f"{what}: box {boxes[wrong][0].tolist()}; expected x1 <= x2 and y1 <= y2 (corners, inclusive; "
                        "not a corner and a size).")  # fmt: skip


@dataclass(frozen=True)
class Detections:
    """Predicted boxes of any number of videos, in any order.

    Raises:
        DataError: lengths that differ, scores or boxes that are not finite, boxes without extent.
    """

    video: Ints  # [N], any number; equal numbers are one video
    frame: Ints  # [N], 0-based
    boxes: Floats  # [N, 4], x1, y1, x2, y2 in pixels, inclusive
    scores: Floats  # [N], any finite numbers, the higher the more abnormal

    def __post_init__(self) -> None:
        if not len(self.video) == len(self.frame) == len(self.scores):
            raise DataError(f"detections: {len(self.video)} videos, {len(self.frame)} frames, {len(self.scores)} "
                            "scores; expected as many of each.")  # fmt: skip
        _check_boxes(self.boxes, len(self.video), "detections")
        if not np.isfinite(self.scores).all():
            raise DataError("detections: a score is NaN or infinite; expected finite numbers.")


@dataclass(frozen=True)
class Tracks:
    """True boxes of any number of videos, in any order; a track may have gaps, or one frame only.

    Raises:
        DataError: lengths that differ, boxes that are not finite or without extent.
    """

    video: Ints  # [M], as in the detections
    track: Ints  # [M], the object within its video
    frame: Ints  # [M], 0-based
    boxes: Floats  # [M, 4], as in the detections

    def __post_init__(self) -> None:
        if not len(self.video) == len(self.track) == len(self.frame):
            raise DataError(f"tracks: {len(self.video)} videos, {len(self.track)} tracks, {len(self.frame)} frames; "
                            "expected as many of each.")  # fmt: skip
        _check_boxes(self.boxes, len(self.video), "tracks")


@dataclass(frozen=True)
class RegionCurve:
    """The curves and what is below them; `rbdc` and `tbdc` are NaN where there is no true box."""

    thresholds: Floats  # [K], falling; the first is infinite: nothing counts
    fpr: Floats  # [K], rising, false detections a frame
    rbdr: Floats  # [K], rising, in [0, 1]
    tbdr: Floats  # [K], rising, in [0, 1]
    rbdc: float
    tbdc: float


@dataclass(frozen=True)
class Matches:
    """From which score on everything counts; -inf: never. With the video of each, so that videos can be weighted."""

    false: Floats  # [F], scores of false detections
    false_video: Ints
    boxes: Floats  # [M], score from which each true box is found
    box_video: Ints
    tracks: Floats  # [K], score from which each track is found
    track_video: Ints

    @cached_property
    def _levels(self) -> tuple[Floats, list[Ints]]:
        """The distinct scores, falling, -inf left out, and the level of each member of the three groups."""
        groups = (self.false, self.boxes, self.tracks)
        levels, at = np.unique(-np.concatenate(groups), return_inverse=True)  # rising, so scores fall
        return -levels[np.isfinite(levels)], np.split(at, np.cumsum([len(group) for group in groups])[:-1])

    def curve(self, frames: float, weights: Floats | None = None) -> RegionCurve:
        """The curves over `frames` frames, each video counted `weights[video]` times (None: once)."""
        levels, groups = self._levels
        reached, total = [], []
        for at, video in zip(groups, (self.false_video, self.box_video, self.track_video), strict=True):
            weight = np.ones(len(at)) if weights is None else weights[video]
            counts = np.bincount(at, weight, len(levels) + 1)[: len(levels)]  # what is never found has the last level
            reached.append(np.r_[0.0, counts.cumsum()])
            total.append(float(weight.sum()))
        fpr = reached[0] / frames
        rbdr, tbdr = (reached[i] / (total[i] or np.nan) for i in (1, 2))
        return RegionCurve(np.r_[np.inf, levels], fpr, rbdr, tbdr, area(fpr, rbdr), area(fpr, tbdr))


def area(fpr: Floats, rate: Floats) -> float:
    """Area under rate over FPR from 0 to 1: straight between points, flat behind the last one with FPR <= 1.

    Args:
        fpr: [K], rising from 0.
        rate: [K].
    """
    used = int(np.searchsorted(fpr, 1, "right"))
    return float(np.trapezoid(np.r_[rate[:used], rate[used - 1]], np.r_[fpr[:used], 1.0]))


def region_curve(
    detections: Detections, tracks: Tracks, num_frames: int, alpha: float = ALPHA, beta: float = BETA
) -> RegionCurve:
    """RBDC and TBDC with their curves.

    Args:
        detections: of all videos.
        tracks: of all videos; a video without any is normal.
        num_frames: of ALL test videos together, normal ones too.
        alpha: share of its boxes from which a track is found, in (0, 1].
        beta: IoU from which a detection finds a box, in (0, 1].

    Raises:
        DataError: numbers out of range.
    """
    if num_frames < 1:
        raise DataError(f"{num_frames} frames; expected the number of frames of all test videos, at least 1.")
    return match(detections, tracks, alpha, beta).curve(num_frames)


def match(detections: Detections, tracks: Tracks, alpha: float = ALPHA, beta: float = BETA) -> Matches:
    """Which detections are false, and from which score on boxes and tracks are found; arguments as `region_curve`."""
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not 0 < value <= 1:
            raise DataError(f"{name} {value}; expected a share in (0, 1]; the published evaluator takes 0.1.")
    found = np.full(len(tracks.video), -np.inf)
    false = np.ones(len(detections.video), bool)
    for one, other in _pairs(detections, tracks):
        hit = overlap(detections.boxes[one], tracks.boxes[other]) >= beta
        false[one[hit]] = False
        np.maximum.at(found, other[hit], detections.scores[one[hit]])
    found_tracks, track_video = _tracks(tracks, found, alpha)
    return Matches(
        detections.scores[false], detections.video[false], found, tracks.video, found_tracks, track_video
    )  # fmt: skip


def overlap(one: Floats, other: Floats) -> Floats:
    """IoU of inclusive boxes, [..., 4] each."""
    low, high = np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])
    shared = np.maximum(high - low + 1, 0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2] + 1).prod(-1) for box in (one, other)]
    return np.asarray(shared / (areas[0] + areas[1] - shared))


def _pairs(detections: Detections, tracks: Tracks) -> Iterator[tuple[Ints, Ints]]:
    """Every detection with every true box of its frame, as two index arrays, CHUNK pairs or so at a time."""
    size = len(detections.video)
    _, video = np.unique(np.concatenate([detections.video, tracks.video]), return_inverse=True)
    _, frame = np.unique(np.concatenate([detections.frame, tracks.frame]), return_inverse=True)
    key = video * (frame.max(initial=0) + 1) + frame
    order = np.argsort(key[size:], kind="stable")  # of the true boxes
    true = key[size:][order]
    low, high = (np.searchsorted(true, key[:size], side) for side in ("left", "right"))
    some = np.flatnonzero(high > low)
    ends = (high - low)[some].cumsum()
    cuts = np.searchsorted(ends, np.arange(CHUNK, ends[-1] if len(ends) else 0, CHUNK))
    for part in np.split(some, cuts):
        count = (high - low)[part]
        within = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
        yield np.repeat(part, count), order[np.repeat(low[part], count) + within]


def _tracks(tracks: Tracks, found: Floats, alpha: float) -> tuple[Floats, Ints]:
    """The score from which each track is found, and its video."""
    if not len(found):
        return np.empty(0), np.empty(0, np.int64)
    order = np.lexsort((-found, tracks.track, tracks.video))
    video, track = tracks.video[order], tracks.track[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(video) != 0) | (np.diff(track) != 0)])
    length = np.diff(np.r_[starts, len(order)])
    needed = np.ceil(alpha * length)  # the smallest k with k / length >= alpha, in the arithmetic of that division
    needed -= (needed - 1) / length >= alpha
    needed += needed / length < alpha
    return found[order][starts + needed.astype(np.int64) - 1], video[starts]
