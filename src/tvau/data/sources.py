"""Whatever somebody calls a video, behind the one interface of `tvau.data.video`: a path, or pictures in memory."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tvau.data.images import Image, Size, resize
from tvau.data.stream import open_stream
from tvau.data.video import FOLDER_FPS, Video, open_video
from tvau.errors import DataError, OptionError

SMALL = (16, 16)  # a stream's pictures to look at are made of those to show, later
Source = str | os.PathLike[str] | NDArray[np.uint8] | Tensor | Sequence[NDArray[np.uint8]]


class Pictures(Video):
    """Pictures in memory as a video; they are not copied.

    Args:
        pictures: uint8 [N, H, W, 3] RGB or [N, H, W] gray.
        size: (height, width) of the frames to return; None keeps the pictures'.
        fps: frames a second, which pictures do not say.

    Raises:
        DataError: another dtype or shape, or no picture.
    """

    def __init__(self, pictures: NDArray[np.uint8], size: Size | None = None, fps: float = FOLDER_FPS) -> None:
        super().__init__(Path("array"), size)
        given = f"an array of {pictures.dtype} {list(pictures.shape)}"
        single = pictures.ndim == 3 and pictures.shape[2] == 3  # and no gray video of three columns
        known = (pictures.ndim == 3 and not single) or (pictures.ndim == 4 and pictures.shape[3] == 3)
        if pictures.dtype != np.uint8 or not known:
            turned = pictures.ndim == 4 and pictures.shape[1] == 3
            advice = ": move the colours to the end" if turned else ": one picture is pictures[None]" if single else ""
            raise DataError(
                f"{given}; expected pictures as uint8 [N, H, W, 3] RGB or [N, H, W] gray, with values from 0 to 255"
                f"{advice}."
            )
        if not pictures.size:
            raise DataError(f"{given}: there is no picture in it.")
        self._pictures, self.frames, self.fps = pictures, len(pictures), fps
        self.seconds = np.arange(self.frames) / fps
        self.size = (pictures.shape[1], pictures.shape[2])

    def _decode(self, indices: Sequence[int]) -> Iterator[Image]:
        for index in indices:
            picture = self._pictures[index]
            if picture.ndim == 2:
                picture = np.repeat(picture[..., None], 3, axis=2)
            yield resize(np.array(picture), self.shape)


def record(address: str, seconds: float, fps: float) -> NDArray[np.uint8]:
    """The pictures that a stream shows from now on, [N, H, W, 3], in a file without a name that is mapped into memory.

    Args:
        address: see `tvau.data.stream`.
        seconds: of the stream, at most; it may end before.
        fps: pictures a second, evenly by the stream's own clock.

    Raises:
        DataError: nothing there, no video in it, or nothing came in time.
    """
    with tempfile.TemporaryFile() as file, open_stream(address, fps, SMALL, 256, reconnects=0) as stream:
        shape: tuple[int, ...] = ()
        for shot in stream:
            if shot is None:  # nothing new yet
                continue
            if shot.seconds >= seconds:
                break
            file.write(shot.shown.tobytes())
            shape = shot.shown.shape
        file.flush()
        count = file.tell() // max(int(np.prod(shape)), 1) if shape else 0
        if not count:
            raise DataError(f"{address}: no picture came within {seconds:g} s.")
        return np.memmap(file, np.uint8, "r", shape=(count, *shape))


def open_source(source: Source | Video, size: Size | None = None, fps: float | None = None) -> Video:
    """Open a video file, a folder of frames, or pictures in memory.

    Args:
        source: a path, or uint8 pictures [N, H, W, 3] or [N, H, W] as an array, a tensor or a list of arrays.
        size: (height, width) of the frames to return; None keeps the source's.
        fps: frames a second, where the source does not say it.

    Raises:
        DataError: see `open_video` and `Pictures`.
        OptionError: frames a second that are none.
    """
    if fps is not None and not 0 < fps < float("inf"):
        raise OptionError(f"fps {fps}: expected frames a second, above 0")
    if isinstance(source, Video):
        return source
    if isinstance(source, str | os.PathLike):
        return open_video(source, size, fps)
    if isinstance(source, Tensor):
        source = source.detach().cpu().numpy()
    elif not isinstance(source, np.ndarray):
        shapes = {np.shape(picture) for picture in source}
        if len(shapes) != 1:
            raise DataError(f"{len(source)} pictures of the sizes {sorted(shapes)}; expected one or more of one size.")
        source = np.stack(list(source))
    return Pictures(source, size, fps or FOLDER_FPS)
