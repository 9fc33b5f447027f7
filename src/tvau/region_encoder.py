"""Region-aware Anomaly Encoder (RAE), section 3.2.2 of the paper."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

REGIONS = 3  # a 3x3 grid
View = Literal["difference", "map", "difference+map"]


class RegionAwareAnomalyEncoder(nn.Module):
    """Anomaly maps -> anomaly prompts: a base, nine regions and a global token for each step between two maps.

    Args:
        hidden_size: width D of the language model.
        view: what the convolutions see. "difference" is the paper's (eq. 9): somebody who lies still gives it almost
            nothing. "map" (the later map of each pair) and "difference+map" are ours.
        channels: C_h of eq. 10.
        base: N_base of eq. 13.
        scale: root mean square of a prompt at the start; the language model's own token embeddings are the measure.
    """

    def __init__(
        self, hidden_size: int, view: View = "difference", channels: int = 64, base: int = 10, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.view = view
        self.scale = nn.Parameter(torch.tensor(scale))
        sizes = [4 if view == "difference+map" else 2, channels, channels, channels]
        self.convolutions = nn.Sequential(
            *[nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(8, b), nn.GELU()) for a, b in pairwise(sizes)]
        )
        self.region, self.overall = (
            nn.Sequential(
                nn.Linear(channels, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size), nn.GELU(),
                nn.Linear(hidden_size, hidden_size), nn.LayerNorm(hidden_size),
            )
            for _ in range(2)
        )  # fmt: skip
        self.place = nn.Parameter(torch.randn(REGIONS**2, hidden_size))  # which region a prompt speaks of
        self.base = nn.Parameter(torch.randn(base, hidden_size))

    def prompts(self, times: int) -> int:
        """Number N of prompts for T' maps: (T' - 1)(N_base + 9 + 1)."""
        return (times - 1) * (len(self.base) + REGIONS**2 + 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Similarity maps [B, T', 2, H', W'] -> anomaly prompts P_An [B, N, D] (eq. 13)."""
        later = maps[:, 1:]
        change = later - maps[:, :-1]  # eq. 9, [B, T'-1, 2, H', W']
        seen = {"difference": change, "map": later, "difference+map": torch.cat([change, later], 2)}[self.view]
        batch, steps = seen.shape[:2]
        features = self.convolutions(seen.flatten(0, 1))  # eq. 10, [B(T'-1), C_h, H', W']
        grid = adaptive_avg_pool2d(features, REGIONS).flatten(2).mT  # [B(T'-1), 9, C_h]
        region = self.region(grid) + self.place  # eq. 11, [B(T'-1), 9, D]
        overall = self.overall(features.mean((2, 3)))[:, None]  # eq. 12, [B(T'-1), 1, D]
        prompt = torch.cat([self.base.expand(batch * steps, -1, -1), region, overall], 1)  # eq. 13
        return self.scale * prompt.reshape(batch, -1, prompt.shape[-1])
