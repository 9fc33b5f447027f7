"""From frame scores to events, by one rule, and how good events are.

`EventRule` holds the rule's free numbers. As with boxes they are chosen on validation videos at the end of stage 1
(`EventChoice`), travel in the checkpoint, and never see a test video.

An event is found as an alarm system does it, by two thresholds (hysteresis): a run of frames whose scores all reach
`off`, with at least one that reaches `on`. Events no more than `gap` seconds apart become one, and then those shorter
than `shortest` are dropped.

How events are scored:

- A true event is a run of abnormal frames; it is found where any found event shares a frame with it, and a found event
  that shares none with any true one is false (the definition of Hundman et al., KDD 2018, section 4.2). Precision is
  found / (found + false), recall found / all true ones, f1 their harmonic mean. One event as long as the video would
  find everything, so `iou_precision`, `iou_recall` and `iou_f1` stand beside them: events are matched one to one, as
  many as possible, and only where their frames' intersection over union is at least 0.5, as in temporal action
  localization (Caba Heilbron et al., ActivityNet, CVPR 2015).
- `delay` is the time from the start of a true event that is found to the first alarm about it, seconds, the mean over
  those events; `delay_frames` the same in frames of the source. An alarm can be given when `on` is reached and the
  event is `shortest` long; one that is already given counts 0.
- `false_alarms_per_hour` are false events over the length of all videos.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from torch import Tensor

from tvau.errors import CheckpointError, DataError
from tvau.metrics.frame import FrameScores, smooth
from tvau.metrics.intervals import resampled

IOU = 0.5  # from which on two events are the same where they are matched one to one
SHORTEST, GAPS = (0.0, 0.5, 1.0), (0.0, 0.5, 1.0, 2.0)  # seconds, among which validation chooses
LEVELS = 24  # thresholds among which it chooses: quantiles of the scores of its frames
OFF = (1.0, 0.75, 0.5)  # `off` as a share of `on`
ROUNDING = 1e-6  # seconds by which a time may miss a limit
Span = tuple[int, int]  # first and last index, inclusive


@dataclass(frozen=True)
class EventRule:
    """How events are read from the scores of a video's frames; see the module.

    The default, that of checkpoints which hold none, is the threshold of tvau 0.1: each run of scores from 0.5 on.

    Raises:
        DataError: numbers out of range.
    """

    on: float = 0.5  # score that an event reaches
    off: float = 0.5  # score below which it ends
    shortest: float = 0.0  # seconds
    gap: float = 0.0  # seconds

    def __post_init__(self) -> None:
        if not (0 <= self.off <= self.on <= 1 and 0 <= self.shortest < np.inf and 0 <= self.gap < np.inf):
            raise DataError(f"{self}: expected 0 <= off <= on <= 1, and shortest and gap of 0 or more seconds.")

    def stored(self) -> dict[str, float]:
        """What a checkpoint holds of it."""
        return asdict(self)

    @classmethod
    def restored(cls, stored: Any) -> "EventRule":
        """The rule that a checkpoint holds; the default where it holds none (None).

        Raises:
            CheckpointError: something else is stored there.
        """
        try:
            return cls(**({} if stored is None else {str(key): float(value) for key, value in stored.items()}))
        except (TypeError, ValueError, AttributeError, DataError) as error:
            raise CheckpointError(f"the checkpoint's rule for events, {stored!r}, is none ({error})") from error


def runs(inside: NDArray[np.bool_]) -> list[Span]:
    """The longest stretches [N] that are all True."""
    edges = np.flatnonzero(np.diff(np.r_[False, inside, False])).reshape(-1, 2)
    return [(int(first), int(end) - 1) for first, end in edges]


def step_of(seconds: NDArray[np.floating]) -> float:
    """How long a frame stands: the median of the steps between frames [N]; 0 for a single one."""
    return float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.0


def spans(scores: NDArray[np.floating], seconds: NDArray[np.floating], rule: EventRule) -> list[Span]:
    """The events of a video as indices of its frames.

    Args:
        scores: [N] in [0, 1].
        seconds: [N] when the frames are shown, rising.
        rule: see the module.
    """
    step, reached = step_of(seconds), np.r_[0, np.cumsum(scores >= rule.on)]
    joined: list[Span] = []
    for first, last in runs(scores >= rule.off):
        if reached[last + 1] == reached[first]:
            continue
        if joined and seconds[first] - seconds[joined[-1][1]] - step <= rule.gap + ROUNDING:
            first = joined.pop()[0]
        joined.append((first, last))
    return [span for span in joined if seconds[span[1]] - seconds[span[0]] + step >= rule.shortest - ROUNDING]


# ---- scores ----


class Recording(NamedTuple):
    """What is scored of a video."""

    seconds: NDArray[np.float64]  # [N], rising
    scores: NDArray[np.float64]  # [N] in [0, 1]
    labels: NDArray[np.bool_]  # [N]
    fps: float  # frames of the source a second


COUNTS = ("true", "found", "false", "alarms", "matched", "delay", "delay_frames", "seconds", "frames")


def counts(true: Sequence[Span], given: Sequence[tuple[int, int, float]], video: Recording) -> NDArray[np.float64]:
    """What the scores of one video are sums of, in the order of `COUNTS`.

    Args:
        true, given: events as indices of the video's frames; of given ones also the second of the alarm.
        video: their video.
    """
    delays, overlap = [], np.zeros((len(true), len(given)))
    for row, (first, last) in enumerate(true):
        for column, (start, end, _) in enumerate(given):
            common = min(last, end) - max(first, start) + 1
            overlap[row, column] = max(common, 0) / (last - first + end - start + 2 - common)
        if overlap[row].any():
            alarm = min(second for share, (*_, second) in zip(overlap[row], given, strict=True) if share)
            delays.append(max(alarm - video.seconds[first], 0.0))
    matched = maximum_bipartite_matching(csr_array(overlap >= IOU)) if overlap.size else np.array([-1])
    false = int((~overlap.any(0)).sum())
    late, length = sum(delays), float(video.seconds[-1] - video.seconds[0]) + step_of(video.seconds)
    one_to_one, frames = int((matched >= 0).sum()), len(video.scores)
    sums = [len(true), len(delays), false, len(given), one_to_one, late, late * video.fps, length, frames]
    return np.array(sums, np.float64)


def alarms(video: Recording, rule: EventRule) -> list[tuple[int, int, float]]:
    """The events that a rule finds, and the second in which each is known: first and last index, seconds."""
    step, found = step_of(video.seconds), []
    for first, last in spans(video.scores, video.seconds, rule):
        reached = first + int((video.scores[first : last + 1] >= rule.on).argmax())
        known = max(video.seconds[reached], video.seconds[first] + rule.shortest - step)
        found.append((first, last, float(known)))
    return found


def scores_of(sums: NDArray[np.float64]) -> dict[str, float]:
    """The scores of summed `counts`; what is not defined is left out."""
    true, found, false, given, matched, delay, late, seconds, _ = sums.tolist()
    result: dict[str, float] = {}
    for prefix, hit, of in (("", found, found + false), ("iou_", matched, given)):
        shares = {"precision": (hit, of), "recall": (hit, true), "f1": (2 * hit, of + true)}
        result |= {prefix + name: part / whole for name, (part, whole) in shares.items() if whole}
    result |= {"delay": delay / found, "delay_frames": late / found} if found else {}
    result |= {"false_alarms_per_hour": 3600 * false / seconds} if seconds else {}
    return result


def event_summary(by_video: NDArray[np.float64], bootstrap: int = 0) -> dict[str, Any]:
    """All scores of events, see the module, with events, alarms, hours, videos and frames behind them.

    Args:
        by_video: `counts` of each video [V, 9].
        bootstrap: resamplings of the videos behind `interval`; 0: none.
    """
    sums = by_video.sum(0)
    behind = {"events": int(sums[0]), "alarms": int(sums[3]), "hours": float(sums[7] / 3600)}
    behind |= {"videos": len(by_video), "frames": int(sums[8])}
    drawn = resampled(lambda weights: scores_of(weights @ by_video), len(by_video), bootstrap)
    return scores_of(sums) | behind | drawn


class EventScores(FrameScores):
    """Scores of the events of a split; frames are gathered as `FrameScores` does.

    Args:
        rule: how events are read from the scores.
        smoothing, bootstrap: see `FrameScores`.
    """

    rates: list[Tensor]

    def __init__(
        self, rule: EventRule | None = None, smoothing: float = 0.0, bootstrap: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(smoothing, bootstrap, None, **kwargs)
        self.rule = rule or EventRule()
        self.add_rows("rates", dtype=torch.float32)  # of the source, for each frame

    def update(  # type: ignore[override]
        self, name: Sequence[str], frames: Tensor, scores: Tensor, labels: Tensor, fps: Sequence[float]
    ) -> None:
        """As `FrameScores.update`, with the frames a second of each clip's source."""
        super().update(name, frames, scores, labels)
        self.rates.append(torch.tensor(fps, dtype=torch.float32).repeat_interleave(frames.shape[1]).to(self.device))

    def recordings(self) -> list[Recording]:
        """What was seen, by video."""
        rates = dict(zip(self.all_rows("keys")[:, 0].tolist(), self.all_rows("rates").tolist(), strict=True))
        return [
            Recording(frames / rates[video], smooth(scores, self.smoothing), labels, rates[video])
            for video, frames, scores, labels in self.series()
        ]

    def by_video(self) -> NDArray[np.float64]:
        """`counts` of each video [V, 9]."""
        rows = [counts(runs(video.labels), alarms(video, self.rule), video) for video in self.recordings()]
        return np.array(rows).reshape(-1, len(COUNTS))

    def compute(self) -> dict[str, Any]:
        """What `event_summary` gives; empty where nothing was seen."""
        by_video = self.by_video()
        return event_summary(by_video, self.bootstrap) if len(by_video) else {}


