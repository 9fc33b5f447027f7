"""Scores of maps, pixel by pixel, whose memory does not grow with the pixels: AUROC, average precision and PRO.

Pixels are counted in bins that are equal steps of the logit of the score, since the softmax of a trained decoder
crowds near 0 and 1. Pixels of one bin are taken as tied. The exact areas then lie within a bound that the histograms
themselves give, and `compute` states it beside each score.

PRO (per-region overlap, Bergmann et al., CVPR 2020) is the share of a true region (8-connected, of one frame) that is
found, as mean over regions: small ones count as much as large ones. It is taken over pixel FPR from 0 to 0.3, over 0.3.

Pixel AUROC alone says little where anomalies are small: even a random map can pass 0.95. Read average precision.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tvau.errors import DataError
from tvau.metrics.curves import Counts, areas, roc, thinned
from tvau.metrics.intervals import resampled
from tvau.metrics.rows import RowMetric, check_unit, video_key

LOGIT_RANGE = 16.0  # beyond it float32 has no scores near 1 left
PRO_LIMIT = 0.3
UNIT = 2**40  # a whole region, in the whole numbers in which shares of regions are added up: exact in any order


def pro(negatives: Counts, shares: Counts, limit: float = PRO_LIMIT) -> dict[str, float]:
    """PRO from counts [levels] by rising score, with the largest possible error of the levels.

    Args:
        negatives: normal pixels of each level.
        shares: of each level, the sum over its abnormal pixels of 1 / pixels of their region.
        limit: of the pixel FPR.

    Returns:
        pro, pro_error; empty without normal pixels or without regions.
    """
    if not (negatives.sum() and shares.sum()):
        return {}
    fpr, found = roc(negatives, shares)
    last = int(np.searchsorted(fpr, limit, "right")) - 1  # the limit lies in the level behind this point, or on it
    width, height = limit - fpr[last], found[last + 1] - found[last]
    end = found[last] + height * width / (fpr[last + 1] - fpr[last])
    x, y = np.r_[fpr[: last + 1], limit], np.r_[found[: last + 1], end]
    # within a level the true curve rises anyhow from one corner of a box to the other; at the limit only a part counts
    error = np.diff(x[:-1]) @ np.diff(y[:-1]) / 2 + width * height
    return {"pro": float(np.trapezoid(y, x) / limit), "pro_error": float(error / limit)}


class PixelScores(RowMetric):
    """Pixel AUROC, average precision and PRO of a split, from histograms.

    Without names, memory is constant: 3 x bins numbers. With names every clip has histograms of its own (49 KB), so
    that a clip that comes twice (a distributed sampler repeats clips) counts once, and videos can be resampled. Pixels
    of frames that several overlapping clips see count once a clip.

    Args:
        bins: number of bins, at least 2.
        bootstrap: resamplings of the videos behind the intervals; 0: none.
    """

    total: Tensor
    keys: list[Tensor]
    counts: list[Tensor]
    shares: list[Tensor]

    def __init__(self, bins: int = 4096, bootstrap: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if bins < 2:
            raise DataError(f"{bins} bins; expected at least 2. 4096 is a good number.")
        self.bins, self.bootstrap = bins, bootstrap
        # normal pixels, abnormal pixels, shares of regions
        self.add_state("total", torch.zeros(3, bins, dtype=torch.long), dist_reduce_fx="sum")
        self.add_rows("keys", 3, dtype=torch.int64)  # video, first frame of the clip, number of frames
        self.add_rows("counts", 2, bins, dtype=torch.int32)
        self.add_rows("shares", bins, dtype=torch.float32)

    def update(
        self, heatmaps: Tensor, masks: Tensor, name: Sequence[str] | None = None, frames: Tensor | None = None
    ) -> None:
        """Add maps.

        Args:
            heatmaps: float [..., H, W] in [0, 1]; with names [B, T, H, W].
            masks: bool [..., H, W], True where abnormal; the same shape.
            name: the video of each clip, B of them; None: maps without names.
            frames: int64 [B, T], 0-based indices in the source; needed with names.

        Raises:
            DataError: scores outside [0, 1] or not finite, or shapes that differ.
        """
        if heatmaps.shape != masks.shape or heatmaps.ndim < 2:
            raise DataError(f"heatmaps {list(heatmaps.shape)} and masks {list(masks.shape)}; expected the same shape "
                            "[..., H, W]. Resize the maps to the frames first.")  # fmt: skip
        check_unit(heatmaps, "heatmaps")
        if name is None:
            self.total += self._count(heatmaps, masks).to(self.total.device)
            return
        if frames is None or not len(name) == len(frames) == len(heatmaps):
            raise DataError(f"{len(name)} names, {0 if frames is None else len(frames)} rows of frames and "
                            f"{len(heatmaps)} clips; expected B of each.")  # fmt: skip
        for video, first, maps, truth in zip(map(video_key, name), frames[:, 0].tolist(), heatmaps, masks, strict=True):
            self.keys.append(torch.tensor([[video, first, len(maps)]], device=self.device))
            histograms = self._count(maps, truth)[None]
            self.counts.append(histograms[:, :2].int().to(self.device))
            self.shares.append((histograms[:, 2].double() / UNIT).float().to(self.device))

    def _count(self, heatmaps: Tensor, masks: Tensor) -> Tensor:
        """Histograms [3, bins] of normal pixels, abnormal pixels and shares of regions."""
        score = heatmaps.detach().float()
        logit = (score.log() - (-score).log1p()).clamp(-LOGIT_RANGE, LOGIT_RANGE)  # rises with the score
        bins = ((logit + LOGIT_RANGE) * (self.bins / (2 * LOGIT_RANGE))).long().clamp(max=self.bins - 1)
        both = torch.bincount((bins + self.bins * masks.long()).flatten(), minlength=2 * self.bins).cpu()
        abnormal = masks.flatten(0, -3).any(-1).any(-1) if masks.ndim > 2 else masks.any()[None]
        shares = np.zeros(self.bins, np.int64)
        for levels, mask in zip(
            bins.reshape(-1, *bins.shape[-2:])[abnormal].cpu().numpy(),
            masks.reshape(-1, *bins.shape[-2:])[abnormal].cpu().numpy(),
            strict=True,
        ):
            _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
            share = np.round(UNIT / stats[:, cv2.CC_STAT_AREA])  # of one pixel of each region
            shares += np.bincount(levels[mask], share[labels[mask]], self.bins).astype(np.int64)
        return torch.cat([both.view(2, self.bins), torch.from_numpy(shares)[None]])

    def _clips(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The distinct clips (a repeated one drops out), and where each stands first."""
        keys, first = np.unique(self.all_rows("keys").numpy(), axis=0, return_index=True)
        return keys, first

    def videos(self) -> NDArray[np.float64]:
        """Histograms [V, 3, bins] of the videos, in a fixed order; maps without names, if any, are one more."""
        keys, first = self._clips()
        counts, shares = (self.all_rows(state).numpy()[first] for state in ("counts", "shares"))
        names, row = np.unique(keys[:, 0], return_inverse=True)
        videos = np.zeros((len(names), 3, self.bins))
        for at, clip, share in zip(row, counts, shares, strict=True):
            videos[at] += np.concatenate([clip, share[None]])
        rest = self.total.cpu().numpy()[None] / np.array([1, 1, UNIT])[:, None]
        return np.concatenate([videos, rest] if rest.any() else [videos])

    def compute(self) -> dict[str, Any]:
        """auroc, average_precision and pro with their binning errors, interval, curves (roc, pro), and what is behind
        them: pixels, regions, and of named clips frames (one that several clips see counts once a clip) and videos.

        Undefined scores are left out.
        """
        videos, (keys, _) = self.videos(), self._clips()

        def score(weights: NDArray[np.float64]) -> dict[str, float]:
            negatives, positives, shares = np.tensordot(weights, videos, 1)
            return {**areas(negatives, positives), **pro(negatives, shares)}

        def plain(weights: NDArray[np.float64]) -> dict[str, float]:
            return {name: value for name, value in score(weights).items() if not name.endswith("_error")}

        negatives, positives, shares = videos.sum(0)
        counts = {"pixels": int(negatives.sum() + positives.sum()), "regions": round(shares.sum())}
        if len(keys):
            counts |= {"frames": int(keys[:, 2].sum()), "videos": len(np.unique(keys[:, 0]))}
        result: dict[str, Any] = score(np.ones(len(videos))) | counts
        if negatives.sum() and positives.sum():
            result |= resampled(plain, len(videos), self.bootstrap)
            result["curves"] = {
                "roc": thinned(*roc(negatives, positives)),
                "pro": thinned(*roc(negatives, shares)),
            }
        return result
