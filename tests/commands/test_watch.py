"""`tvau watch` as it is typed, on real streams on loopback."""

import json
import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import PIL.Image
import pytest
import torch
from scipy.special import expit, logit

from serving import http, write_stream
from tiny import Demo, stage_one, store
from tvau.backbones import Qwen25VL
from tvau.cli import main
from tvau.conversation import load
from tvau.data.video import open_video
from tvau.events import EventRule, find
from tvau.metrics.boxes import MapRule
from tvau.model import TVAU
from tvau.tasks import DialogTask
from tvau.tasks.base import OURS
from tvau.watching.online import Look, Tracker
from tvau.watching.watch import Watch
from writers import write_video

ALWAYS = ("--on", "0", "--off", "0")  # everything is one event, whatever an untrained model says


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    """A camera's stream and untrained checkpoints of both stages."""
    made = Demo(tmp_path_factory.mktemp("watch"), checkpoint, root / "configs" / "synthetic", videos=0)
    write_stream(made.folder / "camera.ts", 75)  # three seconds
    write_video(made.folder / "street.mp4", 48)
    torch.manual_seed(0)
    first = stage_one(Qwen25VL(str(checkpoint), blocks=[1, 2]), made.folder / "first.ckpt")
    second = DialogTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), heatmap=str(first))
    second.rules[OURS] = MapRule(scale=2, bias=1)
    store(second, made.folder / "second.ckpt")
    return made


class Run:
    """One command that came to its end."""

    def __init__(
        self, demo: Demo, out: Path, capfd: pytest.CaptureFixture[str], *words: str, model: str = "second"
    ) -> None:
        small = ("--ckpt", f"{model}.ckpt", "--backbone", "tiny.yaml", "--size", "[32,64]", "--frames", "4",
                 "--hop", "2", "--most", "6")  # fmt: skip
        self.status: Any = 0
        self.summary: Any = None
        capfd.readouterr()
        try:
            self.summary = demo.main("watch", *small, "--out", str(out), *words)
        except SystemExit as end:
            self.status = end.code
        said = capfd.readouterr()
        self.said, self.lines = said.err, [json.loads(line) for line in said.out.splitlines() if line.startswith("{")]
        path = out / "alerts.jsonl"
        self.kept = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def clip(self, line: dict[str, Any]) -> tuple[float, int]:
        """Seconds and frames of a clip."""
        with open_video(line["clip"]) as video:
            return float(video.seconds[-1]), len(list(video))


def test_an_event_of_a_stream(demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with http(demo.folder / "camera.ts", seconds=1) as address:
        run = Run(demo, tmp_path, capfd, address, *ALWAYS, "--max-reconnects", "0")
    begin, end = run.lines
    assert run.kept == run.lines
    assert (begin["alert"], end["alert"]) == ("begins", "ends")
    assert end["seconds"] == pytest.approx(2.8, abs=0.01)
    assert begin["time"] < end["time"]
    assert begin["source"] == address
    assert begin["says"]  # words of an untrained model
    assert end["probability"] == pytest.approx(expit(2 * logit(end["score"]) + 1), abs=1e-3)
    assert run.summary.looked + run.summary.dropped == 15  # a busy machine may drop some
    assert run.clip(end) == pytest.approx((end["seconds"] - begin["seconds"], run.summary.looked), abs=0.05)
    with PIL.Image.open(begin["picture"]) as picture:
        assert picture.size == (160, 96)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["alerts.jsonl", Path(end["clip"]).name, Path(end["picture"]).name]
    )
    assert f"looked at {run.summary.looked} of 75 frames" in run.said


