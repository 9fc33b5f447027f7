"""Pixel truth: maps of object ids."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tvau.data.images import Size
from tvau.errors import DataError


def read_id_map(path: Path, size: Size, shape: Size) -> NDArray[np.uint8]:
    """An id map, resized to `shape` by taking the nearest pixel.

    Args:
        path: an 8 bit png of one channel (or a palette), pixel = object id.
        size: (height, width) of the video's frames, which the file has to have.
        shape: (height, width) wanted.

    Raises:
        DataError: a missing, broken or coloured file, or one of another size.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P"):
                raise DataError(f"{path}: expected 8 bit, one channel (mode L or P), not mode {image.mode}.")
            if (image.height, image.width) != size:
                raise DataError(
                    f"{path}: the id map is {image.height}x{image.width} (height x width), the frames of its video are "
                    f"{size[0]}x{size[1]}."
                )
            return np.asarray(image.resize(shape[::-1], Image.Resampling.NEAREST))
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise DataError(f"{path}: the id map cannot be read ({error}).") from error


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """The box around the pixels of a mask [H, W]: x1, y1, x2, y2, inclusive; None where it has none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])) if len(rows) else None
