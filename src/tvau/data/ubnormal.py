"""UBnormal (Acsintoae et al., CVPR 2022), and every data set in its layout, such as that of `tvau synth`.

    root/Scene{n}/{video}.mp4
    root/Scene{n}/{video}_annotations/{video}_{frame:04d}_gt.png   8 bit, pixel = object id, 0 background; ALL objects
    root/Scene{n}/{video}_annotations/{video}_tracks.txt           "object_id,start,end", inclusive; abnormal videos
    root/Scene{n}/{video}_annotations/{video}_new_tracks.txt       optional
    root/scripts/{normal,abnormal}_{split}_video_names.txt
    root/scripts/object_names_per_video.json or .pkl               {video: {object id: name}}, optional
    root/dialogs.jsonl                                             optional, see `tvau.data.dialogs`

At frame t, those pixels are abnormal whose id has a track with start <= t <= end.
"""

import json
import os
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from tvau.data.clips import spread, windows
from tvau.data.dialogs import Dialog, read_dialogs
from tvau.data.masks import box_of, read_id_map
from tvau.data.module import Clip, ClipDataset, OnBroken, VideoDataModule, spaced
from tvau.data.tracks import Track, read_text, read_tracks
from tvau.data.video import Size, open_video
from tvau.errors import DataError

Clips = Literal["windows", "dialogs"]
Tracks = Literal["tracks", "new_tracks"]


class UBnormalFiles:
    """Where everything of one UBnormal folder is.

    Args:
        root: the folder with `scripts` and the `Scene` folders.
        tracks: which track files count where both exist. The data set's region script prefers "new_tracks", its
            frame-label script reads "tracks" only, so published labels disagree.

    Raises:
        DataError: no such folder, or another layout.
    """

    def __init__(self, root: str | os.PathLike[str], tracks: Tracks = "tracks") -> None:
        self.root = Path(root)
        self.prefer: Tracks = tracks
        lists = self.root / "scripts"
        if not lists.is_dir():
            found = sorted(p.name for p in self.root.iterdir())[:8] if self.root.is_dir() else None
            what = "there is no such folder" if found is None else f"found {', '.join(found) or 'nothing'}"
            raise DataError(
                f"{self.root}: expected UBnormal's layout, with Scene1, Scene2, ... and scripts/ with the split lists; "
                f"{what}. Give the folder that holds scripts/, or make a data set with `tvau synth`."
            )
        self.lists = {
            match.groups(): path
            for path in sorted(lists.iterdir())
            if (match := re.fullmatch(r"(normal|abnormal)_(.+)_video_names\.txt", path.name))
        }

    def names(self, split: str) -> dict[str, bool]:
        """The videos of a split ("training", "validation", "test", ...), normal ones first, and whether abnormal."""
        absent = [kind for kind in ("normal", "abnormal") if (kind, split) not in self.lists]
        if absent:
            expected = " and ".join(f"{kind}_{split}_video_names.txt" for kind in absent)
            found = ", ".join(path.name for path in self.lists.values()) or "no list of videos"
            raise DataError(f"{self.root / 'scripts'}: expected {expected} for the split {split!r}; found {found}.")
        return {name: kind == "abnormal" for kind in ("normal", "abnormal") for name in self._list(kind, split)}

    def all_names(self) -> set[str]:
        """The videos of all lists."""
        return {name for kind, split in self.lists for name in self._list(kind, split)}

    def _list(self, kind: str, split: str) -> list[str]:
        path = self.lists[kind, split]
        names = [line.strip().removesuffix(".mp4") for line in read_text(path).splitlines()]
        for number, name in enumerate(names, start=1):
            if name and not (re.fullmatch(r"[\w.-]+", name) and len(name.split("_")) > 3):
                raise DataError(
                    f"{path}, line {number}: expected a video name like abnormal_scene_1_scenario_2, not {name!r}."
                )
        return [name for name in names if name]

    def video(self, name: str) -> Path:
        """The file of a video; the scene is the third word of its name."""
        return self.root / f"Scene{name.split('_')[2]}" / f"{name}.mp4"

    def annotations(self, name: str) -> Path:
        """The folder of the id maps and tracks of a video."""
        return self.video(name).with_name(f"{name}_annotations")

    def id_map(self, name: str, frame: int) -> Path:
        """The id map of a frame."""
        return self.annotations(name) / f"{name}_{frame:04d}_gt.png"

    def tracks(self, name: str) -> list[Track]:
        """The abnormal tracks of an abnormal video."""
        paths = {kind: self.annotations(name) / f"{name}_{kind}.txt" for kind in ("tracks", "new_tracks")}
        found = [path for path in (paths[self.prefer], *paths.values()) if path.is_file()]
        if not found:
            raise DataError(f"{paths[self.prefer]}: no such file; an abnormal video needs its tracks.")
        return read_tracks(found[0])

    def mapped(self, name: str) -> set[int]:
        """The frames that have an id map, by one look at the folder."""
        folder = self.annotations(name)
        pattern = re.compile(re.escape(name) + r"_(\d+)_gt\.png")
        if not folder.is_dir():
            return set()
        return {int(match[1]) for file in folder.iterdir() if (match := pattern.fullmatch(file.name))}

    def object_names(self) -> dict[str, dict[int, str]]:
        """{video: {object id: name}}, empty where the data set has none; an object without a name is a person."""
        for kind in ("json", "pkl"):
            path = self.root / "scripts" / f"object_names_per_video.{kind}"
            if path.is_file():
                return read_object_names(path)
        return {}


