"""Any folder of videos, with or without masks: what `tvau predict` reads.

root/a.mp4, root/b/001.jpg         video files, frame folders, or both
root/b_gt/001.png                  optional masks of b, one image a frame; not 0 where abnormal
root/b_gt.npy                      or one array (frames, height, width)
root/b_annotations/                or id maps and tracks, named as in UBnormal
"""

import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tvau.data.clips import padded_windows
from tvau.data.images import IMAGE_SUFFIXES, frame_files
from tvau.data.index import is_video
from tvau.data.layout import LabelledDataset, Layout, expect_split
from tvau.data.masks import IdMaps, MaskFiles, Truth, Unknown
from tvau.data.module import Clip, ClipDataset, OnBroken, VideoDataModule, spaced
from tvau.data.stacks import MaskStack
from tvau.data.tracks import read_tracks
from tvau.data.video import open_video
from tvau.errors import DataError, OptionError

NAMED = 8  # files that a sentence names
TRUTH_SUFFIXES = ("_gt", "_annotations")  # a folder X_gt beside X holds the masks of X (UCSD Ped, UBnormal)


class VideoFolder(VideoDataModule):
    """Every window of every video of a folder, in order, for `tvau predict`.

    Args:
        videos: a folder with video files or frame folders (or both), or one video file, or one frame folder; or several
            of these. Of its subfolders those count that hold images; `X_gt` and `X_annotations` beside a video X hold
            its masks and are left out. Hidden files and folders are left out.
        masks: also give the masks of those videos that have some.
        frames: frames of a clip (T). A video that has fewer gives one clip that repeats its last frame.
        stride: distance between the frames of a window, in frames of the video.
        hop: distance between the starts of windows, in sampled frames; null: windows do not overlap.
        size: height and width to which frames are resized, pixels; null keeps the source's.
        fps: frames a second of frame folders, which do not record it.
        limit: at most this many videos, evenly spaced over the folder; null takes all.
        batch_size: clips of a batch.
        num_workers: processes that read ahead. With more than one, windows of several videos take turns.
        on_broken: what a broken video does: "fail", or "skip": it is named in a warning and left out.
    """

    def __init__(
        self,
        videos: str | Sequence[str],
        frames: int = 16,
        stride: int = 1,
        hop: int | None = None,
        size: tuple[int, int] | None = (96, 160),
        fps: float = 25.0,
        limit: int | None = None,
        batch_size: int = 4,
        num_workers: int = 1,
        on_broken: OnBroken = "fail",
        masks: bool = False,
    ) -> None:
        super().__init__(batch_size, num_workers, on_broken=on_broken)
        if (limit is not None and limit < 1) or not fps > 0:
            raise OptionError(f"limit {limit}, fps {fps:g}: expected at least one video, and frames a second above 0")
        self.videos, self.frames, self.stride, self.hop, self.size = videos, frames, stride, hop, size
        self.fps, self.limit, self.masks = fps, limit, masks

    @cached_property
    def paths(self) -> dict[str, Path]:
        """{name: video file or frame folder}, in order; what else lies there is named in a warning."""
        every: dict[str, Path] = {}
        for root in [self.videos] if isinstance(self.videos, str) else self.videos:
            found, left_out = sort_videos(Path(root))
            if left_out:
                warnings.warn(f"{root}: {_left_out(left_out)}", stacklevel=2)
            for name, path in found.items():
                other = every.get(name, path)
                if other != path:  # of another folder
                    name = f"{path.absolute().parent.name}-{name}"
                if every.setdefault(name, path) != path:
                    raise DataError(
                        f"{path} and {every[name]} would both be called {name}; look at one after the other."
                    )
        return every

    def split(self, name: str) -> ClipDataset:
        """Index the folder, which is all of any split."""
        paths = self.paths
        truths: dict[str, Truth] = {}
        clips: list[Clip] = []
        for video in spaced(list(paths), self.limit):
            try:
                with open_video(paths[video]) as opened:
                    ranges = padded_windows(opened.frames, self.frames, self.stride, self.hop)
                    truths[video] = truth_of(paths[video]) if self.masks else Unknown()
                    labels = truths[video].labels(opened.frames)
                clips += [
                    Clip(video, paths[video], frames, labels=truths[video].of(labels, frames)) for frames in ranges
                ]
            except DataError as error:
                if self.on_broken == "fail":
                    raise
                warnings.warn(f"Skipped {video}: {error}", stacklevel=2)
        if not clips:
            raise DataError(f"{self.videos}: none of its {len(paths)} videos can be read.")
        return LabelledDataset(clips, truths, self.size, False, self.on_broken, self.fps)


