"""Frames of a live source as they come: cameras, network streams, growing files.

    with open_stream("rtsp://camera/1", rate=5, size=(96, 160)) as stream:
        for shot in stream:  # ends when the source does, or at `stream.stop()`
            ...

A thread reads and decodes; a bounded queue stands between it and whoever looks. Where that is too slow for a live
source the oldest waiting frames are dropped and counted, so that what is looked at is always new; a file waits. Frames
are sampled by time and made small while they are decoded, so that memory depends on neither length nor resolution.
"""

import errno
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from tvau.data.clock import Clock
from tvau.data.images import Image, Size, expect_pixels
from tvau.data.index import STILL, TIMED, moving, names
from tvau.data.upright import Upright
from tvau.data.video import FOLDER_FPS
from tvau.errors import DataError

SHOWN = (360, 640)  # (height, width) into which the pictures that people look at fit
SILENCE = 5.0  # seconds without a frame, after which nothing joins what comes to what was before
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds before the first and before any new connection
LAST_WAIT = 1.0  # seconds for the thread to let go of the source; one that waits for it is left behind
GLANCE = 0.1  # seconds between two looks whether there is something to do
OPTIONS: dict[str, dict[str, str]] = {"rtsp": {"rtsp_flags": "prefer_tcp"}, "rtsps": {"rtsp_flags": "prefer_tcp"}}


@dataclass(frozen=True)
class Shot:
    """One sampled frame."""

    number: int  # among all frames that the source has shown, 0-based
    seconds: float  # since the first frame, by the source's own clock
    arrived: float  # when it was decoded, seconds since the epoch
    looked: Image  # uint8 [H, W, 3], RGB, at the size that the model looks at
    shown: Image  # uint8 [H, W, 3], RGB, for people
    size: Size  # (height, width) of the source's picture
    fresh: bool  # nothing joins it to the sampled frame before: the first one, or something was lost in between


def open_stream(
    source: str, rate: float, size: Size, waiting: int = 32, patience: float = 10.0, reconnects: int | None = None,
    follow: bool = False, say: Callable[[str], None] = lambda text: print(f"tvau: {text}", file=sys.stderr),
) -> "Stream":  # fmt: skip
    """Connect to a source and begin to read.

    Args:
        source: an address (rtsp, http, https, udp, tcp, ... ://), a camera (/dev/video0), a file, or "-" (stdin).
        rate: frames a second to sample; a slower source gives all it has.
        size: (height, width) of the pictures to look at.
        waiting: sampled frames that the queue holds.
        patience: seconds without anything after which a source counts as lost.
        reconnects: connections tried in a row before giving up; None: without end. An address alone is reconnected to,
            and only where it does not say how long it is.
        follow: a file is still being written: its end is where nothing has been added for `patience` seconds.
        say: is told, in a sentence, what happens to the source.

    Raises:
        DataError: nothing there, no video in it, or nothing came in time.
    """
    stream = Stream(source, rate, size, waiting, patience, reconnects, follow, say)
    stream._start()
    return stream


