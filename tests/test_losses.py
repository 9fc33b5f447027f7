"""Loss of the maps, against a case worked out by hand."""

from math import exp, log

import pytest
import torch

from tiny import close
from tvau.losses import enlarge, map_loss


def test_a_case_by_hand() -> None:
    maps = torch.zeros(1, 1, 2, 1, 1)
    maps[:, :, 1] = 1.0  # a logit of 1 in every pixel
    mask = torch.tensor([True, True, True, False]).reshape(1, 1, 2, 2)
    score = 1 / (1 + exp(-1))
    entropy = (3 * 5 * -log(score) + -log(1 - score)) / 4
    dice = 1 - (2 * 3 * score + 1) / (4 * score + 3 + 1)
    assert map_loss(maps, mask).item() == pytest.approx(entropy + 0.5 * dice, rel=1e-5)
    assert map_loss(maps, mask, dice_weight=0).item() == pytest.approx(entropy, rel=1e-5)
    plain = (3 * -log(score) + -log(1 - score)) / 4
    assert map_loss(maps, mask, positive_weight=1, dice_weight=2).item() == pytest.approx(plain + 2 * dice, rel=1e-5)


def test_only_the_difference_of_the_classes_counts() -> None:
    maps, mask = torch.randn(2, 2, 2, 3, 4), torch.rand(2, 4, 6, 8) > 0.5
    close(map_loss(maps + torch.randn(2, 2, 1, 3, 4), mask), map_loss(maps, mask))


def test_right_maps_cost_almost_nothing_and_wrong_ones_much() -> None:
    mask = torch.zeros(1, 4, 8, 8, dtype=torch.bool)
    mask[:, 2:, :, 4:] = True
    truth = torch.zeros(1, 4, 2, 8, 8)
    truth[:, :, 1] = torch.where(mask, 30.0, -30.0)
    assert map_loss(truth, mask) < 0.05
    assert map_loss(-truth, mask) > 10


def test_clips_without_an_anomaly_have_a_finite_loss_and_gradient() -> None:
    maps = torch.randn(1, 2, 2, 3, 4, requires_grad=True)
    map_loss(maps, torch.zeros(1, 4, 6, 8, dtype=torch.bool)).backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()
    assert (maps.grad[:, :, 1] > 0).all()  # down with the abnormal score everywhere


def test_time_steps_cover_their_frames_evenly() -> None:
    maps = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1)
    frames = enlarge(maps, 4, 2, 3)
    assert frames.shape == (1, 4, 2, 3)
    close(frames[0, :, 0, 0], torch.tensor([0.0, 0.25, 0.75, 1.0]))


def test_places_stay_where_they_are() -> None:
    maps = torch.zeros(1, 1, 3, 4)
    maps[0, 0, 2, 1] = 1
    frames = enlarge(maps, 2, 24, 32)
    assert divmod(int(frames[0, 0].argmax()), 32) in [(y, x) for y in range(16, 24) for x in range(8, 16)]
