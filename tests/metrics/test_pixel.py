import numpy as np
import pytest
import torch
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, roc_auc_score

from tvau.errors import DataError
from tvau.metrics import PixelScores
from tvau.metrics.curves import areas
from tvau.metrics.pixel import pro


def maps(kind: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    masks = torch.rand(2, 4, 40, 50, generator=rng) < 0.05
    raw = torch.randn(masks.shape, generator=rng) + 2 * masks
    scores = {
        "uniform": torch.sigmoid(raw),
        "crowded at 0": torch.sigmoid(4 * raw - 12),
        "crowded at 1": torch.sigmoid(3 * raw + 9),
        "ties": (torch.sigmoid(raw) * 255).round() / 255,
        "zeros and ones": (raw > 1).float(),
    }
    return scores[kind], masks


@pytest.mark.parametrize("kind", ["uniform", "crowded at 0", "crowded at 1", "ties", "zeros and ones"])
def test_binned_scores_agree_with_scikit_learn_within_the_stated_error(kind: str) -> None:
    scores, masks = maps(kind)
    metric = PixelScores()
    metric.update(scores, masks)
    result = metric.compute()
    truth, flat = masks.flatten().numpy(), scores.double().flatten().numpy()
    # Pixels that really tie (all 0, say) are within the bound too: scikit-learn also counts a tied pair half.
    assert abs(result["auroc"] - roc_auc_score(truth, flat)) <= min(result["auroc_error"], 1e-3) + 1e-12
    difference = abs(result["average_precision"] - average_precision_score(truth, flat))
    assert difference <= min(result["average_precision_error"], 2e-3) + 1e-12
    assert result["pixels"] == masks.numel()


def test_more_bins_make_a_smaller_error() -> None:
    scores, masks = maps("uniform")
    errors = []
    for bins in (16, 256, 4096):
        metric = PixelScores(bins)
        metric.update(scores, masks)
        errors.append(metric.compute()["auroc_error"])
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


def test_areas_by_hand() -> None:
    # From the highest bin down: one abnormal; one normal; one of each.
    result = areas(np.array([1, 1, 0]), np.array([1, 0, 1]))
    assert result["auroc"] == pytest.approx((2 + 0.5) / 4)
    assert result["auroc_error"] == pytest.approx(0.5 / 4)
    assert result["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    assert result["average_precision_error"] == pytest.approx(0.5 * 2 / 3 - 0.5 * 2 / 4)


def exact_pro(scores: np.ndarray, masks: np.ndarray, limit: float = 0.3) -> float:
    """PRO by thresholding [T, H, W] at every distinct score: mean found share of the regions over FPR up to a limit."""
    regions = []
    for frame, mask in enumerate(masks):
        labels, count = label(mask, np.ones((3, 3)))
        regions += [(frame, labels == i) for i in range(1, count + 1)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(scores)[::-1]:
        over = scores >= threshold
        found = float(np.mean([over[frame][region].mean() for frame, region in regions]))
        points.append((float(over[~masks].mean()), found))
    fpr, rate = np.array(points).T
    grid = np.r_[fpr[fpr <= limit], limit]
    return float(np.trapezoid(np.r_[rate[fpr <= limit], np.interp(limit, fpr, rate)], grid)) / limit


@pytest.mark.parametrize("kind", ["uniform", "ties", "zeros and ones"])
def test_pro_agrees_with_thresholding_within_the_stated_error(kind: str) -> None:
    scores, masks = (x[0, :2, :20, :30] for x in maps(kind, seed=3))
    metric = PixelScores()
    metric.update(scores, masks)
    result = metric.compute()
    assert result["regions"] == sum(label(mask, np.ones((3, 3)))[1] for mask in masks.numpy())
    exact = exact_pro(scores.double().numpy(), masks.numpy())
    assert abs(result["pro"] - exact) <= result["pro_error"] + 1e-6
    assert abs(result["pro"] - exact) < 0.02
    assert 0.2 < exact < 1


def test_pro_by_hand() -> None:
    # One region of two pixels, one of one. From the highest bin down: half of the first; 2 of 10 normal pixels; rest.
    result = pro(np.array([8.0, 2.0, 0.0]), np.array([1.5, 0.0, 0.5]))
    assert result["pro"] == pytest.approx((0.2 * 0.25 + 0.1 * (0.25 + 0.25 + 0.75 / 8) / 2) / 0.3)
    assert result["pro_error"] == pytest.approx(0.1 * 0.75 / 0.3)
    assert pro(np.zeros(2), np.ones(2)) == pro(np.ones(2), np.zeros(2)) == {}


def test_a_repeated_clip_counts_once_and_videos_are_resampled() -> None:
    scores, masks = maps("uniform")
    once, often = PixelScores(bootstrap=20), PixelScores(bootstrap=20)
    frames = torch.arange(4).repeat(2, 1)
    once.update(scores, masks, ["a", "b"], frames)
    for part in (slice(0, 2), slice(1, 2), slice(0, 1)):
        often.update(scores[part], masks[part], ["a", "b"][part], frames[part])
    result = once.compute()
    assert often.compute() == result
    for name in ("auroc", "average_precision", "pro"):
        low, high = result["interval"][name]
        assert low <= result[name] <= high
    nameless = PixelScores()
    nameless.update(scores, masks)
    whole = nameless.compute()
    for name in ("auroc", "average_precision", "pro", "pixels", "regions"):
        assert whole[name] == pytest.approx(result[name], abs=1e-6)


def test_memory_is_constant_without_names() -> None:
    metric = PixelScores(bins=64)
    for seed in range(5):
        metric.update(*maps("uniform", seed))
    assert sum(part.numel() for part in (metric.total, *metric.counts, *metric.keys)) == 3 * 64


def test_a_billion_pixels_do_not_overflow() -> None:
    counts = np.array([0, 6 * 10**9]), np.array([0, 5 * 10**9])
    assert areas(*counts)["auroc"] == pytest.approx(0.5)


def test_merged_states_equal_one_state() -> None:
    scores, masks = maps("uniform", seed=1)
    whole, one, two = PixelScores(), PixelScores(), PixelScores()
    whole.update(scores, masks)
    one.update(scores[:1], masks[:1])
    two.update(scores[1:], masks[1:])
    one.merge_state(two)
    assert one.compute() == whole.compute()


def test_one_class_only_leaves_scores_out() -> None:
    metric = PixelScores()
    metric.update(torch.rand(3, 4), torch.zeros(3, 4, dtype=torch.bool))
    assert metric.compute() == {"pixels": 12, "regions": 0}


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="same shape"):
        PixelScores().update(torch.rand(2, 3), torch.zeros(3, 2, dtype=torch.bool))
    with pytest.raises(DataError, match="logits"):
        PixelScores().update(torch.full((2, 2), 3.0), torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(DataError, match="NaN"):
        PixelScores().update(torch.full((2, 2), float("nan")), torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(DataError, match="expected B of each"):
        PixelScores().update(torch.rand(2, 1, 3, 3), torch.zeros(2, 1, 3, 3, dtype=torch.bool), ["a", "b"])
    with pytest.raises(DataError, match="at least 2"):
        PixelScores(bins=1)
