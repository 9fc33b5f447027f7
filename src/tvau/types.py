"""The keys, shapes and units of everything that passes between rooms.

Letters used in shape comments all over the project: B batch, T frames, T' time steps of the vision tower (T over its
temporal patch), H and W pixels, H' and W' patches, D width of the language model, Dv width of the vision tower,
N anomaly prompts, L text tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, cast

if TYPE_CHECKING:  # help, and processes that draw, do without torch
    from torch import Tensor

Kind = Literal["shanghaitech", "ubnormal", "avenue", "ucsd_ped1", "ucsd_ped2", "folder"]  # of data sets that are read
Source = Literal["auto", "ids", "masks", "tracks"]  # where the targets of dialogs come from

RAGGED = ("boxes",)  # tensors whose number of rows differs from clip to clip


class Turn(TypedDict):
    """One question of a dialog and its answer."""

    task: str  # judgement, target, trajectory, environment, or a pretraining kind such as "count"
    question: str
    answer: str  # the reference; "" where there is none, as in predict
    disagrees: NotRequired[list[str]]  # what the answer says of the event otherwise than those before it (predict only)
    about: NotRequired[int]  # id of the one object that is asked about, 0 for none (pretraining only)


class Sample(TypedDict):
    """One clip as a data set yields it: raw frames and words, no tokenizer, no normalization."""

    video: Tensor  # uint8 [T, 3, H, W], RGB
    frames: Tensor  # int64 [T], 0-based indices in the source, rising; a video shorter than a clip repeats its last
    fps: float  # frames a second of the source (not of the clip)
    name: str
    turns: list[Turn]  # empty where the data set has no dialogs
    labels: NotRequired[Tensor]  # bool [T], the data set's own frame labels; absent where it has none: a mask that was
    # resized is no label
    mask: NotRequired[Tensor]  # bool [T, H, W], True where abnormal; absent where the data set has no masks
    boxes: NotRequired[Tensor]  # int64 [n, 6], true boxes: track, index in the clip (0..T-1), x1, y1, x2, y2 in pixels
    # of the frames above, inclusive; absent where objects have no identity
    ids: NotRequired[Tensor]  # uint8 [T, H, W], object ids of ALL objects, 0 background (pretraining only)
    objects: NotRequired[Tensor]  # int64 [256, A], attributes of object id i in row i, -1 unknown (pretraining only)


class Batch(TypedDict):
    """Samples of equal size side by side; what is not a tensor, or has as many rows as it likes, stays a list.

    What only some of the clips have (a mask, say) is a list too, None for the others: see `having`.
    """

    video: Tensor  # uint8 [B, T, 3, H, W]
    frames: Tensor  # int64 [B, T]
    fps: list[float]
    name: list[str]
    turns: list[list[Turn]]
    labels: NotRequired[Tensor]  # bool [B, T]
    mask: NotRequired[Tensor]  # bool [B, T, H, W]
    boxes: NotRequired[list[Tensor]]  # B of int64 [n, 6]
    ids: NotRequired[Tensor]  # uint8 [B, T, H, W]
    objects: NotRequired[Tensor]  # int64 [B, 256, A]


def side_by_side(columns: Mapping[str, Sequence[Any]]) -> Batch:
    """A batch of what each clip has, by key; None stands for what a clip has not, and a key that none has is absent."""
    import torch

    batch: dict[str, Any] = {}
    for key, values in columns.items():
        if any(value is not None for value in values):
            stacked = key not in RAGGED and all(isinstance(value, torch.Tensor) for value in values)
            batch[key] = torch.stack(list(values)) if stacked else list(values)
    return cast(Batch, batch)


def select(batch: Batch, rows: Sequence[int]) -> Batch:
    """Some clips of a batch, as a batch."""
    return side_by_side({key: [values[row] for row in rows] for key, values in cast(dict[str, Any], batch).items()})


def having(batch: Batch, key: str) -> list[int]:
    """Which clips of a batch have a part (labels, mask, boxes, ids)."""
    values = cast(dict[str, Any], batch).get(key, [])
    return [row for row, value in enumerate(values) if value is not None]


def clip_rates(batch: Batch) -> list[float]:
    """Frames a second of each clip: the source's rate over the clip's mean stride."""
    steps = batch["frames"].shape[1] - 1
    spans = [int(frames[-1] - frames[0]) for frames in batch["frames"]]
    return [fps * steps / span if span else fps for fps, span in zip(batch["fps"], spans, strict=True)]
