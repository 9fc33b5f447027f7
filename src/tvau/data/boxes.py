"""Track files: where each abnormal object is, frame by frame."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tvau.data.images import Size
from tvau.data.tracks import read_text
from tvau.errors import DataError, shown

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels, from the upper left corner; x1 and y1 exclusive


@dataclass(frozen=True)
class BoxTrack:
    """One object: its boxes by frame (0-based, rising; frames may be missing in between)."""

    id: int
    boxes: dict[int, Box]


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The bounding box of a mask that is not empty, ends exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def clip_boxes(tracks: Iterable[BoxTrack], frames: Sequence[int], size: Size, shape: Size) -> NDArray[np.int64]:
    """The boxes of a clip's frames, resized: [n, 6], track, index in the clip, x1, y1, x2, y2 in pixels, inclusive.

    Args:
        tracks: of the video, in pixels of a picture of `size` (height, width).
        frames: of the clip.
        size, shape: (height, width) of the video's pictures and of the clip's.
    """
    y, x = shape[0] / size[0], shape[1] / size[1]
    rows = [
        (track.id, at, floor(box[0] * x), floor(box[1] * y), ceil(box[2] * x) - 1, ceil(box[3] * y) - 1)
        for track in tracks
        for at, frame in enumerate(frames)
        if (box := track.boxes.get(int(frame))) is not None
    ]
    return np.array(rows, np.int64).reshape(-1, 6)


def read_shanghaitech_tracks(path: Path) -> list[BoxTrack]:
    """Tracks of lines "track_id,frame,x_min,y_min,x_max,y_max": 0-based frames, inclusive pixels, in any order.

    Those of Georgescu et al., TPAMI 2021.

    Raises:
        DataError: a line that is no box, or a second box of a track in one frame; says which line. An empty file.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        values = _numbers(line.split(","), 6)
        if values is None or values[4] < values[2] or values[5] < values[3]:
            raise DataError(
                f"{path}, line {number}: expected track_id,frame,x_min,y_min,x_max,y_max (whole numbers, "
                f"x_min <= x_max, y_min <= y_max), not {shown(line.strip())}."
            )
        track, frame, x0, y0, x1, y1 = values
        rows.append((number, track, frame, (float(x0), float(y0), float(x1 + 1), float(y1 + 1))))
    return _grouped(path, rows)


def read_ucsd_tracks(path: Path) -> list[BoxTrack]:
    """Tracks of lines "frame_file track_id cx cy w h" with 1-based frames in the file names (Ramachandra's).

    Raises:
        DataError: a line that is no box, or a second box of a track in one frame; says which line. An empty file.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        digits = "".join(c for c in Path(words[0]).stem if c.isdigit() and c.isascii())
        frame = int(digits[-9:]) - 1 if digits else -1
        try:
            track, (x, y, w, h) = int(words[1]), map(float, words[2:])
            if frame < 0 or track < 0 or not (0 < w < 1e6 and 0 < h < 1e6 and abs(x) < 1e6 and abs(y) < 1e6):
                raise ValueError
        except (ValueError, IndexError) as error:
            raise DataError(
                f"{path}, line {number}: expected frame_file track_id cx cy w h (a name with a number from 1, a whole "
                f"number, four pixels), not {shown(line.strip())}."
            ) from error
        rows.append((number, track, frame, (x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
    return _grouped(path, rows)


def _numbers(words: list[str], count: int) -> list[int] | None:
    """Whole numbers, also where they are written as floats; track and frame not below 0."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        return None
    if len(values) != count or not all(value.is_integer() and abs(value) < 1e9 for value in values):
        return None
    return [int(value) for value in values] if min(values[:2]) >= 0 else None


def _grouped(path: Path, rows: Iterable[tuple[int, int, int, Box]]) -> list[BoxTrack]:
    """Tracks in the order in which the file first names them, their boxes in the order of the frames."""
    tracks: dict[int, dict[int, Box]] = {}
    for number, track, frame, box in rows:
        if frame in tracks.setdefault(track, {}):
            raise DataError(f"{path}, line {number}: track {track} has two boxes in frame {frame}.")
        tracks[track][frame] = box
    if not tracks:
        raise DataError(f"{path}, line 1: the file is empty; expected at least one track.")
    return [BoxTrack(track, dict(sorted(boxes.items()))) for track, boxes in tracks.items()]
