"""From a stream to alerts."""

import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device

from tvau.data.stream import SILENCE, Shot, Stream
from tvau.dialog import Conversation
from tvau.familiarity import FOREIGN
from tvau.heatmap_decoder import heatmap
from tvau.language import JUDGEMENT, TARGET
from tvau.metrics.boxes import MapRule
from tvau.metrics.events import EventRule
from tvau.metrics.text import yes_no
from tvau.tasks.base import Task
from tvau.tasks.maps import shown
from tvau.types import Batch
from tvau.watching.alerts import Alerts
from tvau.watching.online import Look, Smoother, Spell, Tracker

RECENT = 8  # windows by which a stream is judged to be foreign
PAUSE = 10.0  # seconds between two sentences about dropped frames


@dataclass
class Summary:
    """What came of watching; times in seconds."""

    frames: int = 0  # that the source showed
    looked: int = 0  # sampled frames with a score
    dropped: int = 0  # sampled frames that nobody looked at
    windows: int = 0
    events: int = 0
    video: float = 0.0  # how long the source went on, by its clock
    busy: float = 0.0  # of looking and writing, in this thread
    foreign: bool = False
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))  # from a frame's arrival to its score
    alert_delays: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))  # from an event's first frame

    def said(self) -> str:
        """In a sentence."""
        share = f"{self.busy / self.video:.2f} s of work a second of video" if self.video else "one moment"
        delay = f"; scores {statistics.median(self.delays):.2f} s after their frames" if self.delays else ""
        return (f"looked at {self.looked} of {self.frames} frames in {self.windows} windows, {self.dropped} dropped, "
                f"{self.events} events; {share}{delay}")  # fmt: skip


