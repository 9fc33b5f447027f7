"""An hour of video through predict: `python benchmarks/long.py` watches memory, counts frames and compares overlaps.

A drawn video is looped until it is an hour long (5 frames a second, as cameras record; `--fps 25` for more). `tvau
predict` looks at it in a process of its own, whose memory is read twice a second: memory.csv and memory.png. With
`--kill` it is killed in the middle and started again, and all of its files are compared with those of a run that was
not. With `--overlaps` windows overlap by 0, 25 and 50 %, and the events are set side by side.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np

QUESTION = "Is there any anomaly in the video?"


def loop(source: Path, out: Path, minutes: float, fps: int) -> int:
    """Writes the pictures of a video again and again, calm ones in between; returns the number of frames."""
    with av.open(str(source)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    total, calm = round(minutes * 60 * fps), 12 * fps
    with av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"preset": "ultrafast"}
        for number in range(total):
            at = number % (len(pictures) + calm)
            picture = pictures[at] if at < len(pictures) else pictures[0]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return total


def memory(process: int) -> int:
    """Bytes of memory that a process and its children hold now."""
    held = 0
    for each in [process, *map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())]:
        for line in Path(f"/proc/{each}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                held += 1024 * int(line.split()[1])
    return held


def predict(video: Path, out: Path, *more: str, stop_after: float | None = None) -> tuple[float, list[list[float]]]:
    """Seconds and [(second, bytes)] of one run; `stop_after`: it is killed so many seconds after its first window."""
    words = ["predict", str(video), "--out", str(out), "--questions", QUESTION, "--most", "4", "--batch-size", "8",
             "--workers", "0", *more]  # fmt: skip
    start, first, curve = time.monotonic(), None, []
    run = subprocess.Popen([sys.executable, "-m", "tvau.cli", *words], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)  # fmt: skip
    while run.poll() is None:
        now = time.monotonic()
        try:
            curve.append([now - start, float(memory(run.pid))])
        except OSError:  # it has just ended
            break
        if first is None and any(file.stat().st_size for file in out.glob(".*.windows/windows.jsonl")):
            first = now
        if stop_after is not None and first is not None and now - first > stop_after:
            run.kill()
        time.sleep(0.5)
    run.wait()
    return time.monotonic() - start, curve


def events(folder: Path) -> list[tuple[float, float]]:
    """Start and end of each event, seconds."""
    return [tuple(event["seconds"]) for event in json.loads((folder / "events.json").read_text())]


def draw(curve: list[list[float]], path: Path) -> None:
    """The curve of memory as csv and png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with path.with_suffix(".csv").open("w", newline="") as file:
        csv.writer(file).writerows([["second", "bytes"], *curve])
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.add_subplot()
    seconds, held = np.array(curve).T
    axes.plot(seconds, held / 1e6)
    axes.set(xlabel="seconds of the run", ylabel="MB held", ylim=(0, None))
    axes.grid(alpha=0.25)
    FigureCanvasAgg(figure).print_png(str(path.with_suffix(".png")))


def main(out: Path, minutes: float, fps: int, stride: int, kill: bool, overlaps: bool) -> None:
    """Prints what was measured."""
    from tvau.world import write

    out.mkdir(parents=True, exist_ok=True)
    write(out / "world", {"test": 2}, seed=1, progress=False)
    video = out / "hour.mp4"
    total = loop(next((out / "world").glob("Scene*/abnormal*.mp4")), video, minutes, fps)
    seconds, curve = predict(video, out / "whole", "--stride", str(stride), "--overwrite")
    draw(curve, out / "memory")
    held = np.array(curve)[:-2, 1] / 1e6  # at its very end it lets go
    quarters = [float(np.median(part)) for part in np.array_split(held, 4)]
    print(
        f"{total} frames, {total // stride} looked at: {seconds:.0f} s, {total / seconds:.0f} frames a second of the "
        f"source; memory in the median of each quarter of the run {', '.join(f'{q:.0f}' for q in quarters)} MB, "
        f"{held.max():.0f} MB at most; {len(events(out / 'whole' / 'hour'))} events"
    )
    if kill:
        took, _ = predict(video, out / "parts", "--stride", str(stride), "--overwrite", stop_after=seconds / 4)
        kept = out / "parts" / ".hour.windows" / "windows.jsonl"
        if not kept.is_file():
            raise SystemExit("the run was over before it could be killed: give more --minutes")
        lines = len(kept.read_bytes().splitlines())
        again, _ = predict(video, out / "parts", "--stride", str(stride))
        same = all((out / "parts" / "hour" / file.name).read_bytes() == file.read_bytes()
                   for file in (out / "whole" / "hour").iterdir())  # fmt: skip
        print(f"killed after {took:.0f} s with {lines} windows, gone on for {again:.0f} s: "
              f"{'all files are equal, byte for byte' if same else 'FILES DIFFER'}")  # fmt: skip
    if overlaps:
        found = {0: events(out / "whole" / "hour")}
        for share in (25, 50):
            predict(video, out / f"overlap{share}", "--stride", str(stride), "--hop", str(16 - 16 * share // 100))
            found[share] = events(out / f"overlap{share}" / "hour")
        for share, own in found.items():
            pairs = list(zip(found[0], own, strict=False)) if len(own) == len(found[0]) else []
            off = max((abs(a - b) for pair in pairs for a, b in zip(*pair, strict=True)), default=float("nan"))
            print(f"overlap {share} %: {len(own)} events, starts and ends at most {off:.2f} s from those without")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/long"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--fps", type=int, default=5)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--overlaps", action="store_true")
    main(**vars(parser.parse_args()))
