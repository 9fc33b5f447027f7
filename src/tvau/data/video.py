"""Exact frames out of a video file or a folder of frames, behind one small interface.

    with open_video("clip.mp4", size=(96, 160)) as video:
        clip = video.read(range(0, 32, 2))  # uint8 [16, 3, 96, 160]

Frame numbers are 0-based and count the frames in the order in which the decoder hands them out (see `index.py`). Every
frame is made small while it is decoded, so that memory does not grow with the length or the resolution of a video.

Pictures are upright: a display matrix (telephones, body cameras) is applied as players apply it. Annotations are made
on what players show, so masks and boxes are in the upright picture, too, and are never turned.
"""

import gc
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self, cast

import av
import numpy as np
import torch
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

from tvau.data.images import IMAGE_SUFFIXES, Image, Size, expect_pixels, read_image, resize, sort_frames
from tvau.data.index import (
    DEPENDENT,
    HEAD,
    Frames,
    Index,
    Packets,
    by_decoding,
    by_time,
    decode,
    moving,
    open_container,
    seek,
    shortfalls,
    timed,
    unsought,
    walk,
)
from tvau.errors import DataError

FOLDER_FPS = 25.0  # frames a second of a frame folder where nobody says otherwise: such a folder does not record it

# Freeing a decoder waits for its threads. Those of decoders that a forked process (a loader worker) inherits stayed in
# the other process, so its garbage collector has to leave them alone, or the worker would wait for ever.
os.register_at_fork(after_in_child=gc.freeze)


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


