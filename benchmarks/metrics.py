"""How fast RBDC and TBDC are: `python benchmarks/metrics.py [--tracks DIR] [--detections 500000]`.

Tracks are those of a folder in the field's format (ShanghaiTech's 107 files, say), or random ones of the same kind and
size. The plain implementation, written from the definition (one pass over the sorted detections, a loop over the true
boxes of the frame, as published evaluators do it), runs beside it in the same process on as many detections as it can
finish, and has to agree.
"""

import argparse
from collections import Counter
from pathlib import Path
from time import perf_counter

import numpy as np

from tvau.metrics.files import read_track_boxes, video_files
from tvau.metrics.region import Detections, Tracks, region_curve

FRAMES = 40791  # of ShanghaiTech's test videos
PLAIN_SECONDS = 20.0  # the plain implementation is not asked to go on beyond this


def random_tracks(rng: np.random.Generator, videos: int = 107, tracks: int = 158, boxes: int = 18937) -> Tracks:
    """Boxes that drift through 856x480 pictures, as many as ShanghaiTech has."""
    length = np.full(tracks, boxes // tracks) + (np.arange(tracks) < boxes % tracks)
    track = np.repeat(np.arange(tracks), length)
    frame = np.arange(boxes) - np.repeat(length.cumsum() - length, length) + rng.integers(0, 200, tracks)[track]
    corner = (rng.uniform(0, [700, 300], (tracks, 2))[track] + rng.normal(0, 5, (boxes, 2))).clip(0).round()
    size = rng.uniform([20, 40], [80, 160], (boxes, 2)).round()
    return Tracks(track % videos, track, frame, np.c_[corner, corner + size])


def read_tracks(folder: Path) -> Tracks:
    """All tracks of a folder."""
    files = video_files(folder).values()
    rows = np.concatenate([np.c_[np.full(len(r), i), r] for i, r in enumerate(map(read_track_boxes, files))])
    video, track, frame = rows[:, :3].astype(np.int64).T
    return Tracks(video, track, frame, rows[:, 3:])


def random_detections(rng: np.random.Generator, tracks: Tracks, number: int) -> Detections:
    """A third near a true box, the others anywhere in the videos; scores of 16 bits, so that some tie."""
    near = rng.integers(0, len(tracks.video), number)
    anywhere = rng.random(number) < 2 / 3
    boxes = tracks.boxes[near] + rng.normal(0, 20, (number, 4))
    boxes[anywhere] = rng.uniform(0, 480, (anywhere.sum(), 4))
    frame = np.where(anywhere, rng.integers(0, FRAMES // 107, number), tracks.frame[near])
    corners = np.sort(boxes.reshape(number, 2, 2), axis=1).reshape(number, 4)
    return Detections(tracks.video[near], frame, corners, rng.integers(0, 2**16, number) / 2**16)


def plain(detections: Detections, tracks: Tracks) -> tuple[float, float]:
    """RBDC and TBDC detection by detection, points of equal score joined."""
    truth: dict[tuple[int, int], list[tuple[int, list[float]]]] = {}
    for i, key in enumerate(zip(tracks.video.tolist(), tracks.frame.tolist(), strict=True)):
        truth.setdefault(key, []).append((i, tracks.boxes[i].tolist()))
    names = list(zip(tracks.video.tolist(), tracks.track.tolist(), strict=True))
    sizes = Counter(names)
    found: set[int] = set()
    hits = dict.fromkeys(sizes, 0)
    false, told, points, last = 0, 0, [(0.0, 0.0, 0.0)], None
    rows = zip(detections.scores.tolist(), detections.video.tolist(), detections.frame.tolist(),
               detections.boxes.tolist(), strict=True)  # fmt: skip
    for score, video, frame, (x, y, u, v) in sorted(rows, reverse=True):
        if score != last:
            points.append((false / FRAMES, len(found) / len(names), told / len(sizes)))
        last, hit = score, False
        for i, (a, b, c, d) in truth.get((video, frame), ()):
            shared = max(min(u, c) - max(x, a) + 1, 0) * max(min(v, d) - max(y, b) + 1, 0)
            if shared / ((u - x + 1) * (v - y + 1) + (c - a + 1) * (d - b + 1) - shared) >= 0.1:
                hit = True
                if i not in found:
                    found.add(i)
                    before = hits[names[i]] / sizes[names[i]] >= 0.1
                    hits[names[i]] += 1
                    told += not before and hits[names[i]] / sizes[names[i]] >= 0.1
        false += not hit
    points.append((false / FRAMES, len(found) / len(names), told / len(sizes)))
    fpr, rbdr, tbdr = np.array([point for point in points if point[0] <= 1]).T
    return tuple(float(np.trapezoid(np.r_[y, y[-1]], np.r_[fpr, 1])) for y in (rbdr, tbdr))  # type: ignore[return-value]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=Path, help="folder of track files; default: random ones")
    parser.add_argument("--detections", type=int, default=500_000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    tracks = random_tracks(rng) if args.tracks is None else read_tracks(args.tracks)
    print(f"{len(tracks.video)} true boxes ({args.tracks or 'random'}), {FRAMES} frames\n")
    print("| detections | tvau, s | plain, s | ratio | RBDC | TBDC | difference |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    slow = 0.0
    for number in [args.detections // 2**k for k in range(8, -1, -1)]:
        detections = random_detections(rng, tracks, number)
        seconds = []
        for _ in range(3):
            start = perf_counter()
            curve = region_curve(detections, tracks, FRAMES)
            seconds.append(perf_counter() - start)
        fast, row = min(seconds), ["-", "-", "-"]
        if slow < PLAIN_SECONDS / 2:
            start = perf_counter()
            expected = plain(detections, tracks)
            slow = perf_counter() - start
            error = max(abs(curve.rbdc - expected[0]), abs(curve.tbdc - expected[1]))
            row = [f"{slow:.2f}", f"{slow / fast:.0f}", f"{error:.0e}"]
        print(
            f"| {number} | {fast:.4f} | {row[0]} | {row[1]} | {curve.rbdc:.4f} | {curve.tbdc:.4f} | {row[2]} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
