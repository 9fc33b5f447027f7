"""A video file, frame by frame, whatever its container, its time stamps or its damage."""

import gc
import os
import warnings
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np
import torch
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from tvau.data.frames import FOLDER_FPS, Video
from tvau.data.images import Image, Size, expect_pixels
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
from tvau.data.upright import Upright
from tvau.errors import DataError

# Freeing a decoder waits for its threads. Those of decoders that a forked process (a loader worker) inherits stayed in
# the other process, so its garbage collector has to leave them alone, or the worker would wait for ever.
os.register_at_fork(after_in_child=gc.freeze)


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
