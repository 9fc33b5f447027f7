from math import exp

import numpy as np
import pytest
import torch
from scipy.ndimage import find_objects, label

from tvau.errors import CheckpointError, DataError
from tvau.metrics.boxes import MapRule, RuleChoice, boxes, clip_boxes, scaled
from tvau.metrics.events import EventRule


def test_regions_agree_with_scipy() -> None:
    heatmap = np.random.default_rng(0).random((40, 60)).astype(np.float32) ** 3
    labels, count = label(heatmap >= 0.3, np.ones((3, 3)))
    expected = {
        (float(x.start), float(y.start), float(x.stop - 1), float(y.stop - 1), float(heatmap[labels == i + 1].max()))
        for i, (y, x) in enumerate(find_objects(labels))
    }
    found = boxes(heatmap, MapRule(threshold=0.3, area=0))
    assert {tuple(row) for row in found.tolist()} == expected
    assert len(found) == count
    assert (np.diff(found[:, 4]) <= 0).all()


def test_small_regions_are_left_out_and_diagonal_neighbours_belong_together() -> None:
    heatmap = np.zeros((10, 20), np.float32)
    heatmap[1, 1], heatmap[2, 2], heatmap[8, 15] = 0.6, 0.9, 1.0
    assert boxes(heatmap, MapRule(0.5, area=2 / 200)).tolist() == [[1, 1, 2, 2, pytest.approx(0.9)]]
    assert len(boxes(heatmap, MapRule(0.5, area=1 / 200))) == 2
    assert boxes(heatmap * 0, MapRule()).shape == (0, 5)
    assert boxes(heatmap, MapRule(threshold=0.0, area=0))[0].tolist() == [0, 0, 19, 9, 1]


def test_boxes_grow_with_the_picture() -> None:
    found = np.array([[0, 0, 9, 9, 0.5], [10, 5, 19, 9, 0.7]])
    assert scaled(found, (10, 20), (20, 60)).tolist() == [[0, 0, 29, 19, 0.5], [30, 10, 59, 19, 0.7]]
    assert scaled(scaled(found, (10, 20), (48, 64)), (48, 64), (10, 20)) == pytest.approx(found)
    small = scaled(found, (10, 20), (2, 2))
    assert (small[:, :2] <= small[:, 2:4]).all()


def test_a_rule_travels_in_a_checkpoint() -> None:
    rule = MapRule(0.2, 0.001, 4.0, EventRule(0.6, 0.3, 1.0, 2.0))
    assert MapRule.restored(rule.stored()) == rule
    assert MapRule.restored(None) == MapRule()
    assert MapRule.restored({"threshold": 0.2}).events == EventRule()  # of a checkpoint that knows of no events
    for stored in ({"level": 1.0}, {"threshold": "x"}, {"threshold": 2.0}, [1]):
        with pytest.raises(CheckpointError, match="rule for boxes"):
            MapRule.restored(stored)
    with pytest.raises(DataError, match="threshold"):
        MapRule(threshold=float("nan"))


def clip(level: float, noise: float) -> tuple[torch.Tensor, list[np.ndarray]]:
    """Maps [1, 8, 40, 60] whose object has a score just above `level` in a ground just below, and its boxes."""
    heatmaps = torch.full((1, 8, 40, 60), level - noise)
    heatmaps[:, 4:, 10:20, 10:20] = level + noise
    return heatmaps, [np.array([[0, t, 10, 10, 19, 19] for t in range(4, 8)])]


@pytest.mark.parametrize("logit", [-12, -2, 0])
def test_the_threshold_that_separates_is_chosen(logit: float) -> None:
    choice = RuleChoice()
    threshold = 1 / (1 + exp(-logit))
    heatmaps, tracks = clip(1.1 * threshold, 0.2 * threshold)
    labels = torch.tensor([[False] * 4 + [True] * 4])
    choice.update(["v"], torch.arange(8)[None], heatmaps, labels, tracks, [10.0])
    best = choice.best()
    assert best.threshold == pytest.approx(threshold)
    assert best.events.on == pytest.approx(
        0.9 * threshold
    )  # one event of all frames overlaps by half: of equals the first
    assert best.smoothing == 0  # perfect without, so the first of equals
    assert len(clip_boxes(heatmaps, best)[0][5]) == 1


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_smoothing_is_chosen_where_it_helps() -> None:
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(60)[None] // 15 % 2 == 1
    level = (0.4 + 0.1 * labels + 0.2 * torch.randn(1, 60, generator=rng)).clamp(0, 1)
    choice = RuleChoice()
    choice.update(["v"], torch.arange(60)[None], level[..., None, None].expand(1, 60, 4, 4), labels, None, [10.0])
    assert choice.best().smoothing >= 2
    assert choice.best().threshold == MapRule().threshold  # no boxes to choose by


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_without_clips_the_default_remains() -> None:
    assert RuleChoice().best() == MapRule()
