"""One data set on disk behind one small interface, and the DataModule that turns any of them into clips.

A data set says where its videos are, how it is split and what is true of a video (`Layout`); everything else, windows,
dialogs, masks, batches, is shared (`LabelledVideos`).
"""

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tvau.data.boxes import BoxTrack, clip_boxes
from tvau.data.clips import spread, windows
from tvau.data.dialogs import Dialog, read_dialogs
from tvau.data.masks import Truth
from tvau.data.module import Clip, ClipDataset, OnBroken, VideoDataModule, spaced
from tvau.data.video import Size, open_video
from tvau.errors import DataError, OptionError
from tvau.types import Turn

Clips = Literal["windows", "dialogs"]
Protocol = Literal["official", "supervised"]


class Layout(ABC):
    """Where everything of one data set is. Making one looks at folders, and reads no video and no mask.

    Attributes:
        root: the data set's folder.
        splits: its parts, for `tvau data check`.
        expected: published counts of the whole data set, such as {"test videos": 107}; empty where there is no release.
        fps: frames a second where videos are folders of frames; None: the video file says it.
    """

    root: Path
    splits: tuple[str, ...]
    expected: Mapping[str, int] = {}
    fps: float | None = None

    @abstractmethod
    def names(self, split: str) -> dict[str, bool]:
        """The videos of a split in order, and whether something abnormal may be in them.

        Raises:
            DataError: there is no such split; says which there are.
        """

    def all_names(self) -> dict[str, bool]:
        """The videos of all splits."""
        return {name: abnormal for split in self.splits for name, abnormal in self.names(split).items()}

    def known(self) -> Collection[str]:
        """Every video that dialogs may be about, also one that the protocol has in no split."""
        return self.all_names()

    @abstractmethod
    def video(self, name: str) -> Path:
        """The file or frame folder of a video, whether it is there or not."""

    @abstractmethod
    def truth(self, name: str) -> Truth:
        """What is true of a video. Raises DataError where its files are missing."""

    def boxes(self, name: str) -> list[BoxTrack] | None:
        """The tracks of a video's abnormal objects, where the data set comes with (or was given) a file of them."""
        return None

    def categories(self, name: str) -> dict[int, str]:
        """What the objects of a video are, by id, as far as the data set says it."""
        return {}

    def problems(self) -> list[str]:
        """What is wrong with the data set as a whole, beside what each video's own files say."""
        return []


