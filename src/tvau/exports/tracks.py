"""Boxes and tracks as COCO JSON, MOT text and CVAT's XML."""

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tvau import __version__
from tvau.data.images import frame_files
from tvau.exports.prediction import Prediction, distinct, save

LABEL = "anomaly"


def to_coco(predictions: Sequence[Prediction], out: Path) -> list[Path]:
    """One JSON file: videos, every frame as an image, boxes with scores, video and track ids (unique over the file).

    Frames are named as the files of a frame folder, or `video/000000.jpg` from 0, as those of a file would be unpacked;
    no pictures are written.
    """
    content: dict[str, list[dict[str, object]]] = {"videos": [], "images": [], "annotations": []}
    tracks = 0
    for number, prediction in enumerate(predictions, start=1):
        (height, width), first = prediction.size, len(content["images"]) + 1
        total, source = len(prediction.seconds), Path(prediction.video)
        names = [path.name for path in frame_files(source)] if source.is_dir() else []
        names = names if len(names) == total else [f"{frame:06d}.jpg" for frame in range(total)]
        content["videos"].append(
            {"id": number, "name": prediction.name, "file_name": prediction.video, "width": width, "height": height,
             "length": total, "fps": round(prediction.fps, 4)}
        )  # fmt: skip
        content["images"] += [
            {"id": first + frame, "video_id": number, "frame_id": frame, "width": width, "height": height,
             "file_name": f"{prediction.name}/{name}", "seconds": round(float(prediction.seconds[frame]), 3)}
            for frame, name in enumerate(names)
        ]  # fmt: skip
        for frame, x1, y1, x2, y2, score, track in prediction.boxes.tolist():
            sides = [x1, y1, x2 - x1 + 1, y2 - y1 + 1]  # inclusive pixels: one that ends where it begins is 1 wide
            content["annotations"].append(
                {"id": len(content["annotations"]) + 1, "image_id": first + int(frame), "video_id": number,
                 "track_id": tracks + int(track), "category_id": 1, "bbox": [round(side, 2) for side in sides],
                 "area": round(sides[2] * sides[3], 2), "iscrowd": 0, "score": score}
            )  # fmt: skip
        tracks += int(prediction.boxes[:, 6].max(initial=0))
    info = {"description": f"tvau {__version__} predict"}
    return [save(out, json.dumps({"info": info, "categories": [{"id": 1, "name": LABEL}], **content}))]


def to_mot(predictions: Sequence[Prediction], out: Path) -> list[Path]:
    """A folder with a file a video, as trackers hand in to the MOT challenges.

    Lines `frame,track,left,top,width,height,score,-1,-1,-1`; frames and pixels count from 1.
    """
    distinct(predictions)
    written = []
    for prediction in predictions:
        lines = [
            f"{frame + 1:.0f},{track:.0f},{x1 + 1:.2f},{y1 + 1:.2f},{x2 - x1 + 1:.2f},{y2 - y1 + 1:.2f},{score:.6f}"
            ",-1,-1,-1\n"
            for frame, x1, y1, x2, y2, score, track in prediction.boxes.tolist()
        ]
        written.append(save(out / f"{prediction.name}.txt", "".join(lines)))
    return written


def to_cvat(predictions: Sequence[Prediction], out: Path) -> list[Path]:
    """A folder with an XML file a video, "CVAT for video 1.1": one track a target, every frame a key frame."""
    distinct(predictions)
    return [save(out / f"{prediction.name}.xml", _cvat(prediction)) for prediction in predictions]


def _cvat(prediction: Prediction) -> str:
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    total = len(prediction.seconds)
    facts = {"name": prediction.name, "size": total, "mode": "interpolation", "overlap": 0, "start_frame": 0,
             "stop_frame": total - 1, "source": Path(prediction.video).name}  # fmt: skip
    for name, value in facts.items():
        ElementTree.SubElement(task, name).text = str(value)
    label = ElementTree.SubElement(ElementTree.SubElement(task, "labels"), "label")
    ElementTree.SubElement(label, "name").text = LABEL
    attribute = ElementTree.SubElement(ElementTree.SubElement(label, "attributes"), "attribute")
    described = {"name": "score", "mutable": "True", "input_type": "text", "default_value": "", "values": ""}
    for name, text in described.items():
        ElementTree.SubElement(attribute, name).text = text
    size = ElementTree.SubElement(task, "original_size")
    for name, side in zip(("height", "width"), prediction.size, strict=True):
        ElementTree.SubElement(size, name).text = str(side)
    for number, boxes in prediction.targets().items():
        track = ElementTree.SubElement(root, "track", id=str(number - 1), label=LABEL, source="auto")
        ends = np.append(np.diff(boxes[:, 0]) > 1, boxes[-1, 0] < total - 1)  # where the target is gone in the next
        for row, gone in zip(boxes.tolist(), ends, strict=True):
            _cvat_box(track, row, outside=False)
            if gone:
                _cvat_box(track, [row[0] + 1, *row[1:]], outside=True)
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def _cvat_box(track: ElementTree.Element, row: list[float], outside: bool) -> None:
    frame, x1, y1, x2, y2, score = row
    corners = {"xtl": x1, "ytl": y1, "xbr": x2 + 1, "ybr": y2 + 1}
    told = {"frame": f"{frame:.0f}", "keyframe": "1", "outside": str(int(outside)), "occluded": "0", "z_order": "0"}
    box = ElementTree.SubElement(track, "box", told | {name: f"{corner:.2f}" for name, corner in corners.items()})
    ElementTree.SubElement(box, "attribute", name="score").text = f"{score:.4f}"
