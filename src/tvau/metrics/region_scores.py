"""RBDC and TBDC as a torchmetrics class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tvau.errors import DataError
from tvau.metrics.curves import thinned
from tvau.metrics.intervals import resampled
from tvau.metrics.region import ALPHA, BETA, Detections, Matches, Tracks, match
from tvau.metrics.rows import RowMetric, video_key


def _bits(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Floats as whole numbers of the same bits: one table for keys and values, also where a device has no doubles."""
    return np.ascontiguousarray(values, np.float64).view(np.int64)


class RegionScores(RowMetric):
    """RBDC and TBDC of a split, from clips or from whole videos.

    The number of frames is that of the distinct frames seen, or the one given. A frame that several overlapping clips
    see counts once, with the detections of the earliest of them; a clip that comes twice counts once.

    Args:
        num_frames: of ALL test videos, where not every frame is seen (a detection file says nothing of empty frames).
        alpha: share of its boxes from which a track is found.
        beta: IoU from which a detection finds a box.
        bootstrap: resamplings of the videos behind the intervals; 0: none.
    """

    seen: list[Tensor]
    found: list[Tensor]
    true: list[Tensor]

    def __init__(
        self, num_frames: int | None = None, alpha: float = ALPHA, beta: float = BETA, bootstrap: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_frames, self.alpha, self.beta, self.bootstrap = num_frames, alpha, beta, bootstrap
        self.add_rows("seen", 3, dtype=torch.int64)  # video, frame, first frame of the clip
        self.add_rows("found", 9, dtype=torch.int64)  # the same, number within the frame, bits of box and score
        self.add_rows("true", 7, dtype=torch.int64)  # video, track, frame, bits of the box

    def update(
        self,
        name: Sequence[str],
        frames: Tensor,
        detections: Sequence[Sequence[NDArray[np.floating]]],
        tracks: Sequence[NDArray[np.floating] | NDArray[np.integer]],
    ) -> None:
        """Add clips, or whole videos as clips of as many frames as they have.

        Args:
            name: the video of each clip, B of them.
            frames: int64 [B, T], 0-based indices in the source.
            detections: for each clip and frame [n, 5]: x1, y1, x2, y2 (pixels, inclusive), score.
            tracks: for each clip [m, 6]: track, index of the frame within the clip (0..T-1), x1, y1, x2, y2.

        Raises:
            DataError: parts that do not agree, boxes without extent, numbers that are not finite.
        """
        if not len(name) == len(frames) == len(detections) == len(tracks) or frames.ndim != 2:
            raise DataError(f"{len(name)} names, frames {list(frames.shape)}, detections of {len(detections)} and "
                            f"tracks of {len(tracks)} clips; expected B of each, frames [B, T].")  # fmt: skip
        for video, numbers, own, boxes in zip(
            map(video_key, name), frames.cpu().numpy(), detections, tracks, strict=True
        ):
            self._add(video, numbers.astype(np.int64), own, np.asarray(boxes, np.float64).reshape(-1, 6))

    def _add(
        self,
        video: int,
        frames: NDArray[np.int64],
        detections: Sequence[NDArray[np.floating]],
        tracks: NDArray[np.float64],
    ) -> None:
        if len(detections) != len(frames):
            raise DataError(f"a clip of {len(frames)} frames with detections of {len(detections)}; give an empty array "
                            "[0, 5] for a frame without any.")  # fmt: skip
        index = tracks[:, 1].astype(np.int64)
        if ((index < 0) | (index >= len(frames))).any():
            raise DataError(f"tracks in frames {index.min()}..{index.max()} of a clip of {len(frames)}; expected the "
                            "index within the clip.")  # fmt: skip
        once = np.sort(np.unique(frames, return_index=True)[1])  # a clip that was filled up repeats its last frame
        detections = [detections[at] for at in once]
        counts = [len(found) for found in detections]
        found = np.concatenate([np.asarray(part, np.float64).reshape(-1, 5) for part in detections])
        within = np.concatenate([np.arange(count) for count in counts])
        keys = np.stack([np.full(len(once), video), frames[once], np.full(len(once), frames[0])], 1)
        own = np.full(len(tracks), video)
        # made only to be checked: what is wrong is said where it comes in
        Detections(within, within, found[:, :4], found[:, 4])
        Tracks(own, own, own, tracks[:, 2:])
        self._put("seen", keys)
        self._put("found", np.concatenate([keys.repeat(counts, 0), within[:, None], _bits(found)], 1))
        self._put("true", np.column_stack([own, tracks[:, 0].astype(np.int64), frames[index], _bits(tracks[:, 2:])]))

    def _put(self, state: str, rows: NDArray[np.int64]) -> None:
        getattr(self, state).append(torch.from_numpy(rows.astype(np.int64)).to(self.device))

    def matches(self) -> tuple[Matches, NDArray[np.float64]]:
        """What was found from which score on, and the number of frames of each video [V]."""
        seen, found, true = (self.all_rows(name).numpy() for name in ("seen", "found", "true"))
        seen = np.unique(seen, axis=0)  # by video, frame, first frame of the clip
        first = np.flatnonzero(np.r_[True, (np.diff(seen[:, :2], axis=0) != 0).any(1)][: len(seen)])
        found = found[np.unique(found[:, :4], axis=0, return_index=True)[1]]
        kept = set(map(tuple, seen[first].tolist()))
        found = found[[tuple(row) in kept for row in found[:, :3].tolist()]]
        true = true[np.unique(true[:, :3], axis=0, return_index=True)[1]]
        videos, frames = np.unique(seen[first, 0], return_counts=True)
        boxes = np.ascontiguousarray(found[:, 4:]).view(np.float64)
        detections = Detections(np.searchsorted(videos, found[:, 0]), found[:, 1], boxes[:, :4], boxes[:, 4])
        corners = np.ascontiguousarray(true[:, 3:]).view(np.float64)
        tracks = Tracks(np.searchsorted(videos, true[:, 0]), true[:, 1], true[:, 2], corners)
        return match(detections, tracks, self.alpha, self.beta), frames.astype(float)

    def compute(self) -> dict[str, Any]:
        """rbdc, tbdc, their interval and curve, and the numbers behind them; empty where nothing was seen.

        frames, videos, boxes, tracks, alpha, beta; without true boxes there is no rbdc and no tbdc.
        """
        matches, frames = self.matches()
        if not len(frames):
            return {}
        return summary(matches, frames, self.num_frames, self.bootstrap) | {"alpha": self.alpha, "beta": self.beta}


def summary(matches: Matches, frames: NDArray[np.float64], num_frames: int | None, bootstrap: int) -> dict[str, Any]:
    """What `RegionScores.compute` gives, from matches and the number of frames of each video [V]."""
    total = int(frames.sum()) if num_frames is None else num_frames
    if total < 1:
        raise DataError(f"{total} frames; expected the number of frames of all test videos, at least 1.")
    counts = {"frames": total, "videos": len(frames), "boxes": len(matches.boxes), "tracks": len(matches.tracks)}
    if not len(matches.boxes):
        return dict(counts)
    scale = total / frames.sum()  # videos whose frames were not all seen

    def score(weights: NDArray[np.float64]) -> dict[str, float]:
        curve = matches.curve(max(float(weights @ frames) * scale, 1.0), weights)
        return {"rbdc": curve.rbdc, "tbdc": curve.tbdc}

    curve = matches.curve(total)
    shown = curve.fpr <= 1
    curves = {key: thinned(curve.fpr[shown], rate[shown]) for key, rate in (("rbdc", curve.rbdr), ("tbdc", curve.tbdr))}
    return {
        "rbdc": curve.rbdc, "tbdc": curve.tbdc, **counts,
        **resampled(score, len(frames), bootstrap), "curves": curves,
    }  # fmt: skip
