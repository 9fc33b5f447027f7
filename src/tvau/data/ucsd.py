"""UCSD Ped1 and Ped2 (Mahadevan et al., CVPR 2010).

    root/UCSDped2/Train/Train001/001.tif      normal clips; `root` may also be the folder with Train and Test itself
    root/UCSDped2/Test/Test001/001.tif
    root/UCSDped2/Test/Test001_gt/001.bmp     masks, 0/255; in some copies 001.png or frame001.bmp. Ped1: 10 clips only
    root/UCSDped2/Test/UCSDped2.m             TestVideoFile{end+1}.gt_frame = [61:180]; 1-based, inclusive
    root/frame_ranges.json                    instead of the .m: {"Test001": [[60, 179]]}, 0-based, inclusive
    root/UCSDped2/Test/Test001_gt.txt         optional: the tracks of Ramachandra
    root/dialogs.jsonl                        optional, see `tvau.data.dialogs`

`ucsd_ped2_folds.json` in this package names the folds of the leave-videos-out test.
Frames and masks go by the order of the numbers in their names; .DS_Store and ._* are left out.
"""

import json
import os
import re
from collections.abc import Collection
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from tvau.data.boxes import BoxTrack, read_ucsd_tracks
from tvau.data.folder import find_videos
from tvau.data.layout import (
    LabelledVideos,
    Layout,
    expect_split,
    found_in,
    missing,
    subfolder,
    supervised_split,
)
from tvau.data.linking import mask_traces
from tvau.data.masks import FrameLabels, MaskFiles, Normal, Truth
from tvau.data.tracks import read_text
from tvau.data.video import open_video
from tvau.errors import DataError, shown

Part = Literal["ped1", "ped2"]
Protocol = Literal["official", "supervised", "folds"]
Ranges = list[tuple[int, int]]  # first and last frame, 0-based, inclusive


