"""Loss of the heatmap decoder. The paper names none: this one is ours, its parts are arguments."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate


def enlarge(maps: Tensor, frames: int, height: int, width: int) -> Tensor:
    """[B, T', H', W'] -> [B, T, H, W], trilinear; every time step covers its T / T' frames evenly."""
    return interpolate(maps[:, None], (frames, height, width), mode="trilinear", align_corners=False)[:, 0]


def map_loss(maps: Tensor, mask: Tensor, positive_weight: float = 5.0, dice_weight: float = 0.5) -> Tensor:
    """Binary cross entropy over pixels, plus a soft Dice over all pixels of the batch.

    Args:
        maps: H_c [B, T', 2, H', W'] (eq. 6); the difference of the two channels is the logit of eq. 7's softmax.
        mask: bool [B, T, H, W], True where abnormal.
        positive_weight: weight of an abnormal pixel; they are rare.
        dice_weight: weight of the Dice term.
    """
    logits = enlarge(maps[:, :, 1] - maps[:, :, 0], *mask.shape[1:])
    truth = mask.to(logits.dtype)
    entropy = binary_cross_entropy_with_logits(logits, truth, pos_weight=torch.tensor(positive_weight).to(logits))
    score = logits.sigmoid()
    dice = 1 - (2 * (score * truth).sum() + 1) / (score.sum() + truth.sum() + 1)
    return entropy + dice_weight * dice
