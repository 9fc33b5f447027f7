"""Scores of heatmaps in test and predict: one rule for every method."""

from typing import Any

from torch import Tensor, nn

from tvau.metrics import FrameScores, PixelScores
from tvau.types import Batch

SHARE = 0.005  # of the pixels of a frame, fixed beforehand: about what a person covers


def frame_scores(heatmaps: Tensor) -> Tensor:
    """Score of a frame: mean of its highest 0.5 % of pixels; [..., T, H, W] in [0, 1] -> [..., T] in [0, 1]."""
    pixels = heatmaps.flatten(-2)
    return pixels.topk(max(int(pixels.shape[-1] * SHARE), 1), -1).values.mean(-1).clamp(0, 1)


def median_difference(video: Tensor) -> Tensor:
    """Baseline without learning: distance of each pixel from its temporal median in the clip.

    uint8 [B, T, 3, H, W] -> [B, T, H, W] in [0, 1]: the mean absolute difference over the colours, divided by 255.
    """
    frames = video.float()
    return ((frames - frames.median(1, keepdim=True).values).abs().mean(2) / 255).clamp(0, 1)


class MapScores(nn.Module):
    """Frame and pixel scores of one split."""

    def __init__(self) -> None:
        super().__init__()
        self.frame, self.pixel, self.seen = FrameScores(), PixelScores(), False

    def update(self, batch: Batch, heatmaps: Tensor) -> None:
        """Adds clips with their heatmaps [B, T, H, W]; the batch needs masks."""
        mask = batch["mask"]
        self.frame.update(batch["name"], batch["frames"], frame_scores(heatmaps), mask.flatten(2).any(2))
        self.pixel.update(heatmaps, mask)
        self.seen = True

    def compute(self) -> dict[str, Any]:
        """{"frame": {...}, "pixel": {...}}."""
        return {"frame": self.frame.compute(), "pixel": self.pixel.compute()}
