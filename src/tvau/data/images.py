"""Image files: the frames of a frame folder."""

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"})

Size = tuple[int, int]  # (height, width), pixels
Image = NDArray[np.uint8]  # [H, W, 3], RGB


def frame_files(folder: Path) -> list[Path]:
    """The image files of a folder by the last number in their names; hidden files (.DS_Store, ._001.jpg) left out.

    "frame2.png" comes before "frame10.png"; names without a number come first, by name.
    """
    files = (f for f in folder.iterdir() if not f.name.startswith(".") and f.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(files, key=_natural)


def _natural(file: Path) -> tuple[int, str]:
    digits = re.findall(r"\d+", file.stem)
    return (int(digits[-1]) if digits else -1, file.name)


def read_image(file: Path) -> Image:
    """An image file as RGB, whatever it is stored as (gray, 16 bit, transparent).

    Raises:
        DataError: a missing, empty or broken file.
    """
    try:
        data = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{file}: the frame cannot be read ({error.strerror}).") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
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
