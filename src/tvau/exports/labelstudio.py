"""Boxes, tracks and events as tasks of Label Studio, with the interface that shows them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvau import __version__
from tvau.exports.prediction import Prediction, save
from tvau.exports.tracks import LABEL
from tvau.metrics.events import step_of

INTERFACE = f"""<View>
  <TimelineLabels name="when" toName="video"><Label value="{LABEL}" background="#1f7a76"/></TimelineLabels>
  <Labels name="what" toName="video"><Label value="{LABEL}" background="#1f7a76"/></Labels>
  <Video name="video" value="$video" frameRate="$fps"/>
  <VideoRectangle name="box" toName="video"/>
</View>
"""


def to_labelstudio(predictions: Sequence[Prediction], out: Path, prefix: str = "") -> list[Path]:
    """A JSON file of tasks, each with a prediction, and the labelling interface beside it (the same name, .xml).

    Boxes are in percent of the picture, frames count from 1. Label Studio takes a frame for time times one rate, so
    those of a video of changing rate are counted as if it had the rate of its most frequent step throughout.

    Args:
        out: the JSON file.
        prefix: before the name of each video file, such as "/data/local-files/?d=videos/"; "": the path as it is.
    """
    tasks = [
        {
            "data": {"video": prefix + Path(each.video).name if prefix else each.video, "fps": round(_rate(each), 4)},
            "predictions": [
                {"model_version": f"tvau {__version__}", "score": float(each.probabilities.max(initial=0)),
                 "result": [*map(_event(each), each.events), *(_target(each, *own) for own in each.targets().items())]}
            ],
        }
        for each in predictions
    ]  # fmt: skip
    tasks_file = save(out, json.dumps(tasks, indent=1, ensure_ascii=False) + "\n")
    return [tasks_file, save(out.with_suffix(".xml"), INTERFACE)]


def _rate(prediction: Prediction) -> float:
    """Frames a second by which time tells the frame: that of the video, or of its middle step where that changes."""
    steady = np.abs(prediction.seconds * prediction.fps - np.arange(len(prediction.seconds))).max() < 0.5
    return prediction.fps if steady else 1 / step_of(prediction.seconds)


def _frames(prediction: Prediction) -> NDArray[np.int64]:
    """The number of each frame as Label Studio counts them, from 1."""
    return np.rint(prediction.seconds * _rate(prediction)).astype(int) + 1


def _event(prediction: Prediction) -> Any:
    numbers = _frames(prediction).tolist()

    def result(event: dict[str, Any]) -> dict[str, Any]:
        first, last = event["frames"]
        return {
            "id": f"event-{first}", "type": "timelinelabels", "from_name": "when", "to_name": "video",
            "origin": "prediction", "score": float(prediction.probabilities[first : last + 1].max()),
            "value": {"ranges": [{"start": numbers[first], "end": numbers[last]}], "timelinelabels": [LABEL]},
        }  # fmt: skip

    return result


def _target(prediction: Prediction, number: int, boxes: Any) -> dict[str, Any]:
    (height, width), numbers = prediction.size, _frames(prediction).tolist()
    followed = np.append(np.diff(boxes[:, 0]) == 1, False)  # else the box ends with its frame
    sequence = [
        {
            "frame": numbers[int(frame)], "enabled": bool(goes_on), "rotation": 0,
            "time": round(float(prediction.seconds[int(frame)]), 3),
            "x": round(100 * x1 / width, 4), "y": round(100 * y1 / height, 4),
            "width": round(100 * (x2 - x1 + 1) / width, 4), "height": round(100 * (y2 - y1 + 1) / height, 4),
        }
        for (frame, x1, y1, x2, y2, _), goes_on in zip(boxes.tolist(), followed, strict=True)
    ]  # fmt: skip
    duration = round(float(prediction.seconds[-1]) + 1 / _rate(prediction), 3)
    return {
        "id": f"target-{number}", "type": "videorectangle", "from_name": "box", "to_name": "video",
        "origin": "prediction", "score": float(boxes[:, 5].max()),
        "value": {"framesCount": numbers[-1], "duration": duration, "sequence": sequence, "labels": [LABEL]},
    }  # fmt: skip
