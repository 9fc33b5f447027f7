"""Targets linked from the masks of UCSD Ped2 beside those traced by hand, and ShanghaiTech's tracks as sentences.

python benchmarks/targets.py ../shared/data/ucsd_ped2 --tracks ../shared/data/shanghaitech_tracks
"""

import argparse
import json
import tempfile
from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvau.annotate.phrases import trajectory
from tvau.data.boxes import read_shanghaitech_tracks
from tvau.data.linking import mask_traces
from tvau.data.traces import LEAST, Trace, box_traces
from tvau.data.ucsd import UCSDPedFiles
from tvau.data.video import open_video
from tvau.language import cell, slots


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes."""
    w, h = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    area = w * h
    return float(area / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - area))


def agreement(trace: Trace, hand: dict[str, Any]) -> dict[int, float]:
    """IoU in each frame that either has; 0 where one of them has no box."""
    boxes = {int(t): np.array(box, float) for t, box in hand["boxes"].items()}
    ours = dict(zip(trace.frames.tolist(), trace.boxes, strict=True))
    return {t: overlap(ours[t], boxes[t]) if t in ours and t in boxes else 0.0 for t in sorted({*ours, *boxes})}


def pairing(traces: list[Trace], hand: list[dict[str, Any]]) -> list[tuple[Trace | None, dict[str, Any] | None]]:
    """The one-to-one pairs with the highest sum of overlaps; what is left over on either side stands alone."""
    scores = np.array([[sum(agreement(t, h).values()) for h in hand] for t in traces])
    size = max(len(traces), len(hand))
    padded = np.zeros((size, size))
    padded[: len(traces), : len(hand)] = scores.reshape(len(traces), len(hand))
    best = max(permutations(range(size)), key=lambda order: sum(padded[i, j] for i, j in enumerate(order)))
    return [(traces[i] if i < len(traces) else None, hand[j] if j < len(hand) else None) for i, j in enumerate(best)]


def _inside(mask: NDArray[np.bool_], box: NDArray[np.float64]) -> int:
    """Pixels of a mask in a box."""
    x0, y0, x1, y1 = box.astype(int)
    return int(mask[y0:y1, x0:x1].sum())


def compare(root: Path) -> None:
    """Prints the table of UCSD Ped2."""
    files = UCSDPedFiles(root)
    truth = {k: v for k, v in json.loads((root / "targets.json").read_text()).items() if not k.startswith("_")}
    print("| clip | target | frames ours/hand | mean IoU | lowest IoU | start ours/hand | end ours/hand |")
    print("|---|---|---|---|---|---|---|")
    found, cells, notes = 0, Counter[str](), list[str]()
    ious: list[float] = []
    for name, hand in truth.items():
        with open_video(files.video(name)) as video:
            total, size = video.frames, video.size
        truth_of = files.truth(name)
        traces = mask_traces(truth_of, truth_of.labels(total), size)
        found += len(traces)
        for trace, target in pairing(traces, hand):
            if trace is None or target is None:
                what = (
                    f"only ours, id {trace.id}, frames {trace.frames[0]}..{trace.frames[-1]}"
                    if trace
                    else "only by hand"
                )
                print(f"| {name} | {what} | | | | | |")
                continue
            both = agreement(trace, target)
            ious += both.values()
            boxes = {int(t): np.array(box, float) for t, box in target["boxes"].items()}
            ends = [(trace.start, target["start_position"]), (trace.end, target["end_position"])]
            for which, (ours, theirs), at in zip(("start", "end"), ends, (min(boxes), max(boxes)), strict=True):
                cells[which] += ours == theirs
                if ours != theirs:
                    box = boxes[at]
                    x, y = (box[:2] + box[2:]) / 2 / (size[1], size[0])
                    notes.append(
                        f"{name}/{target['target_id']} {which}: ours {ours}, hand {theirs}; the hand-made box has its "
                        f"centre at ({x:.3f}, {y:.3f}) of the picture, cell {cell(x, y)}"
                    )
            noted = target.get("interpolated_frames")
            low = [t for t, value in both.items() if value < 0.5]
            if low:
                runs = np.split(np.array(low), np.flatnonzero(np.diff(low) > 1) + 1)
                spans = ", ".join(f"{run[0]}..{run[-1]} ({np.mean([both[t] for t in run]):.2f})" for run in runs)
                notes.append(f"{name}/{target['target_id']}: IoU below 0.5 in frames {spans}")
                if low[-1] not in trace.frames:
                    pixels, least = _inside(truth_of.mask(low[-1], size), boxes[low[-1]]), LEAST * size[0] * size[1]
                    notes[-1] += (
                        f"; no box of ours there: in frame {low[-1]} the hand-made box holds {pixels} pixel(s), a "
                        f"target counts as visible from {least:.0f} on"
                    )
                if noted:
                    notes[-1] += f"; by hand {noted[0]}..{noted[1]} are interpolated, since two masks touch"
            print(
                f"| {name} | {target['target_id']} {target['category']} | {len(trace.frames)}/{len(boxes)} | "
                f"{np.mean([*both.values()]):.3f} | {min(both.values()):.3f} | "
                + " | ".join(f"{a}" if a == b else f"**{a} / {b}**" for a, b in ends) + " |"
            )  # fmt: skip
    count = sum(map(len, truth.values()))
    print(f"\ntargets: {found} ours, {count} by hand; boxes: {len(ious)} frames, mean IoU {np.mean(ious):.3f}, "
          f"{np.mean(np.array(ious) >= 0.9):.1%} at 0.9 or more; same start {cells['start']}/{count}, "
          f"same end {cells['end']}/{count}")  # fmt: skip
    print("\n".join(f"- {note}" for note in notes))


def sentences(folder: Path, out: Path, size: tuple[int, int] = (480, 856)) -> None:
    """Reads ShanghaiTech's tracks and writes a trajectory sentence for each."""
    lines, counts = [], Counter[str]()
    for path in sorted(folder.glob("[0-9]*.txt")):
        raw = [line.split(",") for line in path.read_text().split()]
        for track in read_shanghaitech_tracks(path):
            order = [int(row[1]) for row in raw if int(row[0]) == track.id]
            counts["tracks"] += 1
            counts["boxes"] += len(track.boxes)
            counts["out of order"] += order != sorted(order)
            counts["with gaps"] += len(track.boxes) <= max(track.boxes) - min(track.boxes)
            counts["of one frame"] += len(track.boxes) == 1
            (trace,) = box_traces([track], size, max(track.boxes) + 1)
            said = trajectory(trace)
            assert slots(said)["start"] == trace.start, said
            counts["that stay"] += not trace.direction
            lines.append(f"{path.stem} track {track.id} (frames {trace.frames[0]}..{trace.frames[-1]}): {said}")
    out.write_text("\n".join(lines) + "\n")
    print("\nShanghaiTech: " + ", ".join(f"{value} {name}" for name, value in counts.items()))
    print(f"all sentences: {out}\n" + "\n".join(lines[:: max(len(lines) // 6, 1)]))


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ucsd_ped2", type=Path, help="folder with UCSDped2/ and targets.json")
    parser.add_argument("--tracks", type=Path, help="folder with ShanghaiTech's track files")
    parser.add_argument("--sentences", type=Path, default=Path(tempfile.gettempdir()) / "shanghaitech_sentences.txt")
    args = parser.parse_args()
    compare(args.ucsd_ped2)
    if args.tracks:
        sentences(args.tracks, args.sentences)


if __name__ == "__main__":
    main()
