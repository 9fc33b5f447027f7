"""Which object is abnormal, and when."""

import re
from dataclasses import dataclass
from pathlib import Path

from tvau.errors import DataError, shown


@dataclass(frozen=True)
class Track:
    """From which frame to which (inclusive, 0-based) an object behaves abnormally."""

    id: int
    start: int
    end: int


def is_notice(path: Path) -> bool:
    """Whether a file beside the data speaks to people: a readme, a license, a list of changes."""
    words = "read.?me|licen[cs]e|copying|copyright|notice|authors|citation|change(s|log)|terms"
    return re.match(rf"({words})(?![a-z0-9])", path.name.lower()) is not None


def read_text(path: Path) -> str:
    """A text file, with any line ends; DataError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}).") from error


def read_tracks(path: Path) -> list[Track]:
    """The tracks of a file of lines "object_id,start,end"; numbers may be written as floats.

    Raises:
        DataError: an empty file, or a line that is not a track; says which.
    """
    tracks = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = [float(part) for part in line.split(",")]
            if len(values) != 3 or not all(value.is_integer() for value in values):
                raise ValueError
            track = Track(*map(int, values))
            if not (1 <= track.id <= 255 and 0 <= track.start <= track.end < 2**31):
                raise ValueError
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: expected object_id,start,end (whole numbers, id 1..255, "
                f"0 <= start <= end), not {shown(line.strip())}."
            ) from error
        tracks.append(track)
    if not tracks:
        raise DataError(f"{path}, line 1: the file is empty; an abnormal video needs at least one track.")
    return tracks