class Watch:
    """Looks at the newest frames of a stream, and says when an event begins and when it ends.

    Args:
        task: a trained model with a heatmap decoder; one that speaks adds a sentence.
        stream: to look at.
        rule: how boxes and smoothed scores are read from heatmaps.
        events: how events are read from scores.
        alerts: where they go.
        frames: of a window.
        hop: sampled frames between two windows: each frame has the score of the first window that holds it. The mean
            over all that do, as `tvau.seen` takes it, would come `frames - hop` frames later.
        before: seconds of a clip before its event.
        question: what the model is asked about an event; None: whether there is an anomaly, and if so, which.
        most: tokens an answer has at most.
        say: is told, in a sentence, what the user should know.
    """

    def __init__(
        self, task: Task, stream: Stream, rule: MapRule, events: EventRule, alerts: Alerts, frames: int = 16,
        hop: int = 4, before: float = 3.0, question: str | None = None, most: int = 48,
        say: Callable[[str], None] = lambda text: print(f"tvau: {text}", file=sys.stderr),
    ) -> None:  # fmt: skip
        self.task, self.stream, self.rule, self.event_rule, self.alerts = task, stream, rule, events, alerts
        self.frames, self.hop, self.before, self.question, self.most, self.say = (
            frames, hop, before, question, most, say,
        )  # fmt: skip
        self.smoother = Smoother(rule.smoothing)
        self.tracker: Tracker | None = None
        self.window: deque[Shot] = deque(maxlen=frames)
        self.new = 0  # frames of the window without a score
        self.recent: deque[Look] = deque()  # with which the next event's clip would begin
        self.strange: deque[float] = deque(maxlen=RECENT)
        self.says: tuple[Sequence[Any], str] = ((), "")  # a window, and what was said of it
        self.summary = Summary()
        self._told = (0, -PAUSE)

    @torch.inference_mode()
    def run(self, seconds: float | None = None) -> Summary:
        """Watches until the stream ends or is stopped, or for so many seconds; an event that goes on is ended then.

        Raises:
            DataError: the stream never showed a frame.
            OSError: alerts cannot be written.
        """
        if seconds is not None:
            self.stream.stop_after(seconds)
        try:
            for shot in self.stream:
                begun = time.monotonic()
                self._see(shot)
                self.summary.busy += time.monotonic() - begun
            self._finish()
        except BaseException:
            self.alerts.give_up()
            raise
        return self.summary

    def _see(self, shot: Shot | None) -> None:
        if shot is None or (self.window and shot.seconds - self.window[-1].seconds > SILENCE):
            self._close()
        if shot is None:
            return
        if shot.fresh:
            self._look()
            self.window.clear()
            self._tell_drops()
        self.window.append(shot)
        self.new += 1
        self.summary.video = shot.seconds
        if len(self.window) == self.frames and self.new >= self.hop:
            self._look()

    def _close(self) -> None:
        """What was so far is judged, and an event that goes on is ended."""
        self._look()
        self.window.clear()
        for look in self.smoother.end():
            self._judge(look)
        for what, event in self.tracker.end() if self.tracker else ():
            self._change(what, event)

    def _finish(self) -> None:
        self._close()
        self._tell_drops()
        self.summary.frames, self.summary.dropped = self.stream.came, self.stream.dropped

    def _look(self) -> None:
        """A window, and with it the scores of its new frames."""
        if not self.new:
            return
        for look in self._looks():
            if self.stream.live:  # a file is read ahead
                self.summary.delays.append(time.time() - look.shot.arrived)
            for smoothed in self.smoother.add(look):
                self._judge(smoothed)
        self.new = 0

    def _looks(self) -> Iterator[Look]:
        shots = list(self.window)
        new, self.new = shots[-self.new :], 0
        step = (shots[-1].seconds - shots[0].seconds) / max(len(shots) - 1, 1) or 1 / self.stream.rate
        if self.tracker is None:
            self.tracker = Tracker(self.event_rule, step)
        pictures = [shot.looked for shot in shots] + [shots[-1].looked] * (self.frames - len(shots))
        batch = self._batch(pictures, 1 / step)
        seen = self.task.model.glance(batch)
        outputs = shown(seen, batch)
        maps = heatmap(outputs["logits"], self.frames, *pictures[0].shape[:2])[0].float().cpu().numpy()  # [T, H, W]
        strange = None if seen.strange is None else float(seen.strange[0])
        self._mind(strange)
        self.summary.windows += 1
        self.summary.looked += len(new)
        for at, shot in enumerate(shots):
            if at >= len(shots) - len(new):
                yield Look(shot, float(outputs["scores"][0, at]), maps[at].copy(), pictures, 1 / step, strange)

    def _batch(self, pictures: Sequence[Any], rate: float) -> Batch:
        video = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)[None]
        batch = Batch(video=video, frames=torch.arange(len(pictures))[None], fps=[rate], name=["stream"], turns=[[]])
        return move_data_to_device(batch, self.task.device)

    def _judge(self, look: Look) -> None:
        """A frame whose score is known."""
        assert self.tracker is not None
        self.recent.append(look)
        self.alerts.add([look])
        for what, event in self.tracker.add(look):
            self._change(what, event)
        since = (self.tracker.pending or look).seconds
        while self.recent[0].seconds < max(since - self.before, look.seconds - self.alerts.longest):
            self.recent.popleft()

    def _change(self, what: str, event: Spell) -> None:
        says = self._sentence(event.peak)
        if what == "begins":
            self.summary.events += 1
            since = event.first.seconds - self.before
            before = [look for look in self.recent if look.seconds >= since]
            self.alerts.begin(event, before, says, self.summary.foreign)
            if self.stream.live:
                self.summary.alert_delays.append(time.time() - event.first.shot.arrived)
        else:
            self.alerts.end(event, says, self.summary.foreign)

    def _sentence(self, peak: Look) -> str:
        """What the model says of a window; the same window is asked about once."""
        if not self.task.speaks:
            return ""
        if self.says[0] is not peak.window:
            talk = Conversation(self.task.model, self._batch(peak.window, peak.rate))
            (said,) = talk.ask([self.question or JUDGEMENT], self.most)
            if self.question is None and yes_no(said) != "no":
                said += " " + talk.ask([TARGET], self.most)[0]
            self.says = (peak.window, said)
        return self.says[1]

    def _mind(self, strange: float | None) -> None:
        """Warns, once, of a stream that is far from the training."""
        if strange is None:
            return
        self.strange.append(strange)
        median = statistics.median(self.strange)
        if median > FOREIGN and not self.summary.foreign:
            self.say(f"{self.stream.name} is far from all that the model was trained on ({median:.1f} times as far "
                     "as its own validation clips): do not trust what is marked and said.")  # fmt: skip
        self.summary.foreign |= median > FOREIGN

    def _tell_drops(self) -> None:
        before, at = self._told
        if self.stream.dropped > before and (not self.window or time.monotonic() - at >= PAUSE):
            self.say(f"this machine is too slow for {self.stream.name}: {self.stream.dropped} of the sampled frames "
                     "were dropped so far (a lower --rate or a larger --hop costs less)")  # fmt: skip
            self._told = (self.stream.dropped, time.monotonic())
