"""`tvau watch`: alerts of a stream."""

from pathlib import Path
from typing import Any

from tvau.errors import OptionError


def watch(
    source: str,
    ckpt: str | None = None,
    backbone: str | None = None,
    out: str = "alerts",
    rate: float = 5.0,
    frames: int | None = None,
    hop: int = 4,
    size: tuple[int, int] | None = None,
    on: float | None = None,
    off: float | None = None,
    shortest: float | None = None,
    gap: float | None = None,
    before: float = 3.0,
    longest: float = 60.0,
    question: str | None = None,
    most: int = 48,
    follow: bool = False,
    patience: float = 10.0,
    max_reconnects: int | None = None,
    max_seconds: float | None = None,
) -> Any:
    """Watches a stream and says when an event begins and when it ends, each time as a line of JSON.

    A line goes to stdout and to alerts.jsonl in the folder of the results; beside it a key frame and a clip are saved
    for each event. What happens to the stream is told on stderr. A stream that is lost is connected to again; where the
    machine is too slow, the oldest waiting frames are dropped and counted. Ctrl-C ends it in good order.

    Args:
        source: an address (rtsp://..., http://..., udp://...), a camera (/dev/video0), a video file, or - for stdin.
        ckpt: a model: a folder, a checkpoint, or a hub id; without it the one that comes with tvau.
        backbone: the LVLM it belongs to, where the model does not name it.
        out: folder for alerts, key frames and clips.
        rate: frames a second to look at.
        frames: of a window; without it as in the model's training, else 16.
        hop: frames between two windows; fewer give earlier alerts and cost more.
        size: height and width to which frames are made small before they are looked at, such as 96x160; without it as
            in the model's training, else 96x160.
        on: score from which on there is an event; without it, as for the next three, what the model was given.
        off: score below which it ends.
        shortest: seconds that an event lasts at least.
        gap: seconds between two events that are one.
        before: seconds of a clip before its event.
        longest: seconds of a clip at most.
        question: asked about each event; without it whether there is an anomaly, and if so which.
        most: tokens that an answer has at most.
        follow: the file is still being written; it ends when nothing was added for --patience seconds.
        patience: seconds without a frame after which a stream is lost.
        max_reconnects: connections tried in a row before it ends; without it, without end.
        max_seconds: it ends after so many seconds.
    """
    _check(rate=rate, longest=longest, patience=patience)
    if before < 0 or (max_reconnects is not None and max_reconnects < 0):
        raise OptionError("--before and --max-reconnects: expected 0 or more")
    from tvau.conversation import load
    from tvau.data.stream import open_stream
    from tvau.metrics.boxes import MapRule
    from tvau.metrics.events import EventRule
    from tvau.signals import finishing
    from tvau.tasks.base import OURS
    from tvau.tasks.writer import writing
    from tvau.watching import Alerts, Watch

    task = load(ckpt, backbone).task
    if getattr(task.model, "decoder", None) is None:
        raise OptionError(f"{ckpt}: this model has no heatmap decoder, and only that finds events")
    frames = frames or int(task.data.get("frames") or 16)
    height, width = size or task.data.get("size") or (96, 160)
    _check(frames=frames, size=min(height, width))
    if not 1 <= hop <= frames:
        raise OptionError(f"--frames {frames} --hop {hop}: expected a hop from 1 to the frames of a window")
    rule = task.rules.get(OURS, MapRule())
    own = {name: value for name, value in {"on": on, "off": off, "shortest": shortest, "gap": gap}.items()
           if value is not None}  # fmt: skip
    stored = rule.events.stored() | own
    if off is None:
        stored["off"] = min(stored["off"], stored["on"])
    events = EventRule(**stored)
    stream = open_stream(source, rate, (height, width), frames + hop, patience, max_reconnects, follow)
    with stream, writing(Path(out), "alerts", "events that ended are kept"), finishing(stream.stop):
        alerts = Alerts(Path(out), stream.name, rule, rate, longest)
        watching = Watch(task, stream, rule, events, alerts, frames, hop, before, question, most)
        try:
            watching.run(max_seconds)
        finally:
            watching.say(watching.summary.said())
    return watching.summary


def _check(**numbers: float) -> None:
    """Raises OptionError for numbers that mean nothing."""
    for name, value in numbers.items():
        if not value > 0:
            raise OptionError(f"--{name} {value}: expected a number above 0")