class UBnormalDataset(ClipDataset):
    """Samples of clips with masks of their abnormal objects.

    Args:
        files: where everything is.
        clips: what to read.
        tracks: the abnormal tracks of each video; a video without an entry is normal.
        size: (height, width) of frames and masks; None keeps that of the source.
        ids: also give the maps of ALL objects.
        on_broken: "fail", or "skip" a video that cannot be read.
    """

    def __init__(
        self,
        files: UBnormalFiles,
        clips: Sequence[Clip],
        tracks: Mapping[str, Sequence[Track]],
        size: Size | None,
        ids: bool = False,
        on_broken: OnBroken = "fail",
    ) -> None:
        super().__init__(clips, size, on_broken)
        self.files, self.tracks, self.size, self.ids = files, tracks, size, ids

    def truth(self, clip: Clip, size: Size) -> dict[str, Tensor]:
        """`mask` bool [T, H, W], `boxes` int64 [n, 6] and, if asked for, `ids` uint8 [T, H, W]."""
        shape = (len(clip.frames), *(self.size or size))
        ids, mask = np.zeros(shape, np.uint8), np.zeros(shape, bool)
        tracks, boxes = self.tracks.get(clip.name, ()), []
        for at, frame in enumerate(clip.frames):
            active = [track.id for track in tracks if track.start <= frame <= track.end]
            path = self.files.id_map(clip.name, frame)
            if active or (self.ids and path.exists()):
                ids[at] = read_id_map(path, size, shape[1:])
                mask[at] = np.isin(ids[at], active)
                boxes += [(ident, at, *box) for ident in sorted({*active}) if (box := box_of(ids[at] == ident))]
        out = {"mask": torch.from_numpy(mask), "boxes": torch.tensor(boxes, dtype=torch.int64).view(-1, 6)}
        return out | {"ids": torch.from_numpy(ids)} if self.ids else out


