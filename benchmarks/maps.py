"""What enlarging the maps costs a training step: `python benchmarks/maps.py`.

The loss of stage 1 and its gradient, with `tvau.heatmap_decoder.enlarge` and with PyTorch's own trilinear interpolation
in its place, turn by turn in one process.
"""

from collections.abc import Callable
from time import perf_counter
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from tvau import losses
from tvau.heatmap_decoder import enlarge

SIZES = {"nano, 8 clips": (8, 8, (12, 20), 16, (96, 160)), "7B, 1 clip": (1, 8, (24, 42), 16, (336, 588))}


def library(maps: Tensor, frames: int, height: int, width: int) -> Tensor:
    """The same enlargement by PyTorch."""
    return interpolate(maps[:, None], (frames, height, width), mode="trilinear", align_corners=False)[:, 0]


def seconds(way: Callable[..., Tensor], logit: Tensor, mask: Tensor) -> float:
    """Of one loss and its gradient."""
    start = perf_counter()
    with patch.object(losses, "enlarge", way):
        losses.map_loss(logit, mask).backward()
    return perf_counter() - start


def main() -> None:
    """Prints the table."""
    print(f"{torch.get_num_threads()} threads\n\n| maps | tvau, ms | PyTorch, ms | ratio |\n|---|--:|--:|--:|")
    for what, (clips, times, cells, frames, size) in SIZES.items():
        logit = torch.randn(clips, times, *cells, requires_grad=True)
        mask = torch.rand(clips, frames, *size) > 0.99
        taken = [[seconds(way, logit, mask) for way in (enlarge, library)] for _ in range(6)][1:]
        ours, theirs = (1000 * min(column) for column in zip(*taken, strict=True))
        print(f"| {what} | {ours:.0f} | {theirs:.0f} | {theirs / ours:.1f} |")


if __name__ == "__main__":
    main()
