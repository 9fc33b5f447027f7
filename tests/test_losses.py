"""Loss of the maps, against a case worked out by hand."""

from math import exp, log

import pytest
import torch

from tiny import close
from tvau.losses import map_loss


def test_a_case_by_hand() -> None:
    maps = torch.ones(1, 1, 1, 1)  # a logit of 1 in every pixel
    mask = torch.tensor([True, True, True, False]).reshape(1, 1, 2, 2)
    score = 1 / (1 + exp(-1))
    entropy = (3 * 5 * -log(score) + -log(1 - score)) / 4
    dice = 1 - (2 * 3 * score + 1) / (4 * score + 3 + 1)
    assert map_loss(maps, mask).item() == pytest.approx(entropy + 0.5 * dice, rel=1e-5)
    assert map_loss(maps, mask, dice_weight=0).item() == pytest.approx(entropy, rel=1e-5)
    plain = (3 * -log(score) + -log(1 - score)) / 4
    assert map_loss(maps, mask, positive_weight=1, dice_weight=2).item() == pytest.approx(plain + 2 * dice, rel=1e-5)


def test_the_clip_term_is_of_the_mean_of_the_four_highest_patches() -> None:
    maps, mask = torch.randn(3, 2, 3, 4), torch.zeros(3, 4, 6, 8, dtype=torch.bool)
    mask[1, 2, 3, 4] = True
    peaks = torch.tensor([sorted(own.flatten().tolist())[-4:] for own in maps]).mean(1)
    signs = zip(peaks.tolist(), (1, -1, 1), strict=True)  # the second is abnormal
    expected = sum(log(1 + exp(sign * peak)) for peak, sign in signs) / 3
    more = map_loss(maps, mask, clip_weight=0.2) - map_loss(maps, mask)
    assert more.item() == pytest.approx(0.2 * expected, rel=1e-4)
    alone = [map_loss(maps[i : i + 1], mask[i : i + 1], clip_weight=0.2) for i in range(3)]
    close(map_loss(maps, mask, clip_weight=0.2), torch.stack(alone).mean())


def test_a_clip_counts_the_same_whatever_its_neighbours() -> None:
    maps, mask = torch.randn(3, 2, 3, 4), torch.rand(3, 4, 6, 8) > torch.tensor([0.1, 0.5, 0.99]).view(3, 1, 1, 1)
    alone = [map_loss(maps[i : i + 1], mask[i : i + 1]) for i in range(3)]
    close(map_loss(maps, mask), torch.stack(alone).mean())


def test_right_maps_cost_almost_nothing_and_wrong_ones_much() -> None:
    mask = torch.zeros(1, 4, 8, 8, dtype=torch.bool)
    mask[:, 2:, :, 4:] = True
    truth = torch.where(mask, 30.0, -30.0)
    assert map_loss(truth, mask) < 0.05
    assert map_loss(-truth, mask) > 10


def test_where_nothing_is_abnormal_there_is_no_overlap_to_ask_for() -> None:
    maps, mask = torch.randn(2, 2, 3, 4), torch.zeros(2, 4, 6, 8, dtype=torch.bool)
    close(map_loss(maps, mask, dice_weight=9), map_loss(maps, mask, dice_weight=0))
    mask[1, 0, 0, 0] = True
    assert map_loss(maps, mask, dice_weight=9) > map_loss(maps, mask, dice_weight=0) + 1


def test_clips_without_an_anomaly_have_a_finite_loss_and_gradient() -> None:
    maps = torch.randn(1, 2, 3, 4, requires_grad=True)
    map_loss(maps, torch.zeros(1, 4, 6, 8, dtype=torch.bool)).backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()
    assert (maps.grad > 0).all()  # down with the abnormal score everywhere
