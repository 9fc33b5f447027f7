"""What the splits of the benchmark hold: `python benchmarks/splits.py data/benchmark`.

Prints three tables, measured on the files: how many videos of what, how large, long and plain to see the abnormal
objects are, and the same for each way of the split `subtle` beside the same kinds of `in_distribution`. With `--picture
FILE` it draws the first abnormal videos of every test split, not chosen, each at the frame with most abnormal pixels.
"""

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tvau.data.ubnormal import UBnormalFiles
from tvau.data.video import open_video

TILE = (144, 240)  # H, W of a picture of the sheet


@dataclass
class Event:
    """The abnormal pixels of a video: `area` share of the picture in percent and `contrast` in grey levels, means over
    the frames that show any; `frames` how many do; `best` the picture with most of them, outlined."""

    area: float
    frames: int
    contrast: float
    best: np.ndarray


def measure(files: UBnormalFiles, name: str) -> Event:
    """Reads one abnormal video. Contrast: mean distance of the object's pixels from the mean colour around it."""
    paths = sorted(files.annotations(name).glob("*_gt.png"))
    ids = np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths])
    masks = np.zeros(ids.shape, bool)
    for track in files.tracks(name):
        part = slice(track.start, track.end + 1)
        masks[part] |= ids[part] == track.id
    shown = np.flatnonzero(masks.any((1, 2)))
    video = open_video(files.video(name)).read(range(len(ids))).permute(0, 2, 3, 1).numpy()
    contrast = []
    for frame in shown:
        mask = masks[frame].astype(np.uint8)
        ring = (cv2.dilate(mask, np.ones((13, 13))) > cv2.dilate(mask, np.ones((3, 3)))) & (ids[frame] == 0)
        if ring.any():
            around = video[frame][ring].mean(0)
            contrast.append(float(np.abs(video[frame][masks[frame]] - around).mean()))
    top = int(masks.sum((1, 2)).argmax())
    outlines = cv2.findContours(masks[top].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    best = cv2.drawContours(np.ascontiguousarray(video[top]), outlines, -1, (255, 0, 255), 1)
    return Event(100 * float(masks[shown].mean()), len(shown), float(np.mean(contrast or [np.nan])), best)


def count_table(videos: dict[str, Any]) -> str:
    """One row a split: videos, kinds, scenes, light and weather."""
    lines = ["| split | videos | abnormal | kinds | scenes | light and weather |", "|---|--:|--:|---|--:|---|"]
    for split in dict.fromkeys(v["split"] for v in videos.values()):
        mine = [v for v in videos.values() if v["split"] == split]
        kinds = Counter(v["kind"] for v in mine if v["kind"])
        sky = Counter(" and ".join(filter(None, (v["light"], v["weather"]))) for v in mine)
        lines.append(
            f"| {split} | {len(mine)} | {kinds.total()} | {', '.join(f'{k} {n}' for k, n in kinds.items())} "
            f"| {len({v['scene'] for v in mine})} | {', '.join(f'{k} {n}' for k, n in sky.most_common())} |"
        )
    return "\n".join(lines)


def event_table(groups: dict[str, list[Event]]) -> str:
    """One row a group: medians over its videos."""
    lines = ["| abnormal videos of | number | area, % of the picture | frames | contrast, grey levels |"]
    lines += ["|---|--:|--:|--:|--:|"]
    for name, events in groups.items():
        if not events:  # of a small set
            continue
        area, frames, contrast = np.median([(e.area, e.frames, e.contrast) for e in events], axis=0)
        lines.append(
            f"| {name.strip()} | {len({id(e) for e in events})} | {area:.2f} | {frames:.0f} | {contrast:.0f} |"
        )
    return "\n".join(lines)


def sheet(rows: dict[str, list[tuple[str, Event]]]) -> np.ndarray:
    """The pictures, a row a split, each with its words below."""
    out = []
    for split, cells in rows.items():
        tiles = []
        for words, event in cells:
            tile = np.full((TILE[0] + 16, TILE[1] + 4, 3), 255, np.uint8)
            tile[: TILE[0], : TILE[1]] = cv2.resize(event.best, TILE[::-1], interpolation=cv2.INTER_AREA)
            text = f"{split}: {words}"
            cv2.putText(tile, text, (2, TILE[0] + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.34, (0, 0, 0), 1, cv2.LINE_AA)
            tiles.append(tile)
        out.append(np.concatenate(tiles, axis=1))
    return np.concatenate(out)


def main() -> None:
    """Prints the tables and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--columns", type=int, default=4)
    args = parser.parse_args()
    files = UBnormalFiles(args.root)
    videos = json.loads((args.root / "world.json").read_text())["videos"]
    print(count_table(videos), end="\n\n")
    tests = {n: v for n, v in videos.items() if v["kind"] and v["split"] not in ("training", "validation")}
    events = {name: measure(files, name) for name in tests}
    splits: dict[str, list[str]] = {}
    for name, video in tests.items():
        splits.setdefault(video["split"], []).append(name)
    print(event_table({split: [events[n] for n in names] for split, names in splits.items()}), end="\n\n")
    ways: dict[str, list[Event]] = {}
    for way in ("far", "short", "low contrast"):
        mine = [n for n in splits["subtle"] if way in tests[n]["subtle"]]
        ways[f"subtle, {way}"] = [events[n] for n in mine]
        ways["in_distribution, the same kinds" + " " * len(ways)] = [  # each as often as it is in the row above
            events[n] for m in mine for n in splits["in_distribution"] if tests[n]["kind"] == tests[m]["kind"]
        ]
    print(event_table(ways))
    if args.picture:
        words = {n: ", ".join(filter(None, (v["kind"], v["subtle"]))) for n, v in tests.items()}
        rows = {split: [(words[n], events[n]) for n in names[: args.columns]] for split, names in splits.items()}
        cv2.imwrite(str(args.picture), sheet(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
