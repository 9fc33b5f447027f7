"""Tiny videos and data sets, written where a test asks for them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

LEVELS = 5  # gray levels between the pictures of two frames that follow each other


def write_video(
    path: Path,
    frames: int = 40,
    size: tuple[int, int] = (48, 64),
    gop: int = 250,
    index_first: bool = True,
    **options: str,
) -> Path:
    """A video whose frame n has gray level 16 + 5 n, with B-frames and, unless told otherwise, a single keyframe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = {"movflags": "faststart"} if path.suffix == ".mp4" and index_first else {}
    settings = {"crf": "10", "bf": "3", "sc_threshold": "0", "preset": "veryfast", **options}
    with av.open(str(path), "w", options=flags) as container:
        stream = container.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=25)
        stream.height, stream.width = size
        stream.pix_fmt, stream.gop_size = "yuv420p", gop
        stream.codec_context.options = {} if path.suffix == ".avi" else settings
        for number in range(frames):
            picture = np.full((*size, 3), 16 + LEVELS * number, np.uint8)
            picture[: size[0] // 2, : number + 1, 0] = 255  # something that moves, for the encoder to predict
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_frames(folder: Path, numbers: Sequence[int], size: tuple[int, int] = (24, 32), name: str = "{}.png") -> Path:
    """A frame folder whose frame n is gray, of level n."""
    folder.mkdir(parents=True)
    for number in numbers:
        Image.fromarray(np.full(size, number, np.uint8)).save(folder / name.format(number))
    return folder


class World:
    """A miniature of UBnormal, 48x64, 20 frames a video: object 1 is normal and still, object 2 moves right.

    `add` writes one video; `lists` the split lists, whose lines end as on the machine that made the real ones.
    """

    size, frames = (48, 64), 20

    def __init__(self, root: Path) -> None:
        self.root = root
        self.split: dict[tuple[str, str], list[str]] = {}
        (root / "scripts").mkdir(parents=True)

    def annotations(self, name: str) -> Path:
        return self.root / f"Scene{name.split('_')[2]}" / f"{name}_annotations"

    def add(self, name: str, split: str, tracks: str | None = None, maps: bool = True, frames: int = frames) -> Path:
        """Write a video; with `tracks` (the text of its file) it is an abnormal one. Returns its annotations folder."""
        folder = self.annotations(name)
        write_video(folder.parent / f"{name}.mp4", frames, self.size, preset="ultrafast")
        for frame in range(frames if maps else 0):
            folder.mkdir(exist_ok=True)
            ids = np.zeros(self.size, np.uint8)
            ids[4:12, 4:12] = 1
            ids[24:40, frame : frame + 16] = 2
            Image.fromarray(ids).save(folder / f"{name}_{frame:04d}_gt.png")
        if tracks is not None:
            folder.mkdir(exist_ok=True)
            (folder / f"{name}_tracks.txt").write_text(tracks)
        self.split.setdefault(("normal" if tracks is None else "abnormal", split), []).append(name)
        self.lists()
        return folder

    def lists(self) -> None:
        for split in {split for _, split in self.split}:
            for kind in ("normal", "abnormal"):
                names = self.split.get((kind, split), [])
                path = self.root / "scripts" / f"{kind}_{split}_video_names.txt"
                path.write_bytes("".join(f"{name}\r\n" for name in names).encode())

    def dialogs(self, *turns: tuple[str, int, int, str]) -> None:
        """Write `dialogs.jsonl`: (video, first frame, last frame, task) a line."""
        lines = [
            {"video": video, "frames": [first, last], "target": None, "task": task, "question": f"{task}?",
             "answer": f"{task}.", "provenance": "test"}
            for video, first, last, task in turns
        ]  # fmt: skip
        (self.root / "dialogs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def video() -> Callable[..., Path]:
    """Writes a video; see `write_video`."""
    return write_video


@pytest.fixture
def frame_folder() -> Callable[..., Path]:
    """Writes a frame folder; see `write_frames`."""
    return write_frames


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty miniature of UBnormal."""
    return World(tmp_path / "UBnormal")
