"""`tvau predict` on tiny real files with a tiny model: whole results, whatever the order, and whatever happens."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tiny import Demo, stage_one, store
from tvau.backbones import Qwen25VL
from tvau.data.video import open_video
from tvau.errors import DataError
from tvau.exports import read_prediction
from tvau.tasks import DialogTask, HeatmapTask
from tvau.types import Batch
from writers import write_frames, write_video

FILES = {"overlay.mp4", "heatmap.mp4", "events.json", "scores.csv", "detections.txt", "dialog.json", "dialog.txt",
         "summary.json", "index.html", "made.json"}  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    """Two videos of two windows of 16 frames, one of three, and a checkpoint of an untrained stage 2."""
    made = Demo(tmp_path_factory.mktemp("predict"), checkpoint, root / "configs" / "synthetic", videos=0)
    for name, frames in (("v0", 30), ("v1", 32), ("v2", 40)):
        write_video(made.folder / "videos" / f"{name}.mp4", frames=frames)
    first = stage_one(Qwen25VL(str(checkpoint), blocks=[1, 2]), made.folder / "first.ckpt")
    store(DialogTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), heatmap=str(first)), made.folder / "second.ckpt")
    return made


def words(out: Path, *more: str, videos: str = "videos") -> list[str]:
    return [
        "--model.heatmap=second.ckpt", "--ckpt_path=second.ckpt", f"--data.videos={videos}", "--model.most=3",
        f"--trainer.callbacks.folder={out}", *more,
    ]  # fmt: skip


def listed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob("*/*")}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in listed(folder)}


@pytest.fixture(scope="module")
def whole(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one uninterrupted run writes."""
    out = tmp_path_factory.mktemp("whole")
    demo("predict", "predict", *words(out))
    return out


def test_every_video_has_all_of_its_windows_and_frames(whole: Path) -> None:
    assert listed(whole) - {f"v{at}/events.png" for at in range(3)} == {
        f"{name}/{file}" for name in ("v0", "v1", "v2") for file in FILES
    }
    for name, frames, windows in (("v0", 30, 2), ("v1", 32, 2), ("v2", 40, 3)):
        folder = whole / name
        assert len(json.loads((folder / "dialog.json").read_text())["windows"]) == windows
        assert len((folder / "scores.csv").read_text().splitlines()) == frames + 1
        with open_video(folder / "overlay.mp4") as video:
            assert video.frames == frames
        summary = json.loads((folder / "summary.json").read_text())
        assert (summary["windows"], summary["frames"]) == (windows, frames)


def test_two_workers_lose_nothing(demo: Demo, whole: Path, tmp_path: Path) -> None:
    demo("predict", "predict", *words(tmp_path, "--data.num_workers=2"))
    assert contents(tmp_path) == contents(whole)


def test_what_is_done_stays_and_what_was_made_by_other_options_is_made_anew(
    demo: Demo, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "v1")
    marks = [(tmp_path / name / "dialog.txt") for name in ("v0", "v2")]
    for mark in marks:
        mark.write_text("left alone")
    demo("predict", "predict", *words(tmp_path))
    assert [mark.read_text() for mark in marks] == ["left alone"] * 2
    assert "2 of 3 videos were done before" in capfd.readouterr().out
    for mark in marks:
        mark.write_bytes((whole / mark.relative_to(tmp_path)).read_bytes())
    assert contents(tmp_path) == contents(whole)  # v1 was made alone, and is the same
    others = ("--trainer.callbacks.overwrite=true", "--trainer.callbacks.boxes=true", "--data.hop=8",
              '--model.questions=["Who?"]')  # fmt: skip
    for option in others:
        marks[0].write_text("old")
        demo("predict", "predict", *words(tmp_path, option))
        assert marks[0].read_text() != "old"


def test_a_run_that_is_cut_short_writes_what_it_saw_and_is_not_done(demo: Demo, whole: Path, tmp_path: Path) -> None:
    few = "--trainer.limit_predict_batches=0.5"  # of two; whether 1 is read as one or as all is up to import orders
    demo("predict", "predict", *words(tmp_path, "--data.batch_size=1", few, videos="videos/v0.mp4"))
    made = json.loads((tmp_path / "v0" / "made.json").read_text())
    assert (made["windows"], made["of"]) == (1, 2)
    demo("predict", "predict", *words(tmp_path, videos="videos/v0.mp4"))
    assert (tmp_path / "v0" / "dialog.json").read_bytes() == (whole / "v0" / "dialog.json").read_bytes()


