"""ShanghaiTech Campus (Liu et al., CVPR 2018).

    root/training/videos/01_001.avi            normal videos (some mirrors: training/frames/01_001/, frame folders)
    root/testing/frames/01_0014/000.jpg        one folder a video, frames in the order of their numbers
    root/testing/test_frame_mask/01_0014.npy   (T,), 1 where the frame is abnormal
    root/testing/test_pixel_mask/01_0014.npy   (T, H, W), or (H, W, T) on some mirrors, not 0 where abnormal; without
                                               that folder only frames have labels
    root/testing/tracks/01_0014.txt            optional: the tracks of Georgescu et al.; they may lie anywhere
    root/dialogs.jsonl                         optional, see `tvau.data.dialogs`

Mirrors write the names of folders in other ways ("testframemask"); case, `_`, `-` and a last `s` do not count. Some
leave out `frames` and `videos`: root/testing/01_0014/000.jpg.
"""

import os
from collections.abc import Collection
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tvau.data.boxes import BoxTrack, read_shanghaitech_tracks
from tvau.data.folder import find_videos
from tvau.data.layout import (
    LabelledVideos,
    Layout,
    Protocol,
    expect_split,
    found_in,
    missing,
    subfolder,
    supervised_split,
)
from tvau.data.masks import Normal, Truth
from tvau.data.stacks import MaskStack
from tvau.data.tracks import is_notice
from tvau.errors import DataError

FPS = 24.0  # of the test frames; the training videos say it themselves


class ShanghaiTechFiles(Layout):
    """Where everything of one ShanghaiTech folder is.

    Args:
        root: the folder with `training` and `testing`; either may be absent.
        protocol: "official": train on the normal training videos, test on all test videos; "supervised": the package's
            split of the test videos, about 80/20 of videos, frames, abnormal frames and tracks.
        tracks: a folder with the track files, one txt a video; None looks for `testing/tracks`.

    Raises:
        DataError: no such folder, or another layout.
    """

    expected = MappingProxyType({
        "training videos": 330, "test videos": 107, "test frames": 40_791, "test abnormal frames": 17_326,
        "tracks": 158, "boxes": 18_937,
    })  # fmt: skip
    fps = FPS

    def __init__(
        self, root: str | os.PathLike[str], protocol: Protocol = "official", tracks: str | None = None
    ) -> None:
        inner = subfolder(Path(root), "shanghaitech")
        self.root = inner if inner and not subfolder(Path(root), "testing") else Path(root)
        training, testing = subfolder(self.root, "training"), subfolder(self.root, "testing")
        if training is None and testing is None:
            raise DataError(
                f"{root}: expected ShanghaiTech's layout, with training/videos, testing/frames, "
                f"testing/test_frame_mask and testing/test_pixel_mask; {found_in(self.root)}. Give the folder that "
                "holds training/ and testing/."
            )
        self.protocol: Protocol = protocol
        self._normal = _videos(training, "videos", "frames")
        self._test = _videos(testing, "frames", "videos")
        self.testing = testing or self.root / "testing"
        self.labels = subfolder(self.testing, "test_frame_mask") or self.testing / "test_frame_mask"
        self.masks = subfolder(self.testing, "test_pixel_mask")  # None: only frames have labels
        self.tracks = Path(tracks) if tracks else subfolder(self.testing, "tracks")
        if self.tracks and not self.tracks.is_dir():
            raise DataError(f"{self.tracks}: there is no such folder; expected track files such as 01_0014.txt in it.")
        self.splits = ("training", "test") if protocol == "official" else ("training", "validation")

    def names(self, split: str) -> dict[str, bool]:
        """The videos of a split. In the "supervised" protocol "test" is another name of "validation"."""
        if self.protocol == "supervised":
            expect_split(split, ("training", "validation", "test"), self.root)
            return dict.fromkeys(supervised_split("shanghaitech")["validation" if split == "test" else split], True)
        remedy = " Its training videos are all normal; to train on labels choose `protocol: supervised`."
        expect_split(split, self.splits, self.root, remedy)
        return dict.fromkeys(self._normal, False) if split == "training" else dict.fromkeys(self._test, True)

    def known(self) -> Collection[str]:
        """The videos of both folders."""
        return {*self.all_names(), *self._normal, *self._test}

    def video(self, name: str) -> Path:
        """A frame folder of the test, or a video file of the training."""
        return self._test.get(name) or self._normal.get(name) or self.testing / "frames" / name

    def truth(self, name: str) -> Truth:
        """Frame labels and, where there are any, masks of a test video."""
        if name in self._normal and name not in self._test:
            return Normal()
        masks = self.masks / f"{name}.npy" if self.masks else None
        labels = self.labels / f"{name}.npy"
        for path in filter(None, (masks, labels)):
            if not path.is_file():
                raise DataError(
                    f"{path}: no such file; expected labels of {name} in testing/test_frame_mask (frames,) and, if "
                    "there are any, masks in testing/test_pixel_mask (frames, height, width); in testing/ "
                    f"{found_in(self.testing)}."
                )
        return MaskStack(masks, labels)

    def boxes(self, name: str) -> list[BoxTrack] | None:
        """The tracks of a test video, where the folder with the track files is there."""
        path = self.tracks / f"{name}.txt" if self.tracks else None
        return read_shanghaitech_tracks(path) if path and path.is_file() else None

    def problems(self) -> list[str]:
        """Published videos that are missing, truth without a video, and names on only one side."""
        found = missing("shanghaitech", self._test, self.testing)
        for folder, suffix in ((self.labels, ".npy"), (self.masks, ".npy"), (self.tracks, ".txt")):
            listed = folder.iterdir() if folder and folder.is_dir() else ()
            files = [path for path in listed if not (path.name.startswith(".") or is_notice(path))]
            known = {path.stem for path in files if path.suffix == suffix}
            found += [
                f"{path}: is not read, since it does not end in {suffix}" for path in files if path.suffix != suffix
            ]
            found += [f"{folder}: {stem} has no video in testing/frames" for stem in sorted(known - set(self._test))]
            if folder and folder == self.tracks:
                found += [f"{folder}: no tracks of {name}" for name in sorted(set(self._test) - known)]
        return found


class ShanghaiTech(LabelledVideos):
    """ShanghaiTech Campus as clips with masks and dialogs.

    Args:
        root: folder with `training` and `testing`.
        protocol: "official" (train on normal videos, test on all test videos), or "supervised" (the package's split of
            the test videos by video, about 80/20; its "test" is its "validation").
        options: see `LabelledVideos`.
    """

    def __init__(self, root: str, protocol: Protocol = "supervised", **options: Any) -> None:
        super().__init__(root, **options)
        self.protocol: Protocol = protocol

    def layout(self) -> ShanghaiTechFiles:
        """The folder's files."""
        return ShanghaiTechFiles(self.root, self.protocol)


def _videos(parent: Path | None, *folders: str) -> dict[str, Path]:
    """The videos of the first of some folders that is there; those of `parent` itself where none is."""
    for folder in folders:
        if parent and (found := subfolder(parent, folder)):
            return find_videos(found)
    if parent is None:
        return {}
    try:
        return find_videos(parent)  # a mirror without that level
    except DataError as error:
        expected = " or ".join(folders)
        raise DataError(f"{parent}: expected the folder {expected} in it, or videos; {found_in(parent)}.") from error
