"""Scores a frame: area under the ROC curve in its three conventions, and average precision.

No score is ever normalised by statistics of the test videos, and nothing is smoothed here.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from tvau.errors import DataError
from tvau.metrics.rows import RowMetric, check_unit


class MacroAUC(NamedTuple):
    """Mean over videos, in both conventions; NaN where undefined."""

    padded: float  # every video, with a 0 put in front of and a 1 behind its labels and scores
    both: float  # only videos that have normal and abnormal frames
    videos: int  # number of videos behind `padded`
    videos_both: int  # number of videos behind `both`


def _auc(scores: np.ndarray, labels: np.ndarray) -> float:
    return float(roc_auc_score(labels, scores)) if 0 < labels.sum() < len(labels) else float("nan")


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if scores.shape != labels.shape or scores.ndim != 1:
        raise DataError(f"frame scores of shape {scores.shape} and labels of shape {labels.shape}; expected two lists "
                        "of equal length. Give one score and one label for every frame.")  # fmt: skip
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"frame labels {np.unique(labels)[:5]}; expected 0 (normal) and 1 (abnormal) only.")
    check_unit(torch.from_numpy(scores), "frame scores")
    return scores, labels.astype(bool)


def micro_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """AUC over all frames of all videos together.

    Args:
        scores: float [N] in [0, 1].
        labels: bool or 0/1 [N], True where abnormal.

    Returns:
        The area, NaN where the labels are all equal.

    Raises:
        DataError: scores outside [0, 1] or not finite, unequal lengths, other labels.
    """
    return _auc(*_checked(scores, labels))


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Average precision over all frames together (scikit-learn's definition); NaN without abnormal frames.

    Arguments and errors as in `micro_auc`.
    """
    scores, labels = _checked(scores, labels)
    return float(average_precision_score(labels, scores)) if labels.any() else float("nan")


def macro_auc(videos: Sequence[tuple[np.ndarray, np.ndarray]]) -> MacroAUC:
    """Mean of the AUC over videos, each given as (scores [N], labels [N]).

    The padded convention (Georgescu et al., TPAMI 2021) defines a value for a video of one class too, and gives an
    all-abnormal video about 1 whatever the detector does: read it beside `both`.
    """
    checked = [_checked(*video) for video in videos]
    padded = [_auc(np.r_[0.0, scores, 1.0], np.r_[False, labels, True]) for scores, labels in checked]
    both = [_auc(scores, labels) for scores, labels in checked if 0 < labels.sum() < len(labels)]
    return MacroAUC(_mean(padded), _mean(both), len(padded), len(both))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def video_key(name: str) -> int:
    """A name as an int64, equal in every process, so that it can be gathered with the scores."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


class FrameScores(RowMetric):
    """All frame scores of a split, keyed by video and frame.

    A frame that several overlapping clips see gets their mean score; a clip that comes twice (a distributed sampler
    repeats clips to fill its last round) counts once. A frame is abnormal where any clip says so.
    """

    keys: list[Tensor]
    scores: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
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

    def videos(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(scores [N], labels [N]) of each video, frames in order."""
        keys, first = np.unique(self.all_rows("keys").numpy(), axis=0, return_index=True)  # repeated clips drop out
        scores = self.all_rows("scores").double().numpy()[first]
        frames, row = np.unique(keys[:, [0, 2]], axis=0, return_inverse=True)
        mean = np.bincount(row, scores, len(frames)) / np.bincount(row, minlength=len(frames))
        labels = np.bincount(row, keys[:, 3], len(frames)) > 0
        starts = np.flatnonzero(np.diff(frames[:, 0])) + 1  # rows are sorted by video, then frame
        return list(zip(np.split(mean, starts), np.split(labels, starts), strict=True)) if len(frames) else []

    def compute(self) -> dict[str, float | int]:
        """micro_auc, macro_auc_padded, macro_auc_both, average_precision, and the numbers behind them.

        Keys of undefined scores are left out.
        """
        videos = self.videos()
        scores, labels = (np.concatenate([v[i] for v in videos]) if videos else np.empty(0) for i in (0, 1))
        macro = macro_auc(videos)
        result = {
            "micro_auc": micro_auc(scores, labels),
            "macro_auc_padded": macro.padded,
            "macro_auc_both": macro.both,
            "average_precision": average_precision(scores, labels),
        }
        counts = {"frames": len(scores), "videos": macro.videos, "videos_both": macro.videos_both}
        return {key: value for key, value in result.items() if not np.isnan(value)} | counts
