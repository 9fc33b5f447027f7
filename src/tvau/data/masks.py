"""What is true of a video, frame by frame and pixel by pixel: one small class for each way in which it is stored.

Nothing is read before it is asked for, and never more than the frames that are asked for (except `stacks.MatStack`,
whose format is one compressed block). All of them may be pickled and forked: no file stays open.
"""

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tvau.data.boxes import box_of
from tvau.data.images import Size, frame_files, open_image
from tvau.data.tracks import Track
from tvau.errors import DataError

Mask = NDArray[np.bool_]  # [H, W], True where abnormal
Labels = NDArray[np.bool_]  # [T], True where a frame is abnormal


class Truth(ABC):
    """What is true of one video.

    Attributes:
        pixels: whether there are masks; without them only frames have labels.
        known: whether anything is known at all.
        visible: whether a frame that is labelled abnormal has to have abnormal pixels.
    """

    pixels = True
    known = True
    visible = True

    @abstractmethod
    def labels(self, total: int) -> Labels:
        """[total] which of the video's frames are abnormal. Raises DataError where the truth is of another length."""

    def of(self, labels: Labels, frames: Sequence[int]) -> tuple[bool, ...] | None:
        """What `labels` say of some frames; None where nothing is known."""
        return tuple(labels[frames].tolist()) if self.known else None

    @abstractmethod
    def mask(self, frame: int, size: Size) -> Mask:
        """The abnormal pixels of a frame, in the size of the video's frames. Raises DataError for another size."""

    def read(self, frames: Sequence[int], size: Size, shape: Size, ids: bool = False) -> dict[str, NDArray[Any]]:
        """`mask` bool [T, h, w] of some frames, resized to `shape` (with `ids` also the maps of all objects)."""
        if not self.pixels:
            return {}
        return {"mask": np.stack([shrink(self.mask(frame, size), shape) for frame in frames])}


class Normal(Truth):
    """A video without anything abnormal; it needs no files."""

    def labels(self, total: int) -> Labels:
        """All False."""
        return np.zeros(total, bool)

    def mask(self, frame: int, size: Size) -> Mask:
        """All False."""
        return np.zeros(size, bool)


class Unknown(Normal):
    """A video about which nothing is known: it has no masks, and none of its frames counts as abnormal."""

    pixels = known = False


class FrameLabels(Truth):
    """Abnormal frames without masks (26 clips of UCSD Ped1, Avenue with `avenue.mat`)."""

    pixels = False

    def __init__(self, labels: Labels, source: Path) -> None:
        self._labels, self.source = labels, source

    @classmethod
    def of_ranges(cls, ranges: Sequence[tuple[int, int]], source: Path) -> "FrameLabels":
        """Labels of the frames inside ranges, 0-based and inclusive."""
        labels = np.zeros(max((last + 1 for _, last in ranges), default=0), bool)
        for first, last in ranges:
            labels[first : last + 1] = True
        return cls(labels, source)

    def labels(self, total: int) -> Labels:
        """As given; they may speak of fewer frames than the video has (the rest is normal), never of more."""
        if len(self._labels) > total:
            raise DataError(f"{self.source}: frame {len(self._labels)} is abnormal, but the video has {total} frames.")
        return np.pad(self._labels, (0, total - len(self._labels)))

    def mask(self, frame: int, size: Size) -> Mask:
        """There is none."""
        raise DataError(f"{self.source}: this video has labels of frames only, no masks.")