class UBnormal(VideoDataModule):
    """UBnormal, or a data set in its layout, as clips with masks and dialogs.

    Args:
        root: folder with `scripts` and the `Scene` folders.
        frames: frames of a clip (T).
        stride: distance between the frames of a window, in frames of the video.
        hop: distance between the starts of windows, in sampled frames; null: windows do not overlap.
        size: height and width to which frames and masks are resized, pixels; null keeps the source's.
        clips: "windows" over every video, or one clip for each of the "dialogs", its frames spread over the dialog's.
        dialogs: file with the dialogs, relative to `root`.
        turns: keep only turns of these tasks (judgement, target, ...); null keeps all.
        limit: at most this many videos of a split, evenly spaced over its lists; null takes all.
        tracks: which track files count where there are two kinds, "tracks" or "new_tracks".
        ids: also give the maps of ALL objects, as `ids`.
        batch_size: clips of a batch.
        num_workers: processes that read ahead; 0 reads in the main process.
        shuffle: draw training clips in random order.
        balance: draw normal and abnormal training clips equally often.
        seed: of the random order.
        on_broken: what a video with missing or broken files does: "fail", or "skip" (named in a warning).
        test_splits: the splits that `test` runs over, one loader each.
    """

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
        limit: int | None = None,
        tracks: Tracks = "tracks",
        ids: bool = False,
        batch_size: int = 4,
        num_workers: int = 2,
        shuffle: bool = True,
        balance: bool = False,
        seed: int = 0,
        on_broken: OnBroken = "fail",
        test_splits: Sequence[str] = ("test",),
    ) -> None:
        super().__init__(batch_size, num_workers, shuffle, balance, seed, on_broken, test_splits)
        self.root, self.frames, self.stride, self.hop, self.size = root, frames, stride, hop, size
        self.kind: Clips = clips
        self.dialogs, self.turns, self.limit, self.ids = dialogs, turns, limit, ids
        self.tracks: Tracks = tracks

    def split(self, name: str) -> UBnormalDataset:
        """Index a split by the names in its lists."""
        files = UBnormalFiles(self.root, self.tracks)
        names = files.names(name)
        dialogs = self._dialogs(files)
        if self.kind == "dialogs":
            names = {video: abnormal for video, abnormal in names.items() if video in dialogs}
        clips: list[Clip] = []
        tracks: dict[str, list[Track]] = {}
        for video in spaced(list(names), self.limit):
            try:
                found = files.tracks(video) if names[video] else []
                clips += self._clips(files, video, found, dialogs.get(video, []))
                tracks[video] = found
            except DataError as error:
                if self.on_broken == "fail":
                    raise
                warnings.warn(f"Skipped {video}: {error}", stacklevel=2)
        if not clips:
            raise DataError(f"{self.root}: no clip in the split {name!r} ({len(names)} videos, clips={self.kind!r}).")
        return UBnormalDataset(files, clips, tracks, self.size, self.ids, self.on_broken)

    def _dialogs(self, files: UBnormalFiles) -> dict[str, list[Dialog]]:
        path = files.root / self.dialogs
        if self.kind == "windows" and not path.exists():
            return {}
        by_video: dict[str, list[Dialog]] = {}
        for dialog in read_dialogs(path, files.all_names()):
            by_video.setdefault(dialog.video, []).append(dialog)
        return by_video

    def _clips(self, files: UBnormalFiles, name: str, tracks: Sequence[Track], dialogs: Sequence[Dialog]) -> list[Clip]:
        """The clips of one video, after a look at everything that reading them will need."""
        path = files.video(name)
        with open_video(path) as video:
            total = video.frames
        active = {t for track in tracks for t in range(track.start, min(track.end + 1, total))}
        if missing := sorted(active - files.mapped(name)) if active else []:
            raise DataError(
                f"{files.id_map(name, missing[0])}: no such file; the frame lies inside an abnormal track, and "
                f"{len(missing)} of {len(active)} such frames have no id map."
            )
        said = {}
        for dialog in dialogs:
            if dialog.last >= total:
                raise DataError(
                    f"{files.root / self.dialogs}: a dialog of {name} is about frames {dialog.first}..{dialog.last}, "
                    f"but the video ends with frame {total - 1}."
                )
            turns = tuple(t.turn for t in dialog.turns if self.turns is None or t.task in self.turns)
            if self.kind == "dialogs" or dialog.last - dialog.first + 1 >= self.frames:
                said[spread(dialog.first, dialog.last, self.frames, f"{name} (dialog)")] = turns
        if self.kind == "dialogs":
            frames = [clip for clip, turns in said.items() if turns]
        else:
            frames = windows(total, self.frames, self.stride, self.hop, name)
        return [Clip(name, path, clip, said.get(clip, ()), bool(active.intersection(clip))) for clip in frames]


class _PlainUnpickler(pickle.Unpickler):
    """Loads dicts, texts and numbers, and refuses everything that would import or call something."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it wants to load {module}.{name}; only dicts, texts and numbers are allowed")


def read_object_names(path: Path) -> dict[str, dict[int, str]]:
    """{video: {object id: name}} from a json or pickle file; a pickle may hold plain values only.

    Raises:
        DataError: a broken file, or one that holds anything else.
    """
    try:
        with path.open("rb") as file:
            names = json.load(file) if path.suffix == ".json" else _PlainUnpickler(file).load()
        return {str(video): {int(id): str(name) for id, name in ids.items()} for video, ids in names.items()}
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{path}: expected {{video: {{object id: name}}}} ({error}).") from error
