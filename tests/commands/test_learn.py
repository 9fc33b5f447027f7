"""`tvau learn` as it is typed, and what takes its model."""

import io
import json
import sys
from pathlib import Path

import pytest

import tvau
from tiny import Demo
from tvau.errors import OptionError
from tvau.tasks import NeighbourTask
from writers import write_video

SMALL = ("--size=[32,64]", "--frames=4", "--batch-size=2")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    """A folder of normal videos, and a model that was learned from them."""
    made = Demo(tmp_path_factory.mktemp("learn"), checkpoint, root / "configs" / "synthetic", videos=0)
    for number in range(6):
        write_video(made.folder / "normal" / f"v{number}.mp4", frames=24)
    made.main("learn", "normal", "--out=model", "--backbone=tiny.yaml", "--bank=64", *SMALL)
    return made


def memory(folder: Path) -> NeighbourTask:
    task = tvau.load(folder).task
    assert isinstance(task, NeighbourTask)
    return task


def test_predict_and_python_take_the_model(demo: Demo) -> None:
    demo.main("predict", "normal/v0.mp4", "--ckpt=model", "--out=seen", "--size=32x64", "--frames=4", "--workers=0")
    summary = json.loads((demo.folder / "seen" / "v0" / "summary.json").read_text())
    talk = tvau.load(demo.folder / "model").open(str(demo.folder / "normal" / "v0.mp4"), quiet=True)
    assert talk.heatmap.shape == (24, 32, 64)  # frames and size are those of the learning
    assert talk.scores.max() == pytest.approx(summary["highest"]["score"], abs=1e-4)
    with pytest.raises(OptionError, match="no words"):
        talk.ask("Is there any anomaly in the video?")


def test_predict_looks_as_the_model_learned(demo: Demo) -> None:
    demo.main("learn", "normal", "--out=strided", "--backbone=tiny.yaml", "--bank=64", "--stride=3", *SMALL)
    demo.main("predict", "normal/v0.mp4", "--ckpt=strided", "--out=as_learned", "--workers=0")
    demo.main("predict", "normal/v0.mp4", "--ckpt=strided", "--out=as_said", "--stride=2", "--size=source")
    views = [
        json.loads((demo.folder / out / "v0" / "made.json").read_text())["view"] for out in ("as_learned", "as_said")
    ]
    assert [(view["frames"], view["stride"], view["size"]) for view in views] == [(4, 3, [32, 64]), (4, 2, None)]


def test_an_alarm_is_as_rare_as_was_asked(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    demo.main(
        "learn", "normal", "--out=rare", "--backbone=tiny.yaml", "--bank=64", "--false-alarms-per-hour=0.01", *SMALL
    )
    assert "0.01 false alarms an hour (extrapolated)" in capsys.readouterr().out
    assert memory(demo.folder / "rare").memory.alarm > memory(demo.folder / "model").memory.alarm


def test_a_rate_is_not_told_of_a_few_windows(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    demo.main("learn", "normal/v0.mp4", "--out=few", "--backbone=tiny.yaml", "--bank=64", *SMALL)
    told = capsys.readouterr().out
    assert "Windows that stayed out: 1. Fewer than 8 allow no extrapolation" in told
    assert "(extrapolated)" not in told
    assert memory(demo.folder / "few").memory.windows == 1


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--false-alarms-per-hour=0", "a number above 0"), ("--false-alarms-per-hour=-1", "a number above 0"),
        ("--bank=0", "1 or more"), ("--windows=3", "5 or more"), ("--stride=0", "1 or more"),
        ("--frames=0", "1 or more"),
    ],
)  # fmt: skip
def test_numbers_that_mean_nothing_are_refused_at_the_start(demo: Demo, flag: str, expected: str) -> None:
    with pytest.raises(SystemExit, match=f"{flag.replace('=', ' ')}: expected {expected}"):
        demo.main("learn", "nowhere", "--out=none", "--backbone=nowhere.yaml", flag)


def test_more_is_learned_beside_what_is_known(demo: Demo) -> None:
    before = memory(demo.folder / "model").memory
    demo.main("learn", "normal/v1.mp4", "--out=more", "--add=model")
    after = memory(demo.folder / "more").memory
    assert after.windows > before.windows
    assert after.seconds > before.seconds
    assert after.bank.shape == before.bank.shape


def test_chat_shows_its_events_and_says_that_it_has_no_words(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Is there any anomaly in the video?\n/save chat/all\n"))
    demo.main("chat", "normal/v0.mp4", "--ckpt=model")
    said = capfd.readouterr().out
    assert " event" in said
    assert "speaks no words" in " ".join(said.split())
    assert (demo.folder / "chat" / "all" / "summary.json").is_file()  # the error ended nothing


def test_watch_raises_alerts_without_a_sentence(demo: Demo, capfd: pytest.CaptureFixture[str]) -> None:
    demo.main("watch", "normal/v0.mp4", "--ckpt=model", "--out=alerts", "--rate=25", "--hop=4", "--on=0", "--off=0")
    begins, ends = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    scores = tvau.load(demo.folder / "model").open(str(demo.folder / "normal" / "v0.mp4"), quiet=True).scores
    assert ends["score"] == pytest.approx(scores.max(), abs=0.02)
    assert not begins["says"]


def test_the_page_shows_it_and_says_that_it_has_no_words(demo: Demo) -> None:
    gradio = pytest.importorskip("gradio")
    from tvau.ui.page import answer, page

    blocks = page(tvau.load(demo.folder / "model"), [demo.folder / "normal" / "v0.mp4"])
    (look,) = {each.fn for each in blocks.fns.values() if each.name == "open_video" and each.fn is not None}
    *_, (session, status, picture, *_) = look("v0.mp4", None, 0.1, 0.65)
    assert "highest score" in status
    assert picture.shape[-1] == 3
    with pytest.raises(gradio.Error, match="speaks no words"):
        next(answer(session, "Is there any anomaly in the video?"))
    session.close()
