"""Scores of frames from heatmaps, and the baseline without learning."""

import pytest
import torch

from tiny import FRAMES, SIZE, batch, close
from tvau.tasks.maps import MapScores, median_difference, squared_difference
from tvau.types import Batch


def test_the_median_difference_sees_what_moves_and_only_that() -> None:
    video = torch.randint(256, (1, 1, 3, 8, 8), dtype=torch.uint8).repeat(1, 5, 1, 1, 1)
    assert median_difference(video).abs().max() == 0
    video[:, :, :, 2:4, 2:4] = 0
    video[:, 3, :, 2:4, 2:4] = 255
    expected = torch.zeros(1, 5, 8, 8)
    expected[:, 3, 2:4, 2:4] = 1
    close(median_difference(video), expected)


def test_the_squared_difference_is_that_of_two_neighbouring_frames() -> None:
    video = torch.randint(256, (2, 3, 3, 4, 5), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    given = squared_difference(video)
    for clip, y, x in ((0, 0, 0), (1, 3, 4)):
        pixel = video[clip, :, :, y, x].tolist()  # [T][colour]
        expected = [
            sum(((now - before) / 255) ** 2 for now, before in zip(pixel[t], pixel[t - 1], strict=True)) / 3
            for t in (1, 2)
        ]
        close(given[clip, :, y, x], torch.tensor([expected[0], *expected]))


def clips_with_boxes() -> Batch:
    clips = batch(2)
    assert clips["mask"].shape == (2, FRAMES, *SIZE)
    box = (0, 0, SIZE[1] // 2 - 1, SIZE[0] // 2 - 1)
    return {**clips, "boxes": [torch.tensor([(1, t, *box) for t in range(FRAMES // 2, FRAMES)])] * 2}


def test_right_maps_score_one_and_wrong_ones_zero() -> None:
    clips = clips_with_boxes()
    for heatmaps, best in ((clips["mask"].float(), 1.0), (1 - clips["mask"].float(), 0.0)):
        scores = MapScores(merl=True)
        scores.update(clips, heatmaps)
        results = scores.compute()
        assert results["pixel"]["auroc"] == pytest.approx(best, abs=1e-3)
        assert (results["region"]["rbdc"] == results["region"]["tbdc"] == 1) == bool(best)
        assert results["region_merl"]["rbdc"] == best
    scores = MapScores()
    scores.update(clips, clips["mask"].float())
    assert scores.compute()["frame"]["micro_auc"] == 1.0


def test_without_objects_there_are_no_regions_and_without_masks_no_scores() -> None:
    scores = MapScores()
    clips = batch(2)
    scores.update(clips, clips["mask"].float())
    assert set(scores.compute()) == {"frame", "events", "pixel", "rule"}
    del clips["mask"]
    scores = MapScores()
    found = scores.update(clips, torch.ones(2, FRAMES, *SIZE))
    assert found[1][0].tolist() == [[0, 0, SIZE[1] - 1, SIZE[0] - 1, 1]]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_seen_gives_nothing() -> None:
    assert MapScores().compute() == {}