def test_a_video_goes_on_in_its_middle(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    step = DialogTask.predict_step

    def watched(self: DialogTask, batch: Batch, index: int, dataloader_idx: int = 0) -> dict[str, Any]:
        if looked == [0, 16]:
            looked.clear()
            raise DataError("the power failed")
        looked.append(int(batch["frames"][0, 0]))
        return step(self, batch, index, dataloader_idx)

    def run(out: str, videos: str = "videos/v2.mp4") -> None:
        demo("predict", "predict", *words(tmp_path / out, "--data.batch_size=1", videos=videos))

    run("whole")
    monkeypatch.setattr(DialogTask, "predict_step", watched)
    with pytest.raises(SystemExit, match="the power failed"):
        run("parts")
    assert [path.name for path in (tmp_path / "parts").iterdir() if path.is_dir()] == [".v2.windows"]
    with (tmp_path / "parts" / ".v2.windows" / "windows.jsonl").open("a") as file:
        file.write('{"look": [0')  # whatever moment it was killed in
    run("parts", str(demo.folder / "videos" / "v2.mp4"))  # as if typed in another folder
    assert looked == [24]  # the last of three windows
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert not (tmp_path / "parts" / ".v2.windows").exists()


def test_a_video_is_the_same_however_its_path_is_typed(
    demo: Demo, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spellings = ["videos/v2.mp4", str(demo.folder / "videos" / "v2.mp4"), "world/../videos/v2.mp4"]
    shutil.copytree(whole / "v2", tmp_path / "v2")
    for spelling in spellings:
        demo("predict", "predict", *words(tmp_path, videos=spelling))
        assert "1 of 1 videos were done before" in capfd.readouterr().out
    assert Path(read_prediction(tmp_path / "v2").video) == demo.folder / "videos" / "v2.mp4"
    made = tmp_path / "v2" / "made.json"  # as earlier versions wrote it
    content = json.loads(made.read_text())
    made.write_text(json.dumps({**content, "source": {**content["source"], "path": spellings[0]}}))
    demo("predict", "predict", *words(tmp_path, videos=spellings[1]))
    assert "1 of 1 videos were done before" in capfd.readouterr().out


def test_a_prediction_looks_as_its_checkpoint_was_trained(demo: Demo, checkpoint: Path, tmp_path: Path) -> None:
    store(HeatmapTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), every=2), demo.folder / "half.ckpt")
    demo.main("predict", "videos/v0.mp4", "--ckpt", "half.ckpt", "--backbone", "tiny.yaml", "--size", "32x64",
              "--workers", "0", "--out", str(tmp_path))  # fmt: skip
    assert json.loads((tmp_path / "v0" / "made.json").read_text())["options"]["every"] == 2


def test_frames_that_results_would_replace_stay(demo: Demo, tmp_path: Path) -> None:
    write_frames(tmp_path / "cam1", range(16), (32, 64), "{:03d}.png")
    with pytest.raises(SystemExit, match="cam1 holds other files, which would be lost"):
        demo("predict", "predict", *words(tmp_path, videos=str(tmp_path)))
    assert len(list((tmp_path / "cam1").glob("*.png"))) == 16


def test_frames_that_were_replaced_are_looked_at_again(
    demo: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    frames = write_frames(tmp_path / "cam" / "walk", range(16), (32, 64), "{:03d}.png")
    run = partial(demo, "predict", "predict", *words(tmp_path / "out", videos=str(tmp_path / "cam")))
    run()
    run()
    assert "1 of 1 videos were done before" in capfd.readouterr().out
    Image.fromarray(np.full((32, 64), 200, np.uint8)).save(frames / "007.png")
    run()
    assert "done before" not in capfd.readouterr().out


def test_results_of_another_video_of_one_name_stay(demo: Demo, tmp_path: Path) -> None:
    for camera, frames in (("a", 16), ("b", 17)):
        (tmp_path / camera).mkdir()
        write_video(tmp_path / camera / "v.mp4", frames=frames)
    run = partial(words, tmp_path / "out")
    demo("predict", "predict", *run(videos=str(tmp_path / "a")))
    with pytest.raises(SystemExit, match=r"out/v holds the results of another video, .*/a/v\.mp4"):
        demo("predict", "predict", *run(videos=str(tmp_path / "b")))
    (tmp_path / "a").rename(tmp_path / "c")  # it is the same one where it was moved
    demo("predict", "predict", *run(videos=str(tmp_path / "c")))
    demo("predict", "predict", *run("--trainer.callbacks.overwrite=true", videos=str(tmp_path / "b")))
    assert json.loads((tmp_path / "out" / "v" / "summary.json").read_text())["frames"] == 17


@pytest.mark.parametrize(
    ("option", "said"),
    [("--data.batch_size=0", "batch_size 0: expected"), ("--data.num_workers=-1", "num_workers -1: expected"),
     ("--data.limit=0", "limit 0, fps 25: expected"),
     ("--data.fps=0", "fps 0: expected")],
)  # fmt: skip
def test_numbers_that_mean_nothing_are_named(demo: Demo, tmp_path: Path, option: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        demo("predict", "predict", *words(tmp_path, option))


def test_a_frame_folder_of_its_own_size_beside_a_video(demo: Demo, tmp_path: Path) -> None:
    write_frames(demo.folder / "mixed" / "f", range(16), (32, 64), "{:03d}.png")
    write_video(demo.folder / "mixed" / "v.mp4", frames=16, size=(64, 64))
    own = ("--data.size=null", "--data.fps=8")
    demo("predict", "predict", *words(tmp_path, *own, videos="mixed"))
    sizes = {name: json.loads((tmp_path / name / "summary.json").read_text())["size"] for name in ("f", "v")}
    assert sizes == {"f": [32, 64], "v": [64, 64]}
    rows = (tmp_path / "f" / "scores.csv").read_text().splitlines()
    assert rows[-1].split(",")[:2] == ["15", "1.875"]


def test_a_video_shorter_than_a_clip_is_looked_at_and_marked(demo: Demo, tmp_path: Path) -> None:
    write_video(demo.folder / "short" / "s.mp4", frames=11)
    demo("predict", "predict", *words(tmp_path, videos="short"))
    assert {path.name for path in (tmp_path / "s").iterdir()} - {"events.png"} == FILES
    (window,) = json.loads((tmp_path / "s" / "dialog.json").read_text())["windows"]
    assert (window["frames"], window["repeated"]) == ([0, 10], 5)
    assert len((tmp_path / "s" / "scores.csv").read_text().splitlines()) == 12
    assert "shorter than a clip" in (tmp_path / "s" / "index.html").read_text()


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_looked_at(
    demo: Demo, tmp_path: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(DialogTask, "predict_step", lambda *_: pytest.fail("looked at a video"))
    with pytest.raises(SystemExit) as stop:
        demo("predict", "predict", *words(tmp_path / out))
    assert str(stop.value.code).startswith(f"tvau: {tmp_path / out}: predictions cannot be written there (")
