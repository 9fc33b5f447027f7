import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import average_precision_score, roc_auc_score

from tvau.errors import DataError
from tvau.metrics import FrameScores
from tvau.metrics.frame import frame_scores, frame_summary, smooth


def random_videos(seed: int = 0, videos: int = 4, length: int = 20) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    labels = [rng.random(length) < 0.4 for _ in range(videos)]
    return [(np.clip(0.3 * y + rng.random(length) * 0.7, 0, 1).round(2), y) for y in labels]  # rounding makes ties


def as_clips(videos: list[tuple[np.ndarray, np.ndarray]]) -> tuple[list[str], torch.Tensor, torch.Tensor, torch.Tensor]:
    names = [f"video {i}" for i in range(len(videos))]
    scores = torch.tensor(np.stack([s for s, _ in videos]), dtype=torch.float32)
    labels = torch.tensor(np.stack([y for _, y in videos]))
    return names, torch.arange(scores.shape[1]).expand_as(scores), scores, labels


def test_scores_agree_with_scikit_learn() -> None:
    videos = random_videos()
    scores, labels = (np.concatenate(x) for x in zip(*videos, strict=True))
    result = frame_summary(videos)
    assert result["micro_auc"] == pytest.approx(roc_auc_score(labels, scores))
    assert result["average_precision"] == pytest.approx(average_precision_score(labels, scores))
    assert result["macro_auc_both"] == pytest.approx(np.mean([roc_auc_score(y, s) for s, y in videos]))
    padded = [roc_auc_score(np.r_[0, y, 1], np.r_[0, s, 1]) for s, y in videos]
    assert result["macro_auc_padded"] == pytest.approx(np.mean(padded))
    assert (result["videos"], result["videos_both"]) == (4, 4)


def test_auc_keeps_its_value_under_a_monotone_transform() -> None:
    (scores, labels), *_ = random_videos(1)
    same = frame_summary([(scores**3 / 2, labels)])["micro_auc"]
    assert same == pytest.approx(frame_summary([(scores, labels)])["micro_auc"], abs=1e-12)


def test_two_macro_conventions_by_hand() -> None:
    wrong = (np.array([0.9, 0.1]), np.array([False, True]))  # AUC 0; padded: 3 of 4 pairs are right
    all_abnormal = (np.array([0.2, 0.1]), np.array([True, True]))  # padded: 1 whatever the detector does
    result = frame_summary([wrong, all_abnormal])
    assert result["macro_auc_padded"] == pytest.approx((0.75 + 1.0) / 2)
    assert result["macro_auc_both"] == 0
    assert (result["videos"], result["videos_both"]) == (2, 1)


def test_undefined_scores_are_absent() -> None:
    metric = FrameScores()
    metric.update(["normal"], torch.arange(2)[None], torch.tensor([[0.1, 0.2]]), torch.zeros(1, 2, dtype=torch.bool))
    result = metric.compute()
    assert set(result) == {"macro_auc_padded", "frames", "abnormal_frames", "videos", "videos_both"}
    assert (result["frames"], result["videos"], result["videos_both"]) == (2, 1, 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="NaN or infinite"):
        frame_summary([(np.array([0.5, bad]), np.array([0, 1]))])


def test_any_finite_scores_are_ranked_and_never_padded() -> None:
    result = frame_summary([(np.array([-3, 7, 5.0]), np.array([0, 1, 0]))])
    assert (result["micro_auc"], result["macro_auc_both"]) == (1, 1)
    assert "macro_auc_padded" not in result


@pytest.mark.parametrize("bad", [1.5, -0.1, float("nan"), float("inf")])
def test_scores_of_maps_outside_the_unit_interval_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        FrameScores().update(["a"], torch.arange(2)[None], torch.tensor([[0.5, bad]]), torch.tensor([[False, True]]))


def test_shapes_and_labels_are_checked() -> None:
    with pytest.raises(DataError, match="equal length"):
        frame_summary([(np.array([0.5]), np.array([0, 1]))])
    with pytest.raises(DataError, match="labels"):
        frame_summary([(np.array([0.5, 0.5]), np.array([0, 2]))])
    with pytest.raises(DataError, match="names"):
        FrameScores().update(["a", "b"], torch.arange(2)[None], torch.zeros(1, 2), torch.zeros(1, 2))


