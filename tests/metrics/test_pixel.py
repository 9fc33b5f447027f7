import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from tvau.errors import DataError
from tvau.metrics import PixelScores
from tvau.metrics.pixel import areas


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
    assert metric.compute() == {"pixels": 12}


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="same shape"):
        PixelScores().update(torch.rand(2, 3), torch.zeros(3, 2, dtype=torch.bool))
    with pytest.raises(DataError, match="logits"):
        PixelScores().update(torch.full((2, 2), 3.0), torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(DataError, match="NaN"):
        PixelScores().update(torch.full((2, 2), float("nan")), torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(DataError, match="at least 2"):
        PixelScores(bins=1)