def test_the_events_are_those_of_the_whole_video(demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = load(demo.folder / "second.ckpt", str(demo.preset))
    talk = model.open(demo.folder / "street.mp4", frames=4, size=(32, 64), quiet=True)
    level = float(np.median(talk.scores))  # so that there are several
    ordinary = {"on": level, "off": level, "shortest": 0.08, "gap": 0.08}
    words = [word for name, value in ordinary.items() for word in (f"--{name}", repr(value))]
    run = Run(demo, tmp_path, capfd, str(demo.folder / "street.mp4"), "--rate", "25", "--hop", "4", *words)
    whole = find(talk.scores, talk.frames, talk.seconds, None, EventRule(**ordinary))
    assert whole
    ends = [line for line in run.lines if line["alert"] == "ends"]
    assert [(line["frame"], line["peak"]["frame"]) for line in ends] == [(event.end, event.key) for event in whole]
    assert [line["score"] for line in ends] == pytest.approx([event.peak for event in whole], abs=1e-4)
    begins = [line for line in run.lines if line["alert"] == "begins"]
    assert [line["frame"] for line in begins] == [event.start for event in whole]


@pytest.mark.parametrize(("off", "begins"), [(0.6, 5.0), (0.2, 2.0)], ids=["at once", "slowly"])
@pytest.mark.parametrize("before", [0.0, 1.0])
def test_a_clip_begins_before_its_event(before: float, off: float, begins: float) -> None:
    """However long it takes until the event is sure: it has to last a second, and may have risen slowly."""
    heard: list[Any] = []
    stream = mock.Mock(rate=5.0, live=False)
    alerts = mock.Mock(longest=60.0, begin=lambda event, looks, *_: heard.append((event.first.seconds, looks)))
    task = mock.Mock(speaks=False)
    watch = Watch(task, stream, MapRule(), EventRule(0.6, off, 1.0, 1.0), alerts, before=before)
    watch.tracker = Tracker(watch.event_rule, 0.2)
    for at in range(50):
        score = 0.1 if at < 10 else 0.4 if at < 25 else 0.9
        watch._judge(Look(mock.Mock(seconds=at / 5), score, np.zeros((1, 1), np.float32), [], 5.0, None))
    ((first, looks),) = heard
    assert first == begins
    start = round(5 * (begins - before))
    assert [look.seconds for look in looks] == [at / 5 for at in range(start, start + len(looks))]
    assert len(watch.recent) == round(5 * before) + 1  # no more than the next one needs


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_good_order(
    demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    def interrupt() -> None:
        while not (tmp_path / "alerts.jsonl").exists():  # the event has begun
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    with http(demo.folder / "camera.ts", stall=True) as address:
        threading.Thread(target=interrupt, daemon=True).start()
        run = Run(demo, tmp_path, capfd, address, *ALWAYS, "--rate", "25")
    assert run.status == 128 + number
    assert [line["alert"] for line in run.kept] == ["begins", "ends"]
    assert run.clip(run.kept[1])[1] >= 2
    assert not list(tmp_path.glob(".*"))


def test_silence_ends_an_event(
    demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tvau.data.stream.SILENCE", 0.3)

    def interrupt() -> None:
        path = tmp_path / "alerts.jsonl"
        while not (path.exists() and '"ends"' in path.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    with http(demo.folder / "camera.ts", stall=True) as address:
        threading.Thread(target=interrupt, daemon=True).start()
        run = Run(demo, tmp_path, capfd, address, *ALWAYS, "--patience", "60", "--max-seconds", "50")
    assert run.status == 130  # the event had ended before anybody stopped it


def test_after_so_many_seconds_it_ends(demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with http(demo.folder / "camera.ts", stall=True) as address:
        run = Run(demo, tmp_path, capfd, address, *ALWAYS, "--max-seconds", "0.5")
    assert run.status == 0
    assert run.lines[-1]["alert"] == "ends"


def test_a_machine_that_is_too_slow_says_so(
    demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    glance = TVAU.glance

    def slow(*args: Any) -> Any:
        time.sleep(0.6)
        return glance(*args)

    monkeypatch.setattr(TVAU, "glance", slow)
    with http(demo.folder / "camera.ts", seconds=1.5) as address:
        run = Run(demo, tmp_path, capfd, address, "--rate", "25", "--max-reconnects", "0")
    assert run.summary is not None
    assert run.summary.dropped > 0
    assert run.summary.looked + run.summary.dropped == 75
    assert "this machine is too slow" in run.said


def test_a_clip_has_an_end(demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = Run(demo, tmp_path, capfd, "camera.ts", *ALWAYS, "--longest", "1")
    assert run.lines[1]["seconds"] == pytest.approx(2.8, abs=0.01)
    assert run.clip(run.lines[1])[0] == pytest.approx(1.0, abs=0.05)


def test_one_frame_and_a_model_without_words(demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = write_stream(tmp_path / "one.ts", 1)
    run = Run(demo, tmp_path / "out", capfd, str(one), *ALWAYS, model="first")
    assert [(line["alert"], line["says"]) for line in run.lines] == [("begins", ""), ("ends", "")]
    assert run.clip(run.lines[1])[1] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.ts"], "absent.ts: no such file or device"),
        (["http://127.0.0.1:9/camera"], "cannot be opened as a stream"),
        (["camera.ts", "--hop", "9"], "expected a hop from 1 to the frames of a window"),
        (["camera.ts", "--frames", "-1"], "--frames -1: expected a number above 0"),
        (["camera.ts", "--rate", "0"], "--rate 0.0: expected a number above 0"),
        (["camera.ts", "--on", "0.2", "--off", "0.5"], "expected 0 <= off <= on <= 1"),
        (["camera.ts", "--ratio", "3"], "--ratio is not known here; did you mean --rate?"),
    ],
)
def test_bad_input_is_one_clear_error(
    demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    run = Run(demo, tmp_path, capfd, *words)
    assert message in str(run.status)
    assert not run.lines


def test_a_full_disk_is_one_sentence(demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, hard))  # bytes a file
    try:
        run = Run(demo, tmp_path, capfd, "camera.ts", *ALWAYS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(run.status).startswith(f"tvau: {tmp_path}: alerts cannot be written there (File too large)")
    assert not list(tmp_path.glob("*.mp4"))


def test_a_real_clip_is_called_foreign(real_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With the model that comes with tvau."""
    clip = next(iter(sorted((real_data / "clips").glob("abnormal*.mp4"))))
    summary = main(["watch", str(clip), "--out", str(tmp_path), "--rate", "1", "--most", "2"])
    assert summary.foreign
    assert f"{clip} is far from all that the model was trained on" in capfd.readouterr().err


def test_the_help_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["watch", "--help"])
    said = capsys.readouterr().out
    assert "rtsp://" in said
    for flag in ("--rate", "--hop", "--patience", "--max-reconnects", "--max-seconds", "--follow", "--out"):
        assert flag in said
