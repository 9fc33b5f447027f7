"""`tvau learn` as it is typed, and what takes its model."""

import json
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


def test_an_alarm_is_as_rare_as_was_asked(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    demo.main(
        "learn", "normal", "--out=rare", "--backbone=tiny.yaml", "--bank=64", "--false-alarms-per-hour=0.01", *SMALL
    )
    assert "0.01 false alarms an hour (extrapolated)" in capsys.readouterr().out
    assert memory(demo.folder / "rare").memory.alarm > memory(demo.folder / "model").memory.alarm


def test_more_is_learned_beside_what_is_known(demo: Demo) -> None:
    before = memory(demo.folder / "model").memory
    demo.main("learn", "normal/v1.mp4", "--out=more", "--add=model")
    after = memory(demo.folder / "more").memory
    assert after.windows > before.windows
    assert after.seconds > before.seconds
    assert after.bank.shape == before.bank.shape
