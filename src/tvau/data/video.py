"""Exact frames out of a video file or a folder of frames, behind one small interface.

    with open_video("clip.mp4", size=(96, 160)) as video:
        clip = video.read(range(0, 32, 2))  # uint8 [16, 3, 96, 160]

Frame numbers are 0-based and count the frames in the order in which the decoder hands them out (see `index.py`). Every
frame is made small while it is decoded, so that memory does not grow with the length or the resolution of a video.

Pictures are upright: a display matrix (telephones, body cameras) is applied as players apply it. Annotations are made
on what players show, so masks and boxes are in the upright picture, too, and are never turned.
"""

import os
import warnings
from pathlib import Path

from tvau.data.frames import FOLDER_FPS, FrameFolder, Video
from tvau.data.images import Size
from tvau.data.videofile import VideoFile
from tvau.errors import DataError


def open_video(path: str | os.PathLike[str], size: Size | None = None, fps: float | None = None) -> Video:
    """Open a video file or a folder of frames.

    Args:
        path: a file that FFmpeg can read, or a folder with one image a frame (jpg, png, tif or bmp), sorted by number.
        size: (height, width) of the frames to return, reached by averaging areas; None keeps the source's.
        fps: frames a second, where the source does not say it (frame folders; 25 if None). Ignored for video files.

    A file that was cut short or begins between two key frames is read as far as it goes, with a warning.

    Raises:
        DataError: nothing there, an unreadable or empty file, no video stream, a folder without images, or pictures
            that are no more than a line.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected a video file or a folder of frames.")
    video = FrameFolder(path, size, fps or FOLDER_FPS) if path.is_dir() else VideoFile(path, size)
    if min(video.size) < 2:
        raise DataError(f"{path}: pictures of {video.size[1]}x{video.size[0]}; expected 2x2 pixels or more.")
    for fault in video.faults:
        warnings.warn(f"{path}: {fault}; the {video.frames} frames that are there are read.", stacklevel=2)
    return video


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
                self._inherited.append(video)  # kept, since it must not be freed here, see `videofile`
            elif video.path == path:
                return video
            else:
                video.close()
        self._last = (os.getpid(), open_video(path, self.size, self.fps))
        return self._last[1]

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_last": None, "_inherited": []}
