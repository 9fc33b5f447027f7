"""`tvau predict` on tiny real files with a tiny model: whole results, whatever the order, and whatever happens."""

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from tiny import Demo, stage_one, store
from tvau.backbones import Qwen25VL
from tvau.data.video import open_video
from tvau.metrics.boxes import MapRule
from tvau.tasks import DialogTask
from tvau.tasks.writer import Seen
from writers import write_frames, write_video

FILES = {"overlay.mp4", "scores.csv", "detections.txt", "dialog.json", "dialog.txt", "summary.json", "index.html",
         "made.json"}  # fmt: skip


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
    assert listed(whole) == {f"{name}/{file}" for name in ("v0", "v1", "v2") for file in FILES}
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
    for option in ("--trainer.callbacks.overwrite=true", "--data.hop=8", '--model.questions=["Who?"]'):
        marks[0].write_text("old")
        demo("predict", "predict", *words(tmp_path, option))
        assert marks[0].read_text() != "old"


def test_a_run_that_is_cut_short_writes_what_it_saw_and_is_not_done(demo: Demo, whole: Path, tmp_path: Path) -> None:
    few = "--trainer.limit_predict_batches=1"
    demo("predict", "predict", *words(tmp_path, "--data.batch_size=1", few, videos="videos/v0.mp4"))
    made = json.loads((tmp_path / "v0" / "made.json").read_text())
    assert (made["windows"], made["of"]) == (1, 2)
    demo("predict", "predict", *words(tmp_path, videos="videos/v0.mp4"))
    assert (tmp_path / "v0" / "dialog.json").read_bytes() == (whole / "v0" / "dialog.json").read_bytes()


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
    assert {path.name for path in (tmp_path / "s").iterdir()} == FILES
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


def test_overlapping_windows_give_their_mean(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    seen, logits, scores = Seen(tmp_path), torch.randn(3, 2, 2, 3, generator=draw) * 9, torch.rand(3, 4, generator=draw)
    starts = (0, 4, 6)  # of windows of four frames, two apart: 4, 6 and 8, 10 are seen twice, 6 to 10 by the last two
    for row, start in enumerate(starts):
        batch: Any = {"video": torch.zeros(1, 4, 3, 8, 12), "fps": [5.0], "frames": start + torch.arange(0, 8, 2)[None]}
        outputs = {"logits": logits[row : row + 1], "scores": scores[row : row + 1], "turns": [[]], "strange": None}
        seen.add(batch, outputs, 0)
    large = interpolate(logits[:, None], (4, 8, 12), mode="trilinear")[:, 0].sigmoid()  # [window, T, H, W]
    expected: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for row, start in enumerate(starts):
        for t in range(4):
            expected.setdefault(start + 2 * t, []).append((large[row, t], scores[row, t]))
    evidence = seen.evidence(MapRule())
    assert evidence is not None
    found = list(evidence.maps)
    assert [frame for frame, _ in found] == evidence.frames.tolist() == sorted(expected) == list(range(0, 13, 2))
    for (frame, heatmap), score in zip(found, evidence.scores, strict=True):
        maps, values = zip(*expected[frame], strict=True)
        np.testing.assert_allclose(heatmap, torch.stack(maps).mean(0), atol=1e-6)
        assert score == pytest.approx(float(torch.stack(values).mean()))
    assert not list(tmp_path.iterdir())  # the maps lie in a file without a name


def test_memory_does_not_grow_with_the_number_of_windows(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    outputs = {"logits": torch.zeros(1, 8, 24, 42), "scores": torch.zeros(1, 16), "turns": [[]], "strange": None}
    tracemalloc.start()
    for window in range(60):  # 960 frames of 336x588: 760 MB of heatmaps, 2 MB of logits
        frames = torch.arange(16)[None] + 16 * window
        batch: Any = {"video": torch.zeros(1, 1, 1, 336, 588), "fps": [25.0], "frames": frames}
        seen.add(batch, outputs, 0)
    evidence = seen.evidence(MapRule())
    assert evidence is not None
    assert sum(1 for _ in evidence.maps) == 960
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6  # numpy's share; tensors come and go by the window
