"""The folders that `tvau predict` writes, read back."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvau.data.following import Follower
from tvau.errors import DataError, OptionError
from tvau.files import whole
from tvau.metrics.events import EventRule
from tvau.metrics.files import read_detections
from tvau.viz.told import marked


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was seen and said of one video.

    Attributes:
        folder: that `tvau predict` wrote.
        name: of the folder.
        video: the path of the file or frame folder that was looked at; its name alone where that is not known.
        size: (height, width), pixels.
        seconds: [N] when each frame of the video is shown.
        scores: [N] in [0, 1]; empty where the model gives none.
        probabilities: [N] that frames are abnormal, where the model was calibrated; else the scores.
        boxes: [n, 7], rows of frame, x1, y1, x2, y2 (pixels, inclusive), score, number of the target from 1.
        events: as in `summary.json`.
        windows: the dialogs, as in `dialog.json`.
    """

    folder: Path
    name: str
    video: str
    size: tuple[int, int]
    seconds: NDArray[np.float64]
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    boxes: NDArray[np.float64]
    events: list[dict[str, Any]]
    windows: list[dict[str, Any]]

    @property
    def fps(self) -> float:
        """Frames a second, the mean."""
        last = float(self.seconds[-1] - self.seconds[0])
        return (len(self.seconds) - 1) / last if last > 0 else 25.0

    def targets(self) -> dict[int, NDArray[np.float64]]:
        """The boxes of each target [k, 6]: frame, x1, y1, x2, y2, score; frames rising."""
        numbers = self.boxes[:, 6].astype(int)
        return {int(number): self.boxes[numbers == number, :6] for number in np.unique(numbers)}


def read_predictions(folder: str | Path, least: float | None = None) -> list[Prediction]:
    """All predictions of a folder, or the one that it is, in order of their names.

    Raises:
        DataError: there is none, or files that do not belong together.
    """
    folder = Path(folder)
    found = [folder] if _is_prediction(folder) else sorted(filter(_is_prediction, folder.glob("[!.]*/")))
    if not found:
        raise DataError(f"{folder}: no results of `tvau predict` (folders with summary.json and dialog.json).")
    return [read_prediction(each, least) for each in found]


def _is_prediction(folder: Path) -> bool:
    return (folder / "summary.json").is_file() and (folder / "dialog.json").is_file()


def read_prediction(folder: str | Path, least: float | None = None) -> Prediction:
    """One folder that `tvau predict` wrote.

    Args:
        folder: of one video.
        least: score of a box that is read; None: what the pictures mark, see `tvau.viz.told.marked`.

    Raises:
        DataError: a file is missing or broken, or boxes lie outside the video; says which.
    """
    folder = Path(folder)
    try:
        summary, dialog = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("summary", "dialog"))
        made = folder / "made.json"
        source = json.loads(made.read_text("utf-8"))["source"] if made.is_file() else summary
        video = source.get("path", summary["video"])
        height, width = summary["size"]
        total, length = int(summary["frames"]), float(summary["seconds"])
        events, windows = list(summary.get("events", [])), list(dialog["windows"])
        scored = (folder / "scores.csv").is_file()
        rows: list[dict[str, str]] = []
        if scored:
            with (folder / "scores.csv").open(encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        seconds = np.array([float(row["seconds"]) for row in rows]) if scored else np.arange(total) * length / total
        scores = np.array([float(row["score"]) for row in rows])
        sure = np.array([float(row.get("probability", row["score"])) for row in rows])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: not what `tvau predict` writes ({error!r}); predict it again.") from error
    if len(seconds) != total or total < 1:
        raise DataError(f"{folder}: {len(seconds)} scores for {total} frames; predict it again.")
    mapped = (folder / "detections.txt").is_file()
    found = read_detections(folder / "detections.txt", total) if mapped else np.empty((0, 6))
    least = marked(EventRule.restored(summary.get("rule"))) if least is None else least
    boxes = numbered(found[found[:, 5] >= least])
    return Prediction(folder, folder.name, video, (height, width), seconds, scores, sure, boxes, events, windows)


def numbered(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes [n, 6] with the number of the target of each behind them, frames rising: see `Follower`."""
    follow, parts = Follower(), [np.empty((0, 7))]
    for frame in np.unique(boxes[:, 0]):
        own = boxes[boxes[:, 0] == frame]
        parts.append(np.column_stack([own, follow(int(frame), own[:, 1:6])]))
    return np.concatenate(parts)


def distinct(predictions: Sequence[Prediction]) -> None:
    """Raises DataError where two predictions would write the same name."""
    names = [prediction.name for prediction in predictions]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DataError(f"two predictions are called {min(twice)}; export them into folders of their own.")


def save(path: Path, text: str) -> Path:
    """Writes a file whole or not at all, in a folder that is made where it is missing.

    Raises:
        OptionError: a folder stands there.
    """
    if path.is_dir():
        raise OptionError(f"{path} is a folder: name the file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
