"""From heatmaps to boxes: one rule for every method, in test and predict alike.

`MapRule` holds its free numbers, those for events among them. They are chosen on validation videos at the end of
stage 1 (`RuleChoice`), travel in the checkpoint, and never see a test video.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from math import exp
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from tvau.errors import CheckpointError, DataError
from tvau.metrics.calibration import Platt, probability
from tvau.metrics.events import EventChoice, EventRule
from tvau.metrics.frame import FrameScores, frame_scores
from tvau.metrics.region_scores import RegionScores

# Among which validation chooses: even steps of the logit, wider ones where a map is nearly sure that nothing is there.
THRESHOLDS = tuple(1 / (1 + exp(-logit)) for logit in (-16, -12, -8, -6, -5, -4, -3, -2, -1, 0, 1))
WIDTHS = (0.0, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class MapRule:
    """How boxes, frame scores and events are read from heatmaps.

    Raises:
        DataError: numbers out of range.
    """

    threshold: float = 0.5  # a pixel belongs to a region from this score on
    area: float = 0.0005  # share of the picture that a region covers at least; fixed beforehand
    smoothing: float = 0.0  # standard deviation of the Gaussian over frame scores, in sampled frames; 0: none
    events: EventRule = field(default_factory=EventRule)
    scale: float = 1.0  # with `bias`: what makes a probability of a smoothed score, see `metrics.calibration`
    bias: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.threshold <= 1 and 0 <= self.area <= 1 and 0 <= self.smoothing < np.inf and self.scale > 0):
            raise DataError(
                f"{self}: expected threshold and area in [0, 1], a smoothing of 0 or more frames and a scale above 0."
            )

    def probability(self, scores: NDArray[np.floating]) -> NDArray[np.float64] | None:
        """Probabilities that frames of smoothed scores are abnormal, same shape; None where nothing was fitted."""
        return None if (self.scale, self.bias) == (1, 0) else probability(scores, self.scale, self.bias)

    def told(self, score: float) -> dict[str, float]:
        """{"probability": ...} of one smoothed score, as results hold it beside that; {} where nothing was fitted."""
        known = self.probability(np.array(score))
        return {} if known is None else {"probability": round(float(known), 6)}

    def uncalibrated(self) -> "MapRule":
        """The same without probabilities, where the scores are others than those to which they were fitted."""
        return replace(self, scale=1.0, bias=0.0)

    def stored(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return asdict(self)

    @classmethod
    def restored(cls, stored: Any) -> "MapRule":
        """The rule that a checkpoint holds; the default where it holds none (None).

        Raises:
            CheckpointError: something else is stored there.
        """
        try:
            own = dict(stored or {})
            events = EventRule.restored(own.pop("events", None))
            return cls(**{str(key): float(value) for key, value in own.items()}, events=events)
        except (TypeError, ValueError, AttributeError, DataError) as error:
            raise CheckpointError(f"the checkpoint's rule for boxes, {stored!r}, is none ({error})") from error


def boxes(heatmap: NDArray[np.floating], rule: MapRule) -> NDArray[np.float64]:
    """The regions of one heatmap.

    A region is a set of 8-connected pixels that all reach `rule.threshold`, and covers at least `rule.area` of the
    picture. Its box holds it exactly, its score is its highest pixel.

    Args:
        heatmap: [H, W] in [0, 1].

    Returns:
        [n, 5]: x1, y1, x2, y2 (pixels of the heatmap, inclusive), score; the highest score first.
    """
    heatmap = np.asarray(heatmap, np.float32)
    reached = heatmap >= np.float32(rule.threshold)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(reached.astype(np.uint8), connectivity=8)
    highest = np.zeros(count, np.float32)  # of the maps' own type, or `at` goes number by number
    np.maximum.at(highest, labels[reached], heatmap[reached])
    x, y, width, height, size = stats[1:].T.astype(np.float64)
    found = np.stack([x, y, x + width - 1, y + height - 1, highest[1:]], 1)[size >= rule.area * heatmap.size]
    return np.asarray(found[np.argsort(-found[:, 4], kind="stable")])


def clip_boxes(heatmaps: Tensor, rule: MapRule) -> list[list[NDArray[np.float64]]]:
    """`boxes` of every clip and frame of [B, T, H, W]."""
    return [[boxes(heatmap, rule) for heatmap in clip] for clip in heatmaps.detach().float().cpu().numpy()]


def scaled(found: NDArray[np.floating], of: tuple[int, int], to: tuple[int, int]) -> NDArray[np.float64]:
    """Inclusive boxes [n, 4 or more] of pictures of one size (height, width), in pixels of another size."""
    y, x = to[0] / of[0], to[1] / of[1]
    corners = (found[:, :4] + (0, 0, 1, 1)) * (x, y, x, y) - (0, 0, 1, 1)
    corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2])  # in a smaller picture a box keeps its first corner
    return np.concatenate([corners, found[:, 4:]], 1)


class RuleChoice(nn.Module):
    """Scores validation clips under every candidate rule, and names the best.

    The smoothing is that of the highest micro AUC, the threshold that of the highest mean of RBDC and TBDC, the rule
    for events that of `EventChoice` on the smoothed scores, to which their probabilities are fitted; of equals the
    first. What cannot be measured (no true box, one class only) stays as it is by default.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frames = nn.ModuleList(FrameScores(width) for width in WIDTHS)
        self.regions = nn.ModuleList(RegionScores() for _ in THRESHOLDS)
        self.events, self.platt = EventChoice(), Platt()

    def update(
        self,
        name: Sequence[str],
        frames: Tensor,
        heatmaps: Tensor,
        labels: Tensor,
        tracks: Sequence[NDArray[np.int64]] | None,
        fps: Sequence[float],
    ) -> None:
        """Add clips.

        Args:
            name: the video of each clip, B of them.
            frames: int64 [B, T].
            heatmaps: float [B, T, H, W] in [0, 1].
            labels: bool [B, T].
            tracks: as `RegionScores.update` takes them; None where unknown.
            fps: frames a second of each clip's source.
        """
        scores = frame_scores(heatmaps)
        for frame in self.frames:
            cast(FrameScores, frame).update(name, frames, scores, labels)
        self.events.update(name, frames, scores, labels, fps)
        self.platt.update(name, frames, scores, labels)
        for threshold, region in zip(THRESHOLDS, self.regions, strict=True):
            if tracks is not None:
                found = clip_boxes(heatmaps, MapRule(threshold))
                cast(RegionScores, region).update(name, frames, found, tracks)

    def best(self) -> MapRule:
        """The chosen rule, the same in every process."""
        default = MapRule()
        aucs = [cast(FrameScores, frame).compute().get("micro_auc", 0.0) for frame in self.frames]
        found = [cast(RegionScores, region).compute() for region in self.regions]
        areas = [scores.get("rbdc", 0.0) + scores.get("tbdc", 0.0) for scores in found]
        threshold = THRESHOLDS[int(np.argmax(areas))] if max(areas) > 0 else default.threshold
        self.events.smoothing = self.platt.smoothing = smoothing = WIDTHS[int(np.argmax(aucs))]
        events = EventRule.restored(self.events.compute())
        return MapRule(threshold, default.area, smoothing, events, **self.platt.compute())