def test_metric_equals_the_function_on_whole_videos() -> None:
    videos = random_videos(2)
    metric = FrameScores()
    metric.update(*as_clips(videos))
    result, expected = metric.compute(), frame_summary(videos)
    for name in ("micro_auc", "macro_auc_padded", "macro_auc_both", "average_precision"):
        assert result[name] == pytest.approx(expected[name], abs=1e-6)
    assert (result["frames"], result["videos"]) == (80, 4)


def test_overlapping_clips_are_averaged_and_a_repeated_clip_counts_once() -> None:
    metric = FrameScores()
    first = (["v"], torch.tensor([[0, 1]]), torch.tensor([[0.0, 0.2]]), torch.tensor([[False, True]]))
    metric.update(*first)
    metric.update(["v"], torch.tensor([[1, 2]]), torch.tensor([[0.6, 1.0]]), torch.tensor([[True, True]]))
    metric.update(*first)
    [(scores, labels)] = metric.videos()
    assert scores == pytest.approx([0.0, 0.4, 1.0])
    assert labels.tolist() == [False, True, True]


def test_merged_states_equal_one_state() -> None:
    names, frames, scores, labels = as_clips(random_videos(3))
    whole, one, two = FrameScores(), FrameScores(), FrameScores()
    whole.update(names, frames, scores, labels)
    one.update(names[:3], frames[:3], scores[:3], labels[:3])
    two.update(names[3:], frames[3:], scores[3:], labels[3:])
    one.merge_state(two)
    assert one.compute() == whole.compute()


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_seen_gives_counts_only() -> None:
    assert FrameScores().videos() == []
    assert FrameScores().compute() == {"frames": 0, "abnormal_frames": 0, "videos": 0, "videos_both": 0}


def test_a_frame_scores_the_mean_of_its_highest_pixels() -> None:
    heatmaps = torch.zeros(1, 2, 20, 30)  # 0.5 % of 600 pixels are 3
    heatmaps[0, 0, 0, :2] = torch.tensor([0.9, 0.6])
    torch.testing.assert_close(frame_scores(heatmaps), torch.tensor([[0.5, 0.0]]))
    assert frame_scores(torch.tensor([[0.1, 0.7], [0.2, 0.3]])).item() == pytest.approx(0.7)  # one pixel at least


@pytest.mark.parametrize("width", [0.5, 2.0, 8.0])
def test_smoothing_is_a_gaussian_with_repeated_edges(width: float) -> None:
    scores = np.random.default_rng(0).random(40)
    expected = gaussian_filter1d(scores, width, mode="nearest", truncate=4.0)
    assert smooth(scores, width) == pytest.approx(expected, abs=1e-9)
    assert smooth(scores, 0).tolist() == scores.tolist()
    assert smooth(scores[:1], width).tolist() == scores[:1].tolist()
    assert smooth(np.ones(5), width) == pytest.approx(np.ones(5))


def test_each_video_is_smoothed_by_itself() -> None:
    videos = random_videos(4)
    metric = FrameScores(smoothing=2.0)
    metric.update(*as_clips(videos))
    scores, labels = (np.concatenate(x) for x in zip(*videos, strict=True))
    smoothed = np.concatenate([gaussian_filter1d(s.astype(np.float32), 2.0, mode="nearest") for s, _ in videos])
    assert metric.compute()["micro_auc"] == pytest.approx(roc_auc_score(labels, smoothed), abs=1e-3)
    assert metric.compute()["micro_auc"] != pytest.approx(roc_auc_score(labels, scores), abs=1e-3)


def test_intervals_are_those_of_resampled_videos() -> None:
    """With two equal videos every resampling gives the same; with different ones the score lies within."""
    same = random_videos(5, videos=1) * 3
    result = frame_summary(same, bootstrap=30)
    for name in ("micro_auc", "macro_auc_padded", "macro_auc_both", "average_precision"):
        assert result["interval"][name] == pytest.approx([result[name]] * 2)
    result = frame_summary(random_videos(6, videos=8), bootstrap=100)
    for name, (low, high) in result["interval"].items():
        assert low < result[name] < high
    assert frame_summary(same[:1], bootstrap=30)["interval"] == {}  # one video cannot be resampled
