"""Scores of heatmaps in test and predict: one rule for every method, and the baselines without learning."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tvau.errors import DataError
from tvau.metrics import EventScores, FrameScores, MerlScores, PixelScores, RegionScores
from tvau.metrics.boxes import MapRule, clip_boxes
from tvau.metrics.calibration import Reliability
from tvau.metrics.frame import frame_scores
from tvau.metrics.kinds import Kinds
from tvau.model import TVAU, Evidence
from tvau.seen import Seen
from tvau.types import Batch, having, select
from tvau.viz.predictions import Evidence as Pictures


def median_difference(video: Tensor) -> Tensor:
    """Baseline without learning: distance of each pixel from its temporal median in the clip.

    uint8 [B, T, 3, H, W] -> [B, T, H, W] in [0, 1]: the mean absolute difference over the colours, divided by 255.
    """
    frames = video.float()
    return ((frames - frames.median(1, keepdim=True).values).abs().mean(2) / 255).clamp(0, 1)


def squared_difference(video: Tensor) -> Tensor:
    """Baseline without learning: squared difference of each pixel from the frame before.

    uint8 [B, T, 3, H, W] -> [B, T, H, W] in [0, 1]: the mean over the colours of the squares of differences that are
    divided by 255; the first frame, which has none before it, takes the second's.
    """
    change = video.float().diff(dim=1).div(255).square().mean(2)  # [B, T - 1, H, W]
    return torch.cat([change[:, :1], change], 1)


BASELINES: dict[str, Callable[[Tensor], Tensor]] = {
    "median difference": median_difference,
    "squared difference": squared_difference,
}


def shown(seen: Evidence, batch: Batch, sure: Tensor | None = None) -> dict[str, Any]:
    """What `predict_step` hands on of what was seen.

    logits [B, T', H', W'] of the heatmaps and scores [B, T] of the frames, None without a decoder; strange [B], how far
    the clips are from those of the training, None where that is not known.

    Args:
        sure: scores of the clips [B], where there are no heatmaps from which those of frames could come.
    """
    if seen.maps is None:
        scores = None if sure is None else sure[:, None].expand(-1, batch["video"].shape[1])
        return {"logits": None, "scores": scores, "strange": seen.strange}
    scores = frame_scores(TVAU.enlarge(seen.maps, batch))
    return {"logits": seen.maps.logit, "scores": scores, "strange": seen.strange}


def pictures(seen: Seen) -> Pictures | None:
    """What the pictures of a video are made of; None where it was seen by a model without scores."""
    if not seen.scored:
        return None
    maps = zip(seen.frames.tolist(), seen.heatmap, strict=True) if seen.mapped else None
    rule = seen.rule.uncalibrated() if seen.foreign else seen.rule
    return Pictures(seen.frames, seen.scores, maps, rule, seen.events, seen.size)


def true_boxes(batch: Batch) -> list[NDArray[np.int64] | None]:
    """The true boxes of each clip, [n, 6], on the CPU; None where its objects have no identity."""
    boxes: Sequence[Tensor | None] = batch.get("boxes") or [None] * len(batch["name"])
    return [None if own is None else own.cpu().numpy() for own in boxes]


def true_masks(batch: Batch) -> Tensor:
    """The masks of all clips, bool [B, T, H, W].

    Raises:
        DataError: a clip without one.
    """
    absent = sorted(set(range(len(batch["name"]))) - set(having(batch, "mask")))
    if absent:
        raise DataError(
            f"{batch['name'][absent[0]]} has no mask, and maps are learned from masks: leave such videos out of the "
            "training and validation splits, or add their masks."
        )
    return batch["mask"]


class MapScores(nn.Module):
    """Frame, event, pixel, region and track scores of one split.

    Args:
        rule: how boxes, smoothed frame scores and events are read from the heatmaps.
        bootstrap: resamplings of the videos behind the intervals; 0: none.
        merl: also the MERL-style variant of RBDC and TBDC (slow).
        kinds: of the videos, for frame scores by kind, see `tvau.metrics.kinds`.
    """

    def __init__(
        self, rule: MapRule | None = None, bootstrap: int = 0, merl: bool = False, kinds: Kinds | None = None
    ) -> None:
        super().__init__()
        self.rule = rule or MapRule()
        self.frame = FrameScores(self.rule.smoothing, bootstrap, kinds)
        self.pixel = PixelScores(bootstrap=bootstrap)
        self.events = EventScores(self.rule.events, self.rule.smoothing, bootstrap)
        fitted = self.rule.told(0.5)
        self.calibration = Reliability(self.rule.smoothing, self.rule.scale, self.rule.bias) if fitted else None
        self.region = RegionScores(bootstrap=bootstrap)
        self.merl = MerlScores() if merl else None

    def update(self, batch: Batch, heatmaps: Tensor) -> list[list[NDArray[np.float64]]]:
        """Adds clips with their heatmaps [B, T, H, W]; returns the boxes of each clip and frame, [n, 5].

        Each clip is scored by what is known of it, whatever else is in the batch: frames by the data set's own labels,
        pixels by masks, regions and tracks by boxes.
        """
        found = clip_boxes(heatmaps, self.rule)
        if rows := having(batch, "labels"):
            part = select(batch, rows)
            scores = frame_scores(heatmaps[rows])
            self.frame.update(part["name"], part["frames"], scores, part["labels"])
            self.events.update(part["name"], part["frames"], scores, part["labels"], part["fps"])
            if self.calibration:
                self.calibration.update(part["name"], part["frames"], scores, part["labels"])
        if rows := having(batch, "mask"):
            part = select(batch, rows)
            self.pixel.update(heatmaps[rows], part["mask"], part["name"], part["frames"])
        if rows := having(batch, "boxes"):
            part = select(batch, rows)
            tracks = [boxes.cpu().numpy() for boxes in part["boxes"]]
            self.region.update(part["name"], part["frames"], [found[row] for row in rows], tracks)
            if self.merl:
                self.merl.update(part["name"], part["frames"], heatmaps[rows], tracks)
        return found

    def compute(self) -> dict[str, Any]:
        """{"frame": {...}, "events": {...}, "pixel": {...}, "region": {...}, "rule": {...}} and "region_merl".

        Also "calibration" where the rule was fitted. What was not seen is left out.

        Every process has to call it, also one that saw no clip.
        """
        parts = {"frame": self.frame.compute(), "events": self.events.compute()}
        parts |= {"pixel": self.pixel.compute(), "region": self.region.compute()}
        parts["calibration"] = self.calibration.compute() if self.calibration else {}
        parts["region_merl"] = self.merl.compute() if self.merl else {}
        seen = {name: scores for name, scores in parts.items() if scores.get("frames")}
        return seen | {"rule": self.rule.stored()} if seen else {}
