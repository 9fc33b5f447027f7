import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tvau.data.video import open_video
from tvau.errors import DataError
from tvau.metrics.boxes import MapRule
from tvau.metrics.files import read_detections
from tvau.viz.predictions import Dialog, write_prediction

FRAMES = 21  # more than one chunk
DIALOGS: list[Dialog] = [
    {"frames": [0, 20], "turns": [{"task": "judgement", "question": "Any anomaly?", "answer": "Yes, a “dog”."}]}
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of gray frames with odd sides."""
    folder = tmp_path / "street"
    folder.mkdir()
    for i in range(FRAMES):
        cv2.imwrite(str(folder / f"{i:03d}.png"), np.full((49, 65, 3), 120, np.uint8))
    return folder


def write(source: Path, out: Path, frames: list[int], scores: list[float]) -> None:
    heatmaps = np.broadcast_to(np.array(scores, np.float32)[:, None, None], (len(scores), 3, 4))
    write_prediction(out, source, np.array(frames), heatmaps, np.array(scores), DIALOGS, fps=5)


def test_all_files_are_written_and_nothing_else(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "street"
    write(source, out, [0, 10, 20], [0.0, 1.0, 0.0])
    names = ["detections.txt", "dialog.json", "dialog.txt", "overlay.mp4", "scores.csv"]
    assert sorted(p.name for p in out.iterdir()) == names


def test_overlay_has_every_frame_and_heat_between_the_sampled_ones(source: Path, tmp_path: Path) -> None:
    write(source, tmp_path / "out", [0, 10, 20], [0.0, 1.0, 0.0])
    with open_video(tmp_path / "out" / "overlay.mp4") as video:
        assert (video.frames, video.fps, video.size) == (FRAMES, 5, (48, 64))
        pictures = video.read([0, 5, 10, 20]).float()[:, :, 30:].mean((2, 3))  # [4, 3], below the label
    redness = pictures[:, 0] - pictures[:, 2]
    assert abs(redness[0]) < 8
    assert abs(redness[3]) < 8
    assert redness[1] > 20
    assert redness[2] > 60


def test_scores_of_every_source_frame_are_interpolated(source: Path, tmp_path: Path) -> None:
    write(source, tmp_path / "out", [2, 12], [0.2, 0.7])
    with (tmp_path / "out" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(FRAMES))
    assert [i for i, row in enumerate(rows) if row["sampled"] == "1"] == [2, 12]
    expected = {0: 0.2, 2: 0.2, 7: 0.45, 12: 0.7, 20: 0.7}
    assert {i: float(rows[i]["score"]) for i in expected} == pytest.approx(expected)
    assert float(rows[10]["seconds"]) == 2.0


def test_dialog_for_machines_and_for_people(source: Path, tmp_path: Path) -> None:
    write(source, tmp_path / "out", [0], [0.5])
    assert json.loads((tmp_path / "out" / "dialog.json").read_text("utf-8")) == {"video": "street", "windows": DIALOGS}
    text = (tmp_path / "out" / "dialog.txt").read_text("utf-8")
    assert "Frames 0 to 20\n  Q: Any anomaly?\n  A: Yes, a “dog”." in text


def test_a_source_that_breaks_midway_leaves_no_half_video(source: Path, tmp_path: Path) -> None:
    (source / "018.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"018\.png"):
        write(source, tmp_path / "out", [0], [0.5])
    names = ["detections.txt", "dialog.json", "dialog.txt", "scores.csv"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names


@pytest.mark.parametrize(
    ("frames", "scores", "said"),
    [
        ([0, 30], [0.1, 0.2], "rising"),
        ([5, 5], [0.1, 0.2], "rising"),
        ([], [], "1 or more"),
        ([0], [1.5], r"\[0, 1\]"),
        ([0], [float("nan")], r"\[0, 1\]"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    source: Path, tmp_path: Path, frames: list[int], scores: list[float], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        write(source, tmp_path / "out", frames, scores)
    assert not (tmp_path / "out").exists()


def test_boxes_stand_in_pixels_of_the_source(source: Path, tmp_path: Path) -> None:
    heatmaps = np.zeros((2, 7, 13), np.float32)  # a seventh and a fifth of 49 x 65
    heatmaps[1, 2:4, 5:6] = 0.75
    write_prediction(
        tmp_path / "out", source, np.array([3, 9]), heatmaps, np.zeros(2), DIALOGS, fps=5, rule=MapRule(0.7)
    )
    assert read_detections(tmp_path / "out" / "detections.txt").tolist() == [[9, 25, 14, 29, 27, 0.75]]
