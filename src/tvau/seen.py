"""What was seen in a video, window by window: scores, heatmaps, boxes and events, at constant memory.

`tvau predict`, a conversation in Python and everything built on them share this. Maps are kept in a file without a
name, at the size of the patches, and enlarged for the frames that are asked for. Where windows overlap, a frame has the
mean of its windows' scores and of their heatmaps: that is the only rule of blending.
"""

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import IO, Any, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray

from tvau.errors import DataError
from tvau.events import Event, find
from tvau.familiarity import FOREIGN
from tvau.heatmap_decoder import heatmap
from tvau.metrics.boxes import MapRule, boxes
from tvau.metrics.frame import smooth

Map = NDArray[np.float32]  # [H, W] in [0, 1]


class Look(NamedTuple):
    """One window beside its maps.

    Attributes:
        frames: T of the source; a video that is shorter than a window repeats its last.
        size: (height, width) of the heatmaps.
        grid: (T', H', W') of the maps; None: there are none.
        scores: of the frames, T in [0, 1]; None: there are none.
        strange: how far the window is from the clips of the training; None: unknown.
    """

    frames: list[int]
    size: tuple[int, int]
    grid: tuple[int, int, int] | None
    scores: list[float] | None
    strange: float | None


class Seen:
    """The windows of one video as they come, in order; windows begin one after the other and sample the same frames.

    Args:
        rule: how boxes, smoothed scores and events are read from the heatmaps.
        file: holds the maps, float32, one window behind the other; None: one without a name.
    """

    def __init__(self, rule: MapRule | None = None, file: IO[bytes] | None = None) -> None:
        self.rule = rule or MapRule()
        self.windows: list[NDArray[np.int64]] = []
        self.strange: list[float] = []  # how far each window is from the clips of the training; empty: unknown
        self.size, self.grid = (0, 0), (0, 0, 0)
        self._scores: list[NDArray[np.float32]] = []
        self._file = file or tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this
        self.close = weakref.finalize(self, self._file.close)  # lets go of the maps, at the latest with this

    def add(self, frames: Iterable[int], size: Sequence[int], outputs: dict[str, Any], row: int = 0) -> Look:
        """One more window.

        Args:
            frames, size: see `Look`.
            outputs: of a batch of windows, see `tvau.tasks.maps.shown`.
            row: which window of the batch.
        """

        def numbers(key: str) -> NDArray[np.float32] | None:
            return None if outputs[key] is None else outputs[key][row].float().cpu().numpy()

        logits, scores, strange = numbers("logits"), numbers("scores"), numbers("strange")
        if logits is not None:  # [T', H', W']
            self._file.write(logits.tobytes())
            self._file.flush()
        look = Look(
            [int(frame) for frame in frames], (int(size[0]), int(size[1])),
            None if logits is None else (logits.shape[0], logits.shape[1], logits.shape[2]),
            None if scores is None else scores.tolist(), None if strange is None else float(strange),
        )  # fmt: skip
        self.take(look)
        return look

    def take(self, look: Look) -> None:
        """One more window whose maps lie in the file."""
        self.windows.append(np.array(look.frames, np.int64))
        self.size = (look.size[0], look.size[1])
        if look.strange is not None:
            self.strange.append(look.strange)
        if look.grid is not None:
            self.grid = (look.grid[0], look.grid[1], look.grid[2])
        if look.scores is not None:
            self._scores.append(np.array(look.scores, np.float32))

    @property
    def foreign(self) -> bool:
        """Whether the video is far from all that the model was trained on, see `tvau.familiarity`."""
        return bool(self.strange) and bool(np.median(self.strange) > FOREIGN)

    @property
    def scored(self) -> bool:
        """Whether there are scores: a tuned LVLM without a decoder has none."""
        return bool(self._scores)

    @property
    def mapped(self) -> bool:
        """Whether there are heatmaps: a model without a decoder has none."""
        return self.grid != (0, 0, 0)

    @cached_property
    def frames(self) -> NDArray[np.int64]:
        """[N] the sampled frames, 0-based, rising. From here on no window may be added."""
        return np.unique(np.concatenate(self.windows))

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """[N] in [0, 1], smoothed as the rule says.

        Raises:
            DataError: there are none.
        """
        if not self.scored:
            raise DataError("a model without a heatmap decoder gives no scores, heatmaps and events")
        where = np.searchsorted(self.frames, np.concatenate(self.windows))
        return smooth(np.bincount(where, np.concatenate(self._scores)) / np.bincount(where), self.rule.smoothing)

    @property
    def heatmap(self) -> "Heatmaps":
        """[N, H, W] of the sampled frames, enlarged when asked for."""
        return Heatmaps(self)

    def boxes(self, at: int) -> NDArray[np.float64]:
        """The boxes of the sampled frame of index `at`: [n, 5], see `tvau.metrics.boxes`."""
        return boxes(self.heatmap[at], self.rule)

    def events(self, seconds: NDArray[np.floating]) -> list[Event]:
        """The events, over all windows, without boxes where there are no heatmaps; see `tvau.events`.

        Args:
            seconds: when each frame of the source is shown.
        """
        found = Boxes(self) if self.mapped else None
        return find(self.scores, self.frames, seconds[self.frames], found, self.rule.events, self.size)

    # ---- maps ----

    @cached_property
    def _ends(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last frame of each window."""
        return np.array([window[0] for window in self.windows]), np.array([window[-1] for window in self.windows])

    @cached_property
    def _enlarged(self) -> dict[int, NDArray[np.float32]]:
        return {}  # by window: those that hold the frame which was asked for last

    def _window(self, at: int) -> NDArray[np.float32]:
        """The heatmaps of one window [T, H, W]."""
        length = 4 * int(np.prod(self.grid))
        read = os.pread(self._file.fileno(), length, at * length)  # no place in the file is kept: threads may ask
        logits = torch.from_numpy(np.frombuffer(read, np.float32).reshape(self.grid).copy())
        return heatmap(logits[None], len(self.windows[at]), *self.size)[0].numpy()

    def enlarged(self, frame: int) -> Map:
        """The heatmap of a sampled frame, the mean over its windows; memory holds these windows and no more."""
        first, last = self._ends
        holding = range(int(np.searchsorted(last, frame)), int(np.searchsorted(first, frame, "right")))
        kept = self._enlarged
        self._enlarged = {at: kept[at] if at in kept else self._window(at) for at in holding}
        return np.concatenate([maps[self.windows[at] == frame] for at, maps in self._enlarged.items()]).mean(0)


class Heatmaps:
    """The heatmaps of a video's sampled frames, [N, H, W] in [0, 1], each enlarged when it is asked for.

    `[i]` is one heatmap [H, W], `[a:b]` an array [b - a, H, W]; iterating holds no more than a frame's windows.
    """

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def __len__(self) -> int:
        return len(self._seen.frames) if self._seen.mapped else 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, H, W)."""
        return (len(self), *self._seen.size)

    def __getitem__(self, at: int | slice) -> Map:
        if isinstance(at, slice):
            each = [self[i] for i in range(*at.indices(len(self)))]
            return np.stack(each) if each else np.zeros((0, *self._seen.size), np.float32)
        return self._seen.enlarged(int(self._seen.frames[range(len(self))[at]]))

    def __iter__(self) -> Iterator[Map]:
        return (self[at] for at in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)


class Boxes(Sequence[NDArray[np.float64]]):
    """The boxes of the sampled frames, found when they are asked for."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def __len__(self) -> int:
        return len(self._seen.frames)

    @overload
    def __getitem__(self, at: int) -> NDArray[np.float64]: ...
    @overload
    def __getitem__(self, at: slice) -> list[NDArray[np.float64]]: ...
    def __getitem__(self, at: int | slice) -> Any:
        return [self[i] for i in range(*at.indices(len(self)))] if isinstance(at, slice) else self._seen.boxes(at)
