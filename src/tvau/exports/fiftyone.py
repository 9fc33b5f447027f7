"""Scores, boxes, events and heatmaps as a data set of FiftyOne."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from tvau.data.video import open_video
from tvau.exports.prediction import Prediction, distinct
from tvau.exports.tracks import LABEL
from tvau.files import whole_folder


def to_fiftyone(predictions: Sequence[Prediction], out: Path) -> list[Path]:
    """A folder that FiftyOne imports: `fo.Dataset.from_dir(out, dataset_type=fo.types.FiftyOneDataset)`.

    Each video has its score and its events (temporal detections); each frame its score, its boxes with the number of
    the target as index, and, where the prediction holds `heatmap.mp4`, its heatmap as a gray PNG beside it. Videos stay
    where they are.
    """
    distinct(predictions)
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(out, "samples.json") as folder:
        (folder / "frames").mkdir()
        samples = []
        for each in predictions:
            path = folder / "frames" / f"{each.name}.json"
            path.write_text(json.dumps({"frames": _frames(each, folder, out)}), encoding="utf-8")
            samples.append(_sample(each))
        for name, content in (("metadata", {"media_type": "video"}), ("samples", {"samples": samples})):
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return [out]


def _sample(each: Prediction) -> dict[str, Any]:
    events = [
        {"_cls": "TemporalDetection", "tags": [], "label": LABEL,
         "confidence": event.get("probability", event["highest"]),
         "support": [event["frames"][0] + 1, event["frames"][1] + 1]}
        for event in each.events
    ]  # fmt: skip
    said = "\n".join(f"{turn['question']} {turn['answer']}" for window in each.windows for turn in window["turns"])
    return {
        "filepath": str(Path(each.video).absolute()), "_media_type": "video", "tags": [], "metadata": None,
        "frames": f"frames/{each.name}.json", "score": float(each.probabilities.max(initial=0)), "dialog": said,
        "events": {"_cls": "TemporalDetections", "detections": events},
    }  # fmt: skip


def _frames(each: Prediction, folder: Path, out: Path) -> dict[str, Any]:
    """Frame labels by number, from 1; heatmaps are written into the folder that becomes `out`."""
    (height, width), frames = each.size, {}
    for frame, score in enumerate(each.probabilities.tolist()):
        frames[str(frame + 1)] = {
            "_cls": "Frame", "frame_number": frame + 1, "score": score,
            "boxes": {"_cls": "Detections", "detections": []},
        }  # fmt: skip
    for frame, x1, y1, x2, y2, score, number in each.boxes.tolist():
        frames[str(int(frame) + 1)]["boxes"]["detections"].append(
            {"_cls": "Detection", "tags": [], "label": LABEL, "confidence": score, "index": int(number),
             "bounding_box": [x1 / width, y1 / height, (x2 - x1 + 1) / width, (y2 - y1 + 1) / height]}
        )  # fmt: skip
    if (each.folder / "heatmap.mp4").is_file():
        (folder / "heatmaps" / each.name).mkdir(parents=True)
        with open_video(each.folder / "heatmap.mp4") as video:
            for number, picture in enumerate(video, start=1):
                name = Path("heatmaps") / each.name / f"{number:06d}.png"
                cv2.imwrite(str(folder / name), picture[:, :, 0])
                frames[str(number)]["heatmap"] = {
                    "_cls": "Heatmap", "tags": [], "map_path": str((out / name).absolute()), "range": [0, 255],
                }  # fmt: skip
    return frames
