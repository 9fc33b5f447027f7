"""The first word of the judgement, decided by what is seen and by what the LVLM would say."""

from typing import Any

import torch
from torch import Tensor, nn

HIGHEST = 4  # patches of a clip whose mean is its peak


def peak(logit: Tensor) -> Tensor:
    """How high the heatmap of a clip rises: mean of its highest patches, [B, T', H', W'] -> [B]."""
    flat = logit.flatten(1)
    return flat.topk(min(HIGHEST, flat.shape[1])).values.mean(1)


class Judge(nn.Module):
    """Yes or no from two numbers of a clip, each with a weight that was fitted on validation clips.

    The numbers are the peak of the heatmap and how much the LVLM leans to Yes (the difference of the logits of both
    words). Beside it the same by the peak alone: what the map says without a language model. As long as nothing was
    fitted the peak decides alone, as the heatmap stands: yes where it is above 0.5.

    In the fit yes and no weigh alike, however many of its clips are normal: how often something happens at another
    place is not known, and kinds that nobody trained, whose peaks are lower, are missed less (docs/findings.md).
    """

    both: Tensor  # [3]: weights of peak and lean, and the bias
    alone: Tensor  # [3]: of the peak alone; that of the lean is 0

    def __init__(self) -> None:
        super().__init__()
        for name in ("both", "alone"):
            self.register_buffer(name, torch.tensor([1.0, 0.0, 0.0]))

    def forward(self, peaks: Tensor, leans: Tensor) -> Tensor:
        """Log odds of yes [B], were it as common as no; of peaks [B] and leans [B]."""
        return peaks * self.both[0] + leans * self.both[1] + self.both[2]

    def map_alone(self, peaks: Tensor) -> Tensor:
        """Log odds of yes by the peaks alone [B]."""
        return peaks * self.alone[0] + self.alone[2]

    def fit(self, peaks: Tensor, leans: Tensor, abnormal: Tensor) -> None:
        """Logistic regression on clips of which it is known, [n] each; of one kind only nothing is learned."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        truth = abnormal.cpu().numpy().astype(bool)
        if truth.all() or not truth.any():
            return
        seen = torch.stack([peaks, leans], 1).double().cpu().numpy()
        for weights, columns in ((self.both, [0, 1]), (self.alone, [0])):
            scaler = StandardScaler().fit(seen[:, columns])
            found: Any = LogisticRegression(class_weight="balanced").fit(scaler.transform(seen[:, columns]), truth)
            slope = found.coef_[0] / scaler.scale_
            bias = float(found.intercept_[0] - slope @ scaler.mean_)
            weights.copy_(torch.tensor([*slope, *[0.0] * (2 - len(columns)), bias]))
