"""Any folder of videos, without labels: what `tvau predict` reads."""

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tvau.data.clips import windows
from tvau.data.images import IMAGE_SUFFIXES, frame_files
from tvau.data.module import Clip, ClipDataset, OnBroken, VideoDataModule, spaced
from tvau.data.video import VIDEO_SUFFIXES, open_video
from tvau.errors import DataError

TRUTH_SUFFIXES = ("_gt", "_annotations")  # a folder X_gt beside X holds the masks of X (UCSD Ped, UBnormal)


class VideoFolder(VideoDataModule):
    """Every window of every video of a folder, in order, for `tvau predict`.

    Args:
        videos: a folder with video files or frame folders (or both), or one video file, or one frame folder. Of its
            subfolders those count that hold images; `X_gt` and `X_annotations` beside a video X hold its masks and are
            left out. Hidden files and folders are left out.
        frames: frames of a clip (T).
        stride: distance between the frames of a window, in frames of the video.
        hop: distance between the starts of windows, in sampled frames; null: windows do not overlap.
        size: height and width to which frames are resized, pixels; null keeps the source's.
        fps: frames a second of frame folders, which do not record it.
        limit: at most this many videos, evenly spaced over the folder; null takes all.
        batch_size: clips of a batch.
        num_workers: processes that read ahead. With more than one, windows of several videos take turns.
        on_broken: what a broken or too short video does: "fail", or "skip": it is named in a warning and left out.
    """

    def __init__(
        self,
        videos: str,
        frames: int = 16,
        stride: int = 1,
        hop: int | None = None,
        size: tuple[int, int] | None = (96, 160),
        fps: float = 25.0,
        limit: int | None = None,
        batch_size: int = 4,
        num_workers: int = 1,
        on_broken: OnBroken = "fail",
    ) -> None:
        super().__init__(batch_size, num_workers, on_broken=on_broken)
        self.videos, self.frames, self.stride, self.hop, self.size = videos, frames, stride, hop, size
        self.fps, self.limit = fps, limit

    @cached_property
    def paths(self) -> dict[str, Path]:
        """{name: video file or frame folder}, in order."""
        return find_videos(Path(self.videos))

    def split(self, name: str) -> ClipDataset:
        """Index the folder; there is one split, "predict"."""
        paths = self.paths
        clips: list[Clip] = []
        for video in spaced(list(paths), self.limit):
            try:
                with open_video(paths[video]) as opened:
                    ranges = windows(opened.frames, self.frames, self.stride, self.hop, str(paths[video]))
                clips += [Clip(video, paths[video], frames) for frames in ranges]
            except DataError as error:
                if self.on_broken == "fail":
                    raise
                warnings.warn(f"Skipped {video}: {error}", stacklevel=2)
        if not clips:
            raise DataError(f"{self.videos}: none of its {len(paths)} videos can be read.")
        return ClipDataset(clips, self.size, self.on_broken, self.fps)


def find_videos(path: Path) -> dict[str, Path]:
    """The videos and frame folders of a folder by name (without suffix), or the one that `path` is; see `VideoFolder`.

    Raises:
        DataError: nothing there, or nothing that looks like a video.
    """
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; expected videos, frame folders, or one of them.")
    entries = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")]
    files = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in VIDEO_SUFFIXES]
    stems = {entry.stem for entry in files} | {entry.name for entry in entries if entry.is_dir()}
    folders = [entry for entry in entries if entry.is_dir() and not _is_truth(entry.name, stems) and frame_files(entry)]
    if not files and not folders:
        if frame_files(path):
            return {path.resolve().name: path}
        inside = ", ".join(entry.name for entry in entries[:8]) or "nothing"
        kinds = ", ".join(sorted(VIDEO_SUFFIXES)), ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(
            f"{path}: expected video files ({kinds[0]}) or folders of frames ({kinds[1]}) directly in it; "
            f"found {inside}. Give the folder one level above the videos."
        )
    return _named([*files, *folders])


def _is_truth(name: str, stems: set[str]) -> bool:
    return any(name.endswith(suffix) and name.removesuffix(suffix) in stems for suffix in TRUTH_SUFFIXES)


def _named(videos: Sequence[Path]) -> dict[str, Path]:
    """Videos by stem, or by file name where two share a stem (a.mp4 and a.avi)."""
    stems = [video.stem if video.is_file() else video.name for video in videos]
    named = {video.name if stems.count(stem) > 1 else stem: video for video, stem in zip(videos, stems, strict=True)}
    return dict(sorted(named.items()))
