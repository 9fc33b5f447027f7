"""What the pictures of a prediction cost beside the least that they can: decoding and encoding the same frames.

python benchmarks/overlay.py street.mp4 [--rounds 3]

Prints seconds a frame of (a) decoding and encoding alone, in one thread after the other, and (b) `write_prediction`
with heat on a quarter of each picture, and their ratio, the median of alternating rounds.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tvau.data.video import open_video
from tvau.viz.mp4 import Mp4
from tvau.viz.predictions import Evidence, write_prediction

SIZE = (96, 160)  # of the heatmaps


def bare(source: Path, folder: Path) -> None:
    """Decode and encode every frame as it is."""
    with open_video(source) as video, Mp4(folder / "bare.mp4", video.size, video.fps) as out:
        for seconds, picture in zip(video.seconds, video, strict=True):
            out.add(picture, float(seconds))
            out.last.result()


def whole(source: Path, folder: Path) -> None:
    """Everything that is written of a video."""
    with open_video(source) as video:
        frames = np.arange(0, video.frames, 6)
    heatmap = np.zeros(SIZE, np.float32)
    heatmap[: SIZE[0] // 2, : SIZE[1] // 2] = 0.8
    evidence = Evidence(frames, np.full(len(frames), 0.8), ((int(frame), heatmap) for frame in frames))
    write_prediction(folder, source, [], evidence)


def timed(work: Callable[[Path, Path], None], source: Path) -> float:
    """Seconds that it takes."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        work(source, Path(folder))
        return time.perf_counter() - start


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with open_video(args.video) as video:
        frames, size = video.frames, video.size
    times = np.array([[timed(work, args.video) for work in (bare, whole)] for _ in range(args.rounds)]) / frames
    a, b = np.median(times, 0) * 1000
    ratio = float(np.median(times[:, 1] / times[:, 0]))
    print(f"{args.video.name}: {frames} frames of {size[0]}x{size[1]}, median of {args.rounds} rounds")
    print("| | ms a frame |\n|---|---|")
    print(
        f"| (a) decode and encode, one after the other | {a:.1f} |\n| (b) overlay, scores, boxes and page | {b:.1f} |"
    )
    print(f"(b)/(a) = {ratio:.2f}")


if __name__ == "__main__":
    main()
