"""`tvau data check`: what is there, what is missing, and what does not fit together, before anything is trained."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from tvau.errors import DataError
from tvau.types import Kind

if TYPE_CHECKING:
    from tvau.data.boxes import BoxTrack
    from tvau.data.layout import Layout
    from tvau.data.masks import Labels, Truth
    from tvau.data.video import Size

PROBES = 4  # masks that are looked at in a video, beside those where its labels change


@dataclass
class Findings:
    """What a look at a data set found: counts by name, and what is wrong, each beginning with its file."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def check(kind: Kind, root: str, tracks: str | None = None) -> None:
    """Says what a data set holds beside what its release holds, and names every inconsistency with its file.

    Reads all lists, labels, tracks and sizes; of videos only how many frames there are, their first and their last one;
    of masks those where the labels change and a few more. The exit status is 0 if everything is as published, else 1.

    Args:
        kind: which data set; "folder" is any folder of videos, with or without masks.
        root: its folder.
        tracks: the folder of ShanghaiTech's track files, where it is not `testing/tracks`.
    """
    from tvau.data.kinds import open_layout

    layout = open_layout(kind, root, tracks)
    found = inspect(layout)
    rows = list(table(found.counts, layout.expected))
    print(f"{kind} in {layout.root}\n" + "\n".join(rows))
    off = sum(row.endswith("differs") for row in rows)
    for fault in found.faults:
        print(f"- {fault}")
    if not found.faults and not off:
        print("nothing is missing, and everything fits together")
        return
    print(f"{len(found.faults)} inconsistencies, {off} counts other than published")
    sys.exit(1)


def table(counts: Counter[str], expected: Mapping[str, int]) -> Iterator[str]:
    """Lines of what was found beside what is published; a line that does not agree ends with "differs"."""
    names = [*expected, *(name for name in counts if name not in expected)]
    width = max(map(len, names), default=5)
    yield f"{'':{width}}  {'found':>8}  {'expected':>8}"
    for name in names:
        value = expected.get(name)
        # tracks and boxes come in files of their own, which many do without
        differs = value is not None and value != counts[name] and not (name in ("tracks", "boxes") and not counts[name])
        yield f"{name:{width}}  {counts[name]:8}  {'-' if value is None else value:>8}{'  differs' if differs else ''}"


def inspect(layout: Layout, progress: bool = True) -> Findings:
    """Looks at every video of a data set; see `check`."""
    found = Findings(faults=list(layout.problems()))
    for split in layout.splits:
        try:
            names = layout.names(split)
        except DataError as error:
            found.faults.append(str(error))
            continue
        found.counts[f"{split} videos"] += len(names)
        if 0 < sum(names.values()) < len(names):
            found.counts[f"{split} normal videos"] = sum(not abnormal for abnormal in names.values())
            found.counts[f"{split} abnormal videos"] = sum(names.values())
        for name in tqdm(names, desc=split, disable=not progress or not sys.stderr.isatty(), leave=False):
            try:
                for fault in _inspect_video(layout, split, name, found.counts):
                    found.faults.append(fault)
            except DataError as error:
                found.faults.append(str(error))
    return found


def _inspect_video(layout: Layout, split: str, name: str, counts: Counter[str]) -> Iterator[str]:
    """What is wrong with one video; counts its frames, abnormal frames, masks and tracks. Raises where it is broken."""
    from tvau.data.masks import IdMaps, MaskFiles
    from tvau.data.stacks import MatStack
    from tvau.data.video import open_video

    path = layout.video(name)
    if path.is_dir():
        yield from _uneven_frames(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it would warn of are faults here
        video = open_video(path, size=(8, 8))
        total, size = video.frames, video.size
        video.read([0, total - 1])
    with video:
        yield from (f"{path}: {fault}" for fault in video.faults)
        counts[f"{split} frames"] += video.frames
        if video.missing:
            counts[f"{split} missing frames"] += video.missing
    truth = layout.truth(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = truth.labels(total)
    if (truth.known and split != "training") or labels.any():
        counts[f"{split} abnormal frames"] += int(labels.sum())
        counts[f"{split} videos with masks"] += truth.pixels
    if isinstance(truth, MaskFiles):
        yield from _gaps(truth.files)
    if truth.pixels:
        yield from _disagreements(truth, labels, size, str(path))
    if isinstance(truth, IdMaps):
        counts["tracks"] += len(truth.tracks)
        for ident in truth.unseen():
            yield f"{truth.folder}: object {ident} of a track is in none of the id maps within it"
        for track in truth.tracks:
            if track.end >= total:
                span = f"frames {track.start} to {track.end}"
                yield f"{truth.folder}: track of object {track.id} is {span}, the video ends with frame {total - 1}"
    if isinstance(truth, MatStack):
        truth.forget()
    if (tracks := layout.boxes(name)) is not None:
        counts["tracks"] += len(tracks)
        counts["boxes"] += sum(len(track.boxes) for track in tracks)
        yield from (f"tracks of {name}: {fault}" for fault in _stray_boxes(tracks, total, size))


def _uneven_frames(folder: Path) -> Iterator[str]:
    """What is odd in a frame folder: missing frames, frames of another size than the first; reads names and headers."""
    from tvau.data.images import open_image, sort_frames

    files, odd = sort_frames(folder)
    yield from (f"{folder}: {fault}" for fault in odd)
    yield from _gaps(files)
    first: Size | None = None
    for file in files:
        try:
            with open_image(file) as image:
                size = (image.height, image.width)
        except (OSError, SyntaxError, ValueError, DataError) as error:
            yield f"{file}: the frame cannot be read ({error})"
            continue
        first = first or size
        if size != first:
            yield f"{file}: {size[0]}x{size[1]} (height x width), the first frame is {first[0]}x{first[1]}"


def _gaps(files: Sequence[Path]) -> Iterator[str]:
    """Numbers that frames or masks leave out: what is paired by its place in the order is shifted behind them."""
    from tvau.data.images import frame_numbers

    for file, (number, following) in zip(files[1:], pairwise(frame_numbers(files) or ()), strict=False):
        if following > number + 1:
            yield f"{file}: frame {number} is followed by {following}; frames are missing, so labels may be shifted"


def _disagreements(truth: Truth, labels: Labels, size: Size, where: str) -> Iterator[str]:
    """Frames whose label and mask contradict each other, among those that are looked at."""
    changes = np.flatnonzero(np.diff(labels.astype(np.int8)))
    probes = {0, len(labels) - 1, *changes.tolist(), *(changes + 1).tolist()}
    probes |= set(np.linspace(0, len(labels) - 1, PROBES).astype(int).tolist())
    for frame in sorted(probes):
        empty = not truth.mask(frame, size).any()
        if labels[frame] and empty and truth.visible:
            yield f"{where}: frame {frame} is labelled abnormal, but its mask is empty"
        if not labels[frame] and not empty:
            yield f"{where}: frame {frame} is labelled normal, but its mask is not empty"


def _stray_boxes(tracks: list[BoxTrack], total: int, size: Size) -> Iterator[str]:
    """Tracks that leave the video or the picture."""
    for track in tracks:
        if max(track.boxes) >= total:
            yield f"track {track.id} has a box in frame {max(track.boxes)}, the video ends with frame {total - 1}"
        far = [t for t, (x0, y0, x1, y1) in track.boxes.items() if x1 <= 0 or y1 <= 0 or x0 >= size[1] or y0 >= size[0]]
        if far:
            yield f"track {track.id} lies outside the picture ({size[0]}x{size[1]}) in frame {far[0]}"
