import numpy as np
import pytest
import torch

from tvau.errors import DataError
from tvau.metrics import MerlScores
from tvau.metrics.merl import joined_area, sweep


def test_components_against_boxes_by_hand() -> None:
    heatmap = np.zeros((10, 20), np.float32)
    heatmap[0:4, 0:4] = 0.6  # 16 pixels in a true box of 20
    heatmap[0:1, 0:1] = 0.9
    heatmap[8, 10], heatmap[9, 11] = 0.3, 0.3  # one component by its diagonal
    levels = np.array([0.05, 0.2, 0.5, 0.7, 1.0])
    false, found = sweep(heatmap, np.array([[0, 0, 4, 3], [15, 5, 19, 9]]), levels, beta=0.1)
    assert false.tolist() == [1, 1, 0, 1, 0]  # one pixel of the box is an IoU of 0.05
    assert found[:, 0].tolist() == [True, True, True, False, False]
    assert not found[:, 1].any()


def test_a_curve_that_ends_early_is_joined_to_the_corner() -> None:
    assert joined_area(np.array([0.0, 0.5]), np.array([0.2, 0.4])) == pytest.approx(0.5 * 0.3 + 0.5 * 0.7)
    assert joined_area(np.array([0.0, 2.0]), np.array([0.0, 1.0])) == pytest.approx(0.25)  # cut at FPR 1
    # more false components at a higher level: what was found with fewer counts
    assert joined_area(np.array([0.5, 0.2]), np.array([0.1, 0.4])) == pytest.approx(0.2 * 0.2 + 0.3 * 0.4 + 0.5 * 0.7)


def clip(seed: int) -> tuple[torch.Tensor, list[np.ndarray]]:
    heatmaps = torch.rand(1, 6, 20, 30, generator=torch.Generator().manual_seed(seed)) ** 4
    heatmaps[:, 2:, 5:12, 5:12] += 0.4
    return heatmaps.clamp(0, 1), [np.array([[1, t, 5, 5, 11, 11] for t in range(2, 6)])]


def test_the_metric_equals_the_sum_of_its_frames_and_drops_repeated_clips() -> None:
    metric, parts = MerlScores(levels=10), [MerlScores(levels=10), MerlScores(levels=10)]
    false, found = np.zeros(10), np.zeros((10, 0))
    for seed in range(3):
        heatmaps, tracks = clip(seed)
        for own in (metric, parts[seed % 2], parts[0]):
            own.update([f"v{seed}"], torch.arange(6)[None], heatmaps, tracks)
        for t in range(6):
            more, hits = sweep(heatmaps[0, t].numpy(), tracks[0][tracks[0][:, 1] == t][:, 2:], metric.levels)
            false, found = false + more, np.concatenate([found, hits], 1)
    result = metric.compute()
    assert result["rbdc"] == pytest.approx(joined_area(false / 18, found.mean(1)))
    assert (result["frames"], result["boxes"], result["tracks"]) == (18, 12, 3)
    parts[0].merge_state(parts[1])
    assert parts[0].compute() == result


def test_bad_input_is_explained() -> None:
    heatmaps, tracks = clip(0)
    with pytest.raises(DataError, match="expected B of each"):
        MerlScores().update(["a", "b"], torch.arange(6)[None], heatmaps, tracks)
    with pytest.raises(DataError, match="logits"):
        MerlScores().update(["a"], torch.arange(6)[None], heatmaps * 9, tracks)
    with pytest.raises(DataError, match="alpha 0"):
        MerlScores(alpha=0)