def open_video(path: str | os.PathLike[str], size: Size | None = None, fps: float | None = None) -> Video:
    """Open a video file or a folder of frames.

    Args:
        path: a file that FFmpeg can read, or a folder with one image a frame (jpg, png, tif or bmp), sorted by number.
        size: (height, width) of the frames to return, reached by averaging areas; None keeps the source's.
        fps: frames a second, where the source does not say it (frame folders; 25 if None). Ignored for video files.

    A file that was cut short or begins between two key frames is read as far as it goes, with a warning.

    Raises:
        DataError: nothing there, an unreadable or empty file, no video stream, a folder without images.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected a video file or a folder of frames.")
    video = FrameFolder(path, size, fps or FOLDER_FPS) if path.is_dir() else VideoFile(path, size)
    for fault in video.faults:
        warnings.warn(f"{path}: {fault}; the {video.frames} frames that are there are read.", stacklevel=2)
    return video


class VideoFile(Video):
    """A video file, decoded by PyAV. Reading forward goes on where it stopped; anything else seeks to a key frame."""

    def __init__(self, path: Path, size: Size | None = None) -> None:
        super().__init__(path, size)
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes); copy or download it again.")
        self._reformatter = VideoReformatter()
        self._shown: Frames = iter(())  # what the decoder hands out from here on
        self._threads = "AUTO"
        self._stands: dict[int, int] = {}  # the picture of each frame where some do not come
        self._open()
        context = self._stream.codec_context
        expect_pixels(path, (context.height, context.width))
        packets = walk(self._container, self._stream)
        if packets.damaged:
            self._threads = "SLICE"  # decoders that work on several frames at once make something else of damage
        self._open()
        head = list(islice(self._shown, HEAD))
        if not head:
            raise DataError(f"{path}: there is no frame in its video stream that can be decoded.")
        index = by_time(self._container, self._stream, packets)
        self._counted = index is None or [source for source, _ in head] != index.sources[:HEAD].tolist()
        faults: list[str] = []
        if index is None or self._counted:
            index = self._count(packets, faults)
        else:
            self._shown = chain(head, self._shown)
        self._index = index
        self._side = Upright.of(head[0][1])
        self.size = self._side.turned((context.height, context.width))
        self.frames = index.frames
        self.seconds, self.fps = timed(self._stream, index, FOLDER_FPS)
        short, self.missing = shortfalls(path, self._container, self._stream, index)
        self.faults = [*short, *faults]

    def _open(self) -> None:
        """(Re)open at the first frame."""
        self.close()
        try:
            self._container = open_container(self.path)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DataError(
                f"{self.path}: cannot be opened as a video ({error}); the file is truncated (an mp4 ends with its "
                "index) or not a video. Copy or download it again, or convert it with ffmpeg."
            ) from error
        stream = moving(self._container)
        if stream is None:
            kinds = {"unknown " * (s.codec_context is None) + s.type for s in self._container.streams}
            raise DataError(
                f"{self.path}: there is no video stream in it, only {', '.join(sorted(kinds)) or 'nothing'}."
            )
        self._stream = stream
        context = stream.codec_context
        context.thread_type = self._threads
        if torch.utils.data.get_worker_info() is not None:
            context.thread_count = 1  # loader workers already share the cores
        self._shown = decode(self._stream, self._container.demux(self._stream))
        self._next = 0  # number of the first frame that self._shown has not passed yet

    def close(self) -> None:
        if hasattr(self, "_container"):
            self._shown = iter(())
            self._container.close()

    def _count(self, packets: Packets, faults: list[str]) -> Index:
        """Decode every frame once to see what there is; what cannot be decoded is added to `faults`."""
        self._open()
        errors: list[str] = []
        shown = decode(self._stream, self._container.demux(self._stream), errors=errors)
        sources, corrupt = [], 0
        for source, frame in shown:
            sources.append(source)
            corrupt += frame.is_corrupt
        if (errors or corrupt) and self._threads != "SLICE":
            self._threads = "SLICE"
            return self._count(packets, faults)
        if errors:
            faults.append(f"{len(errors)} of its packets cannot be decoded ({errors[0]})")
        if corrupt:
            faults.append(f"{corrupt} of its frames are damaged")
        # What a decoder makes of damage depends on all that it saw before.
        whole = not (errors or corrupt or packets.damaged)
        can_seek = whole and self._stream.codec_context.codec.canonical_name not in DEPENDENT
        self._open()
        return by_decoding(packets, sources, can_seek)

    def _recount(self) -> None:
        """See what there is where the time stamps promised too much; frames keep their numbers and their times.

        For those that do not come the picture before them stays, as players let it stay.
        """
        promised, lost = self._index.sources.tolist(), []
        self._index, self._counted = self._count(self._index.packets, []), True
        if self._index.frames == self.frames:
            return
        last = 0
        for number, source in enumerate(promised):
            if (found := self._index.number(source, -1)) < 0:
                lost.append(number)
            else:
                last = found
            self._stands[number] = last
        if not lost:
            return
        fault = f"{len(lost)} of its {self.frames} frames cannot be decoded, frame {lost[0]} is the first"
        self.faults, self.missing = [*self.faults, fault], self.missing + len(lost)
        warnings.warn(f"{self.path}: {fault}; the picture before stands in for each.", stacklevel=3)

    def _begin(self, number: int) -> None:
        """Go to a key frame, or to the first frame."""
        if number == 0:
            self._open()
            return
        source = int(self._index.sources[number])
        packets = seek(self._container, self._stream, self._index, source)
        if packets is None:  # then by reading on from the beginning
            self._open()
            packets = islice((p for p in self._container.demux(self._stream) if p.size), source, None)
        self._shown, self._next = decode(self._stream, packets, source), number

    def _find(self, wanted: int) -> av.VideoFrame | None:
        """A frame; what a key frame does not lead to is looked for from farther and farther back."""
        starts = list(self._index.starts(wanted))
        goes_on = starts[0] <= self._next <= wanted
        for start in [None, *starts] if goes_on else starts:
            if start is not None:
                self._begin(start)
            for source, frame in self._shown:
                number = self._index.number(source, self._next)
                if number < 0:
                    continue  # belongs to frames before the key frame
                begins, self._next = start and self._next == start, number + 1
                if begins and (number != start or frame.pict_type != PictureType.I):
                    self._index = unsought(self._index)  # intra refresh: no picture but the first is whole by itself
                    return self._find(wanted)
                if number == wanted:
                    return frame
                if number > wanted:
                    break
        return None

    def _decode(self, indices: Sequence[int]) -> Iterator[Image]:
        for wanted in indices:
            frame = self._find(self._stands.get(wanted, wanted))
            if frame is None and not self._counted:  # the decoder does not do what the time stamps say
                self._recount()
                frame = self._find(self._stands.get(wanted, wanted))
            if frame is None:
                raise DataError(
                    f"{self.path}: frame {wanted} of {self.frames} cannot be decoded (the decoder leaves it out); the "
                    "file is damaged. Copy or download it again."
                )
            if frame.is_corrupt and not self.faults:
                self.faults = [f"frame {wanted} is damaged"]
                warnings.warn(f"{self.path}: {self.faults[0]}; it is read as the decoder gives it.", stacklevel=2)
            yield self._rgb(frame)

    def _rgb(self, frame: av.VideoFrame) -> Image:
        height, width = self._side.turned(self.shape)
        small = self._reformatter.reformat(frame, width, height, format="rgb24", interpolation="AREA", threads=1)
        return self._side(np.asarray(small.to_ndarray(), dtype=np.uint8))


@dataclass(frozen=True)
class Upright:
    """How players turn the pictures of a file: its display matrix, to the nearest right angle."""

    transposed: bool = False
    mirrored: tuple[bool, bool] = (False, False)  # vertically, horizontally, after transposing

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Self:
        """What a frame says of it."""
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        # x' = a x + c y, y' = b x + d y
        a, b, _, c, d = np.frombuffer(memoryview(cast(Any, data)), np.int32)[:5].tolist()
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, (b < 0, c < 0))
        return cls(False, (d < 0, a < 0))

    def turned(self, size: Size) -> Size:
        """The upright size of a coded one, and the other way round."""
        return size[::-1] if self.transposed else size

    def __call__(self, picture: Image) -> Image:
        """The upright picture."""
        if self.transposed:
            picture = picture.transpose(1, 0, 2)
        rows, columns = (slice(None, None, -1 if mirrored else 1) for mirrored in self.mirrored)
        return np.ascontiguousarray(picture[rows, columns])


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


class Reader:
    """Reads clips from many videos and keeps the last video open, so that the next window goes on where it stopped.

    It may be pickled and forked: every process opens files of its own.
    """

    def __init__(self, size: Size | None = None, fps: float | None = None) -> None:
        self.size, self.fps = size, fps
        self._last: tuple[int, Video] | None = None  # with the process that opened it
        self._inherited: list[Video] = []

    def open(self, path: Path) -> Video:
        """The open video of a path."""
        if self._last is not None:
            process, video = self._last
            if process != os.getpid():
                self._inherited.append(video)  # kept, since it must not be freed here, see above
            elif video.path == path:
                return video
            else:
                video.close()
        self._last = (os.getpid(), open_video(path, self.size, self.fps))
        return self._last[1]

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_last": None, "_inherited": []}
