"""`tvau export`: results of `tvau predict` in the formats of other tools."""

from pathlib import Path
from typing import Any, Literal

from tvau.errors import OptionError

ENDINGS = {"coco": ".json", "labelstudio": ".json", "sharegpt": ".jsonl", "swift": ".jsonl"}  # the others: a folder


def export(
    predictions: str,
    to: Literal["coco", "mot", "cvat", "labelstudio", "fiftyone", "sharegpt", "swift"] = "coco",
    out: str | None = None,
    least: float | None = None,
    clips: bool = False,
    prefix: str = "",
) -> None:
    """Writes what `tvau predict` found and said in a format that other tools open.

    Args:
        predictions: the folder that `tvau predict` wrote, or that of one video in it.
        to: coco (JSON with video and track ids), mot (MOT text, a file a video), cvat (CVAT for video 1.1, an XML a
            video), labelstudio (JSON of tasks, and the interface), fiftyone (a data set's folder with heatmaps),
            sharegpt or swift (dialogs as JSON lines).
        out: the file or folder; null: beside the predictions, named after the format.
        least: score of a box that is written; null: what the pictures mark, a half or what begins an event if less.
        clips: for sharegpt and swift: write the frames of each dialog as a video of their own.
        prefix: for labelstudio: what stands before the name of each video file, such as "/data/local-files/?d=videos/".
    """
    from tvau.exports import FORMATS, read_predictions

    if least is not None and not 0 <= least <= 1:
        raise OptionError(f"--least {least}: expected a score in [0, 1]")
    options: dict[str, Any] = {}
    if clips:
        if to not in ("sharegpt", "swift"):
            raise OptionError(f"--clips belongs to dialogs (--to sharegpt, --to swift), not to {to}")
        options["clips"] = True
    if prefix:
        if to != "labelstudio":
            raise OptionError(f"--prefix belongs to --to labelstudio, not to {to}")
        options["prefix"] = prefix
    found = read_predictions(predictions, least)
    path = Path(out) if out else Path(predictions).absolute().parent / f"{Path(predictions).name}_{to}"
    if to in ENDINGS and not out:
        path = path.with_name(path.name + ENDINGS[to])
    written = FORMATS[to](found, path, **options)
    boxes = sum(len(each.boxes) for each in found)
    targets = sum(len(each.targets()) for each in found)
    said = sum(bool(window["turns"]) for each in found for window in each.windows)
    what = f"{said} dialogs" if to in ("sharegpt", "swift") else f"{boxes} boxes of {targets} targets"
    print(f"{len(found)} videos, {what}: {path if len(written) > 1 else written[0]}")
