"""Scores of frames from heatmaps, and the baseline without learning."""

import pytest
import torch

from tiny import FRAMES, SIZE, batch, close
from tvau.tasks.maps import MapScores, frame_scores, median_difference


def test_the_median_difference_sees_what_moves_and_only_that() -> None:
    video = torch.randint(256, (1, 1, 3, 8, 8), dtype=torch.uint8).repeat(1, 5, 1, 1, 1)
    assert median_difference(video).abs().max() == 0
    video[:, :, :, 2:4, 2:4] = 0
    video[:, 3, :, 2:4, 2:4] = 255
    expected = torch.zeros(1, 5, 8, 8)
    expected[:, 3, 2:4, 2:4] = 1
    close(median_difference(video), expected)


def test_right_maps_score_one_and_wrong_ones_zero() -> None:
    clips = batch(2)
    assert clips["mask"].shape == (2, FRAMES, *SIZE)
    for heatmaps, best in ((clips["mask"].float(), 1.0), (1 - clips["mask"].float(), 0.0)):
        scores = MapScores()
        scores.update(clips, heatmaps)
        assert scores.seen
        assert scores.compute()["pixel"]["auroc"] == pytest.approx(best, abs=1e-3)
    scores = MapScores()
    scores.update(clips, clips["mask"].float())
    assert scores.compute()["frame"]["micro_auc"] == 1.0
