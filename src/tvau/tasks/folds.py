"""One test in several parts: what each fold of a leave-videos-out test saw, kept in a file and scored together."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from tvau.errors import DataError
from tvau.files import whole
from tvau.metrics import PixelScores, RegionScores
from tvau.metrics.boxes import MapRule
from tvau.metrics.events import EventRule, event_summary
from tvau.metrics.frame import frame_summary
from tvau.tasks.maps import MapScores

PARTS = ("frame", "events", "pixel", "region")  # of MapScores, each a torchmetrics class


def save_scores(path: Path, scores: Mapping[str, MapScores], extra: Mapping[str, NDArray[Any]] | None = None) -> None:
    """Writes what each method's scores have seen, and further arrays, as one npz, whole or not at all."""
    arrays: dict[str, Any] = dict(extra or {})
    for method, own in scores.items():
        numbers = own.rule.stored()
        arrays[f"{method}/rule"] = np.array([*numbers.pop("events").values(), *numbers.values()])
        for part in PARTS:
            for name, state in getattr(own, part).metric_state.items():
                rows = getattr(own, part).all_rows(name) if isinstance(state, list) else state
                arrays[f"{method}/{part}/{name}"] = rows.cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_scores(path: Path) -> tuple[dict[str, MapScores], dict[str, NDArray[Any]]]:
    """The scores by method and the further arrays that `save_scores` wrote; nothing in the file is executed.

    Raises:
        DataError: no such file, or none of `save_scores`.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        methods = {}
        for method in [key.removesuffix("/rule") for key in arrays if key.endswith("/rule")]:
            *events, threshold, area, smoothing, scale, bias = arrays.pop(f"{method}/rule").tolist()
            methods[method] = MapScores(MapRule(threshold, area, smoothing, EventRule(*events), scale, bias))
            for part in PARTS:
                metric = getattr(methods[method], part)
                for name, state in metric.metric_state.items():
                    rows = torch.from_numpy(arrays.pop(f"{method}/{part}/{name}"))
                    setattr(metric, name, [rows] if isinstance(state, list) else rows)
        if not methods:
            raise ValueError("no method in it")
    except (OSError, ValueError, EOFError, KeyError, TypeError, BadZipFile) as error:
        raise DataError(f"{path}: no scores of a fold ({error}); delete it and test that fold again.") from error
    return methods, arrays


def merged(folds: Sequence[MapScores], bootstrap: int = 0) -> dict[str, Any]:
    """The scores of the folds as one test over all of their videos: "frame", "events", "pixel" and "region".

    Maps, boxes and frame scores of all folds stand in one list and share every threshold. Boxes, events and smoothing
    were read by each fold's own rule.

    Args:
        folds: that share no video.
        bootstrap: resamplings of the videos behind the intervals; 0: none.

    Raises:
        DataError: a video in two folds.
    """
    seen = [set(fold.frame.all_rows("keys")[:, 0].tolist()) for fold in folds]
    if sum(map(len, seen)) != len(set().union(*seen)):
        raise DataError(f"{len(folds)} folds with {sum(map(len, seen))} videos, of which {len(set().union(*seen))} are "
                        "different; expected every video in one fold only.")  # fmt: skip
    pixel, region = PixelScores(bootstrap=bootstrap), RegionScores(bootstrap=bootstrap)
    for fold in folds:
        pixel.merge_state(fold.pixel.metric_state)
        region.merge_state(fold.region.metric_state)
    frame = frame_summary([video for fold in folds for video in fold.frame.videos()], bootstrap)
    events = event_summary(np.concatenate([fold.events.by_video() for fold in folds]), bootstrap)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The ``compute`` method of metric")  # it was the folds that saw the clips
        return {"frame": frame, "events": events, "pixel": pixel.compute(), "region": region.compute()}
