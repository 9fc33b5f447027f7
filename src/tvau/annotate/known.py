"""What is known of targets besides masks: the data set's categories, and a file of attributes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvau.annotate.phrases import Description
from tvau.data.traces import Trace
from tvau.data.tracks import read_text
from tvau.errors import DataError

LIKE = 0.3  # mean overlap of boxes from which a target of the file is a target of ours

Attributes = dict[str, list[dict[str, Any]]]


def read_attributes(path: Path) -> Attributes:
    """A json file {video: [{"target_id", "category", "appearance", "action", "boxes"}, ...]}; keys with `_` are notes.

    `boxes` {frame: [x0, y0, x1, y1]} say which target is meant, by overlap; without them `target_id` is the id in the
    id maps or the track file. Everything else is optional text.

    Raises:
        DataError: anything else; says where.
    """
    try:
        videos = json.loads(read_text(path))
        if not isinstance(videos, dict):
            raise ValueError("not an object")
        videos = {name: targets for name, targets in videos.items() if not name.startswith("_")}
        for name, targets in videos.items():
            if not isinstance(targets, list) or not all(isinstance(target, dict) for target in targets):
                raise ValueError(f"{name!r} is not a list of objects")
            for target in targets:
                if not all(isinstance(target.get(key, ""), str) for key in ("category", "appearance", "action")):
                    raise ValueError(f"category, appearance and action of a target of {name!r} have to be texts")
                boxes = target.get("boxes", {})
                if not boxes and not isinstance(target.get("target_id"), int):
                    raise ValueError(f"a target of {name!r} has neither boxes nor a whole number as target_id")
                table = np.array([[int(frame), *map(float, box)] for frame, box in boxes.items()] or np.zeros((0, 5)))
                if table.shape[1:] != (5,) or not np.isfinite(table).all():
                    raise ValueError(f"boxes of a target of {name!r} have to be {{frame: [x0, y0, x1, y1]}}")
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise DataError(
            f"{path}: expected attributes as {{video: [{{target_id, category, ...}}]}} ({error})."
        ) from error
    return videos


def attributes_of(trace: Trace, targets: Sequence[dict[str, Any]]) -> Description | None:
    """What a file says of a target of ours; None where it does not speak of it."""
    scored = [(_likeness(trace, target), at) for at, target in enumerate(targets)]
    if not scored or max(scored)[0] < LIKE:
        return None
    target = targets[max(scored)[1]]
    name = target.get("appearance") or target.get("category", "")
    return Description(name, "", target.get("action", ""), "attributes")


def category_of(trace: Trace, targets: Sequence[dict[str, Any]]) -> str:
    """The category of a target: the data set's, or that of a file of attributes; "" unknown."""
    scored = [(_likeness(trace, target), at) for at, target in enumerate(targets)]
    if trace.category or not scored or max(scored)[0] < LIKE:
        return trace.category
    return str(targets[max(scored)[1]].get("category", ""))


def _likeness(trace: Trace, target: dict[str, Any]) -> float:
    """Mean overlap (IoU) of boxes over the frames that both have; 1 or 0 by id where the file has no boxes."""
    boxes = target.get("boxes")
    if not boxes:
        return float(target["target_id"] == trace.id)
    ours = dict(zip(trace.frames.tolist(), trace.boxes, strict=True))
    both = [(ours[int(t)], np.array(box, float)) for t, box in boxes.items() if int(t) in ours]
    if not both:
        return 0.0
    a, b = (np.stack(side) for side in zip(*both, strict=True))
    shared = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(1)
    return float((shared / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared)).mean())
