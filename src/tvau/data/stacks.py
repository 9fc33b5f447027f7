"""Pixel truth that comes as one array a video: npy files, which are mapped, and mat files, which are not."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from tvau.data.images import Size
from tvau.data.masks import Labels, Mask, Truth
from tvau.errors import DataError


class MaskStack(Truth):
    """ShanghaiTech: one npy of all masks, opened without loading it, and one npy of the frames' labels.

    Args:
        path: (T, H, W), or (H, W, T) as some mirrors have it; not 0 where abnormal. None: only frames have labels.
        frames: (T,), 1 where abnormal; None: a frame is abnormal where its mask is not empty.
    """

    def __init__(self, path: Path | None, frames: Path | None = None) -> None:
        self.path, self.frames = path, frames
        self.pixels = path is not None

    def _stack(self) -> NDArray[Any]:
        if self.path is None:
            raise DataError(f"{self.frames}: this video has labels of frames only, no masks.")
        return _open_npy(self.path, 3)

    def labels(self, total: int) -> Labels:
        """The labels of the file, which has to have as many as the video has frames."""
        if self.frames is None:
            stack = self._stack()
            first = len(stack) == total
            if not first and stack.shape[2] != total:
                raise _uneven(self.path, stack.shape, total)
            return np.array([(stack[at] if first else stack[..., at]).any() for at in range(total)], bool)
        labels = _open_npy(self.frames, 1)
        if len(labels) != total:
            raise _uneven(self.frames, labels.shape, total)
        if self.pixels and total not in ((shape := self._stack().shape)[0], shape[2]):
            raise _uneven(self.path, shape, total)
        return np.asarray(labels) != 0

    def mask(self, frame: int, size: Size) -> Mask:
        """One mask of the file, whichever axis counts the frames."""
        stack = self._stack()
        if stack.shape[1:] == size and frame < len(stack):
            return np.asarray(stack[frame]) != 0
        if stack.shape[:2] == size and frame < stack.shape[2]:
            return np.asarray(stack[..., frame]) != 0
        raise DataError(
            f"{self.path}: expected masks of shape (frames, {size[0]}, {size[1]}) or ({size[0]}, {size[1]}, frames) "
            f"that include frame {frame}, the file has {stack.shape}; they belong to another video or were resized."
        )


class MatStack(Truth):
    """Avenue: one mat file with all masks of a video, `volLabel`, a (1, T) array of arrays [H, W].

    Such a file can only be read whole; what is kept of it is one bit a pixel, until `forget`. The published masks of
    some videos are one frame shorter or longer than what FFmpeg decodes: the last mask then stands for the last frame.
    """

    key = "volLabel"

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def masks(self) -> tuple[list[NDArray[np.uint8]], Size]:
        """The masks of all frames, eight pixels a byte, and their height and width."""
        try:
            cells = loadmat(self.path, variable_names=[self.key])[self.key].ravel()
            shape = tuple(cells[0].shape)
            if len(shape) != 2 or any(cell.shape != shape for cell in cells):
                raise ValueError("its masks are not all of one height and width")
            return [np.packbits(cell != 0) for cell in cells], (shape[0], shape[1])
        except Exception as error:  # a damaged or foreign file may raise anything
            raise DataError(
                f"{self.path}: expected {self.key!r}, a (1, frames) array of masks, as in Avenue's testing_label_mask "
                f"({type(error).__name__}: {error})."
            ) from error

    def labels(self, total: int) -> Labels:
        """The frames whose mask is not empty."""
        masks, _ = self.masks
        if abs(len(masks) - total) > 1:
            raise _uneven(self.path, (len(masks),), total)
        return np.array([masks[min(at, len(masks) - 1)].any() for at in range(total)])

    def mask(self, frame: int, size: Size) -> Mask:
        """One mask; frame T is that of frame T - 1."""
        masks, given = self.masks
        if given != size or frame > len(masks):
            raise DataError(
                f"{self.path}: {len(masks)} masks of {given[0]}x{given[1]} (height x width), wanted frame {frame} of "
                f"a video of {size[0]}x{size[1]}."
            )
        bits = np.unpackbits(masks[min(frame, len(masks) - 1)], count=size[0] * size[1])
        return bits.reshape(size).astype(bool)

    def forget(self) -> None:
        """Let go of the masks; they are read again when asked for."""
        vars(self).pop("masks", None)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}


def _open_npy(path: Path, dimensions: int) -> NDArray[Any]:
    """An npy file as an array that reads from the disk what is asked of it."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.ndim != dimensions or array.dtype.kind not in "buif":
            what = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
            raise ValueError(f"expected an array of numbers with {dimensions} dimension(s), found {what}")
    except (OSError, ValueError, EOFError, SyntaxError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as an npy file ({error}).") from error
    return array


def _uneven(path: Path | None, shape: tuple[int, ...], total: int) -> DataError:
    return DataError(f"{path}: its shape is {shape}, but the video has {total} frames; are they of the same release?")
