"""Exact frames out of a video file or a folder of frames, behind one small interface.

    with open_video("clip.mp4", size=(96, 160)) as video:
        clip = video.read(range(0, 32, 2))  # uint8 [16, 3, 96, 160]

Frame numbers are 0-based and count the frames in the order in which they are shown. Every frame is made small while it
is decoded, so that memory does not grow with the length or the resolution of a video.
"""

import gc
import os
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from torch import Tensor

from tvau.data.images import IMAGE_SUFFIXES, Image, Size, frame_files, read_image, resize
from tvau.errors import DataError

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"})
FOLDER_FPS = 25.0  # frames a second of a frame folder where nobody says otherwise: such a folder does not record it

# Freeing a decoder waits for its threads. Those of decoders that a forked process (a loader worker) inherits stayed in
# the other process, so its garbage collector has to leave them alone, or the worker would wait for ever.
os.register_at_fork(after_in_child=gc.freeze)


class Video(ABC):
    """A video that is open for reading; `size` is that of the source, `shape` that of the frames which are read.

    Frames of the last `read` are kept, so overlapping windows decode nothing twice.
    """

    path: Path
    frames: int  # number of frames
    fps: float  # frames a second
    size: Size

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

    Raises:
        DataError: nothing there, an unreadable, truncated or empty file, no video stream, a folder without images.
    """
    path = Path(path)
    if path.is_dir():
        return FrameFolder(path, size, fps or FOLDER_FPS)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected a video file or a folder of frames.")
    return VideoFile(path, size)


class VideoFile(Video):
    """A video file, decoded by PyAV. Reading forward goes on where it stopped; anything else seeks to a keyframe."""

    def __init__(self, path: Path, size: Size | None = None) -> None:
        super().__init__(path, size)
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes); copy or download it again.")
        self._reformatter = VideoReformatter()
        self._numbers: dict[int, int] | None = None  # {time of a frame: its number}
        self._open()
        stream = self._container.streams.video[0]
        self.size = (stream.codec_context.height, stream.codec_context.width)
        self.fps = float(stream.average_rate or stream.guessed_rate or FOLDER_FPS)
        self._index()
        self._open()

    def _open(self) -> None:
        """(Re)open at the first frame."""
        self.close()
        try:
            self._container: InputContainer = av.open(str(self.path))
        except (av.FFmpegError, OSError) as error:
            raise DataError(
                f"{self.path}: cannot be opened as a video ({error}); the file is truncated (an mp4 ends with its "
                "index) or not a video. Copy or download it again, or convert it with ffmpeg."
            ) from error
        if not self._container.streams.video:
            kinds = ", ".join(sorted({s.type for s in self._container.streams})) or "nothing"
            raise DataError(f"{self.path}: there is no video stream in it, only {kinds}.")
        context = self._container.streams.video[0].codec_context
        context.thread_type = "AUTO"
        if torch.utils.data.get_worker_info() is not None:
            context.thread_count = 1  # loader workers already share the cores
        self._shown = _shown(self._container, self._numbers, 0)
        self._next = 0  # number of the first frame that self._shown has not passed yet

    def close(self) -> None:
        if hasattr(self, "_container"):
            self._shown = iter(())
            self._container.close()

    def _index(self) -> None:
        """Count the frames, and note when each is shown, by walking over the packets without decoding them."""
        stream = self._container.streams.video[0]
        length = self.path.stat().st_size
        if any(entry.pos + entry.size > length for entry in stream.index_entries):
            whole = sum(entry.pos + entry.size <= length for entry in stream.index_entries)
            raise DataError(
                f"{self.path}: truncated after frame {whole - 1} of {len(stream.index_entries)}; copy or download it "
                "again."
            )
        try:
            packets = [(p.pts, p.is_keyframe) for p in self._container.demux(stream) if p.size and not p.is_discard]
        except av.FFmpegError as error:
            raise DataError(f"{self.path}: cannot be read to its end ({error}); copy or download it again.") from error
        shown = sorted({pts for pts, _ in packets if pts is not None})
        if len(shown) == len(packets):
            self._numbers = {pts: number for number, pts in enumerate(shown)}
            self._times = shown
            self._keys = sorted(self._numbers[pts] for pts, is_key in packets if is_key and pts is not None)
            self.frames = len(shown)
        else:  # without a time for every packet (old avi files), frames are counted by decoding, and never sought
            self._times, self._keys = [], []
            self._open()
            try:
                self.frames = sum(1 for _ in self._shown)
            except av.FFmpegError as error:
                raise DataError(f"{self.path}: cannot be decoded to its end ({error}); the file is damaged.") from error
        if self.frames == 0:
            raise DataError(f"{self.path}: there is no frame in its video stream.")

    def _seek(self, number: int) -> None:
        """Go to the last keyframe that is not after a frame, unless reading on gets there sooner."""
        at = bisect_right(self._keys, number) - 1
        key = self._keys[at] if at >= 0 else 0
        if self._next <= number and key <= self._next:
            return
        if key == 0:
            self._open()
            return
        self._container.seek(self._times[key], stream=self._container.streams.video[0], backward=True)
        self._shown, self._next = _shown(self._container, self._numbers, key), key

    def _decode(self, indices: Sequence[int]) -> Iterator[Image]:
        for wanted in indices:
            frame, fault = None, "the decoder leaves it out"
            try:
                self._seek(wanted)
                while self._next <= wanted and (shown := next(self._shown, None)):
                    self._next, frame = shown[0] + 1, shown[1]
            except av.FFmpegError as error:
                frame, fault = None, str(error)
            if frame is None or self._next != wanted + 1 or frame.is_corrupt:
                self._open()  # the next read starts afresh
                raise DataError(
                    f"{self.path}: frame {wanted} of {self.frames} cannot be decoded ({fault}); the file is damaged. "
                    "Copy or download it again."
                )
            yield self._rgb(frame)

    def _rgb(self, frame: av.VideoFrame) -> Image:
        height, width = self.shape
        small = self._reformatter.reformat(frame, width, height, format="rgb24", interpolation="AREA", threads=1)
        return np.asarray(small.to_ndarray(), dtype=np.uint8)


def _shown(
    container: InputContainer, numbers: dict[int, int] | None, number: int
) -> Iterator[tuple[int, av.VideoFrame]]:
    """(number, frame) of all that a container shows from where it stands; `number` is the first where none has a time.

    A function of its own, so that a video is no reference cycle and lets go of file and threads where it is dropped.
    """
    for frame in container.decode(video=0):
        if numbers is not None:
            if frame.pts not in numbers:
                continue  # belongs before the first whole frame
            number = numbers[frame.pts]
        yield number, frame
        number += 1


class FrameFolder(Video):
    """A folder with one image a frame, in the order of the numbers in the file names."""

    def __init__(self, path: Path, size: Size | None = None, fps: float = FOLDER_FPS) -> None:
        super().__init__(path, size)
        self._files = frame_files(path)
        if not self._files:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            raise DataError(f"{path}: there is no frame in this folder; expected image files ({kinds}).")
        self.frames = len(self._files)
        self.fps = fps
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