class UCSDPedFiles(Layout):
    """Where everything of Ped1 or Ped2 is.

    Args:
        root: the folder with `Train` and `Test`, or the one above it.
        part: "ped1" or "ped2".
        protocol: "official": train on the normal clips, test on all test clips; "supervised": the package's split of
            the test clips, about 80/20; clips without masks (26 of Ped1) are left out of it; "folds": one fold of
            Ped2's leave-videos-out, see `ped2_folds`.
        fold: which one, from 0.
        linked: a clip without a file of tracks gets those that its masks show, linked over time (`tvau.data.linking`).

    Raises:
        DataError: no such folder, another layout, or no such fold.
    """

    fps = 10.0

    def __init__(
        self,
        root: str | os.PathLike[str],
        part: Part = "ped2",
        protocol: Protocol = "official",
        fold: int = 0,
        linked: bool = False,
    ) -> None:
        if protocol == "folds" and (part != "ped2" or not 0 <= fold < len(ped2_folds())):
            raise DataError(f"fold {fold} of {part}: there are folds 0 to {len(ped2_folds()) - 1} of ped2 only.")
        inner = subfolder(Path(root), f"UCSD{part}")
        self.outer, self.root = Path(root), inner or Path(root)
        train, test = subfolder(self.root, "Train"), subfolder(self.root, "Test")
        if train is None and test is None:
            raise DataError(
                f"{root}: expected UCSD's layout, with UCSD{part}/Train/Train001/001.tif, UCSD{part}/Test/Test001/"
                f"001.tif and UCSD{part}/Test/Test001_gt/001.bmp; {found_in(self.root)}."
            )
        self.part, self.protocol, self.linked = part, protocol, linked
        self.fold = ped2_folds()[fold] if protocol == "folds" else {}
        self.test = test or self.root / "Test"
        self._normal = find_videos(train) if train else {}
        self._test = find_videos(test) if test else {}
        self.ranges = self._ranges()
        self.splits = {
            "official": ("training", "test"), "supervised": ("training", "validation"), "folds": tuple(self.fold),
        }[protocol]  # fmt: skip
        self.expected = {
            "ped1": {"training videos": 34, "test videos": 36, "training frames": 6_800, "test frames": 7_200,
                     "test videos with masks": 10},
            "ped2": {"training videos": 16, "test videos": 12, "training frames": 2_550, "test frames": 2_010,
                     "test videos with masks": 12},
        }[part]  # fmt: skip

    def _ranges(self) -> dict[str, Ranges] | None:
        """The abnormal frames of each test clip, from the list that is there; None: from the masks."""
        for path in (self.outer / "frame_ranges.json", self.root / "frame_ranges.json"):
            if path.is_file():
                return read_frame_ranges(path)
        lists = sorted(path for path in (self.test, self.root) for path in path.glob("[!.]*.m"))
        own = [path for path in lists if path.stem.lower() == f"ucsd{self.part}"]
        lists = own or [path for path in lists if b"gt_frame" in path.read_bytes()] or lists  # scripts may lie beside
        return read_matlab_ranges(lists[0]) if lists else None

    def names(self, split: str) -> dict[str, bool]:
        """The clips of a split. In the "supervised" protocol "test" is another name of "validation"."""
        if self.protocol == "folds":
            expect_split(split, self.fold, self.root)
            return {name: name.startswith("Test") for name in self.fold[split]}
        if self.protocol == "supervised":
            expect_split(split, ("training", "validation", "test"), self.root)
            side = supervised_split(f"ucsd_{self.part}")["validation" if split == "test" else split]
            every = self.part == "ped2"  # whose release has masks of every clip: `truth` says which are not there
            return {name: True for name in side if self._masks(name) is not None or (every and name in self._test)}
        remedy = " Its training clips are all normal; to train on labels choose `protocol: supervised`."
        expect_split(split, self.splits, self.root, remedy)
        return dict.fromkeys(self._normal, False) if split == "training" else dict.fromkeys(self._test, True)

    def known(self) -> Collection[str]:
        """The videos of both folders."""
        return {*self.all_names(), *self._normal, *self._test}

    def video(self, name: str) -> Path:
        """The frame folder of a clip."""
        return self._test.get(name) or self._normal.get(name) or self.test / name

    def _masks(self, name: str) -> Path | None:
        folder = self.test / f"{name}_gt"
        return folder if folder.is_dir() else None

    def truth(self, name: str) -> Truth:
        """Masks and frame labels of a test clip, as far as there are any."""
        if name in self._normal:
            return Normal()
        if self.ranges is not None and name not in self.ranges:
            raise DataError(f"{self.root}: the list of abnormal frames does not say anything about {name}.")
        labels = None if self.ranges is None else FrameLabels.of_ranges(self.ranges[name], self.root / name)
        masks = self._masks(name)
        if masks is not None:
            return MaskFiles(masks, labels)
        if self.protocol == "supervised":
            raise DataError(f"{self.test / name}_gt: no such folder; the supervised protocol learns from masks.")
        if labels is None:
            raise DataError(
                f"{self.test / name}_gt: no such folder, and no list of abnormal frames ({self.test}/*.m or "
                f"frame_ranges.json); expected at least one of them."
            )
        return labels

    def boxes(self, name: str) -> list[BoxTrack] | None:
        """The tracks of a test clip: of its file or, if `linked`, of its masks; None where there is neither."""
        path = self.test / f"{name}_gt.txt"
        if path.is_file():
            return read_ucsd_tracks(path)
        return linked_tracks(self.outer, self.part, name) if self.linked and self._masks(name) else None

    def problems(self) -> list[str]:
        """Published clips that are missing, masks without a clip, no list of abnormal frames."""
        found = missing(f"ucsd_{self.part}", self._test, self.test)
        found += [
            f"{path}: there is no clip {path.name[:-3]} beside it"
            for path in (sorted(self.test.glob("[!.]*_gt")) if self.test.is_dir() else [])
            if path.is_dir() and path.name[:-3] not in self._test
        ]
        if self.ranges is None:
            found.append(
                f"{self.test}: no list of abnormal frames (*.m or frame_ranges.json); they come from the masks"
            )
        return found


