"""`tvau predict` as it is typed."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

import tvau
from tiny import Demo, stage_one, store
from tvau.backbones import Qwen25VL
from tvau.cli import main
from tvau.commands.predict import translated
from tvau.errors import OptionError
from tvau.exports.prediction import read_prediction
from tvau.files import maker
from tvau.metrics.boxes import MapRule
from tvau.shipped import MODEL
from tvau.tasks import AskedTask, DialogTask
from tvau.tasks.base import OURS
from tvau.types import Batch
from writers import write_frames, write_video

FILES = {"overlay.mp4", "heatmap.mp4", "events.json", "scores.csv", "detections.txt", "dialog.json", "dialog.txt",
         "summary.json", "index.html", "made.json"}  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    """Six videos and untrained checkpoints of both stages."""
    made = Demo(tmp_path_factory.mktemp("typed"), checkpoint, root / "configs" / "synthetic", videos=0)
    for number in range(6):
        write_video(made.folder / "videos" / f"v{number}.mp4", frames=40)
    torch.manual_seed(0)
    first = stage_one(Qwen25VL(str(checkpoint), blocks=[1, 2]), made.folder / "first.ckpt")
    store(DialogTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), heatmap=str(first)), made.folder / "second.ckpt")
    return made


SMALL = ("--ckpt", "second.ckpt", "--backbone", "tiny.yaml", "--size", "32x64", "--workers", "0", "--batch-size", "1",
         "--most", "40", "--trainer.enable_progress_bar", "false")  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    """All files of the videos' folders."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*")}


