"""The bootstrap over videos: draws against resampling by hand, and the paired test where the truth is known."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tvau.errors import DataError
from tvau.metrics.frame import frame_summary
from tvau.metrics.intervals import DRAWS, paired, read_samples, resampled, take_samples, together

VIDEOS, FRAMES = 30, 20
Video = tuple[NDArray[np.float64], NDArray[np.bool_]]


def videos(seed: int, shift: float, common: int = 0) -> list[Video]:
    """Videos of which the second half is abnormal; how hard each is, is common to all methods of one `common`."""
    hard, own = np.random.default_rng(common), np.random.default_rng(seed)
    made = []
    for _ in range(VIDEOS):
        labels = np.arange(FRAMES) >= FRAMES // 2
        level = hard.normal(0, 0.3)
        noise = hard.normal(0, 0.15, FRAMES) + own.normal(0, 0.02, FRAMES)
        made.append((np.clip(0.5 + noise + (level + 0.2 + shift) * labels, 0, 1), labels))
    return made


def test_draws_are_those_of_repeated_videos() -> None:
    own = videos(1, 0.0)
    draws = frame_summary(own, bootstrap=40)["samples"]["micro_auc"]
    counts = np.random.default_rng(0).multinomial(VIDEOS, np.full(VIDEOS, 1 / VIDEOS), 40)
    for given, times in zip(draws, counts, strict=True):
        repeated = [own[at] for at, count in enumerate(times) for _ in range(count)]
        scores, labels = (np.concatenate(part) for part in zip(*repeated, strict=True))
        assert given == pytest.approx(roc_auc_score(labels, scores))


def auc_draws(own: list[Video]) -> NDArray[np.float64]:
    return np.array(frame_summary(own, bootstrap=400)["samples"]["micro_auc"])


def test_a_small_difference_on_the_same_videos_is_seen_where_intervals_overlap() -> None:
    ours = np.stack([auc_draws(videos(seed, 0.03)) for seed in (1, 2)])
    theirs = np.stack([auc_draws(videos(seed, 0.0)) for seed in (3, 4)])
    assert np.percentile(ours, 2.5) < np.percentile(theirs, 97.5)
    assert paired(ours, theirs) <= 0.01
    assert paired(theirs, ours) == paired(ours, theirs)
    apart = np.stack([auc_draws(videos(seed, 0.0, common=7)) for seed in (3, 4)])  # on other videos
    assert paired(ours, apart) > 0.05


def test_methods_that_do_not_differ_are_rarely_told_apart() -> None:
    own = [auc_draws(videos(seed, 0.0))[None] for seed in range(10, 26)]
    small = [paired(a, b) < 0.05 for a, b in zip(own[::2], own[1::2], strict=True)]
    assert sum(small) <= 2
    assert paired(own[0], own[0]) == 1


def test_the_mean_over_splits_is_that_of_splits_which_were_drawn_apart() -> None:
    """Six splits, abnormal videos first, and methods whose difference hangs on how many of these there are."""
    ours, theirs = (np.where((np.arange(VIDEOS) < VIDEOS // 2) == better, 0.9, 0.5) for better in (True, False))

    def drawn(scores: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
        found = resampled(lambda weights: {"a": float(weights @ scores / weights.sum())}, VIDEOS, 2000, seed=seed)
        return np.array(found["samples"]["a"])

    one_seed = together([drawn(ours)] * 6) - together([drawn(theirs)] * 6)
    apart = np.mean([drawn(ours, seed) - drawn(theirs, seed) for seed in range(6)], 0)
    single = drawn(ours) - drawn(theirs)
    assert one_seed.std() == pytest.approx(apart.std(), rel=0.05)
    assert one_seed.std() == pytest.approx(single.std() / 6**0.5, rel=0.05)
    assert together([drawn(ours)]) == pytest.approx(drawn(ours))


def test_the_p_value_is_a_share_of_draws() -> None:
    """Against counting by hand, with a draw in which one score is not defined."""
    ours = np.array([[0.9, 0.8, 0.7, 0.6, np.nan], [0.9, 0.8, 0.7, 0.6, 0.5]])
    theirs = np.array([[0.8, 0.7, 0.6, 0.7, 0.1]])
    assert paired(ours, theirs) == pytest.approx(2 * (1 + 1) / (4 + 1))  # one of four draws lies on the other side
    assert np.isnan(paired(np.full((1, 3), np.nan), np.ones((1, 3))))


def test_scores_that_are_not_always_defined_keep_their_draws_apart() -> None:
    found = resampled(lambda weights: {"a": float(weights[0])} if weights[0] else {}, 3, 50)
    draws = np.array(found["samples"]["a"])
    assert 0 < np.isnan(draws).sum() < 50
    assert min(draws[np.isfinite(draws)]) == 1


def test_draws_leave_a_tree_of_results_by_their_keys() -> None:
    tree = {"tvau": {"test": {"frame": {"auc": 1, "samples": {"auc": [1.0]}}, "rule": {}, "foreign": 0.5}}}
    assert take_samples(tree) == {"tvau/test/frame/auc": [1.0]}
    assert tree == {"tvau": {"test": {"frame": {"auc": 1}, "rule": {}, "foreign": 0.5}}}


def test_a_wrong_file_of_draws_is_named(tmp_path: Path) -> None:
    assert read_samples(tmp_path) == {}
    (tmp_path / DRAWS).write_bytes(b"PK half")
    with pytest.raises(DataError, match=r"samples\.npz: no draws of `tvau test`"):
        read_samples(tmp_path)
