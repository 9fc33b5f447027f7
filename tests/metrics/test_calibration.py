"""Frame scores as probabilities: a fit on constructed scores, and in the choice of a rule."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve

from tvau.metrics.boxes import MapRule, RuleChoice
from tvau.metrics.calibration import Reliability, expected_error, fitted, probability


def drawn(seed: int, frames: int = 4000) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores that are far too sure, and labels that hold with the true probability."""
    random = np.random.default_rng(seed)
    true = random.uniform(0.02, 0.98, frames)
    return expit(3 * logit(true) + 2), random.uniform(size=frames) < true


def test_the_fit_finds_what_was_done_to_the_scores() -> None:
    scale, bias = fitted(*drawn(0))
    assert scale == pytest.approx(1 / 3, rel=0.1)
    assert bias == pytest.approx(-2 / 3, abs=0.1)
    scores, labels = drawn(1)  # others than those of the fit
    own = probability(scores, scale, bias)
    assert expected_error(own, labels) < 0.03 < 0.1 < expected_error(scores, labels)
    assert (np.argsort(own, kind="stable") == np.argsort(scores, kind="stable")).all()


def test_nothing_is_fitted_where_nothing_can_be() -> None:
    scores, labels = drawn(2, 50)
    assert fitted(scores, np.zeros(50, bool)) == (1, 0)
    assert fitted(1 - scores, labels) == (1, 0)  # higher scores mean less
    assert np.isfinite(fitted(np.array([0.0, 0.0, 1.0, 1.0]), np.array([False, True, False, True]))).all()
    np.testing.assert_allclose(probability(scores, 1, 0), scores)


def test_the_expected_error_is_that_of_its_definition() -> None:
    scores, labels = drawn(3, 300)
    bins = np.minimum((scores * 10).astype(int), 9)
    parts = [abs(labels[bins == b].mean() - scores[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    assert expected_error(scores, labels) == pytest.approx(sum(parts), abs=1e-6)


def test_a_rule_is_fitted_with_its_smoothing_and_reported() -> None:
    scores, labels = (torch.from_numpy(values).reshape(-1, 20) for values in drawn(4, 800))
    frames = torch.arange(20).repeat(40, 1)
    names = [f"video_{i}" for i in range(40)]
    choice = RuleChoice()
    choice.update(names, frames, scores[..., None, None].expand(-1, -1, 4, 4), labels, None, [5.0] * 40)
    rule = choice.best()
    assert (rule.smoothing, rule.threshold) == (0, 0.5)  # frames that know nothing of their neighbours
    expected = fitted(scores.flatten().numpy(), labels.flatten().numpy())
    assert (rule.scale, rule.bias) == pytest.approx(expected, rel=1e-4)
    assert MapRule.restored(rule.stored()) == rule

    seen = Reliability(rule.smoothing, rule.scale, rule.bias)
    seen.update(names, frames, scores, labels)
    found = seen.compute()
    own = probability(scores.float().flatten().numpy(), rule.scale, rule.bias)
    assert found["frames"] == 800
    assert found["error"] == pytest.approx(expected_error(own, labels.flatten().numpy()), abs=1e-6)
    assert found["error"] < found["error_raw"]
    share, mean = calibration_curve(labels.flatten().numpy(), own, n_bins=10)
    np.testing.assert_allclose(found["curves"]["reliability"], [mean, share], atol=1e-6)
    assert Reliability(0, 1, 0).compute() == {}
