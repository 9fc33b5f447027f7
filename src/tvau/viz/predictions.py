"""The files of a prediction: a video with the heatmap over it, a table of scores, the dialog.

Each file appears whole or not at all.
"""

import csv
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypedDict

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.data.video import Video, open_video
from tvau.errors import DataError
from tvau.files import whole
from tvau.metrics.boxes import MapRule, boxes, scaled
from tvau.types import Turn
from tvau.viz.overlay import Image, heat

CHUNK = 16  # frames of the source in memory at a time


class Dialog(TypedDict):
    """What was said about one window of a video."""

    frames: list[int]  # first and last frame of the window, 0-based
    turns: list[Turn]


def write_prediction(
    folder: Path,
    source: Path,
    frames: NDArray[np.int64],
    heatmaps: NDArray[np.floating],
    scores: NDArray[np.floating],
    dialogs: Sequence[Dialog],
    fps: float | None = None,
    rule: MapRule | None = None,
) -> None:
    """Write overlay.mp4, scores.csv, detections.txt, dialog.json and dialog.txt of one video.

    Args:
        folder: of this video alone; made if needed.
        source: the video file or frame folder that was looked at; read again, a few frames at a time.
        frames: int64 [N], the sampled frames, 0-based, rising.
        heatmaps: float [N, h, w] in [0, 1].
        scores: float [N] in [0, 1].
        dialogs: one for each window.
        fps: frames a second of a frame folder, which does not say it itself.
        rule: how boxes are read from the heatmaps, as in the test.

    Raises:
        DataError: sizes that do not agree, frames that are not rising or not in the source, a source that is broken.
    """
    frames, heatmaps, scores = np.asarray(frames), np.asarray(heatmaps), np.asarray(scores)
    if not (len(frames) == len(heatmaps) == len(scores) > 0 and heatmaps.ndim == 3):
        raise DataError(f"{source}: {len(frames)} frames, heatmaps {heatmaps.shape}, {len(scores)} scores; expected N "
                        "frames (1 or more), heatmaps [N, h, w], N scores.")  # fmt: skip
    for values, what in ((heatmaps, "heatmaps"), (scores, "scores")):
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise DataError(f"{source}: {what} are not all finite and in [0, 1]; give probabilities.")
    with open_video(source, fps=fps) as video:
        if (np.diff(frames) <= 0).any() or frames[0] < 0 or frames[-1] >= video.frames:
            raise DataError(f"{source}: sampled frames {frames[:3]}..{frames[-1]}; expected rising numbers from 0 to "
                            f"{video.frames - 1}, each once.")  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        write_scores(folder / "scores.csv", frames, scores, video.frames, video.fps)
        write_detections(folder / "detections.txt", frames, heatmaps, rule or MapRule(), video.size)
        write_dialogs(folder, source.name, dialogs)
        write_overlay(folder / "overlay.mp4", video, frames, heatmaps, scores)


def write_scores(path: Path, frames: NDArray[np.int64], scores: NDArray[np.floating], total: int, fps: float) -> None:
    """One row for each of the `total` source frames: frame, seconds, score, and whether the model saw that frame.

    Scores between sampled frames are interpolated linearly; before the first and after the last they stay.
    """
    sampled = set(frames.tolist())
    with whole(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "seconds", "score", "sampled"])
        for frame, score in enumerate(np.interp(np.arange(total), frames, scores)):
            writer.writerow([frame, f"{frame / fps:.3f}", f"{score:.6f}", int(frame in sampled)])


def write_detections(
    path: Path, frames: NDArray[np.int64], heatmaps: NDArray[np.floating], rule: MapRule, size: tuple[int, int]
) -> None:
    """One line `frame,x1,y1,x2,y2,score` for each box of each sampled frame, in pixels of the source, inclusive.

    `tvau score` reads it. `size` is (height, width) of the source.
    """
    with whole(path) as temporary, temporary.open("w") as file:
        for frame, heatmap in zip(frames, heatmaps, strict=True):
            for *corners, score in scaled(boxes(heatmap, rule), heatmap.shape, size):
                file.write(f"{frame},{','.join(f'{corner:.1f}' for corner in corners)},{score:.6f}\n")


def write_dialogs(folder: Path, name: str, dialogs: Sequence[Dialog]) -> None:
    """dialog.json for machines, dialog.txt for people."""
    with whole(folder / "dialog.json") as temporary:
        text = json.dumps({"video": name, "windows": list(dialogs)}, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    lines = [name]
    for dialog in dialogs:
        first, last = dialog["frames"]
        lines += ["", f"Frames {first} to {last}"]
        lines += [f"  Q: {turn['question']}\n  A: {turn['answer']}" for turn in dialog["turns"]]
    with whole(folder / "dialog.txt") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_overlay(
    path: Path,
    video: Video,
    frames: NDArray[np.int64],
    heatmaps: NDArray[np.floating],
    scores: NDArray[np.floating],
) -> None:
    """Every frame of the source under the heatmap, as h264 mp4 at the source's size and speed.

    Between sampled frames the heatmaps are interpolated linearly. Odd sizes lose their last row or column, which h264
    with 4:2:0 colour cannot hold. Memory does not grow with the length of the video.
    """
    height, width = (side - side % 2 for side in video.size)
    with whole(path) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(video.fps).limit_denominator(10_000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast"}
        for start in range(0, video.frames, CHUNK):
            indices = range(start, min(start + CHUNK, video.frames))
            pictures = video.read(indices).permute(0, 2, 3, 1).numpy()[:, :height, :width]  # [t, H, W, 3]
            for index, picture in zip(indices, pictures, strict=True):
                below, above, share = _neighbours(frames, index)
                blend = (1 - share) * heatmaps[below] + share * heatmaps[above]
                score = (1 - share) * scores[below] + share * scores[above]
                shown = _label(heat(picture, blend), f"{index} | {index / video.fps:.1f} s | score {score:.2f}")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode())


def _neighbours(frames: NDArray[np.int64], index: int) -> tuple[int, int, float]:
    """Positions of the sampled frames around a frame, and how far it is from the first to the second, in [0, 1]."""
    above = int(np.searchsorted(frames, index))
    if above == 0 or above == len(frames):
        nearest = min(above, len(frames) - 1)
        return nearest, nearest, 0.0
    return above - 1, above, float((index - frames[above - 1]) / (frames[above] - frames[above - 1]))


def _label(picture: Image, text: str) -> Image:
    """Small white text on a darkened box in the upper left corner; the picture itself is written to."""
    scale = max(picture.shape[0] / 900, 0.4)
    thickness = max(1, round(1.5 * scale))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    box = picture[: height + below + 4, : width + 8]
    box //= 3
    cv2.putText(
        picture, text, (4, height + 2), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thickness, cv2.LINE_AA
    )
    return picture
