"""Frames a second of the loader beside plain PyAV, and memory over a one-hour video.

    python benchmarks/loading.py                                  # draws its own videos
    python benchmarks/loading.py ../shared/data/clips             # or reads those of a folder

All ways decode the same files to the same pictures (RGB, `--size`), in this one run, each in turn, the best of
`--repeats`. "plain" reads every frame of a video once, from the first to the last, as fast as PyAV can; "naive" opens
the file anew for each clip and seeks. A clip has 16 frames; overlapping clips begin every 4 frames.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from tvau.data.clips import windows
from tvau.data.folder import find_videos
from tvau.data.images import Size
from tvau.data.video import Reader

LENGTH, HOP = 16, 4
SAMPLE = 8  # clips of a video that the naive way reads at least


def draw(path: Path, frames: int, size: Size, gop: int = 50) -> Path:
    """A video of moving stripes, drawn as it is written."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = (*size, "yuv420p", gop)
        stream.options = {"preset": "ultrafast"}
        stripes = np.tile(np.arange(size[1] + 256, dtype=np.uint8)[None, :, None], (size[0], 1, 3))
        for number in range(frames):
            at = number % 256
            picture = np.ascontiguousarray(stripes[:, at : at + size[1]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def clips(path: Path, hop: int) -> list[range]:
    """The clips of a video."""
    with av.open(str(path)) as container:
        total = container.streams.video[0].frames
    return windows(total, LENGTH, 1, hop, str(path))


def _pictures(container: av.container.InputContainer, size: Size) -> Iterator[tuple[int, np.ndarray]]:
    """(time, picture) of the frames that a container shows from where it stands."""
    reformatter = VideoReformatter()
    for frame in container.decode(video=0):
        small = reformatter.reformat(frame, size[1], size[0], format="rgb24", interpolation="AREA", threads=1)
        yield frame.pts or 0, small.to_ndarray()


def plain(path: Path, size: Size, hop: int) -> int:
    """Every frame once, in order."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return sum(1 for _ in _pictures(container, size))


def naive(path: Path, size: Size, hop: int) -> int:
    """Each clip by a fresh open-and-seek; of a long video only some clips, evenly spaced, or it would take all day."""
    count = 0
    every = clips(path, hop)
    for clip in every[:: max(len(every) // SAMPLE, 1)]:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate, base = stream.average_rate, stream.time_base
            assert rate is not None
            assert base is not None
            first = (stream.start_time or 0) + int(clip[0] / (rate * base))
            container.seek(first, stream=stream)
            found = 0
            for time, _ in _pictures(container, size):
                found += time >= first
                if found == LENGTH:
                    break
            count += found
    return count


def loader(path: Path, size: Size, hop: int) -> int:
    """As the data sets of tvau read clips."""
    reader, count = Reader(size), 0
    for clip in clips(path, hop):
        count += len(reader.open(path).read(clip))
    return count


def rate(way: Callable[[Path, Size, int], int], paths: list[Path], size: Size, hop: int, repeats: int) -> float:
    """Frames a second that a way hands out, the best of some runs."""
    best = 0.0
    for _ in range(repeats):
        start = perf_counter()
        count = sum(way(path, size, hop) for path in paths)
        best = max(best, count / (perf_counter() - start))
    return best


def speed(paths: list[Path], size: Size, repeats: int) -> None:
    """Prints the table of frames a second."""
    print("| way | clips | frames a second | beside plain |\n|---|---|---|---|")
    base = rate(plain, paths, size, LENGTH, repeats)
    print(f"| plain sequential PyAV | - | {base:.0f} | 1.00 |")
    for hop, title in ((LENGTH, "without overlap"), (HOP, f"every {HOP} frames")):
        ways = {"tvau": rate(loader, paths, size, hop, repeats), "naive": rate(naive, paths, size, hop, repeats)}
        for name, value in ways.items():
            print(f"| {name} | {title} | {value:.0f} | {value / base:.2f} |")
        print(f"| tvau / naive | {title} | {ways['tvau'] / ways['naive']:.2f} times | |", flush=True)


def memory(minutes: int) -> None:
    """Prints the resident memory while a long video is read clip by clip."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # what drawing takes is not the reader's
            pool.submit(draw, path, minutes * 60 * 25, (48, 64)).result()
        print(f"\n| of a video of {minutes} minutes ({minutes * 1500} frames) | resident memory, MiB |\n|---|---|")
        print(f"| before | {_resident():.1f} |")
        reader = Reader()
        every = windows(reader.open(path).frames, LENGTH, 1, LENGTH)
        print(f"| opened and indexed | {_resident():.1f} |")
        for number, clip in enumerate(every, start=1):
            reader.open(path).read(clip)
            if number % (len(every) // 6) == 0:
                print(f"| read to {number / len(every):.0%} | {_resident():.1f} |", flush=True)


def _resident() -> float:
    """Resident memory of this process, MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="?", help="a folder of video files; without it two are drawn")
    parser.add_argument("--size", type=int, nargs=2, default=(240, 320))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=int, default=60, help="length of the long video; 0 leaves it out")
    args = parser.parse_args()
    if args.minutes:
        memory(args.minutes)
    with tempfile.TemporaryDirectory() as folder:
        paths = [path for path in find_videos(args.videos).values() if path.is_file()] if args.videos else [
            draw(Path(folder) / f"{number}.mp4", 400, (480, 640)) for number in range(2)
        ]  # fmt: skip
        speed(paths, tuple(args.size), args.repeats)


if __name__ == "__main__":
    main()
