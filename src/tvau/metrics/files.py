"""The field's text files: tracks, detections, frame scores and labels, a file a video. Every wrong line is named."""

import json
import re
from collections.abc import Mapping, Sequence
from csv import DictReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tvau.data.boxes import read_ucsd_tracks
from tvau.data.tracks import is_notice, read_text
from tvau.errors import DataError, shown

TRACK = ("track_id", "frame", "x1", "y1", "x2", "y2")
DETECTION = ("frame", "x1", "y1", "x2", "y2", "score")
EVENT = ("first", "last")
ENDINGS = (".txt", ".csv")
SUMMARY = "summary.json"  # of `tvau predict`
WHOLE = ""  # the name under which one array of the frames of all videos stands


def video_files(folder: Path, endings: Sequence[str] = ENDINGS, inside: str = "") -> dict[str, Path]:
    """The files of a folder by the name of their video, sorted; what is hidden, a readme or license is passed over.

    Args:
        folder: with a file a video or, as `tvau predict` leaves it, a folder a video.
        endings: of the files.
        inside: the file in a video's folder that is meant; "": there are no such folders.

    Raises:
        DataError: no such folder, no file, or two files of one video.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one with a file a video ({', '.join(endings)}).")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in endings or path.name.startswith(".") or is_notice(path) or path.is_dir():
            continue
        if path.stem in found:
            raise DataError(f"{path} and {found[path.stem].name} are both files of the video {path.stem}; keep one.")
        found[path.stem] = path
    if not found and inside:
        paths = {path.relative_to(folder): path for path in sorted(folder.glob(f"*/**/{inside}"))}
        found = {
            name.parent.as_posix(): path
            for name, path in paths.items()
            if not any(part.startswith(".") for part in name.parts)  # results in the making, see `whole_folder`
        }
    if not found:
        more = f", nor a folder a video with {inside} in it" if inside else ""
        raise DataError(f"{folder}: no file a video in there ({', '.join(endings)}){more}.")
    return found


def _parsed(line: str, count: int) -> list[float]:
    """The numbers of a line; ValueError says what is wrong."""
    parts = line.split(",")
    if len(parts) != count:
        raise ValueError(f"{len(parts)} values")
    if "_" in line:  # Python takes 1_000 for a number
        raise ValueError("an underscore in a number")
    values = [float(part) for part in parts]
    if not np.isfinite(values).all():
        raise ValueError("a value that is not finite")
    return values


def _rows(path: Path, columns: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The numbers [n, columns] of a file, and the line each comes from; blank lines and the header are passed over."""
    lines = read_text(path).split("\n")
    first = next((at for at, line in enumerate(lines) if line.strip()), 0)
    if re.sub(r"[#\s\"]", "", lines[first].lower()) == ",".join(columns):
        lines[first] = ""
    numbers = np.array([i for i, line in enumerate(lines, start=1) if line.strip()], np.int64)
    try:  # fast; whatever it does not like, the loop below decides about, line by line
        rows = np.loadtxt(lines, delimiter=",", ndmin=2, comments=None) if len(numbers) else np.empty((0, len(columns)))
        if rows.shape == (len(numbers), len(columns)) and np.isfinite(rows).all():
            return rows, numbers
    except ValueError:
        pass
    rows = np.empty((len(numbers), len(columns)))
    for at, number in enumerate(numbers):
        try:
            rows[at] = _parsed(lines[number - 1], len(columns))
        except ValueError as error:
            expected = "a number" if len(columns) == 1 else ",".join(columns)
            line = shown(lines[number - 1].strip())
            raise DataError(f"{path}, line {number}: expected {expected}, not {line} ({str(error)[:80]}).") from error
    return rows, numbers


def _refuse(path: Path, lines: NDArray[np.int64], wrong: NDArray[np.bool_], why: str) -> None:
    if wrong.any():
        more = f" ({int(wrong.sum())} such lines)" if wrong.sum() > 1 else ""
        raise DataError(f"{path}, line {lines[wrong][0]}: {why}{more}.")


