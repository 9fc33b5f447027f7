"""Scores of maps, pixel by pixel, in constant memory.

Pixels are counted in bins that are equal steps of the logit of the score, since the softmax of a trained decoder
crowds near 0 and 1. Pixels of one bin are taken as tied. The exact areas then lie within a bound that the histograms
themselves give, and `compute` states it beside each score.

Pixel AUROC alone says little where anomalies are small: even a random map can pass 0.95. Read average precision.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from tvau.errors import DataError
from tvau.metrics.rows import check_unit

LOGIT_RANGE = 16.0  # beyond it float32 has no scores near 1 left


def areas(negatives: np.ndarray, positives: np.ndarray) -> dict[str, float]:
    """AUROC and average precision from counts [bins] by rising score, with the largest possible binning error of each.

    Returns:
        auroc, auroc_error, average_precision, average_precision_error; undefined ones are left out.
    """
    neg, pos = negatives[::-1].astype(np.float64), positives[::-1].astype(np.float64)  # from the highest score down
    fp, tp = neg.cumsum(), pos.cumsum()
    total_neg, total_pos = (float(x[-1]) if len(x) else 0.0 for x in (fp, tp))
    result: dict[str, float] = {}
    if total_pos and total_neg:
        tied = pos @ neg / (total_pos * total_neg)  # share of (abnormal, normal) pairs whose order the bins hide
        result["auroc"] = float(pos @ (total_neg - fp) / (total_pos * total_neg) + tied / 2)
        result["auroc_error"] = float(tied / 2)
    if total_pos:
        pos_, neg_, tp_, fp_ = (x[pos > 0] for x in (pos, neg, tp, fp))
        area = float(pos_ @ (tp_ / (tp_ + fp_)) / total_pos)
        best = float(pos_ @ (tp_ / (tp_ + fp_ - neg_)) / total_pos)  # in every bin abnormal pixels come first
        first = tp_ - pos_ + 1
        worst = float(pos_ @ (first / (first + fp_)) / total_pos)  # and last
        result["average_precision"] = area
        result["average_precision_error"] = max(best - area, area - worst)
    return result


class PixelScores(Metric):
    """Pixel AUROC and average precision over all pixels of a split, from two histograms.

    Counts are long, so 10^9 pixels and more fit; the state is 2 x bins numbers and sums over processes. Pixels are not
    keyed: a clip that comes twice counts twice, so evaluate on several processes with a sampler that repeats none.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    counts: Tensor

    def __init__(self, bins: int = 4096, **kwargs: Any) -> None:
        """Args: bins: number of bins, at least 2."""
        super().__init__(**kwargs)
        if bins < 2:
            raise DataError(f"{bins} bins; expected at least 2. 4096 is a good number.")
        self.bins = bins
        self.add_state("counts", torch.zeros(2, bins, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, heatmaps: Tensor, masks: Tensor) -> None:
        """Add maps.

        Args:
            heatmaps: float [..., H, W] in [0, 1].
            masks: bool [..., H, W], True where abnormal; the same shape.

        Raises:
            DataError: scores outside [0, 1] or not finite, or shapes that differ.
        """
        if heatmaps.shape != masks.shape:
            raise DataError(f"heatmaps {list(heatmaps.shape)} and masks {list(masks.shape)}; expected the same shape. "
                            "Resize the maps to the frames first.")  # fmt: skip
        check_unit(heatmaps, "heatmaps")
        score = heatmaps.detach().float().flatten()
        logit = (score.log() - (-score).log1p()).clamp(-LOGIT_RANGE, LOGIT_RANGE)  # rises with the score
        bins = ((logit + LOGIT_RANGE) * (self.bins / (2 * LOGIT_RANGE))).long().clamp(max=self.bins - 1)
        both = torch.bincount(bins + self.bins * masks.flatten().long(), minlength=2 * self.bins)
        self.counts += both.view(2, self.bins).to(self.counts.device)

    def compute(self) -> dict[str, float | int]:
        """auroc and average_precision with their binning errors, and the number of pixels; undefined ones left out."""
        negatives, positives = self.counts.cpu().numpy()
        return {**areas(negatives, positives), "pixels": int(self.counts.sum())}
