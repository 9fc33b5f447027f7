"""Curves and areas from counts: how many normal and abnormal things have each score.

With a level for each distinct score they are exact; with bins for levels, things of one bin are taken as tied, and the
counts themselves say how far the exact area can be.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]


class Levels(NamedTuple):
    """Scores and labels, sorted once: the level of each score, levels rising with it."""

    level: NDArray[np.int64]  # [N]
    labels: NDArray[np.bool_]  # [N]
    size: int  # number of levels

    @classmethod
    def of(cls, scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> "Levels":
        """A level for each distinct score."""
        levels, level = np.unique(scores, return_inverse=True)
        return cls(level, labels, len(levels))

    def counts(self, weights: Counts | None = None) -> tuple[Counts, Counts]:
        """Normal and abnormal things of each level, each counted `weights` times (None: once)."""
        weights = np.ones(len(self.level)) if weights is None else weights
        positives = np.bincount(self.level, weights * self.labels, self.size).astype(np.float64)
        return np.bincount(self.level, weights, self.size) - positives, positives


def areas(negatives: Counts, positives: Counts) -> dict[str, float]:
    """AUROC and average precision from counts [levels] by rising score, with the largest possible error of each.

    The errors are those of levels that hide an order; where a level is one distinct score, ties are real, and the
    areas are exact (scikit-learn's).

    Returns:
        auroc, auroc_error, average_precision, average_precision_error; undefined ones are left out.
    """
    neg, pos = negatives[::-1].astype(np.float64), positives[::-1].astype(np.float64)  # from the highest score down
    fp, tp = neg.cumsum(), pos.cumsum()
    total_neg, total_pos = (float(x[-1]) if len(x) else 0.0 for x in (fp, tp))
    result: dict[str, float] = {}
    if total_pos and total_neg:
        tied = pos @ neg / (total_pos * total_neg)  # share of (abnormal, normal) pairs whose order the levels hide
        result["auroc"] = float(pos @ (total_neg - fp) / (total_pos * total_neg) + tied / 2)
        result["auroc_error"] = float(tied / 2)
    if total_pos:
        pos_, neg_, tp_, fp_ = (x[pos > 0] for x in (pos, neg, tp, fp))
        area = float(pos_ @ (tp_ / (tp_ + fp_)) / total_pos)
        best = float(pos_ @ (tp_ / (tp_ + fp_ - neg_)) / total_pos)  # in every level abnormal ones come first
        first = tp_ - pos_ + 1
        worst = float(pos_ @ (first / (first + fp_)) / total_pos)  # and last
        result["average_precision"] = area
        result["average_precision_error"] = max(best - area, area - worst)
    return result


def roc(negatives: Counts, positives: Counts) -> tuple[Counts, Counts]:
    """False and true positive rate from (0, 0) to (1, 1) by falling score; both classes have to be there."""
    fp, tp = (np.r_[0.0, counts[::-1].cumsum()] for counts in (negatives, positives))
    return fp / fp[-1], tp / tp[-1]


def thinned(x: Counts, y: Counts, most: int = 200) -> list[list[float]]:
    """At most about `most` points of a curve as [[x...], [y...]], evenly spaced along it, both ends included."""
    if len(x) > most:
        way = np.r_[0.0, (np.abs(np.diff(x)) + np.abs(np.diff(y))).cumsum()]
        kept = np.unique(np.r_[np.searchsorted(way, np.linspace(0, way[-1], most)), len(x) - 1])
        x, y = x[kept], y[kept]
    return [[round(float(value), 6) for value in values] for values in (x, y)]
