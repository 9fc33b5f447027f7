"""Pictures as an mp4 that every player and browser shows."""

from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import cv2
import numpy as np

from tvau.viz.overlay import Image

TICKS = 90_000  # of a second, in which the time of a picture is given
LONGEST = 3 * 3600.0  # seconds for which a picture may stand: times are 32 bits of ticks, half of them for reordering


class Mp4:
    """h264 with 4:2:0 colour, encoded in a thread while the next picture is drawn.

    Args:
        path: the file to write.
        size: (height, width) of the pictures. Odd sizes lose their last row or column, which 4:2:0 cannot hold.
        fps: pictures a second, for players that show it; each picture brings its own time. What stands for longer than
            three hours, as in films of motion alone, stands for three.

    Raises:
        OSError: the file cannot be written; from any method, as the thread lags behind by a picture.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        self.size = tuple(side - side % 2 for side in size)
        self.container = av.open(str(path), "w", options={"movflags": "faststart"})
        self.stream = self.container.add_stream("libx264", rate=Fraction(fps).limit_denominator(10_000))
        self.stream.height, self.stream.width = self.size
        # slower presets look ahead (mbtree), by which the same pictures do not always become the same bytes
        self.stream.pix_fmt, self.stream.options = "yuv420p", {"crf": "20", "preset": "superfast"}
        self.stream.codec_context.time_base = Fraction(1, TICKS)
        self.before, self.skipped = 0.0, 0.0  # seconds of the last picture, and of what was cut
        self.thread, self.last = ThreadPoolExecutor(1), Future[None]()
        self.last.set_result(None)

    def add(self, picture: Image, seconds: float) -> None:
        """One more picture, uint8 [H, W, 3], and its time; it must not be written to afterwards."""
        self.last.result()
        self.skipped += max(seconds - self.before - LONGEST, 0.0)
        self.before = seconds
        self.last = self.thread.submit(self._encode, picture, seconds - self.skipped)

    def _encode(self, picture: Image, seconds: float) -> None:
        height, width = self.size
        even = np.ascontiguousarray(picture[:height, :width])
        frame = av.VideoFrame.from_ndarray(cv2.cvtColor(even, cv2.COLOR_RGB2YUV_I420), format="yuv420p")
        frame.pts, frame.time_base = round(seconds * TICKS), Fraction(1, TICKS)
        self.container.mux(self.stream.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if error is None:
                self.last.result()
                self.container.mux(self.stream.encode())
        finally:
            self.thread.shutdown()
            self.container.close()
