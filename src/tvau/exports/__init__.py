"""What `tvau predict` wrote, in the formats that other tools open: see `tvau export`."""

from tvau.exports.dialogs import to_sharegpt, to_swift
from tvau.exports.fiftyone import to_fiftyone
from tvau.exports.labelstudio import to_labelstudio
from tvau.exports.prediction import Prediction, read_prediction, read_predictions
from tvau.exports.tracks import to_coco, to_cvat, to_mot

FORMATS = {
    "coco": to_coco, "mot": to_mot, "cvat": to_cvat, "labelstudio": to_labelstudio, "fiftyone": to_fiftyone,
    "sharegpt": to_sharegpt, "swift": to_swift,
}  # fmt: skip

__all__ = [
    "FORMATS", "Prediction", "read_prediction", "read_predictions", "to_coco", "to_cvat", "to_fiftyone",
    "to_labelstudio", "to_mot", "to_sharegpt", "to_swift",
]  # fmt: skip