def _read_boxes(
    path: Path, columns: Sequence[str], frames: int | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rows, lines = _rows(path, columns)
    frame, at = rows[:, columns.index("frame")], columns.index("x1")
    _refuse(path, lines, (frame < 0) | (frame % 1 != 0) | (frame > 2**40), "the frame is no whole number from 0 on")
    _refuse(path, lines, np.any(rows[:, at : at + 2] > rows[:, at + 2 : at + 4], axis=1),
            "expected x1 <= x2 and y1 <= y2 (corners, not a corner and a size)")  # fmt: skip
    if frames is not None:
        why = f"the frame lies behind the last one, {frames - 1} (frames count from 0)"
        if "track_id" in columns and len(rows) and rows[:, 0].max() < frames:
            why += "; are track and frame swapped?"
        _refuse(path, lines, frame >= frames, why)
    return rows, lines


def read_detections(path: Path, frames: int | None = None) -> NDArray[np.float64]:
    """Lines `frame,x1,y1,x2,y2,score` of one video, as [n, 6]; an empty file holds none.

    Args:
        path: the file; frames are 0-based, boxes inclusive.
        frames: how many the video has, if known.

    Raises:
        DataError: a line that is no such thing; says which.
    """
    return _read_boxes(path, DETECTION, frames)[0]


def read_track_boxes(path: Path, frames: int | None = None) -> NDArray[np.float64]:
    """Lines `track_id,frame,x1,y1,x2,y2` of one video, as [n, 6], in any order; arguments as `read_detections`.

    Ramachandra's lines `frame_file track_id cx cy w h` (of UCSD Ped and Avenue) are read, too.

    Raises:
        DataError: a line that is no such thing, or a second box of a track in one frame; says which.
    """
    if re.match(r"\s*[^\s,]+(\s+[^\s,]+){5}\s*$", next(filter(str.strip, read_text(path).split("\n")), "")):
        found = [
            (track.id, frame, x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
            for track in read_ucsd_tracks(path)
            for frame, (x0, y0, x1, y1) in track.boxes.items()
        ]
        last = max(frame for _, frame, *_ in found)
        if frames is not None and last >= frames:
            raise DataError(f"{path}: a box in frame {last} from 0, but the video ends with frame {frames - 1}.")
        return np.array(found, np.float64)
    rows, lines = _read_boxes(path, TRACK, frames)
    _refuse(path, lines, (rows[:, 0] % 1 != 0) | (np.abs(rows[:, 0]) > 2**40), "the track is no whole number")
    again = np.ones(len(rows), bool)
    again[np.unique(rows[:, :2], axis=0, return_index=True)[1]] = False
    _refuse(path, lines, again, "the track has a box in this frame already")
    return rows


def read_events(path: Path, frames: int) -> list[tuple[int, int]]:
    """Lines `first,last` of one video, or the `summary.json` of `tvau predict`; an empty file holds none.

    Args:
        path: the file; frames are 0-based, both ends belong to the event.
        frames: how many the video has.

    Raises:
        DataError: a line that is no such thing; says which.
    """
    if path.name == SUMMARY:
        try:
            rows = np.array([event["frames"] for event in json.loads(read_text(path))["events"]], float).reshape(-1, 2)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{path}: expected the summary of `tvau predict`, with events ({error!r}).") from error
        lines = np.arange(1, len(rows) + 1)
    else:
        rows, lines = _rows(path, EVENT)
    _refuse(path, lines, ((rows < 0) | (rows % 1 != 0)).any(1), "a frame that is no whole number from 0 on")
    _refuse(path, lines, rows[:, 0] > rows[:, 1], "an event that ends before it begins; expected first,last")
    _refuse(path, lines, rows[:, 1] >= frames, f"an event behind the last frame, {frames - 1} (frames count from 0)")
    return [(int(first), int(last)) for first, last in rows]


def read_series(path: Path, what: str) -> dict[str, NDArray[np.float64]]:
    """One number a frame of many videos: scores or labels.

    Args:
        path: a folder with a file a video, .npy (one dimension) or text with a number a line; the folder that `tvau
            predict` made; a .json file, {video: [numbers] or a text of zeros and ones}; or one .npy or text file with
            the frames of all videos one after the other, which is given the name `WHOLE`.
        what: "scores" or "labels", for errors.

    Raises:
        DataError: a wrong file or line, scores that are not finite, labels other than 0 and 1; says which.
    """
    if path.suffix.lower() == ".json":
        return {name: _in_range(v, what, f"{path}, {name}, frame") for name, v in _read_json(path).items()}
    files = {WHOLE: path} if path.is_file() else video_files(path, (*ENDINGS, ".npy"), "scores.csv")
    return {name: _series(file, what) for name, file in files.items()}


def split(values: NDArray[np.float64], lengths: Mapping[str, int], where: str) -> dict[str, NDArray[np.float64]]:
    """One array of the frames of all videos, cut into videos; they follow one another in the order of their names.

    Raises:
        DataError: another number of frames.
    """
    names = sorted(lengths)
    if len(values) != sum(lengths.values()):
        raise DataError(f"{where}: one array of {len(values)} frames, but the {len(names)} videos have "
                        f"{sum(lengths.values())} together.")  # fmt: skip
    return dict(zip(names, np.split(values, np.cumsum([lengths[name] for name in names])[:-1]), strict=True))


def _series(file: Path, what: str) -> NDArray[np.float64]:
    if file.suffix.lower() == ".npy":
        return _in_range(_read_npy(file), what, f"{file}, frame")
    if file.name == "scores.csv":
        try:
            values = np.array([float(row["score"]) for row in DictReader(read_text(file).splitlines())])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{file}: expected the columns of `tvau predict`, with score ({error!r}).") from error
        return _in_range(values, what, f"{file}, frame")
    rows, lines = _rows(file, ("value",))
    return _in_range(rows[:, 0], what, f"{file}, line", lines)


def _in_range(
    values: NDArray[np.float64], what: str, where: str, lines: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    if not len(values):
        raise DataError(f"{where.rpartition(',')[0]}: no {what}; expected one number a frame.")
    labels = what == "labels"
    wrong = ~np.isin(values, (0, 1)) if labels else ~np.isfinite(values)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        expected = "0 (normal) or 1 (abnormal)" if labels else "a finite number, the higher the more abnormal"
        raise DataError(f"{where} {at if lines is None else lines[at]}: {values[at]:g}; expected {expected}.")
    return values


def _read_npy(path: Path) -> NDArray[np.float64]:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an npy file of numbers ({error}).") from error
    if isinstance(values, np.ndarray) and values.ndim == 2 and 1 in values.shape:
        values = values.ravel()  # as many keep the frames of all videos: (1, frames)
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "biuf":
        shape = getattr(values, "shape", "an archive")
        raise DataError(f"{path}: expected one number a frame, in one dimension, not {shape}.")
    return values.astype(np.float64)


def _read_json(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON ({error}).") from error
    if not isinstance(content, Mapping) or not content:
        raise DataError(f"{path}: expected {{video: [one number a frame]}}.")
    series = {}
    for name, values in content.items():
        if isinstance(values, str) and re.fullmatch("[01]*", values):
            values = [int(digit) for digit in values]
        if not isinstance(values, list) or not all(isinstance(v, int | float) for v in values):
            raise DataError(f"{path}, {name}: expected a list of numbers, or a text of zeros and ones.")
        series[str(name)] = np.array(values, np.float64)
    return series
