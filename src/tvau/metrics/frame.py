"""Scores a frame: from heatmaps to a score a frame, areas under the ROC curve in three conventions, average precision.

No score is ever normalised by statistics of the test videos; that would lift every normal video, too, up to 1.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tvau.errors import DataError
from tvau.metrics.curves import Levels, areas, roc, thinned
from tvau.metrics.intervals import resampled
from tvau.metrics.kinds import Kinds, kind_scores
from tvau.metrics.rows import RowMetric, check_unit, video_key

SHARE = 0.005  # of the pixels of a frame, fixed beforehand: about what a person covers
Video = tuple[NDArray[np.float64], NDArray[np.bool_]]  # scores [N], labels [N]


def frame_scores(heatmaps: Tensor) -> Tensor:
    """Score of a frame: mean of its highest 0.5 % of pixels; [..., T, H, W] in [0, 1] -> [..., T] in [0, 1]."""
    pixels = heatmaps.flatten(-2)
    return pixels.topk(max(int(pixels.shape[-1] * SHARE), 1), -1).values.mean(-1).clamp(0, 1)


def smooth(scores: NDArray[np.floating], width: float) -> NDArray[np.float64]:
    """Frame scores [N] of one video under a Gaussian of standard deviation `width` frames, its edges repeated.

    Width 0 leaves them as they are. The width is fixed beforehand or chosen on validation videos, never on test ones.
    """
    values = np.asarray(scores, np.float64)
    if width <= 0 or len(values) < 2:
        return values
    kernel = cv2.getGaussianKernel(2 * int(4 * width + 0.5) + 1, width)
    smoothed = cv2.sepFilter2D(values[None], cv2.CV_64F, kernel, np.ones(1), borderType=cv2.BORDER_REPLICATE)
    return np.clip(np.asarray(smoothed[0], np.float64), values.min(), values.max())  # rounding leads out of the range


def _auc(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    return areas(*Levels.of(scores, labels).counts()).get("auroc", float("nan"))


def _checked(scores: NDArray[Any], labels: NDArray[Any]) -> Video:
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if scores.shape != labels.shape or scores.ndim != 1:
        raise DataError(f"frame scores of shape {scores.shape} and labels of shape {labels.shape}; expected two lists "
                        "of equal length. Give one score and one label for every frame.")  # fmt: skip
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"frame labels {np.unique(labels)[:5]}; expected 0 (normal) and 1 (abnormal) only.")
    if not np.isfinite(scores).all():
        raise DataError(f"frame scores: {int((~np.isfinite(scores)).sum())} of {scores.size} are NaN or infinite; "
                        "expected finite numbers.")  # fmt: skip
    return scores, labels.astype(bool)


def _by_video(videos: Sequence[Video]) -> NDArray[np.float64]:
    """AUC of each video, padded (NaN for scores outside [0, 1]) and as it is (NaN for one class): [2, videos]."""
    if any(len(scores) and not 0 <= scores.min() <= scores.max() <= 1 for scores, _ in videos):
        return np.array([[np.nan] * len(videos), [_auc(*video) for video in videos]])
    padded = [_auc(np.r_[0.0, scores, 1.0], np.r_[False, labels, True]) for scores, labels in videos]
    return np.array([padded, [_auc(*video) for video in videos]])


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> float:
    weights = np.ones(len(values)) if weights is None else weights
    return float(weights @ values / weights.sum()) if weights.sum() else float("nan")


class FrameScores(RowMetric):
    """All frame scores of a split, keyed by video and frame.

    A frame that several overlapping clips see gets their mean score; a clip that comes twice (a distributed sampler
    repeats clips to fill its last round) counts once. A frame is abnormal where any clip says so.

    Args:
        smoothing: width of the Gaussian over the scores of each video, see `smooth`; 0: none.
        bootstrap: resamplings of the videos behind the intervals; 0: none.
        kinds: of the videos, for scores by kind; None: unknown.
    """

    keys: list[Tensor]
    scores: list[Tensor]

    def __init__(self, smoothing: float = 0.0, bootstrap: int = 0, kinds: Kinds | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.smoothing, self.bootstrap, self.kinds = smoothing, bootstrap, kinds or {}
        self.add_rows("keys", 4, dtype=torch.int64)  # video, first frame of the clip, frame, label
        self.add_rows("scores", dtype=torch.float32)

    def update(self, name: Sequence[str], frames: Tensor, scores: Tensor, labels: Tensor) -> None:
        """Add clips.

        Args:
            name: the video of each clip, B of them.
            frames: int64 [B, T], 0-based indices in the source.
            scores: float [B, T] in [0, 1].
            labels: bool [B, T], True where abnormal.

        Raises:
            DataError: scores outside [0, 1] or not finite, or shapes that do not agree.
        """
        if not (len(name) == len(frames) and frames.shape == scores.shape == labels.shape and frames.ndim == 2):
            raise DataError(f"{len(name)} names, frames {list(frames.shape)}, scores {list(scores.shape)}, labels "
                            f"{list(labels.shape)}; expected B names and three tensors [B, T].")  # fmt: skip
        check_unit(scores, "frame scores")
        video = torch.tensor([video_key(n) for n in name], device=frames.device, dtype=torch.int64)
        columns = (video[:, None].expand_as(frames), frames[:, :1].expand_as(frames), frames, labels.to(frames.device))
        self.keys.append(torch.stack([c.long().flatten() for c in columns], dim=1).to(self.device))  # [B*T, 4]
        self.scores.append(scores.detach().float().flatten().to(self.device))

    def series(self) -> list[tuple[int, NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]]:
        """(key of the name, frames [N] in order, scores [N] as they came, labels [N]) of each video."""
        keys, first = np.unique(self.all_rows("keys").numpy(), axis=0, return_index=True)  # repeated clips drop out
        scores = self.all_rows("scores").double().numpy()[first]
        frames, row = np.unique(keys[:, [0, 2]], axis=0, return_inverse=True)
        mean = np.bincount(row, scores, len(frames)) / np.bincount(row, minlength=len(frames))
        labels = np.bincount(row, keys[:, 3], len(frames)) > 0
        starts = np.flatnonzero(np.diff(frames[:, 0])) + 1  # rows are sorted by video, then frame
        parts = zip(*(np.split(values, starts) for values in (frames, mean, labels)), strict=True)
        return [(int(own[0, 0]), own[:, 1], score, truth) for own, score, truth in parts] if len(frames) else []

    def videos(self) -> list[Video]:
        """(scores [N], labels [N]) of each video, frames in order, scores smoothed."""
        return [(smooth(scores, self.smoothing), labels) for _, _, scores, labels in self.series()]

    def together(self) -> Video:
        """The same of all videos in one list."""
        videos = self.videos()
        scores = np.concatenate([np.empty(0), *(scores for scores, _ in videos)])
        return scores, np.concatenate([np.empty(0, bool), *(labels for _, labels in videos)])

    def compute(self) -> dict[str, Any]:
        """What `frame_summary` gives, and `kinds`, what `kind_scores` does, where they are known."""
        series = [(key, smooth(scores, self.smoothing), labels) for key, _, scores, labels in self.series()]
        kinds = kind_scores(series, self.kinds)
        return frame_summary([(scores, labels) for _, scores, labels in series], self.bootstrap) | (
            {"kinds": kinds} if kinds else {}
        )


def frame_summary(videos: Sequence[Video], bootstrap: int = 0) -> dict[str, Any]:
    """All scores of frames: micro_auc, macro_auc_padded, macro_auc_both, average_precision, and what is behind them.

    Also interval (by the name of the score), curves (roc), frames, abnormal_frames, videos and videos_both; undefined
    scores are left out, and without a video everything but the counts.

    The two macro AUCs are means over videos: "both" over those with normal and abnormal frames, "padded" over all, each
    with a 0 put in front of its labels and scores and a 1 behind (Georgescu et al., TPAMI 2021). That defines a value
    for a video of one class too, and gives an all-abnormal video about 1 whatever the detector does: read it beside
    "both". It needs scores in [0, 1]; all others take any finite numbers, whose order alone counts.

    Args:
        videos: (scores [N], labels [N]) of each.
        bootstrap: resamplings of the videos behind the intervals; 0: none.

    Raises:
        DataError: scores that are not finite, unequal lengths, other labels.
    """
    checked = [_checked(*video) for video in videos]
    scores = np.concatenate([np.empty(0), *(video[0] for video in checked)])
    labels = np.concatenate([np.empty(0, bool), *(video[1] for video in checked)])
    owner = np.repeat(np.arange(len(checked)), [len(video[0]) for video in checked])
    levels, (padded, both) = Levels.of(scores, labels), _by_video(checked)
    defined = np.isfinite(both)

    def score(weights: NDArray[np.float64]) -> dict[str, float]:
        micro = areas(*levels.counts(weights[owner]))
        found = {
            "micro_auc": micro.get("auroc", np.nan),
            "macro_auc_padded": _mean(padded, weights),
            "macro_auc_both": _mean(both[defined], weights[defined]),
            "average_precision": micro.get("average_precision", np.nan),
        }
        return {name: float(value) for name, value in found.items() if np.isfinite(value)}

    counts = {"frames": len(scores), "abnormal_frames": int(labels.sum()), "videos": len(checked),
              "videos_both": int(defined.sum())}  # fmt: skip
    result: dict[str, Any] = score(np.ones(len(checked))) | counts
    if 0 < labels.sum() < len(labels):
        result |= resampled(score, len(checked), bootstrap)
        result["curves"] = {"roc": thinned(*roc(*levels.counts()))}
    return result