class FolderFiles(Layout):
    """A folder of videos as a data set: one split, "all", with the masks that lie beside the videos.

    Raises:
        DataError: nothing there, or nothing that looks like a video.
    """

    splits = ("all",)

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._videos, self._left_out = sort_videos(self.root)

    def names(self, split: str) -> dict[str, bool]:
        """All videos; those with masks may be abnormal."""
        expect_split(split, self.splits, self.root)
        return {name: self.truth(name).known for name in self._videos}

    def video(self, name: str) -> Path:
        """The file or frame folder of a video."""
        return self._videos.get(name, self.root / name)

    def problems(self) -> list[str]:
        """What lies there and is no video, and folders of masks in which none are found."""
        found = [f"{self.root}: {_left_out(self._left_out)}"] if self._left_out else []
        for name, video in self._videos.items():
            stem, truth = video.name if video.is_dir() else video.stem, self.truth(name)
            for folder in (video.with_name(stem + ending) for ending in TRUTH_SUFFIXES):
                if folder.is_dir() and folder != getattr(truth, "folder", None):
                    found.append(
                        f"{folder}: no masks of {name} are read from it; see docs/train/data.md for their names"
                    )
                elif isinstance(truth, IdMaps) and folder == truth.folder and not truth.tracks:
                    found.append(f"{folder}: no {stem}_tracks.txt with a track, so {name} counts as normal")
        return found

    def truth(self, name: str) -> Truth:
        """The masks beside a video."""
        return truth_of(self.video(name))


def truth_of(video: Path) -> Truth:
    """The masks that lie beside a video file or frame folder, in any of the three forms; `Unknown` where none do."""
    video = video.absolute()  # "." has no name
    stem = video.name if video.is_dir() else video.stem
    gt, stack, maps = (video.with_name(stem + ending) for ending in ("_gt", "_gt.npy", "_annotations"))
    if gt.is_dir() and frame_files(gt):
        return MaskFiles(gt)
    if stack.is_file():
        return MaskStack(stack)
    lists = [path for part in ("tracks", "new_tracks") if (path := maps / f"{stem}_{part}.txt").is_file()]
    of_ids = IdMaps(maps, stem, read_tracks(lists[0]) if lists else [])
    return of_ids if lists or of_ids.mapped else Unknown()


def find_videos(path: Path) -> dict[str, Path]:
    """The videos and frame folders of a folder by name (without suffix), or the one that `path` is; see `VideoFolder`.

    Raises:
        DataError: nothing there, or nothing that looks like a video.
    """
    return sort_videos(path)[0]


def sort_videos(path: Path) -> tuple[dict[str, Path], list[str]]:
    """The videos of a folder as in `find_videos`, and the names of what is neither hidden nor video nor mask."""
    if path.is_file():
        return {path.stem: path}, []
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; expected videos, frame folders, or one of them.")
    entries = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")]
    stems = {entry.stem if entry.is_file() else entry.name for entry in entries}
    truths = {entry for entry in entries if _is_truth(entry, stems)}
    files = [entry for entry in entries if entry.is_file() and entry not in truths and is_video(entry)]
    folders = [entry for entry in entries if entry.is_dir() and entry not in truths and frame_files(entry)]
    if not files and not folders:
        if frame_files(path):
            return {path.resolve().name: path}, []
        inside = ", ".join(entry.name for entry in entries[:8]) or "nothing"
        raise DataError(
            f"{path}: expected video files that FFmpeg can open or folders of frames "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}) directly in it; found {inside}. "
            "Give the folder one level above the videos."
        )
    left_out = [entry.name for entry in entries if entry not in {*files, *folders, *truths}]
    return _named([*files, *folders]), left_out


def _left_out(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"left out, since FFmpeg finds no video in them: {', '.join(names[:NAMED])}{more}."


def _is_truth(entry: Path, stems: set[str]) -> bool:
    name = entry.name.removesuffix(".npy")
    return any(name.endswith(suffix) and name.removesuffix(suffix) in stems for suffix in TRUTH_SUFFIXES)


def _named(videos: Sequence[Path]) -> dict[str, Path]:
    """Videos by stem, or by file name where that would name another too (a.mp4 and a.avi; a.mp4.avi beside them)."""
    stems = [video.stem if video.is_file() else video.name for video in videos]
    files = {video.name for video in videos}
    named = {
        video.name if stems.count(stem) > 1 or stem in files else stem: video
        for video, stem in zip(videos, stems, strict=True)
    }
    return dict(sorted(named.items()))
