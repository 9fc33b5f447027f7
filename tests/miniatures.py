"""Miniatures of the public data sets, with the traps of the real ones, written where a test asks for them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

SIZE = (24, 32)  # height and width of all of them


def masks(count: int, abnormal: range, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """[T, H, W] a 6x6 square that moves right by a pixel a frame while it is abnormal."""
    out = np.zeros((count, *size), np.uint8)
    for frame in abnormal:
        out[frame, 8:14, frame : frame + 6] = 1
    return out


def frames(folder: Path, count: int, name: Callable[[int], str] = "{:03d}.png".format, first: int = 0) -> Path:
    """A folder of gray frames; frame n has level n."""
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(np.full(SIZE, number, np.uint8)).save(folder / name(first + number))
    return folder


def movie(path: Path, count: int) -> Path:
    """A tiny mpeg4 video; frame n is gray, of level 5 n."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = (*SIZE, "yuv420p")
        for number in range(count):
            picture = np.full((*SIZE, 3), 5 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def shanghaitech(root: Path, videos: Sequence[str] = ("01_0014", "04_0011"), count: int = 12) -> Path:
    """One training video, and test videos whose frames 4..9 are abnormal (04_0011: all)."""
    movie(root / "training" / "videos" / "01_001.avi", count)
    testing = root / "testing"
    for folder in ("test_frame_mask", "test_pixel_mask"):
        (testing / folder).mkdir(parents=True)
    for video in videos:
        frames(testing / "frames" / video, count, "{}.png".format)  # not zero-padded: 10 comes after 9
        found = masks(count, range(count) if video == "04_0011" else range(4, 10))
        np.save(testing / "test_pixel_mask" / f"{video}.npy", found)
        np.save(testing / "test_frame_mask" / f"{video}.npy", found.any((1, 2)).astype(np.uint8))
    return root


def tracks(root: Path, videos: Sequence[str] = ("01_0014", "04_0011")) -> Path:
    """ShanghaiTech's track files: out of order, with a gap, a track of one frame, and a readme."""
    folder = root / "testing" / "tracks"
    folder.mkdir(parents=True)
    (folder / "readme.txt").write_text("The files have the following format:\n\ntrack_id,frame_idx,...\n")
    for video in videos:
        lines = [f"0,{t},{t},8,{t + 5},13" for t in (9, 4, 5, 8)] + ["1,6,0,0,3,3"]
        (folder / f"{video}.txt").write_text("\r\n".join(lines) + "\r\n")
    return folder


def avenue(root: Path, count: int = 12, extra: int = 1) -> Path:
    """One training and one test video; the masks are `extra` frames longer than the video."""
    movie(root / "training_videos" / "01.avi", count)
    movie(root / "testing_videos" / "01.avi", count)
    movie(root / "testing_videos" / "02.avi", count)
    folder = root / "ground_truth_demo" / "testing_label_mask"
    folder.mkdir(parents=True)
    for number, abnormal in ((1, range(4, 10)), (2, range(count + extra))):
        stack = masks(count + extra, abnormal)
        cells = np.empty((1, len(stack)), object)
        for at, mask in enumerate(stack):
            cells[0, at] = mask
        savemat(folder / f"{number}_label.mat", {"volLabel": cells}, do_compression=True)
    return root


def ucsd(root: Path, part: str = "ped2", masked: Sequence[int] = (1, 2), count: int = 12) -> Path:
    """One training clip, three test clips; Test001 has two abnormal ranges, Test002 is abnormal throughout."""
    base = root / f"UCSD{part}"
    frames(base / "Train" / "Train001", count, "{:03d}.tif".format, first=1)
    spans = {1: (range(2, 4), range(6, 9)), 2: (range(count),), 3: (range(count - 1, count),)}
    lines = ["TestVideoFile = {};"]
    for number, ranges in spans.items():
        folder = frames(base / "Test" / f"Test{number:03d}", count, "{:03d}.tif".format, first=1)
        (folder / ".DS_Store").write_bytes(b"x")
        (folder / "._001.tif").write_bytes(b"x")
        lines.append(f"TestVideoFile{{end+1}}.gt_frame = [{', '.join(f'{r[0] + 1}:{r[-1] + 1}' for r in ranges)}];")
        if number in masked:
            stack = masks(count, range(count)) * 255
            gt = base / "Test" / f"Test{number:03d}_gt"
            gt.mkdir()
            (gt / ".DS_Store").write_bytes(b"x")
            for frame in range(count):
                mask = stack[frame] if any(frame in r for r in ranges) else np.zeros(SIZE, np.uint8)
                name = f"frame{frame + 1:03d}.bmp" if number == 2 else f"{frame + 1:03d}.bmp"
                Image.fromarray(mask).save(gt / name)
    (base / "Test" / f"UCSD{part}.m").write_text("\r\n".join(lines) + "\r\n")
    return root


def ubnormal(root: Path, count: int = 20) -> Path:
    """One abnormal test video: object 1 is a person who stands still, object 2 a car that moves right in frames 4..."""
    name = "abnormal_scene_1_scenario_1"
    movie(root / "Scene1" / f"{name}.mp4", count)
    notes = root / "Scene1" / f"{name}_annotations"
    notes.mkdir()
    for frame in range(count):
        ids = np.zeros(SIZE, np.uint8)
        ids[2:5, 2:5] = 1
        ids[10:16, frame : frame + 6] = 2
        Image.fromarray(ids).save(notes / f"{name}_{frame:04d}_gt.png")
    (notes / f"{name}_tracks.txt").write_text(f"2,4,{count - 1}")
    (root / "scripts").mkdir()
    (root / "scripts" / "normal_test_video_names.txt").write_text("")
    (root / "scripts" / "abnormal_test_video_names.txt").write_text(name)
    (root / "scripts" / "object_names_per_video.json").write_text(json.dumps({name: {"2": "car"}}))
    return root
