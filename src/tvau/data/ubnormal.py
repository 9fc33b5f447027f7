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
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tvau.data.layout import LabelledVideos, Layout, found_in
from tvau.data.masks import IdMaps
from tvau.data.tracks import Track, read_text, read_tracks
from tvau.errors import DataError, shown

Tracks = Literal["tracks", "new_tracks"]
COUNTS = {  # of the release
    "training normal videos": 186, "training abnormal videos": 82, "validation normal videos": 26,
    "validation abnormal videos": 38, "test normal videos": 53, "test abnormal videos": 158,
}  # fmt: skip


class UBnormalFiles(Layout):
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
            raise DataError(
                f"{self.root}: expected UBnormal's layout, with Scene1, Scene2, ... and scripts/ with the split lists; "
                f"{found_in(self.root)}. Give the folder that holds scripts/, or make a data set with `tvau synth`."
            )
        self.lists = {
            match.groups(): path
            for path in sorted(lists.iterdir())
            if (match := re.fullmatch(r"(normal|abnormal)_(.+)_video_names\.txt", path.name))
        }
        if not (self.root / "world.json").exists():  # that of `tvau synth` has other counts
            self.expected = COUNTS
        self.splits = tuple(dict.fromkeys(split for _, split in self.lists))

    def names(self, split: str) -> dict[str, bool]:
        """The videos of a split ("training", "validation", "test", ...), normal ones first, and whether abnormal."""
        absent = [kind for kind in ("normal", "abnormal") if (kind, split) not in self.lists]
        if absent:
            expected = " and ".join(f"{kind}_{split}_video_names.txt" for kind in absent)
            found = ", ".join(path.name for path in self.lists.values()) or "no list of videos"
            raise DataError(f"{self.root / 'scripts'}: expected {expected} for the split {split!r}; found {found}.")
        return {name: kind == "abnormal" for kind in ("normal", "abnormal") for name in self._list(kind, split)}

    def all_names(self) -> dict[str, bool]:
        """The videos of all lists, and whether they are abnormal."""
        return {name: kind == "abnormal" for kind, split in self.lists for name in self._list(kind, split)}

    def _list(self, kind: str, split: str) -> list[str]:
        path = self.lists[kind, split]
        names = [line.strip().removesuffix(".mp4") for line in read_text(path).splitlines()]
        for number, name in enumerate(names, start=1):
            if name and not (re.fullmatch(r"[\w.-]+", name) and len(name.split("_")) > 3):
                raise DataError(
                    f"{path}, line {number}: expected a video name like abnormal_scene_1_scenario_2, not {shown(name)}."
                )
        return [name for name in names if name]

    def video(self, name: str) -> Path:
        """The file of a video; the scene is the third word of its name."""
        return self.root / f"Scene{name.split('_')[2]}" / f"{name}.mp4"

    def annotations(self, name: str) -> Path:
        """The folder of the id maps and tracks of a video."""
        return self.video(name).with_name(f"{name}_annotations")

    def truth(self, name: str) -> IdMaps:
        """Id maps, with the abnormal tracks where the video stands in a list of abnormal ones."""
        return IdMaps(self.annotations(name), name, self.tracks(name) if self._abnormal.get(name) else [])

    @cached_property
    def _abnormal(self) -> dict[str, bool]:
        return self.all_names()

    def categories(self, name: str) -> dict[int, str]:
        """The names of a video's objects; an object without one is a person."""
        return self._names.get(name, {})

    @cached_property
    def _names(self) -> dict[str, dict[int, str]]:
        return self.object_names()

    def object_names(self) -> dict[str, dict[int, str]]:
        """{video: {object id: name}}, empty where the data set has none."""
        for kind in ("json", "pkl"):
            path = self.root / "scripts" / f"object_names_per_video.{kind}"
            if path.is_file():
                return read_object_names(path)
        return {}

    def tracks(self, name: str) -> list[Track]:
        """The abnormal tracks of an abnormal video."""
        paths = {kind: self.annotations(name) / f"{name}_{kind}.txt" for kind in ("tracks", "new_tracks")}
        found = [path for path in (paths[self.prefer], *paths.values()) if path.is_file()]
        if not found:
            raise DataError(f"{paths[self.prefer]}: no such file; an abnormal video needs its tracks.")
        return read_tracks(found[0])

    def problems(self) -> list[str]:
        """Object names that cannot be read, videos in two splits, and annotated videos that no list names."""
        found = []
        try:
            self.object_names()
        except DataError as error:
            found.append(str(error))
        listed = Counter(name for kind, split in self.lists for name in self._list(kind, split))
        found += [f"{self.root / 'scripts'}: {name} stands in {n} lists" for name, n in listed.items() if n > 1]
        on_disk = {path.stem: path for path in sorted(self.root.glob("Scene*/[!.]*.mp4"))}
        found += [f"{path}: no list names this video" for name, path in on_disk.items() if name not in listed]
        return found


class UBnormal(LabelledVideos):
    """UBnormal, or a data set in its layout, as clips with masks and dialogs.

    Args:
        root: folder with `scripts` and the `Scene` folders.
        tracks: which track files count where there are two kinds, "tracks" or "new_tracks".
        ids: also give the maps of ALL objects, as `ids`.
        options: see `LabelledVideos`.
    """

    def __init__(self, root: str, tracks: Tracks = "tracks", ids: bool = False, **options: Any) -> None:
        super().__init__(root, **options)
        self.tracks: Tracks = tracks
        self.ids = ids

    def layout(self) -> UBnormalFiles:
        """The folder's files."""
        return UBnormalFiles(self.root, self.tracks)


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