@pytest.fixture(scope="module")
def whole(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one uninterrupted run writes."""
    out = tmp_path_factory.mktemp("whole")
    demo.main("predict", "videos", *SMALL, "--out", str(out))
    return out


def test_the_words_become_lightnings() -> None:
    words = ["a.mp4", "--stride", "6", "b", "--size=96x160", "--trainer.devices", "2", "--questions", "Who?", "Where?"]
    said = translated([*words, "--overwrite", "--on_broken", "skip", "--ckpt=absent.ckpt", "--out", "o"])
    assert said[0] == "--config"
    assert Path(said[1]).name == "predict.yaml"
    assert set(said[2:]) == {
        '--data.videos=["a.mp4", "b"]', "--data.stride=6", "--data.size=[96,160]", "--trainer.devices=2", "--questions",
        "Who?", "Where?", "--trainer.callbacks.overwrite=true", "--data.on_broken=skip", "--ckpt_path=absent.ckpt",
        "--trainer.callbacks.folder=o", "--trainer.default_root_dir=o",
    }  # fmt: skip
    assert translated(["--config", "my.yaml", "--data.stride", "2"]) == ["--config=my.yaml", "--data.stride=2"]
    assert translated(["--help-all"]) == ["--help"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name one video or more"),
        (["v.mp4", "--strid", "2"], "--strid is not known here; did you mean --stride?"),
        (["v.mp4", "--stride"], "argument --stride.*: expected one argument"),
    ],
)
def test_words_that_mean_nothing(words: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message.replace("?", r"\?")):
        translated(words)


def test_the_help_is_short_and_names_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 40
    for flag, default in {"--stride": "(1)", "--fps": "(25)", "--on-broken": "(fail)", "--size": "(96x160)"}.items():
        assert any(flag in line and default in line for line in lines)


def test_video_and_frame_folder_with_what_comes_with_tvau(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "street.mp4", frames=16)
    write_frames(tmp_path / "walk", range(8), (48, 64), "{:03d}.png")
    main(["predict", "street.mp4", "walk", "--questions", "Is there any anomaly in the video?", "--most", "3"])
    assert MODEL in capfd.readouterr().err
    for name in ("street", "walk"):
        assert {path.name for path in (tmp_path / "predictions" / name).iterdir()} - {"events.png"} == FILES


def test_two_videos_of_one_name_have_folders_of_their_own(demo: Demo, tmp_path: Path) -> None:
    for folder in ("east", "west"):
        write_video(demo.folder / folder / "gate.mp4", frames=16)
    demo.main("predict", "east/gate.mp4", "west", *SMALL, "--out", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["gate", "west-gate"]


def test_a_checkpoint_of_stage_one_gives_heatmaps_without_words(demo: Demo, tmp_path: Path) -> None:
    words = [word for word in SMALL if word not in ("--most", "40")]
    words[words.index("second.ckpt")] = "first.ckpt"
    demo.main("predict", "videos/v0.mp4", *words, "--out", str(tmp_path))
    assert {path.name for path in (tmp_path / "v0").iterdir()} - {"events.png"} == FILES
    assert "What was said" not in (tmp_path / "v0" / "index.html").read_text()
    with pytest.raises(SystemExit, match=r"first\.ckpt speaks no words: leave --questions out"):
        demo.main("predict", "videos", *words, "--questions", "Who?")


def test_the_folder_of_a_model_is_the_checkpoint(demo: Demo, whole: Path, tmp_path: Path) -> None:
    tvau.load(demo.folder / "second.ckpt", str(demo.preset)).save_pretrained(demo.folder / "model")
    words = ["model" if word == "second.ckpt" else word for word in SMALL]
    at = words.index("--backbone")  # it names its own
    demo.main("predict", "videos/v0.mp4", *words[:at], *words[at + 2 :], "--out", str(tmp_path))
    expected = {name: data for name, data in contents(whole).items() if name.startswith("v0") and "made" not in name}
    assert {name: data for name, data in contents(tmp_path).items() if "made" not in name} == expected


def test_a_calibrated_model_says_probabilities_and_finds_the_same(demo: Demo, whole: Path, tmp_path: Path) -> None:
    model = tvau.load(demo.folder / "second.ckpt", str(demo.preset))
    model.task.rules[OURS] = MapRule(scale=2, bias=1)
    model.save_pretrained(demo.folder / "calibrated")
    del model.task.rules[OURS]  # whoever else has it
    words = ["calibrated" if word == "second.ckpt" else word for word in SMALL]
    demo.main("predict", "videos/v0.mp4", *words, "--out", str(tmp_path))
    before, now = (json.loads((folder / "v0" / "summary.json").read_text()) for folder in (whole, tmp_path))
    assert now["highest"].pop("probability") == pytest.approx(expit(2 * logit(now["highest"]["score"]) + 1), abs=1e-4)
    for event in now["events"]:
        assert event.pop("probability") == pytest.approx(expit(2 * logit(event["highest"]) + 1), abs=1e-4)
    assert now == before
    scores, sure = np.loadtxt(tmp_path / "v0" / "scores.csv", delimiter=",", skiprows=1, usecols=(2, 4)).T
    np.testing.assert_allclose(sure, expit(2 * logit(scores) + 1), atol=1e-4)
    assert "(probability" in (tmp_path / "v0" / "dialog.txt").read_text()
    np.testing.assert_array_equal(read_prediction(tmp_path / "v0").probabilities, sure)
    plain = read_prediction(whole / "v0")
    assert (plain.probabilities == plain.scores).all()
    assert "sigmoid(scale * logit(score) + bias)" in (demo.folder / "calibrated" / "README.md").read_text()


def test_detections_of_a_prediction_are_scored_as_they_lie(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is scored against its own boxes is perfect: no frame's detections are lost on the way."""
    (tmp_path / "tracks").mkdir()
    boxes = 0
    for folder in sorted(whole.glob("v*")):
        rows = [line.split(",") for line in (folder / "detections.txt").read_text().splitlines()[1:]]
        first = {row[0]: row for row in reversed(rows)}  # one box a frame
        assert first  # how many frames of an untrained map have boxes depends on its weights
        boxes += len(first)
        lines = [",".join(["1", *row[:5]]) for row in first.values()]
        (tmp_path / "tracks" / f"{folder.name}.txt").write_text("\n".join(lines))
    main(["score", f"--tracks={tmp_path / 'tracks'}", f"--detections={whole}", "--num-frames=240"])
    region = json.loads(capfd.readouterr().out)["region"]
    assert region["true_frames"] == region["true_frames_with_detections"] == boxes
    assert region["tbdc"] == pytest.approx(1)


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(demo: Demo, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))  # bytes a file: the settings fit, the page does not
    try:
        with pytest.raises(SystemExit) as stop:
            demo.main("predict", "videos/v0.mp4", *SMALL, "--out", str(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(stop.value.code).startswith(f"tvau: {tmp_path}: predictions cannot be written there (File too large)")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [".v0.windows"]  # looked at is looked at


def test_two_processes_share_the_videos(demo: Demo, whole: Path, tmp_path: Path) -> None:
    devices = ("--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp_fork")
    demo.main("predict", "videos", *SMALL, *devices, "--out", str(tmp_path))
    assert contents(tmp_path) == contents(whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_goes_on_where_it_was(
    demo: Demo, whole: Path, root: Path, tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "tvau.cli", "predict", "videos", *SMALL, "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        command, cwd=demo.folder, env=environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # in the background: ignored
    )  # fmt: skip
    while not (tmp_path / "v0").exists() and run.poll() is None:
        time.sleep(0.005)
    run.send_signal(number)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == (-9 if number == signal.SIGKILL else 128 + number), said
    assert "Traceback" not in said
    done = sorted(path.name for path in tmp_path.glob("v*"))
    assert 1 <= len(done) < 6
    assert all({path.name for path in (tmp_path / name).iterdir()} - {"events.png"} == FILES for name in done)
    if number != signal.SIGKILL:
        assert not list(tmp_path.glob(".tvau.*"))
    else:  # whatever moment it was killed in: what a dead run leaves
        shutil.copytree(tmp_path / "v0", tmp_path / f".tvau.v5.{maker(run.pid)}")
    demo.main("predict", "videos", *SMALL, "--out", str(tmp_path))
    assert not list(tmp_path.glob(".tvau.*"))
    assert contents(tmp_path) == contents(whole)


BARE = ("--backbone=tiny.yaml", *SMALL[4:-2], "--trainer.enable_progress_bar=false")


def scores_of(folder: Path) -> np.ndarray:
    """The scores of all frames that predict wrote."""
    return np.loadtxt(folder / "scores.csv", delimiter=",", skiprows=1, usecols=2)


def test_an_lvlm_without_a_model_answers_and_its_yes_is_the_score(
    demo: Demo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.main("predict", "videos/v0.mp4", *BARE, f"--out={tmp_path}")
    assert "UNTRAINED" in capsys.readouterr().err
    folder = tmp_path / "v0"
    page = (folder / "index.html").read_text()
    assert "Untrained: the LVLM as it comes." in page
    assert "<svg" in page
    assert "overlay.mp4" not in page
    assert {path.name for path in folder.iterdir()} == FILES - {"overlay.mp4", "heatmap.mp4", "detections.txt"}
    talk = tvau.load(backbone=str(demo.preset), untrained=True).open(
        str(demo.folder / "videos" / "v0.mp4"), size=(32, 64), most=40, quiet=True
    )
    np.testing.assert_allclose(talk.scores, scores_of(folder), atol=1e-4)
    lvlm = Qwen25VL(str(demo.preset.read_text().split("checkpoint: ")[1].split(",")[0]), blocks=[1, 2])
    clip: Batch = {"video": talk._video.read(range(16))[None], "frames": torch.arange(16)[None], "fps": [talk.fps],
                   "name": ["v0"], "turns": [[]]}  # fmt: skip
    np.testing.assert_allclose(talk.scores[:16], AskedTask(lvlm).frames(clip)[0], atol=1e-5)
    told = json.loads((folder / "events.json").read_text())
    assert [(event.start, event.end) for event in talk.events] == [tuple(event["frames"]) for event in told]
    windows = json.loads((folder / "dialog.json").read_text())["windows"]
    assert talk.ask(windows[0]["turns"][0]["question"]) in [window["turns"][0]["answer"] for window in windows]
    assert read_prediction(folder).scores.shape == (40,)
    with pytest.raises(OptionError, match="nothing was trained"):
        tvau.load(backbone=str(demo.preset), untrained=True).save_pretrained(tmp_path / "model")
    with pytest.raises(OptionError, match="no model of tvau"):
        tvau.load("second.ckpt", untrained=True)


def test_normal_video_gives_heatmaps_to_an_lvlm_without_a_model(demo: Demo, tmp_path: Path) -> None:
    normal = ["videos/v1.mp4", "videos/v2.mp4", "videos/v3.mp4", "videos/v4.mp4", "videos/v5.mp4"]
    flags = [word for path in normal for word in ("--normal-video", path)]
    demo.main("predict", "videos/v0.mp4", *BARE, *flags, "--questions", "Where?", f"--out={tmp_path}")
    folder = tmp_path / "v0"
    assert {path.name for path in folder.iterdir()} - {"events.png"} == FILES
    assert "they mark what normal video did not hold" in (folder / "index.html").read_text()
    bare = tvau.load(backbone=str(demo.preset), untrained=True)
    model = bare.learn([demo.folder / path for path in normal], size=(32, 64))
    talk = model.open(demo.folder / "videos" / "v0.mp4", most=40, quiet=True)  # in the size of the normal video
    np.testing.assert_allclose(talk.scores, scores_of(folder), atol=1e-5)
    assert talk.heatmap.shape == (40, 32, 64)
    assert bare.tvau.decoder is None  # whoever else has that model
    assert model.tvau.backbone is bare.tvau.backbone
    demo.main("learn", *normal, "--backbone=tiny.yaml", "--size=[32,64]", f"--out={tmp_path / 'learned'}")
    learned = tvau.load(tmp_path / "learned").open(demo.folder / "videos" / "v0.mp4", quiet=True)
    np.testing.assert_allclose(talk.scores, learned.scores, atol=1e-5)  # the same seed, the same memory
    with pytest.raises(OptionError, match="this model was trained"):
        tvau.load(demo.folder / "second.ckpt", str(demo.preset)).learn(demo.folder / "videos")
    for words in (["--ckpt=second.ckpt", "--normal-video=videos"], ["--backbone=tiny.yaml", "--abnormal=a dog"]):
        with pytest.raises(OptionError, match="--ckpt"):
            translated(["v.mp4", *words])
