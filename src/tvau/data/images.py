"""Image files: the frames of a frame folder, which of them are frames, and in which order."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from tvau.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"})
MAX_PIXELS = 90_000_000  # of a picture; more than any camera's, 270 MB as RGB
NAMED = 4  # files that a sentence names
PIL.Image.MAX_IMAGE_PIXELS = None  # `expect_pixels`, which names the file, takes its place

Size = tuple[int, int]  # (height, width), pixels
Image = NDArray[np.uint8]  # [H, W, 3], RGB


def frame_files(folder: Path) -> list[Path]:
    """The frames of a folder in order; see `sort_frames`."""
    return sort_frames(folder)[0]


def sort_frames(folder: Path) -> tuple[list[Path], list[str]]:
    """The image files of a folder in the natural order of their names, and what is odd about them, in words.

    All numbers of a name count, from left to right: "cam1_9.jpg", "cam1_10.jpg", "cam2_1.jpg". Hidden files are left
    out (.DS_Store, ._001.jpg). So is, by name, what is no frame: images of another kind than most of them (png masks
    beside jpg frames), and those without a number where others have one (background.jpg).
    """
    files = [f for f in folder.iterdir() if not f.name.startswith(".") and f.suffix.lower() in IMAGE_SUFFIXES]
    odd = []
    kinds = Counter(_kind(file) for file in files)
    if len(kinds) > 1:
        frames = max(kinds, key=lambda kind: (kinds[kind], kind == ".jpg", kind))
        odd.append(_named([f for f in files if _kind(f) != frames], f"left out, no {frames} like most images there"))
        files = [file for file in files if _kind(file) == frames]
    plain = [file for file in files if not re.search(r"\d", file.stem)]
    if 0 < len(plain) < len(files):
        odd.append(_named(plain, "left out, no number in the name"))
        files = [file for file in files if re.search(r"\d", file.stem)]
    files.sort(key=lambda file: (_parts(file), file.name))
    again = [b for a, b in pairwise(files) if _same_frame(a.stem, b.stem)]
    if again:
        odd.append(_named(again, "the number of the frame before once more; later frames may be shifted"))
    return files, odd


def frame_numbers(files: Sequence[Path]) -> list[int] | None:
    """The number of each frame of a sorted folder, by that number of its names which counts; None where none does."""
    rows = [[int(part) for part in re.findall(r"\d+", file.stem)] for file in files]
    if len(rows) < 2:
        return [row[-1] for row in rows] if all(rows) else None
    for column in zip(*rows, strict=False):
        steps = Counter(b - a for a, b in pairwise(column))
        if min(steps) >= 0 and steps.most_common(1)[0][0] == 1:
            return list(column)
    return None


def _kind(file: Path) -> str:
    suffix = file.suffix.lower()
    return {".jpeg": ".jpg", ".tiff": ".tif"}.get(suffix, suffix)


def _parts(file: Path) -> list[str | int]:
    """Words and numbers of a name in turn, so that names compare by both."""
    return [int(part) if at % 2 else part for at, part in enumerate(re.split(r"(\d+)", file.stem))]


def _same_frame(first: str, second: str) -> bool:
    """Whether a name says the same number: 1 and 001, or the copy of a file (frame1 and "frame1 (1)")."""
    first, second = (re.sub(r"\d+", lambda number: str(int(number[0])), name) for name in (first, second))
    return bool(re.fullmatch(re.escape(first) + r"( ?\(\d+\)|[ _-]+copy.*)?", second, re.IGNORECASE))


def _named(files: Sequence[Path], why: str) -> str:
    named = ", ".join(sorted(file.name for file in files)[:NAMED])
    return f"{named}{f' and {len(files) - NAMED} more' if len(files) > NAMED else ''}: {why}"


def expect_pixels(path: Path, size: Size) -> None:
    """Refuse pictures that are too large to decode in good faith.

    Raises:
        DataError: more than `MAX_PIXELS` of them, or than the environment variable TVAU_MAX_PIXELS says.
    """
    limit = os.environ.get("TVAU_MAX_PIXELS", "")
    most = int(limit) if limit.isdecimal() else MAX_PIXELS
    if size[0] * size[1] > most:
        raise DataError(
            f"{path}: its pictures are {size[0]}x{size[1]} (height x width), more than {most} pixels; decoding them "
            "would take gigabytes. Make them smaller, or set TVAU_MAX_PIXELS to a higher number."
        )


def open_image(file: Path, data: NDArray[np.uint8] | None = None) -> PIL.Image.Image:
    """An image of which only the header is read yet, from a file or from what was in it.

    Raises:
        DataError: too many pixels, see `expect_pixels`.
        OSError: no image (or SyntaxError, ValueError: Pillow's).
    """
    image = PIL.Image.open(file if data is None else BytesIO(data.tobytes()))
    expect_pixels(file, (image.height, image.width))
    return image


def read_image(file: Path) -> Image:
    """An image file as RGB, whatever it is stored as (gray, 16 bit, transparent).

    Raises:
        DataError: a missing, empty or broken file.
    """
    try:
        data = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{file}: the frame cannot be read ({error.strerror}).") from error
    try:
        if data.size:
            with open_image(file, data):
                pass
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    except (OSError, SyntaxError, ValueError, cv2.error):
        image = None
    if image is None:
        fault = "is not an image that can be decoded" if data.size else "is empty (0 bytes)"
        raise DataError(f"{file}: the frame {fault}; copy or extract it again.")
    return np.asarray(image, dtype=np.uint8)


def resize(image: Image, shape: Size) -> Image:
    """An image at another size: by the mean over areas when it shrinks, linearly when it grows."""
    if image.shape[:2] == shape:
        return image
    shrinks = shape[0] <= image.shape[0] and shape[1] <= image.shape[1]
    small = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(small, dtype=np.uint8)