class UCSDPed(LabelledVideos):
    """UCSD Ped1 or Ped2 as clips with masks and dialogs.

    Args:
        root: the folder with `Train` and `Test`, or the one above it.
        part: "ped1" or "ped2".
        protocol: "official" (train on normal clips, test on all test clips), "supervised" (the package's split of
            the test clips with masks, about 80/20; its "test" is its "validation"), or "folds" (leave-videos-out).
        fold: which of the folds, from 0.
        linked: link the masks of a clip without a file of tracks to tracks, so that regions can be scored.
        options: see `LabelledVideos`.
    """

    def __init__(
        self,
        root: str,
        part: Part = "ped2",
        protocol: Protocol = "supervised",
        fold: int = 0,
        linked: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.part: Part = part
        self.protocol: Protocol = protocol
        self.fold, self.linked = fold, linked

    def layout(self) -> UCSDPedFiles:
        """The folder's files."""
        return UCSDPedFiles(self.root, self.part, self.protocol, self.fold, self.linked)


@cache
def ped2_folds() -> list[dict[str, list[str]]]:
    """The folds of leave-videos-out over eight test clips of Ped2: {"training", "validation", "test": names} each.

    Every one of the eight is in one fold's test. `ucsd_ped2_folds.json` says how they were made.
    """
    return list(json.loads((files("tvau.data") / "ucsd_ped2_folds.json").read_text(encoding="utf-8"))["folds"])


@cache
def linked_tracks(root: Path, part: Part, name: str) -> list[BoxTrack]:
    """The targets of a test clip, linked from its masks; once a process, since all masks have to be read."""
    layout = UCSDPedFiles(root, part)
    truth = layout.truth(name)
    with open_video(layout.video(name)) as video:
        total, size = video.frames, video.size
    return [
        BoxTrack(trace.id, {t: (x0, y0, x1, y1) for t, (x0, y0, x1, y1) in boxes})
        for trace in mask_traces(truth, truth.labels(total), size)
        for boxes in [zip(trace.frames.tolist(), trace.boxes.tolist(), strict=True)]
    ]


def read_matlab_ranges(path: Path) -> dict[str, Ranges]:
    """The abnormal frames of a list like UCSDped2.m: its n-th `gt_frame = [a:b, c:d];` is that of Test00n.

    Raises:
        DataError: no such line, or one whose brackets hold anything but ranges; says which.
    """
    ranges: dict[str, Ranges] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        code = line.split("%")[0]
        if "gt_frame" not in code:
            continue
        inside = re.fullmatch(r".*gt_frame\s*=\s*\[([\d:,;\s]*)\]\s*;?\s*", code)
        parts = [part for part in re.split(r"[,;\s]+", inside[1]) if part] if inside else [""]
        bounds = [re.fullmatch(r"(\d{1,7})(?::(\d{1,7}))?", part) for part in parts]
        found = [(int(m[1]) - 1, int(m[2] or m[1]) - 1) for m in bounds if m]
        if len(found) != len(parts) or any(not 0 <= first <= last for first, last in found):
            raise DataError(
                f"{path}, line {number}: expected gt_frame = [first:last, ...]; from 1, not {shown(line.strip())}."
            )
        ranges[f"Test{len(ranges) + 1:03d}"] = found
    if not ranges:
        raise DataError(f"{path}: there is no line like TestVideoFile{{end+1}}.gt_frame = [61:180]; in it.")
    return ranges


def read_frame_ranges(path: Path) -> dict[str, Ranges]:
    """The abnormal frames of a json {"Test001": [[first, last], ...]}, 0-based and inclusive.

    Raises:
        DataError: anything else.
    """
    try:
        ranges = json.loads(read_text(path))
        if not isinstance(ranges, dict):
            raise ValueError("not an object")
        for name, pairs in ranges.items():
            for pair in pairs if isinstance(pairs, list) else [None]:
                if not (isinstance(pair, list) and len(pair) == 2 and all(type(value) is int for value in pair)
                        and 0 <= pair[0] <= pair[1] < 1e7):  # fmt: skip
                    raise ValueError(f"{shown(name)} has {shown(pair)}")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected {{clip: [[first, last], ...]}}, 0-based and inclusive ({error}).") from error
    return {name: [(first, last) for first, last in pairs] for name, pairs in ranges.items()}