class EventChoice(EventScores):
    """Names the rule that serves the clips best: that of the highest mean of f1 and iou_f1, of equals the first.

    Candidates for `on` are quantiles of the scores themselves. What cannot be measured (no true event, or nothing that
    is normal) leaves the default.
    """

    def compute(self) -> dict[str, Any]:
        """The chosen rule, as `EventRule.stored` gives it."""
        videos = self.recordings()
        labels = np.concatenate([np.empty(0, bool), *(video.labels for video in videos)])
        if labels.all() or not labels.any():
            return EventRule().stored()
        scores = np.concatenate([video.scores for video in videos])
        levels = np.unique(np.quantile(scores, np.linspace(0.02, 0.995, LEVELS), method="higher"))
        true = [runs(video.labels) for video in videos]

        def worth(rule: EventRule) -> float:
            sums = sum(counts(own, alarms(video, rule), video) for own, video in zip(true, videos, strict=True))
            found = scores_of(np.asarray(sums))
            return found.get("f1", 0.0) + found.get("iou_f1", 0.0)

        # first the thresholds, then what depends on them: all at once would be twelve times as many
        best = max((EventRule(float(on), float(on) * off) for on, off in product(levels, OFF)), key=worth)
        return max((EventRule(best.on, best.off, *more) for more in product(SHORTEST, GAPS)), key=worth).stored()
