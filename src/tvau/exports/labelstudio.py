"""Boxes, tracks and events as tasks of Label Studio, with the interface that shows them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvau import __version__
from tvau.exports.prediction import Prediction, save
from tvau.exports.tracks import LABEL

INTERFACE = f"""<View>
  <TimelineLabels name="when" toName="video"><Label value="{LABEL}" background="#1f7a76"/></TimelineLabels>
  <Labels name="what" toName="video"><Label value="{LABEL}" background="#1f7a76"/></Labels>
  <Video name="video" value="$video" frameRate="$fps"/>
  <VideoRectangle name="box" toName="video"/>
</View>
"""


def to_labelstudio(predictions: Sequence[Prediction], out: Path, prefix: str = "") -> list[Path]:
    """A JSON file of tasks, each with a prediction, and the labelling interface beside it (the same name, .xml).

    Boxes are in percent of the picture, frames count from 1.

    Args:
        out: the JSON file.
        prefix: before the name of each video file, such as "/data/local-files/?d=videos/"; "": the path as it is.
    """
    tasks = [
        {
            "data": {"video": prefix + Path(each.video).name if prefix else each.video, "fps": round(each.fps, 4)},
            "predictions": [
                {"model_version": f"tvau {__version__}", "score": float(each.probabilities.max(initial=0)),
                 "result": [*map(_event(each), each.events), *(_target(each, *own) for own in each.targets().items())]}
            ],
        }
        for each in predictions
    ]  # fmt: skip
    tasks_file = save(out, json.dumps(tasks, indent=1, ensure_ascii=False) + "\n")
    return [tasks_file, save(out.with_suffix(".xml"), INTERFACE)]


def _event(prediction: Prediction) -> Any:
    def result(event: dict[str, Any]) -> dict[str, Any]:
        first, last = event["frames"]
        return {
            "id": f"event-{first}", "type": "timelinelabels", "from_name": "when", "to_name": "video",
            "origin": "prediction", "score": float(prediction.probabilities[first : last + 1].max()),
            "value": {"ranges": [{"start": first + 1, "end": last + 1}], "timelinelabels": [LABEL]},
        }  # fmt: skip

    return result


def _target(prediction: Prediction, number: int, boxes: Any) -> dict[str, Any]:
    (height, width), total = prediction.size, len(prediction.seconds)
    followed = np.append(np.diff(boxes[:, 0]) == 1, False)  # else the box ends with its frame
    sequence = [
        {
            "frame": int(frame) + 1, "enabled": bool(goes_on), "rotation": 0,
            "time": round(float(prediction.seconds[int(frame)]), 3),
            "x": round(100 * x1 / width, 4), "y": round(100 * y1 / height, 4),
            "width": round(100 * (x2 - x1 + 1) / width, 4), "height": round(100 * (y2 - y1 + 1) / height, 4),
        }
        for (frame, x1, y1, x2, y2, _), goes_on in zip(boxes.tolist(), followed, strict=True)
    ]  # fmt: skip
    duration = round(float(prediction.seconds[-1]) + 1 / prediction.fps, 3)
    return {
        "id": f"target-{number}", "type": "videorectangle", "from_name": "box", "to_name": "video",
        "origin": "prediction", "score": float(boxes[:, 5].max()),
        "value": {"framesCount": total, "duration": duration, "sequence": sequence, "labels": [LABEL]},
    }  # fmt: skip
