"""The MERL-style variant of RBDC and TBDC: maps thresholded at a sweep of levels, mask components against true boxes.

At each level the pixels that reach it form 8-connected components. A component and a true box of its frame overlap by
the IoU of the component's PIXELS and the box; a true box is found by IoU >= beta of any component, a component that
finds no box is false. The curve takes at each FPR the best share found with no more false components, and one that
never reaches FPR 1 is joined to (1, 1). Its figures cannot be compared with those of `tvau.metrics.region`.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tvau.errors import DataError
from tvau.metrics.region import ALPHA, BETA
from tvau.metrics.rows import RowMetric, check_unit, video_key

LEVELS = 100


def sweep(
    heatmap: NDArray[np.floating], boxes: NDArray[np.floating], levels: NDArray[np.float64], beta: float = BETA
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """One frame at every level.

    Args:
        heatmap: [H, W] in [0, 1].
        boxes: [n, 4], x1, y1, x2, y2 of the true boxes, inclusive, whole pixels.
        levels: [L].
        beta: IoU from which a component finds a box.

    Returns:
        The number of false components [L], and which boxes are found [L, n].
    """
    false, found = np.zeros(len(levels), np.int64), np.zeros((len(levels), len(boxes)), bool)
    corners = np.asarray(boxes).round().astype(int).reshape(-1, 4) + np.array([0, 0, 1, 1])
    highest = float(heatmap.max(initial=0))
    for at, level in enumerate(levels):
        if level > highest:
            continue
        reached = (heatmap >= level).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(reached, connectivity=8)
        hit = np.zeros(count, bool)
        for i, (x, y, u, v) in enumerate(corners):
            shared = np.bincount(labels[max(y, 0) : max(v, 0), max(x, 0) : max(u, 0)].ravel(), minlength=count)
            finds = shared / (stats[:, cv2.CC_STAT_AREA] + (u - x) * (v - y) - shared) >= beta
            finds[0] = False  # the ground
            found[at, i] = finds.any()
            hit |= finds
        false[at] = count - 1 - hit.sum()
    return false, found


def joined_area(fpr: NDArray[np.float64], rate: NDArray[np.float64]) -> float:
    """Area up to FPR 1 under the best rate at no more than each FPR; joined to (1, 1) if FPR never reaches 1."""
    order = np.lexsort((rate, fpr))
    x, y = np.r_[0.0, fpr[order]], np.maximum.accumulate(np.r_[0.0, rate[order]])
    x, y = np.r_[x, max(1.0, x[-1])], np.r_[y, 1.0 if x[-1] < 1 else y[-1]]
    inside = x <= 1
    return float(np.trapezoid(np.r_[y[inside], np.interp(1, x, y)], np.r_[x[inside], 1.0]))


class MerlScores(RowMetric):
    """MERL-style RBDC and TBDC of a split.

    A frame that several overlapping clips see counts once, as the earliest of them saw it.

    Args:
        levels: number of thresholds, evenly spaced from 1/levels to 1.
        alpha: share of its boxes from which a track is found.
        beta: IoU from which a component finds a box.
    """

    false: list[Tensor]
    found: list[Tensor]

    def __init__(self, levels: int = LEVELS, alpha: float = ALPHA, beta: float = BETA, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if levels < 1 or not (0 < alpha <= 1 and 0 < beta <= 1):
            raise DataError(f"levels {levels}, alpha {alpha}, beta {beta}; expected at least 1 and shares in (0, 1].")
        self.levels, self.alpha, self.beta = np.arange(1, levels + 1) / levels, alpha, beta
        self.add_rows("false", 3 + levels, dtype=torch.int64)  # video, frame, first frame of the clip, counts
        self.add_rows("found", 4 + levels, dtype=torch.int64)  # video, track, frame, first frame of the clip, 0 or 1

    def update(
        self,
        name: Sequence[str],
        frames: Tensor,
        heatmaps: Tensor,
        tracks: Sequence[NDArray[np.floating] | NDArray[np.integer]],
    ) -> None:
        """Add clips: names B, frames [B, T], heatmaps [B, T, H, W] in [0, 1], tracks as `RegionScores.update`."""
        if not len(name) == len(frames) == len(heatmaps) == len(tracks):
            raise DataError(f"{len(name)} names, {len(frames)} rows of frames, {len(heatmaps)} maps and {len(tracks)} "
                            "tracks; expected B of each.")  # fmt: skip
        check_unit(heatmaps, "heatmaps")
        maps = heatmaps.detach().float().cpu().numpy()
        for clip, (video, numbers) in enumerate(zip(map(video_key, name), frames.cpu().tolist(), strict=True)):
            true = np.asarray(tracks[clip], np.float64).reshape(-1, 6)
            for t, frame in enumerate(numbers):
                own = true[true[:, 1] == t]
                false, found = sweep(maps[clip, t], own[:, 2:], self.levels, self.beta)
                self.false.append(torch.tensor([[video, frame, numbers[0], *false]], device=self.device))
                for track, row in zip(own[:, 0], found.T, strict=True):
                    rows = [[video, int(track), frame, numbers[0], *row.astype(int)]]
                    self.found.append(torch.tensor(rows, device=self.device))

    def compute(self) -> dict[str, float | int]:
        """rbdc, tbdc, frames, videos, boxes, tracks, levels, alpha, beta; no areas without boxes, nothing unseen."""
        false, found = (
            rows[np.unique(rows[:, :keys], axis=0, return_index=True)[1]]  # sorted: the earliest clip is the first
            for rows, keys in ((self.all_rows("false").numpy(), 3), (self.all_rows("found").numpy(), 4))
        )
        false = false[np.unique(false[:, :2], axis=0, return_index=True)[1]]
        found = found[np.unique(found[:, :3], axis=0, return_index=True)[1]]
        if not len(false):
            return {}
        names, track = np.unique(found[:, :2], axis=0, return_inverse=True)
        counts = {
            "frames": len(false), "videos": len(np.unique(false[:, 0])), "boxes": len(found), "tracks": len(names),
            "levels": len(self.levels),
        }  # fmt: skip
        if not len(found):
            return dict(counts)
        hits = found[:, 4:].astype(float)
        share = np.stack([np.bincount(track, column) for column in hits.T], 1) / np.bincount(track)[:, None]
        fpr = false[:, 3:].sum(0) / len(false)
        areas = {"rbdc": joined_area(fpr, hits.mean(0)), "tbdc": joined_area(fpr, (share >= self.alpha).mean(0))}
        return {**areas, **counts, "alpha": self.alpha, "beta": self.beta}
