"""How far a clip is from what a model was trained on, by the frozen tower's own features.

A decoder or a language model that was tuned on one world answers about any other with the same confidence. This measure
is what says so: the Mahalanobis distance of a clip's mean feature from those of the training clips, in units of what is
still usual on validation clips. (A distance to class means of this kind is Lee et al.'s detector of foreign inputs,
NeurIPS 2018; here there is one class.) It warns and refuses nothing.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

FOREIGN = 1.25  # from here on a clip is called foreign: real ones begin at 1.41, held-out synthetic ones rarely do
SHRINKAGE = 0.03  # towards equal variances: there may be fewer clips than channels
USUAL = 0.99  # quantile of the validation clips' distances that counts as 1


class Familiarity(nn.Module):
    """Distance of clips from those of a training, 1 where one of a hundred validation clips would be.

    Args:
        size: width Dv of the vision tower's blocks.
    """

    mean: Tensor
    inverse: Tensor
    usual: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("inverse", torch.zeros(size, size))  # of the covariance
        self.register_buffer("usual", torch.tensor(0.0))  # 0: nothing is known yet

    @property
    def known(self) -> bool:
        """Whether it has seen clips of a training."""
        return bool(self.usual > 0)

    @torch.no_grad()
    def learn(self, training: Tensor, validation: Tensor) -> None:
        """Takes over what is usual: features [n, Dv] of training clips, [m, Dv] of validation clips, from `feature`."""
        own = training.double()
        centred = own - own.mean(0)
        covariance = centred.mT @ centred / len(own)
        even = torch.eye(len(covariance), dtype=own.dtype, device=own.device) * covariance.diagonal().mean()
        covariance = torch.lerp(covariance, even, SHRINKAGE)
        self.mean.copy_(own.mean(0))
        self.inverse.copy_(torch.linalg.inv(covariance))
        self.usual.copy_(torch.quantile(self._distance(validation), USUAL))

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor | None:
        """How far clips are, [B], from their features [B, Dv]; above `FOREIGN` they are foreign. None: unknown."""
        return self._distance(features) / self.usual if self.known else None

    def _distance(self, features: Tensor) -> Tensor:
        off = features.to(self.mean) - self.mean
        return ((off @ self.inverse) * off).sum(-1).clamp(min=0).sqrt()


def feature(hidden: Mapping[int, Tensor]) -> Tensor:
    """The feature of each clip: the deepest read block's hidden states [B, T', Dv, H', W'] in the mean, [B, Dv]."""
    return hidden[max(hidden)].float().mean((1, 3, 4))
