"""What is kept of an event: two lines of JSON, a key frame and a clip, each whole or not at all."""

import json
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image

from tvau.files import clear, whole
from tvau.metrics.boxes import MapRule, boxes, scaled
from tvau.viz.mp4 import Mp4
from tvau.viz.overlay import HEAT, Image, heat
from tvau.watching.online import Look, Spell

LINES = "alerts.jsonl"
COLOUR = tuple(int(HEAT[at : at + 2], 16) for at in (1, 3, 5))


class Alerts:
    """Writes alerts into a folder.

    Args:
        folder: for the lines, key frames and clips.
        source: as it is named in the alerts.
        rule: how boxes are read from heatmaps.
        rate: frames a second of the clips.
        longest: seconds of a clip at most; what goes on longer is told, but not kept.
    """

    def __init__(self, folder: Path, source: str, rule: MapRule, rate: float, longest: float) -> None:
        self.folder, self.source, self.rule, self.rate, self.longest = folder, source, rule, rate, longest
        self.count = 0
        self.stem = folder
        self.clip: _Clip | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for left in [*folder.glob(".*.mp4"), *folder.glob(".*.jpg")]:  # of a process that was killed
            clear(folder / (left.name[1:].rpartition(".")[0].rpartition(".")[0] + left.suffix))

    def begin(self, event: Spell, before: Iterable[Look], says: str, foreign: bool) -> dict[str, Any]:
        """An event has begun: its line, its key frame, and a clip that begins with the frames before it."""
        self.count += 1
        at = datetime.fromtimestamp(event.first.shot.arrived).astimezone()
        self.stem = self.folder / f"{at:%Y%m%dT%H%M%S}_{self.count:04d}"
        self._picture(event.peak)
        self.clip = _Clip(self.stem.with_suffix(".mp4"), event.first.shot.shown.shape[:2], self.rate, self.longest)
        self.add(before)
        return self._line("begins", event, event.first, says, foreign)

    def add(self, looks: Iterable[Look]) -> None:
        """More frames for the clip, if an event goes on."""
        if self.clip is not None:
            for look in looks:
                self.clip.add(look, self._drawn(look))

    def end(self, event: Spell, says: str, foreign: bool) -> dict[str, Any]:
        """An event is over: its clip is whole, its key frame that of its peak."""
        assert self.clip is not None
        self._picture(event.peak)
        self.clip.close()
        self.clip = None
        return self._line("ends", event, event.last, says, foreign)

    def give_up(self) -> None:
        """What is not whole is removed."""
        if self.clip is not None:
            self.clip.give_up()

    def _line(self, what: str, event: Spell, at: Look, says: str, foreign: bool) -> dict[str, Any]:
        peak = event.peak
        sure = {} if foreign else self.rule.told(peak.score)
        line = {
            "alert": what, "event": self.count, "source": self.source, "seconds": round(at.seconds, 3),
            "time": datetime.fromtimestamp(at.shot.arrived).astimezone().isoformat(timespec="milliseconds"),
            "frame": at.shot.number, "score": round(peak.score, 4), **sure,
            "peak": {"seconds": round(peak.seconds, 3), "frame": peak.shot.number, "size": list(peak.shot.size),
                     "boxes": self._boxes(peak, peak.shot.size).round(2).tolist()},
            "says": says, "foreign": foreign, "picture": str(self.stem.with_suffix(".jpg")),
        }  # fmt: skip
        if what == "ends":
            line |= {"lasted": round(event.last.seconds - event.first.seconds, 3)}
            line |= {"clip": str(self.stem.with_suffix(".mp4"))}
        text = json.dumps(line)
        with (self.folder / LINES).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        print(text, flush=True)
        return line

    def _boxes(self, look: Look, size: tuple[int, int]) -> np.ndarray:
        return scaled(boxes(look.heatmap, self.rule), look.heatmap.shape, size)

    def _drawn(self, look: Look) -> Image:
        """The picture with its heatmap."""
        return heat(look.shot.shown, look.heatmap)

    def _picture(self, look: Look) -> None:
        """The key frame, with heatmap and boxes."""
        picture = self._drawn(look)
        for x1, y1, x2, y2, _ in self._boxes(look, picture.shape[:2]):
            cv2.rectangle(picture, (int(x1), int(y1)), (int(x2), int(y2)), COLOUR, max(1, picture.shape[0] // 150))
        with whole(self.stem.with_suffix(".jpg")) as temporary:
            PIL.Image.fromarray(picture).save(temporary, quality=92)


class _Clip:
    """An mp4 in the making."""

    def __init__(self, path: Path, size: tuple[int, ...], rate: float, longest: float) -> None:
        self.longest, self.last = longest, -1.0
        self.first: float | None = None
        self.stack = ExitStack()
        temporary = self.stack.enter_context(whole(path))
        self.mp4 = self.stack.enter_context(Mp4(temporary, (size[0], size[1]), rate))

    def add(self, look: Look, picture: Image) -> None:
        """One more frame, unless it is there or the clip is long enough."""
        self.first = look.seconds if self.first is None else self.first
        if self.last < look.seconds <= self.first + self.longest:
            self.mp4.add(picture, look.seconds - self.first)
            self.last = look.seconds

    def close(self) -> None:
        """The file is whole."""
        self.stack.close()

    def give_up(self) -> None:
        """As if it had never been begun."""
        with suppress(InterruptedError), self.stack:
            raise InterruptedError
