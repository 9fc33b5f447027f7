"""The rule for events (`tvau.metrics.events`) and the smoothing of scores, frame by frame as they come.

What comes out in the end is what `smooth` and `spans` say of the whole video.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.data.images import Image
from tvau.data.stream import Shot
from tvau.metrics.events import ROUNDING, EventRule


@dataclass(frozen=True, eq=False)
class Look:
    """A sampled frame and what was seen in it."""

    shot: Shot
    score: float  # in [0, 1]
    heatmap: NDArray[np.float32]  # [H, W] in [0, 1], at the size that the model looks at
    window: Sequence[Image]  # the pictures with which the model looked at it
    rate: float  # of the window, frames a second
    strange: float | None  # how far the window is from the training; None: unknown

    @property
    def seconds(self) -> float:
        """Since the first frame of the stream."""
        return self.shot.seconds


class Smoother:
    """`tvau.metrics.frame.smooth` on a stream: a frame comes out when those that its Gaussian reaches have come in.

    Args:
        width: standard deviation in sampled frames; 0: each frame comes out as it is.
    """

    def __init__(self, width: float) -> None:
        self.reach = int(4 * width + 0.5) if width > 0 else 0
        self.kernel = cv2.getGaussianKernel(2 * self.reach + 1, width)[:, 0] if self.reach else np.ones(1)
        self.scores: deque[float] = deque(maxlen=len(self.kernel))
        self.waiting: deque[Look] = deque()

    def add(self, look: Look) -> Iterator[Look]:
        """The frames that are known with this one."""
        if not self.scores:
            self.scores.extend([look.score] * self.reach)
        self.waiting.append(look)
        yield from self._push(look.score)

    def end(self) -> Iterator[Look]:
        """The frames that still wait; the last score stands for what no longer comes."""
        last = self.scores[-1] if self.scores else 0.0
        while self.waiting:
            yield from self._push(last)
        self.scores.clear()

    def _push(self, score: float) -> Iterator[Look]:
        self.scores.append(score)
        if len(self.scores) == len(self.kernel):
            yield replace(self.waiting.popleft(), score=float(self.kernel @ np.array(self.scores)))


@dataclass
class Spell:
    """An event so far, or a run of frames that may become one."""

    first: Look
    last: Look
    peak: Look  # the first of the highest score
    reached: bool = False  # the score of an event
    announced: bool = False

    def add(self, look: Look) -> None:
        """One more frame."""
        self.last = look
        if look.score > self.peak.score:
            self.peak = look


Change = tuple[Literal["begins", "ends"], Spell]


class Tracker:
    """Events as they begin and end.

    An event begins when it is sure: `on` is reached and it is `shortest` long. It ends when no other run can join it.

    Args:
        rule: as for whole videos.
        step: seconds between sampled frames.
    """

    def __init__(self, rule: EventRule, step: float) -> None:
        self.rule, self.step = rule, step
        self.event: Spell | None = None
        self.run: Spell | None = None  # scores that all reach `off`, up to now; it may be (the end of) the event

    def add(self, look: Look) -> Iterator[Change]:
        """What one more frame changes."""
        if look.score >= self.rule.off:
            if self.run is None:
                self.run = Spell(look, look, look)
            self.run.add(look)
            if look.score >= self.rule.on:
                self.run.reached = True
        else:
            self.run = None
        if self.event is not None and not self._goes_on(look):
            yield from self._close()
        if self.run is not None and self.run.reached:
            if self.event is None:
                self.event = replace(self.run)
            self.event.add(look)
            if self.run.peak.score > self.event.peak.score:  # before it was known to join
                self.event.peak = self.run.peak
        event = self.event
        if event is not None and not event.announced and self._length(event) >= self.rule.shortest - ROUNDING:
            event.announced = True
            yield "begins", event

    @property
    def pending(self) -> Look | None:
        """The first frame of what may become an event and is not announced yet."""
        spell = self.event or self.run
        return None if spell is None or spell.announced else spell.first

    def end(self) -> Iterator[Change]:
        """No more frames come."""
        yield from self._close()
        self.run = None

    def _goes_on(self, look: Look) -> bool:
        """Whether the event lasts, or what is there now may still join it."""
        assert self.event is not None
        begins = look if self.run is None else self.run.first
        if begins.seconds <= self.event.last.seconds:  # the run that is its end
            return True
        return begins.seconds - self.event.last.seconds - self.step <= self.rule.gap + ROUNDING

    def _length(self, spell: Spell) -> float:
        return spell.last.seconds - spell.first.seconds + self.step

    def _close(self) -> Iterator[Change]:
        if self.event is not None and self.event.announced:
            yield "ends", self.event
        self.event = None