class Stream:
    """A source that is being read; iterating gives its sampled frames. See `open_stream`.

    Attributes:
        name: the source as it is told, without user and password.
        live: whether it goes on whether or not somebody looks.
        came: frames that were decoded.
        dropped: sampled frames that nobody looked at, as the machine was too slow.
        damaged: packets that could not be decoded.
        connections: how often it was connected to.
    """

    def __init__(
        self, source: str, rate: float, size: Size, waiting: int, patience: float, reconnects: int | None, follow: bool,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.source, self.rate, self.size, self.patience, self.follow, self.say = (
            source, rate, size, patience, follow, say,
        )  # fmt: skip
        self.name = re.sub("://[^/@]*@", "://", source)  # passwords are for the source alone
        self.address, self.device = "://" in source, source.startswith("/dev/") and not Path(source).is_file()
        self.live = self.address or self.device
        self.reconnects = reconnects if self.address else 0
        self.came = self.dropped = self.damaged = self.connections = 0
        self._queue: deque[Shot] = deque()
        self._waiting, self._change = waiting, threading.Condition()
        self._ended, self._stopped, self._until = False, False, float("inf")
        self._error: BaseException | None = None
        self._clock, self._next, self._lost = Clock(), 0.0, True
        self._given: Size | None = None
        self._shape: Size | None = None
        self._reformatter = VideoReformatter()
        # a daemon: a device or pipe that never answers must not keep the process
        self._thread = threading.Thread(target=self._run, name="tvau-stream", daemon=True)

    def __iter__(self) -> Iterator[Shot | None]:
        """Sampled frames as they come; None whenever nothing has come for `SILENCE` seconds.

        Raises:
            DataError: a source that never showed a frame.
        """
        while not self._over():
            with self._change:
                silent = time.monotonic() + SILENCE
                while not (self._queue or self._ended or self._over()) and time.monotonic() < silent:
                    self._change.wait(GLANCE)  # a signal may have asked to stop
                shot = self._queue.popleft() if self._queue else None
                self._change.notify_all()
            if self._over() or (shot is None and self._ended):
                break
            yield shot
        if self._error is not None and not self._stopped:
            raise self._error

    def stop(self) -> None:
        """Ends the iteration; may be called from a signal's handler."""
        self._stopped = True

    def stop_after(self, seconds: float) -> None:
        """Ends the iteration so many seconds from now, whether or not something comes."""
        self._until = time.monotonic() + seconds

    def _over(self) -> bool:
        self._stopped |= time.monotonic() >= self._until
        return self._stopped

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(LAST_WAIT)

    # ---- the reading thread ----

    def _start(self) -> None:
        """Connects in this thread, so that who opens a wrong address hears of it at once."""
        container, stream = self._connect()
        self._first = (container, stream)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._go_on()
        except BaseException as error:
            self._error = error
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()

    def _go_on(self) -> None:
        connected: tuple[InputContainer, VideoStream] | None = self._first
        tries, before, endless = 0, 0, False
        while not self._stopped:
            if connected is not None:
                endless = self.address and connected[0].duration is None
                why = self._read(*connected)
            if self.came > before:
                tries, before = 0, self.came
            if self._stopped or not endless or (self.reconnects is not None and tries >= self.reconnects):
                break
            wait = min(FIRST_WAIT * 2**tries, LONGEST_WAIT)
            tries += 1
            of = "" if self.reconnects is None else f" of {self.reconnects}"
            self.say(f"{self.name}: {why}; connecting again in {wait:g} s ({tries}{of})")
            self._rest(wait)
            try:
                connected = None if self._stopped else self._connect()
            except DataError as error:
                connected, why = None, str(error).removeprefix(f"{self.name}: ").rstrip(".")
        if not self.came and not self._stopped:
            raise DataError(f"{self.name}: no frame came ({why}). Is it a video, and is it sent?")
        if not self._stopped:
            self.say(f"{self.name}: {why}, after {self.came} frames")

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopped and time.monotonic() < until:
            time.sleep(min(GLANCE, seconds))

    def _connect(self) -> tuple[InputContainer, VideoStream]:
        """Raises DataError: nothing there in time, or no video in it."""
        try:
            container = av.open(self._named(), timeout=self._timeout(), **self._options())
        except (av.FFmpegError, OSError, ValueError) as error:
            raise DataError(f"{self.name}: cannot be opened as a stream ({self._said(error)}).") from error
        stream = moving(container)
        if stream is None or names(container) & STILL:
            kinds = {"text or a still picture"} if stream else {each.type for each in container.streams}
            container.close()
            raise DataError(f"{self.name}: there is no video in it, only {', '.join(sorted(kinds)) or 'nothing'}.")
        # threads that work on several frames at once hold as many back
        stream.codec_context.thread_type = "SLICE" if self.live else "AUTO"
        self.connections += 1
        self._clock.connect()
        self._lost = True
        return container, stream

    def _named(self) -> Any:
        if self.source == "-":
            return sys.stdin.buffer
        if self.address:
            return self.source
        if not Path(self.source).exists():
            raise DataError(
                f"{self.name}: no such file or device; expected a file, a camera (/dev/video0), an address "
                "(rtsp://..., http://...) or - for what is piped in."
            )
        if Path(self.source).is_dir():
            raise DataError(f"{self.name} is a folder; tvau predict looks at frame folders.")
        return self.source if self.device else str(Path(self.source).absolute())

    def _timeout(self) -> float | None:
        return self.patience if self.address or self.follow else None

    def _options(self) -> dict[str, Any]:
        if self.device:
            return {"format": "v4l2"}
        if self.address:
            return {"options": OPTIONS.get(self.source.partition("://")[0], {})}
        return {"options": {"follow": "1"} if self.follow else {}}

    def _read(self, container: InputContainer, stream: VideoStream) -> str:
        """Reads to the end of a connection; returns why it ended."""
        why = "it ended"
        shown = self.live or names(container) & TIMED  # stamps say when frames are shown
        try:
            for packet in container.demux(stream):
                if self._stopped:
                    break
                try:
                    frames = packet.decode()
                except av.error.EOFError:
                    break
                except av.FFmpegError:
                    self.damaged += 1
                    continue
                for frame in frames:
                    if not shown:  # an avi knows only when to decode, which is as far apart; see `Index.times`
                        frame.pts = frame.dts
                    self._take(frame, float(stream.average_rate or FOLDER_FPS))
        except (av.FFmpegError, OSError) as error:
            why = self._said(error)
        finally:
            container.close()
        return why

    def _said(self, error: BaseException) -> str:
        if isinstance(error, av.error.ExitError):
            return f"nothing came for {self.patience:g} s"
        if getattr(error, "errno", None) == errno.EIO:
            return "the connection broke off"
        return getattr(error, "strerror", None) or str(error)

    def _take(self, frame: av.VideoFrame, rate: float) -> None:
        """Puts a frame in the queue if it is to be looked at."""
        arrived = time.time()
        seconds = self._clock.tell(frame.time, arrived, rate, self.live)
        number, self.came = self.came, self.came + 1
        if seconds < self._next - min(0.5 / rate, 0.1 / self.rate):
            return
        self._next = max(self._next + 1 / self.rate, seconds + 0.5 / self.rate)
        side = Upright.of(frame)
        size = side.turned((frame.height, frame.width))
        if size != self._given:
            expect_pixels(Path(self.source), size)
            if self._given is not None:
                self.say(f"{self.name}: its pictures are now {size[1]}x{size[0]}, no longer "
                         f"{self._given[1]}x{self._given[0]}")  # fmt: skip
            self._given = size
            self._shape = self._shape or fitting(size)
        assert self._shape is not None
        looked, shown = (self._picture(frame, side, shape) for shape in (self.size, self._shape))
        self._offer(Shot(number, seconds, arrived, looked, shown, size, self._lost))
        self._lost = False

    def _picture(self, frame: av.VideoFrame, side: Upright, shape: Size) -> Image:
        height, width = side.turned(shape)
        small = self._reformatter.reformat(frame, width, height, format="rgb24", interpolation="AREA", threads=1)
        return side(np.asarray(small.to_ndarray(), dtype=np.uint8))

    def _offer(self, shot: Shot) -> None:
        with self._change:
            while not self.live and len(self._queue) >= self._waiting and not self._stopped:
                self._change.wait(GLANCE)
            if self._stopped:
                return
            self._queue.append(shot)
            if len(self._queue) > self._waiting:
                self._queue.popleft()
                self.dropped += 1
                self._queue[0] = replace(self._queue[0], fresh=True)
            self._change.notify_all()


def fitting(size: Size, into: Size = SHOWN) -> Size:
    """The largest even size of a picture's shape that fits; a small one is not enlarged."""
    share = min(1.0, *(most / side for most, side in zip(into, size, strict=True)))
    height, width = (max(2, round(side * share / 2) * 2) for side in size)
    return height, width
