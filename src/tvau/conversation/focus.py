"""One target of several: the maps of a window with nothing left in them but what stands at a point."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_max_pool3d

from tvau.heatmap_decoder import Maps

Box = NDArray[np.float64]  # x1, y1, x2, y2 (pixels of the heatmap, inclusive), score


def target_at(boxes: Sequence[NDArray[np.float64]], at: int, x: float, y: float) -> dict[int, Box]:
    """The box of the target at a point in each frame of a window, by index; empty where there is none.

    From frame to frame it is the box that overlaps the last one most; where none does, the target is not seen.

    Args:
        boxes: of each frame, [n, 5].
        at: index of the frame of the point.
        x, y: the point, pixels of the heatmap.
    """
    holding = [box for box in boxes[at] if box[0] <= x < box[2] + 1 and box[1] <= y < box[3] + 1]
    if not holding:
        return {}
    found = {at: min(holding, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))}
    for way in (range(at + 1, len(boxes)), range(at - 1, -1, -1)):
        last = found[at]
        for index in way:
            shared = [(_overlap(box, last), -number) for number, box in enumerate(boxes[index])]
            if shared and max(shared)[0] > 0:
                last = found[index] = boxes[index][-max(shared)[1]]
    return dict(sorted(found.items()))


def _overlap(a: Box, b: Box) -> float:
    """Pixels that two boxes share."""
    sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1 for i in (0, 1)]
    return float(max(sides[0], 0) * max(sides[1], 0))


def focused(maps: Maps, target: dict[int, Box], frames: int, size: tuple[int, int]) -> Maps:
    """The maps of one clip with the calmest patch of each step in place of all that lies outside the target.

    Args:
        maps: of the decoder, B = 1.
        target: its boxes by index of the frame; where it is not seen, it is where it was seen nearest.
        frames: T of the clip.
        size: (height, width) of the heatmaps, of which the boxes are.
    """
    mask = torch.zeros(1, 1, frames, *size)
    for index in range(frames):
        nearest = min(target, key=lambda at: abs(at - index))
        x1, y1, x2, y2 = target[nearest][:4].round().astype(int).tolist()
        mask[0, 0, index, max(y1, 0) : y2 + 1, max(x1, 0) : x2 + 1] = 1
    inside = adaptive_max_pool3d(mask, tuple(maps.logit.shape[1:]))[0].bool().to(maps.logit.device)  # [1, T', H', W']
    calm = maps.logit.flatten(2).argmin(-1)[:, :, None]  # [1, T', 1]
    logit = maps.logit.where(inside, _at(maps.logit.flatten(2), calm)[..., None])
    similar = torch.stack(
        [own.where(inside, _at(own.flatten(2), calm)[..., None]) for own in maps.similar.unbind(2)], 2
    )  # [1, T', 2, H', W']
    return Maps(similar, logit)


def _at(values: Tensor, places: Tensor) -> Tensor:
    """[B, T', N] at one place of each step: [B, T', 1]."""
    return values.gather(2, places)