class IdMaps(Truth):
    """UBnormal: a png of object ids for each frame, and the tracks that say which object is abnormal, and when.

    Args:
        folder: of the pngs. A frame without one has no object in it, unless it lies inside a track.
        name: of the video, with which their names begin.
        tracks: of the abnormal objects; none: a normal video.
    """

    visible = False  # an abnormal object may be hidden in some frames

    def __init__(self, folder: Path, name: str, tracks: Sequence[Track]) -> None:
        self.folder, self.name, self.tracks = folder, name, tracks

    def path(self, frame: int) -> Path:
        """The id map of a frame."""
        return self.folder / f"{self.name}_{frame:04d}_gt.png"

    @cached_property
    def mapped(self) -> frozenset[int]:
        """The frames that have an id map, by one look at the folder."""
        pattern = re.compile(re.escape(self.name) + r"_(\d{4,})_gt\.png")
        if not self.folder.is_dir():
            return frozenset()
        return frozenset(int(match[1]) for file in self.folder.iterdir() if (match := pattern.fullmatch(file.name)))

    def active(self, frame: int) -> list[int]:
        """The ids that are abnormal in a frame."""
        return [track.id for track in self.tracks if track.start <= frame <= track.end]

    def unseen(self) -> list[int]:
        """The ids of tracks that none of their own id maps show; reads one map of most tracks, the middle one."""
        return [track.id for track in self.tracks if not any(track.id in ids for ids in self._ids_within(track))]

    def _ids_within(self, track: Track) -> Iterator[NDArray[np.uint8]]:
        middle = (track.start + track.end) // 2
        inside = (frame for frame in self.mapped if track.start <= frame <= track.end)
        for frame in sorted(inside, key=lambda frame: abs(frame - middle)):
            with suppress(OSError, SyntaxError, ValueError, DataError), open_image(self.path(frame)) as image:
                yield np.asarray(image)  # a broken one is named when it is read

    def labels(self, total: int) -> Labels:
        """The frames inside tracks, each of which has to have an id map."""
        labels = np.zeros(total, bool)
        for track in self.tracks:
            labels[track.start : track.end + 1] = True
        if missing := [int(frame) for frame in np.flatnonzero(labels) if int(frame) not in self.mapped]:
            raise DataError(
                f"{self.path(missing[0])}: no such file; the frame lies inside an abnormal track, and "
                f"{len(missing)} of {labels.sum()} such frames have no id map."
            )
        for ident in self.unseen():
            warnings.warn(
                f"{self.folder}: object {ident} of a track is in none of the id maps within it, so none of its frames "
                "has an abnormal pixel; do the numbers of tracks and id maps belong together?",
                stacklevel=2,
            )
        return labels

    def mask(self, frame: int, size: Size) -> Mask:
        """The pixels of the ids that are abnormal in this frame."""
        return np.asarray(self.read([frame], size, size)["mask"][0])

    def read(self, frames: Sequence[int], size: Size, shape: Size, ids: bool = False) -> dict[str, NDArray[Any]]:
        """`mask` bool [T, h, w], `boxes` int64 [n, 6], and `ids` uint8 [T, h, w] of ALL objects if asked for."""
        maps = np.zeros((len(frames), *shape), np.uint8)
        mask = np.zeros(maps.shape, bool)
        boxes: list[tuple[int, ...]] = []
        for at, frame in enumerate(frames):
            active = self.active(frame)
            if active or (ids and frame in self.mapped):
                maps[at] = read_id_map(self.path(frame), size, shape)
                mask[at] = np.isin(maps[at], active)
                boxes += [
                    (ident, at, x0, y0, x1 - 1, y1 - 1)  # inclusive, as the field's track files have them
                    for ident in sorted({*active} & {*np.unique(maps[at]).tolist()})
                    for x0, y0, x1, y1 in [box_of(maps[at] == ident)]
                ]
        out = {"mask": mask, "boxes": np.array(boxes, np.int64).reshape(-1, 6)}
        return out | {"ids": maps} if ids else out


class MaskFiles(Truth):
    """UCSD Ped: a folder with one image a frame, in the order of the numbers in the names; not 0 where abnormal.

    Args:
        folder: of the images; hidden files are left out.
        frames: labels of the frames where a list says them; None: a frame is abnormal where its mask is not empty.
    """

    def __init__(self, folder: Path, frames: FrameLabels | None = None) -> None:
        self.folder, self.frames = folder, frames

    @cached_property
    def files(self) -> list[Path]:
        """The images, listed once."""
        return frame_files(self.folder)

    def labels(self, total: int) -> Labels:
        """The labels of the list or, without one, of the masks."""
        if len(self.files) != total:
            raise DataError(f"{self.folder}: {len(self.files)} masks for a video of {total} frames; expected one each.")
        if self.frames is not None:
            return self.frames.labels(total)
        return np.array([_mask_image(file).any() for file in self.files])

    def mask(self, frame: int, size: Size) -> Mask:
        """One image."""
        if frame >= len(self.files):
            raise DataError(f"{self.folder}: {len(self.files)} masks, frame {frame} has none.")
        mask = _mask_image(self.files[frame])
        if mask.shape != size:
            raise DataError(
                f"{self.files[frame]}: the mask is {mask.shape[0]}x{mask.shape[1]} (height x width), the frames of its "
                f"video are {size[0]}x{size[1]}."
            )
        return mask


def shrink(mask: Mask, shape: Size) -> Mask:
    """A mask at another size, by taking the nearest pixel."""
    if mask.shape == shape:
        return mask
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).resize(shape[::-1], Image.Resampling.NEAREST)) != 0


def read_id_map(path: Path, size: Size, shape: Size) -> NDArray[np.uint8]:
    """An id map, resized to `shape` by taking the nearest pixel.

    Args:
        path: an 8 bit png of one channel (or a palette), pixel = object id.
        size: (height, width) of the video's frames, which the file has to have.
        shape: (height, width) wanted.

    Raises:
        DataError: a missing, broken or coloured file, or one of another size.
    """
    try:
        with open_image(path) as image:
            if image.mode not in ("L", "P"):
                raise DataError(f"{path}: expected 8 bit, one channel (mode L or P), not mode {image.mode}.")
            if (image.height, image.width) != size:
                raise DataError(
                    f"{path}: the id map is {image.height}x{image.width} (height x width), the frames of its video are "
                    f"{size[0]}x{size[1]}."
                )
            return np.asarray(image.resize(shape[::-1], Image.Resampling.NEAREST))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: the id map cannot be read ({error}).") from error


def _mask_image(path: Path) -> Mask:
    """An image of any mode as a mask: not black where abnormal, or, as JPEG blurs edges, more white than black."""
    try:
        with open_image(path) as image:
            return np.asarray(image.convert("L")) > (127 if image.format == "JPEG" else 0)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: the mask cannot be read ({error}).") from error
