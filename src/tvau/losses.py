"""Loss of the heatmap decoder. The paper names none: this one is ours, its parts are arguments."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from tvau.heatmap_decoder import enlarge
from tvau.judge import peak


def map_loss(
    logit: Tensor, mask: Tensor, positive_weight: float = 5.0, dice_weight: float = 0.5, clip_weight: float = 0.0
) -> Tensor:
    """Binary cross entropy over the pixels of a clip, plus a soft Dice over them where it is abnormal; mean over clips.

    The clip term, off by default, is the cross entropy of the clip's peak: whether anything is abnormal at all, which
    the pixels of a clip hardly tell, as most of them are normal in any case.

    A clip's loss does not depend on its neighbours in the batch, so a step may take its clips one by one. Where nothing
    is abnormal there is no overlap to ask for: a Dice term would only press all logits down, without an end.

    Args:
        logit: of the heatmap, [B, T', H', W'].
        mask: bool [B, T, H, W], True where abnormal.
        positive_weight: weight of an abnormal pixel; they are rare.
        dice_weight: weight of the Dice term.
        clip_weight: weight of the clip term.
    """
    logits = enlarge(logit, *mask.shape[1:]).flatten(1)  # [B, T H W]
    truth = mask.to(logits.dtype).flatten(1)
    entropy = binary_cross_entropy_with_logits(logits, truth, pos_weight=torch.tensor(positive_weight).to(logits))
    score = logits.sigmoid()
    dice = 1 - (2 * (score * truth).sum(1) + 1) / (score.sum(1) + truth.sum(1) + 1)
    loss = entropy + dice_weight * (dice * truth.any(1)).mean()
    if clip_weight:
        loss = loss + clip_weight * binary_cross_entropy_with_logits(peak(logit), truth.any(1).to(logits.dtype))
    return loss
