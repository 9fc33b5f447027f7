"""Scores of heatmaps in test and predict: one rule for every method, and the baselines without learning."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tvau.metrics import FrameScores, MerlScores, PixelScores, RegionScores
from tvau.metrics.boxes import MapRule, clip_boxes
from tvau.metrics.frame import frame_scores
from tvau.types import Batch


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


def true_boxes(batch: Batch) -> list[NDArray[np.int64]] | None:
    """The true boxes of each clip, [n, 6], on the CPU; None where the data set has no objects with identity."""
    return [boxes.cpu().numpy() for boxes in batch["boxes"]] if "boxes" in batch else None


class MapScores(nn.Module):
    """Frame, pixel, region and track scores of one split.

    Args:
        rule: how boxes and smoothed frame scores are read from the heatmaps.
        bootstrap: resamplings of the videos behind the intervals; 0: none.
        merl: also the MERL-style variant of RBDC and TBDC (slow).
    """

    def __init__(self, rule: MapRule | None = None, bootstrap: int = 0, merl: bool = False) -> None:
        super().__init__()
        self.rule = rule or MapRule()
        self.frame, self.pixel = FrameScores(self.rule.smoothing, bootstrap), PixelScores(bootstrap=bootstrap)
        self.region = RegionScores(bootstrap=bootstrap)
        self.merl = MerlScores() if merl else None

    def update(self, batch: Batch, heatmaps: Tensor) -> list[list[NDArray[np.float64]]]:
        """Adds clips with their heatmaps [B, T, H, W]; returns the boxes of each clip and frame, [n, 5].

        What the batch has no truth for is not scored: all needs masks, regions and tracks need `boxes` too.
        """
        found = clip_boxes(heatmaps, self.rule)
        if "mask" in batch:
            mask = batch["mask"]
            self.frame.update(batch["name"], batch["frames"], frame_scores(heatmaps), mask.flatten(2).any(2))
            self.pixel.update(heatmaps, mask, batch["name"], batch["frames"])
        if (tracks := true_boxes(batch)) is not None:
            self.region.update(batch["name"], batch["frames"], found, tracks)
            if self.merl:
                self.merl.update(batch["name"], batch["frames"], heatmaps, tracks)
        return found

    def compute(self) -> dict[str, Any]:
        """{"frame": {...}, "pixel": {...}, "region": {...}, "rule": {...}} and "merl"; what was not seen is left out.

        Every process has to call it, also one that saw no clip.
        """
        merl = self.merl.compute() if self.merl else {}
        parts = {"frame": self.frame.compute(), "pixel": self.pixel.compute(), "region": self.region.compute()}
        if not parts["frame"]["frames"]:
            return {}
        parts = {name: scores for name, scores in {**parts, "region_merl": merl}.items() if scores}
        return parts | {"rule": self.rule.stored()}
