"""What a video is to everybody who reads one, and the simplest of them: a folder of frames."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tvau.data.images import IMAGE_SUFFIXES, Image, Size, read_image, resize, sort_frames
from tvau.errors import DataError

FOLDER_FPS = 25.0  # frames a second of a frame folder where nobody says otherwise: such a folder does not record it


class Video(ABC):
    """A video that is open for reading; `size` is that of the upright source, `shape` that of the frames that are read.

    Frames of the last `read` are kept, so overlapping windows decode nothing twice.
    """

    path: Path
    frames: int  # number of frames
    fps: float  # frames a second, the mean where the rate varies
    seconds: NDArray[np.float64]  # [frames], when each frame is shown, from the first frame on
    size: Size
    missing: int = 0  # frames that the file says it had and that are not there
    faults: Sequence[str] = ()  # what is wrong with a file that can be read all the same

    def __init__(self, path: Path, shape: Size | None) -> None:
        self.path = path
        self._shape = shape
        self._kept: dict[int, Image] = {}

    @property
    def shape(self) -> Size:
        """(height, width) of the frames that `read` returns."""
        return self._shape or self.size

    def read(self, indices: Sequence[int]) -> Tensor:
        """The frames of the given numbers, in the given order and with repetitions: uint8 [len(indices), 3, H, W], RGB.

        Raises:
            DataError: a number outside the video, or a frame that cannot be decoded.
        """
        wanted = sorted(set(indices))
        if not wanted or wanted[0] < 0 or wanted[-1] >= self.frames:
            given = f"{wanted[0]}..{wanted[-1]}" if wanted else "none"
            raise DataError(f"{self.path}: frames {given} were asked for; it has {self.frames}, 0..{self.frames - 1}.")
        # Only what both the last and this read hold is carried over: never more than two windows in memory.
        self._kept = {i: self._kept[i] for i in wanted if i in self._kept}
        missing = [i for i in wanted if i not in self._kept]
        self._kept.update(zip(missing, self._decode(missing), strict=True))
        out = torch.empty((len(indices), 3, *self.shape), dtype=torch.uint8)
        for row, index in zip(out, indices, strict=True):
            row.copy_(torch.from_numpy(self._kept[index]).permute(2, 0, 1))
        return out

    def __iter__(self) -> Iterator[Image]:
        """Every frame once, in order, uint8 [H, W, 3], RGB; none is kept.

        Raises:
            DataError: a frame that cannot be decoded.
        """
        yield from self._decode(range(self.frames))

    @abstractmethod
    def _decode(self, indices: Sequence[int]) -> Iterable[Image]:
        """The frames of the given ascending numbers, resized to `shape`."""

    def close(self) -> None:  # noqa: B027 - a folder has nothing to close
        """Let go of the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FrameFolder(Video):
    """A folder with one image a frame, in the order of the numbers in the file names."""

    def __init__(self, path: Path, size: Size | None = None, fps: float = FOLDER_FPS) -> None:
        super().__init__(path, size)
        self._files, odd = sort_frames(path)
        if not self._files:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            raise DataError(f"{path}: there is no frame in this folder; expected image files ({kinds}).")
        self.frames = len(self._files)
        self.faults = odd
        self.fps = fps
        self.seconds = np.arange(self.frames) / fps
        height, width, _ = read_image(self._files[0]).shape
        self.size = (height, width)

    def _decode(self, indices: Sequence[int]) -> Iterator[Image]:
        for index in indices:
            image = read_image(self._files[index])
            if image.shape[:2] != self.size:
                given, first = ("x".join(map(str, s)) for s in (image.shape[:2], self.size))
                raise DataError(
                    f"{self._files[index]}: the frame is {given} (height x width), but {self._files[0].name} is "
                    f"{first}; all frames of a video need one size."
                )
            yield resize(image, self.shape)
