"""`tvau chat` as it is typed: from a pipe, in a terminal, and interrupted."""

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from tiny import Demo, stage_one, store
from tvau.backbones import Qwen25VL
from tvau.cli import main
from tvau.commands.chat import Chat
from tvau.conversation import Model, Talk, load
from tvau.data.video import open_video
from tvau.events import Event
from tvau.language import ENVIRONMENT, FLOW, JUDGEMENT
from tvau.tasks import DialogTask
from writers import write_video

SMALL = ("--ckpt", "second.ckpt", "--backbone", "tiny.yaml", "--most", "8")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    """A video and an untrained checkpoint."""
    made = Demo(tmp_path_factory.mktemp("chat"), checkpoint, root / "configs" / "synthetic", videos=0)
    write_video(made.folder / "street.mp4", 32, (96, 160))
    torch.manual_seed(0)
    first = stage_one(Qwen25VL(str(checkpoint), blocks=[1, 2]), made.folder / "first.ckpt")
    store(DialogTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), heatmap=str(first)), made.folder / "second.ckpt")
    return made


@pytest.fixture
def said(demo: Demo, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Has a conversation through a pipe; what stands on the terminal then, one line each."""
    monkeypatch.setenv("COLUMNS", "500")

    def talk(*questions: str, more: tuple[str, ...] = ()) -> list[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{question}\n" for question in questions)))
        capfd.readouterr()
        demo.main("chat", "street.mp4", *SMALL, *more)
        return [line.rstrip() for line in capfd.readouterr().out.splitlines()]

    return talk


def test_a_conversation_through_a_pipe(demo: Demo, said: Any) -> None:
    lines = said("Who is there?", "", "What is [red] there?", "/quit", "Never asked?")
    talk = load(demo.folder / "second.ckpt", str(demo.preset)).open(demo.folder / "street.mp4", quiet=True, most=8)
    answers = [talk.ask(question) for question in ("Who is there?", "What is [red] there?")]
    assert lines[0].startswith("160x96, 0:01, ")
    at = lines.index("> Who is there?")
    assert (
        " ".join(lines[at:]).split()
        == " ".join(["> Who is there?", answers[0], "> What is [red] there?", answers[1], "> /quit"]).split()
    )


def test_events_files_and_the_usual_questions(
    demo: Demo, said: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[Talk] = []
    abouts: list[Event] = []
    look, about = Model.open, Talk.about

    def opening(*args: Any, **options: Any) -> Talk:
        opened.append(look(*args, **options))
        return opened[-1]

    def telling(self: Talk, event: Event) -> Talk:
        abouts.append(event)
        return about(self, event)

    monkeypatch.setattr(Model, "open", opening)
    monkeypatch.setattr(Talk, "about", telling)
    monkeypatch.setattr(Talk, "events", property(made_up))
    out = ("--out", str(tmp_path))
    lines = said("/event 2", "Who is there?", "/video", "/event 2", "/flow", "/heatmap", "/save", "/events", more=out)
    assert lines[0] == "160x96, 0:01, 2 events"
    assert [line.split() for line in lines[2:4]] == [
        ["1", "0:00.0", "0:00.2", "0.90", "0:00.1"], ["2", "0:00.8", "0:01.0", "0.80", "0:00.9"],
    ]  # fmt: skip
    assert [event.key for event in abouts] == [22]  # the second time it goes on where it was left
    assert not opened[0].history
    assert [line for line in lines if line in (f"> {JUDGEMENT}", f"> {ENVIRONMENT}")]
    with open_video(tmp_path / "street_heatmap.mp4") as video:
        assert video.frames == 32
    assert (tmp_path / "street" / "index.html").exists()
    assert "Who is there?" in (tmp_path / "street" / "dialog.txt").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["street", "street_heatmap.mp4"]
    assert lines.count(lines[2]) == 2
    before = (tmp_path / "street" / "dialog.txt").read_text()
    said("Where is it?", "/save", "/save", more=out)  # another conversation, about a video of the same name
    assert (tmp_path / "street" / "dialog.txt").read_text() == before
    assert "Where is it?" in (tmp_path / "street_2" / "dialog.txt").read_text()
    assert len(list(tmp_path.iterdir())) == 3


def made_up(_: Talk) -> Any:
    """Two events, whatever an untrained model sees."""
    none = np.empty((0, 3))
    return [Event(0, 5, (0.0, 0.2), 0.9, 3, {}, none), Event(20, 25, (0.8, 1.0), 0.8, 22, {}, none)]


@pytest.mark.parametrize("judged", ["No, there is no anomaly.", "Yes, a person is lying on the ground."])
def test_the_usual_questions_follow_the_judgement(said: Any, monkeypatch: pytest.MonkeyPatch, judged: str) -> None:
    asked: list[str] = []

    def stream(_: Talk, question: str) -> Iterator[str]:
        asked.append(question)
        yield judged if question == JUDGEMENT else "So it is."

    monkeypatch.setattr(Talk, "stream", stream)
    lines = said("/flow")
    assert asked == ([JUDGEMENT, ENVIRONMENT] if judged.startswith("No") else [*FLOW])
    assert [line.removeprefix("> ") for line in lines if line.startswith("> ") and line != "> /flow"] == asked


def test_no_video_is_lost_to_a_heatmap(demo: Demo, said: Any) -> None:
    video = demo.folder / "street.mp4"
    before = video.read_bytes()
    assert "/heatmap street.mp4: it is there already" in "\n".join(said("/heatmap street.mp4"))
    assert video.read_bytes() == before


def test_bytes_that_are_no_utf8_are_no_end(said: Any) -> None:
    lines = said("Gibt es \udcfcberhaupt jemanden?")  # as Python reads Latin-1
    assert any(line.startswith("> Gibt es ?berhaupt") for line in lines)


def test_what_is_mistyped_ends_nothing(said: Any) -> None:
    lines = said("/evnt", "/event", "/event 7", "/event one two", "/help")
    text = "\n".join(lines)
    assert "there is no command /evnt; did you mean /event? (see /help)" in text
    assert "what is /event? /event N: talk about event N alone" in text
    assert "/event 7: there" in text
    assert "Anything else is a question." in lines


def test_ctrl_c_stops_an_answer_and_loses_nothing(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[Talk] = []
    stream = Talk.stream

    def interrupted(self: Talk, question: str) -> Iterator[str]:
        streams.append(self)
        with closing(cast(Any, stream(self, question))) as pieces:
            for piece in pieces:
                if question.startswith("Stop"):
                    os.kill(os.getpid(), signal.SIGINT)
                yield piece

    monkeypatch.setattr(Talk, "stream", interrupted)
    lines = said("Stop here?", "And then?")
    assert any(line.endswith("... (stopped)") for line in lines)
    (first, cut), (second, whole) = streams[0].history
    assert (first, second) == ("Stop here?", "And then?")
    assert cut
    assert whole
    assert lines[-1].split()[-1] == whole.split()[-1]


def test_a_terminal_with_history(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    helped: list[Chat] = []
    monkeypatch.setattr(Chat, "help", lambda self: helped.append(self))
    up, ctrl_c, ctrl_d = "\x1b[A", "\x03", "\x04"
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):

        def type_in() -> None:
            keys.send_text(f"/help\r half a line{ctrl_c}/eve\x7f\x7f\x7fquatsch\r")
            begun = time.monotonic()
            while len(helped) < 2 and time.monotonic() - begun < 30:  # what was typed is read back a moment later
                time.sleep(0.3)
                keys.send_text(f"{up}{up}\r" if helped else "")
            keys.send_text(ctrl_d)

        typing = threading.Thread(target=type_in)
        typing.start()
        demo.main("chat", "street.mp4", *SMALL)
        typing.join()
    shown = capfd.readouterr().out
    assert "there is no command /quatsch" in shown
    kept = tmp_path / "tvau" / "chat_history"
    lines = [line for line in kept.read_text().splitlines() if line.startswith("+")]
    assert lines[:3] == ["+/help", "+/quatsch", "+/help"]
    assert kept.stat().st_mode & 0o077 == 0


def test_a_real_clip_is_called_foreign(
    real_data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = next(iter(sorted((real_data / "clips").glob("abnormal*.mp4"))))
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    main(["chat", str(clip), "--stride", "28"])
    said = capfd.readouterr().out
    assert "WARNING" in said
    assert "probability" not in said  # it was fitted to another world


def test_the_help_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["chat", "--help"])
    said = capsys.readouterr().out
    assert "Ctrl-C stops an answer" in said
    assert len(said.splitlines()) < 60


def test_an_lvlm_without_a_model_is_called_untrained_and_its_yes_makes_events(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Is there any anomaly in the video?\n/heatmap\n/save\n"))
    monkeypatch.setattr(Qwen25VL, "lean", lambda self, dialog: torch.ones(1))
    monkeypatch.setenv("COLUMNS", "500")
    demo.main("chat", "street.mp4", "--backbone", "tiny.yaml", "--most", "4", "--out", str(tmp_path))
    lines = capfd.readouterr().out.splitlines()
    assert "Untrained: the LVLM as it comes." in lines[0]
    assert "1 event" in lines[1]
    assert lines[3].split() == ["1", "0:00.0", "0:01.2", "0.73", "0:00.0"]  # sigmoid(1), in all windows
    assert "/heatmap: this model has no heatmaps" in lines
    assert "Untrained: the LVLM as it comes." in (tmp_path / "street" / "dialog.txt").read_text()


def test_normal_video_gives_heatmaps_to_an_lvlm_without_a_model(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for number in range(5):
        write_video(demo.folder / "normal" / f"{number}.mp4", 16, (96, 160))
    monkeypatch.setattr(sys, "stdin", io.StringIO("/heatmap\n"))
    demo.main("chat", "street.mp4", "--backbone", "tiny.yaml", "--out", str(tmp_path), "--normal-video", "normal")
    assert "they mark what normal video" in capfd.readouterr().out.replace("\n", " ")
    assert (tmp_path / "street_heatmap.mp4").exists()
