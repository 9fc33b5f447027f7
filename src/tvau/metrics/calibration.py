"""Frame scores as probabilities: fitted on validation, and how well they keep their word elsewhere.

A sigmoid of two numbers (Platt, Probabilistic Outputs for Support Vector Machines, 1999) over the logit of the smoothed
score. It leaves the order of the frames alone, so no area under a curve changes; only 0.5 begins to mean something.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from torchmetrics.functional.classification import binary_calibration_error

from tvau.metrics.frame import FrameScores

BINS = 10  # of the reliability curve and of the expected calibration error
SURE = 1e-6  # no score is nearer to 0 or 1


def probability(scores: NDArray[np.floating], scale: float, bias: float) -> NDArray[np.float64]:
    """Frame scores in [0, 1] -> probabilities that the frames are abnormal, same shape."""
    return np.asarray(expit(scale * logit(np.clip(np.asarray(scores, np.float64), SURE, 1 - SURE)) + bias))


def fitted(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> tuple[float, float]:
    """Scale and bias that make probabilities of frame scores [N] with labels [N].

    (1, 0), which changes nothing, where the labels are all equal or higher scores do not mean more.
    """
    from sklearn.linear_model import LogisticRegression  # seconds of imports, for the end of a validation only

    if labels.all() or not labels.any():
        return 1.0, 0.0
    given = logit(np.clip(np.asarray(scores, np.float64), SURE, 1 - SURE))[:, None]
    found: Any = LogisticRegression(C=np.inf).fit(given, labels)
    scale, bias = float(found.coef_[0, 0]), float(found.intercept_[0])
    return (scale, bias) if scale > 0 else (1.0, 0.0)


def expected_error(probabilities: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean distance of probability and share of abnormal frames over ten even bins."""
    given = torch.from_numpy(np.asarray(probabilities, np.float64)), torch.from_numpy(labels.astype(np.int64))
    return float(binary_calibration_error(*given, n_bins=BINS))


class Platt(FrameScores):
    """Fits the two numbers to the frames of all processes."""

    def compute(self) -> dict[str, float]:
        """{"scale", "bias"}, see `fitted`."""
        scale, bias = fitted(*self.together())
        return {"scale": scale, "bias": bias}


class Reliability(FrameScores):
    """How well probabilities of frames keep their word.

    Args:
        smoothing: see `FrameScores`.
        scale, bias: of the rule, see `probability`.
    """

    def __init__(self, smoothing: float, scale: float, bias: float) -> None:
        super().__init__(smoothing)
        self.scale, self.bias = scale, bias

    def compute(self) -> dict[str, Any]:
        """Expected calibration errors with and without the fit, frames, and the reliability curve; {} without frames.

        The curve: for each tenth that any probability falls into, their mean and the share of abnormal frames.
        """
        from sklearn.calibration import calibration_curve

        scores, labels = self.together()
        if not len(scores):
            return {}
        own = probability(scores, self.scale, self.bias)
        share, mean = calibration_curve(labels, own, n_bins=BINS)
        return {
            "error": expected_error(own, labels), "error_raw": expected_error(scores, labels), "frames": len(scores),
            "curves": {"reliability": [mean.tolist(), share.tolist()]},
        }  # fmt: skip