class LabelledDataset(ClipDataset):
    """Samples of clips with their masks.

    Args:
        clips: what to read.
        truths: of each video.
        size: (height, width) of frames and masks; None keeps that of the source.
        ids: also give the maps of ALL objects.
        on_broken: "fail", or "skip" a video that cannot be read.
        fps: frames a second of frame folders.
        tracks: of the videos whose tracks are known from files (none of a normal one); those of others are not.
    """

    def __init__(
        self, clips: Sequence[Clip], truths: Mapping[str, Truth], size: Size | None, ids: bool = False,
        on_broken: OnBroken = "fail", fps: float | None = None, tracks: Mapping[str, Sequence[BoxTrack]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(clips, size, on_broken, fps)
        self.truths, self.size, self.ids, self.tracks = truths, size, ids, tracks or {}

    def truth(self, clip: Clip, size: Size) -> dict[str, Tensor]:
        """What is known of: `mask` bool [T, H, W], `boxes` int64 [n, 6] and, if asked for, `ids` uint8 [T, H, W]."""
        shape = self.size or size
        read = self.truths[clip.name].read(clip.frames, size, shape, self.ids)
        if clip.name in self.tracks:
            read["boxes"] = clip_boxes(self.tracks[clip.name], clip.frames, size, shape)
        return {key: torch.from_numpy(values) for key, values in read.items()}


class LabelledVideos(VideoDataModule):
    """Any data set with a `Layout`, as clips with masks and dialogs.

    Args:
        root: the data set's folder.
        frames: frames of a clip (T).
        stride: distance between the frames of a window, in frames of the video.
        hop: distance between the starts of windows, in sampled frames; null: windows do not overlap.
        size: height and width to which frames and masks are resized, pixels; null keeps the source's.
        clips: "windows" over every video, or one clip for each of the "dialogs", its frames spread over the dialog's.
        dialogs: file with the dialogs, relative to `root` (or absolute).
        turns: keep only turns of these tasks (judgement, target, ...); null keeps all.
        limit: at most this many videos of a split, evenly spaced over its lists, or such a number for some splits by
            name; null takes all.
        batch_size: clips of a batch.
        num_workers: processes that read ahead; 0 reads in the main process.
        shuffle: draw training clips in random order.
        balance: draw normal and abnormal training clips equally often.
        seed: of the random order.
        on_broken: what a video with missing or broken files does: "fail", or "skip" (named in a warning).
        test_splits: the splits that `test` runs over, one loader each.
        in_memory: keep training clips once they are read (small data sets).
        mirror: every training clip comes a second time, as in a mirror; for stage 1, not for `clips: dialogs`.

    Raises:
        DataError: `mirror` for dialogs, which name left and right.
    """

    ids = False

    def __init__(
        self,
        root: str,
        frames: int = 16,
        stride: int = 1,
        hop: int | None = None,
        size: tuple[int, int] | None = (96, 160),
        clips: Clips = "windows",
        dialogs: str = "dialogs.jsonl",
        turns: list[str] | None = None,
        limit: int | dict[str, int] | None = None,
        batch_size: int = 4,
        num_workers: int = 2,
        shuffle: bool = True,
        balance: bool = False,
        seed: int = 0,
        on_broken: OnBroken = "fail",
        test_splits: Sequence[str] = ("test",),
        in_memory: bool = False,
        mirror: bool = False,
    ) -> None:
        super().__init__(batch_size, num_workers, shuffle, balance, seed, on_broken, test_splits, in_memory, mirror)
        if mirror and clips == "dialogs":
            raise DataError("`mirror` turns left into right, and dialogs name both: it is for maps (`clips: windows`)")
        self.root, self.frames, self.stride, self.hop, self.size = root, frames, stride, hop, size
        self.kind: Clips = clips
        self.dialogs, self.turns, self.limit = dialogs, turns, limit

    @abstractmethod
    def layout(self) -> Layout:
        """The data set under `root`."""

    def split(self, name: str) -> LabelledDataset:
        """Index a split by the names in its lists."""
        layout = self.layout()
        names = layout.names(name)
        dialogs = self._dialogs(layout)
        if self.kind == "dialogs":
            names = {video: abnormal for video, abnormal in names.items() if video in dialogs}
        clips: list[Clip] = []
        truths: dict[str, Truth] = {}
        tracks: dict[str, list[BoxTrack]] = {}
        if isinstance(self.limit, dict) and (unknown := set(self.limit) - set(layout.splits)):
            raise OptionError(f"limit of {min(unknown)!r}: the splits are {', '.join(layout.splits)}")
        limit = self.limit.get(name) if isinstance(self.limit, dict) else self.limit
        for video in spaced(list(names), limit):
            try:
                truth, boxes = layout.truth(video), layout.boxes(video)
                clips += self._clips(layout, video, truth, dialogs.get(video, []))
                truths[video] = truth
                if boxes:
                    tracks[video] = boxes
            except DataError as error:
                if self.on_broken == "fail":
                    raise
                warnings.warn(f"Skipped {video}: {error}", stacklevel=2)
        if not clips:
            raise DataError(f"{self.root}: no clip in the split {name!r} ({len(names)} videos, clips={self.kind!r}).")
        # a data set without tracks has no regions to be scored; in one that lacks a few, those videos have none
        if tracks:
            abnormal = {clip.name for clip in clips if clip.abnormal}
            tracks |= {video: [] for video in truths if video not in tracks and video not in abnormal}
        return LabelledDataset(clips, truths, self.size, self.ids, self.on_broken, layout.fps, tracks)

    def _dialogs(self, layout: Layout) -> dict[str, list[Dialog]]:
        path = Path(self.root) / self.dialogs
        if self.kind == "windows" and not path.exists():
            return {}
        by_video: dict[str, list[Dialog]] = {}
        for dialog in read_dialogs(path, layout.known()):
            by_video.setdefault(dialog.video, []).append(dialog)
        return by_video

    def _clips(self, layout: Layout, name: str, truth: Truth, dialogs: Sequence[Dialog]) -> list[Clip]:
        """The clips of one video, after a look at everything that reading them will need."""
        path = layout.video(name)
        with open_video(path) as video:
            total = video.frames
        labels = truth.labels(total)
        said: list[tuple[Sequence[int], tuple[Turn, ...]]] = []  # several dialogs may be about the same frames
        for dialog in dialogs:
            if dialog.last >= total:
                raise DataError(
                    f"{Path(self.root) / self.dialogs}: a dialog of {name} is about frames "
                    f"{dialog.first}..{dialog.last}, but the video ends with frame {total - 1}."
                )
            turns = tuple(t.turn for t in dialog.turns if self.turns is None or t.task in self.turns)
            if self.kind == "dialogs" or dialog.last - dialog.first + 1 >= self.frames:
                said.append((spread(dialog.first, dialog.last, self.frames, f"{name} (dialog)"), turns))
        if self.kind == "windows":
            known = {tuple(clip): turns for clip, turns in said}
            frames = windows(total, self.frames, self.stride, self.hop, name)
            said = [(window, known.get(tuple(window), ())) for window in frames]
        else:
            said = [(clip, turns) for clip, turns in said if turns]
        return [Clip(name, path, clip, turns, truth.of(labels, clip)) for clip, turns in said]


@cache
def supervised_split(data_set: str) -> dict[str, list[str]]:
    """The package's video-level split of a data set's test videos: {"training": names, "validation": names}.

    Its sides share no video. `splits.json` says how it was made.
    """
    lists = json.loads((files("tvau.data") / "splits.json").read_text(encoding="utf-8"))
    return {side: list(lists[data_set][side]) for side in ("training", "validation")}


def missing(data_set: str, present: Iterable[str], folder: Path) -> list[str]:
    """One line that names the published test videos which are not `present`; none if all are."""
    split = supervised_split(data_set)
    absent = sorted({*split["training"], *split["validation"]} - set(present))
    return [f"{folder}: missing are {', '.join(absent)}"] if absent else []


def expect_split(split: str, known: Mapping[str, object] | Sequence[str], root: Path, remedy: str = "") -> None:
    """Raises DataError where `split` is none of the `known` ones."""
    if split not in known:
        raise DataError(f"{root}: there is no split {split!r} here, only {', '.join(known)}.{remedy}")


def found_in(folder: Path) -> str:
    """What a folder holds, for errors: "found Train, Test", or that it does not exist."""
    if not folder.is_dir():
        return "there is no such folder"
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"found {', '.join(names[:8]) or 'nothing'}{more}"


def subfolder(parent: Path, name: str) -> Path | None:
    """The folder of this name below a parent, however a mirror writes it: case, `_` and `-` do not count."""

    def plain(text: str) -> str:
        return text.lower().replace("_", "").replace("-", "").replace(" ", "").rstrip("s")

    if not parent.is_dir():
        return None
    if (parent / name).is_dir():
        return parent / name
    same = sorted(path for path in parent.iterdir() if path.is_dir() and plain(path.name) == plain(name))
    return same[0] if same else None
