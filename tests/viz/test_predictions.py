import csv
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tvau.data.video import open_video
from tvau.errors import DataError
from tvau.events import EventRule
from tvau.metrics.boxes import MapRule
from tvau.types import Turn
from tvau.viz.predictions import Evidence, every_frame, write_prediction
from tvau.viz.told import Dialog, clock, merged

FRAMES = 21
ANSWER: Turn = {"task": "judgement", "question": "Any anomaly?", "answer": "Yes, a “dog” <b>."}
DIALOGS: list[Dialog] = [{"frames": [0, 20], "turns": [ANSWER]}]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of gray frames with odd sides."""
    folder = tmp_path / "street"
    folder.mkdir()
    for i in range(FRAMES):
        cv2.imwrite(str(folder / f"{i:03d}.png"), np.full((49, 65, 3), 120, np.uint8))
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def write(
    source: Path, out: Path, frames: list[int], scores: list[float], dialogs: Sequence[Dialog] = DIALOGS
) -> dict[str, Any]:
    heatmaps = np.broadcast_to(np.array(scores, np.float32)[:, None, None], (len(scores), 3, 4))
    evidence = Evidence(np.array(frames), np.array(scores), zip(frames, heatmaps, strict=True))
    return write_prediction(out, source, dialogs, evidence, fps=5)


def test_all_files_are_written_and_nothing_else(source: Path, out: Path) -> None:
    write(source, out, [0, 10, 20], [0.0, 1.0, 0.0])
    names = ["detections.txt", "dialog.json", "dialog.txt", "events.png", "heatmap.mp4", "index.html", "overlay.mp4"]
    assert sorted(p.name for p in out.iterdir()) == [*names, "scores.csv", "summary.json"]


def test_without_heatmaps_there_is_no_column_of_zeros(source: Path, out: Path) -> None:
    summary = write_prediction(out, source, DIALOGS, fps=5)
    assert sorted(p.name for p in out.iterdir()) == ["dialog.json", "dialog.txt", "index.html", "summary.json"]
    assert "highest" not in summary
    assert "<video" not in (out / "index.html").read_text()


def test_a_disagreement_is_shown(source: Path, out: Path) -> None:
    other: Turn = {**ANSWER, "answer": "A cat.", "disagrees": ["class: dog at first, then cat"]}
    write_prediction(out, source, [{"frames": [0, 20], "turns": [ANSWER, other]}], fps=5)
    assert (out / "index.html").read_text().count("Not as before: class: dog at first, then cat") == 1


def test_overlay_has_every_frame_and_heat_between_the_sampled_ones(source: Path, out: Path) -> None:
    write(source, out, [0, 10, 20], [0.0, 1.0, 0.0])
    with open_video(out / "overlay.mp4") as video:
        assert (video.frames, video.fps, video.size[1]) == (FRAMES, 5, 64)
        assert 48 < video.size[0] < 100  # a strip below the picture
        pictures = video.read([0, 5, 10, 20]).float()
    colours = pictures[:, :, 8:40, 8:56].mean((2, 3))  # [4, 3]
    yellow = colours[:, 0] - colours[:, 2]
    assert abs(yellow[0]) < 8
    assert abs(yellow[3]) < 8
    assert yellow[2] > 60
    green = colours[:, 1] - colours[:, 0]
    assert green[1] > 20
    # the tip of the strip's line moves from the left to the right
    tips = [int(picture[:, 48:].mean(0).sum(0).argmax()) for picture in pictures[[0, 3]]]
    assert tips[0] < 20 < 44 < tips[1]


def test_scores_of_every_source_frame_are_interpolated(source: Path, out: Path) -> None:
    write(source, out, [2, 12], [0.2, 0.7])
    with (out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(FRAMES))
    assert [i for i, row in enumerate(rows) if row["sampled"] == "1"] == [2, 12]
    expected = {0: 0.2, 2: 0.2, 7: 0.45, 12: 0.7, 20: 0.7}
    assert {i: float(rows[i]["score"]) for i in expected} == pytest.approx(expected)
    assert float(rows[10]["seconds"]) == 2.0


def test_maps_of_every_frame_are_interpolated() -> None:
    maps = [(2, np.full((1, 1), 0.2)), (4, np.full((1, 1), 0.6))]
    assert [float(m[0, 0]) for m in every_frame(iter(maps), 7)] == pytest.approx([0.2, 0.2, 0.2, 0.4, 0.6, 0.6, 0.6])
    with pytest.raises(DataError, match=r"frame 2 .*\[0, 1\]"):
        list(every_frame([(2, np.full((1, 1), np.nan))], 7))


def test_every_frame_has_its_boxes_in_pixels_of_the_source(source: Path, out: Path) -> None:
    heatmaps = np.zeros((2, 7, 13), np.float32)  # a seventh and a fifth of 49 x 65
    heatmaps[:, 2:4, 5:6] = [[[1.0]], [[0.5]]]
    maps = zip([3, 7], heatmaps, strict=True)
    write_prediction(out, source, DIALOGS, Evidence(np.array([3, 7]), np.zeros(2), maps, MapRule(0.7)), fps=5)
    header, *lines = (out / "detections.txt").read_text().splitlines()
    assert header == "frame,x1,y1,x2,y2,score"
    rows = [[float(value) for value in line.split(",")] for line in lines]
    # from 1.0 in frame 3 down to 0.5 in frame 7, which no longer reaches 0.7
    expected = {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 0.875, 5: 0.75}
    assert [row[1:5] for row in rows] == [[25, 14, 29, 27]] * len(expected)
    assert {int(row[0]): row[5] for row in rows} == pytest.approx(expected)


def test_events_and_answers_stand_in_the_summary(source: Path, out: Path) -> None:
    write(source, out, [0, 5, 10, 15, 20], [0.0, 1.0, 0.0, 0.0, 0.9])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["highest"] == {"score": 1.0, "frame": 5, "seconds": 1.0}
    assert [event["frames"] for event in summary["events"]] == [[3, 7], [18, 20]]
    assert [event["seconds"] for event in summary["events"]] == [[0.6, 1.4], [3.6, 4.0]]
    assert summary["said"] == {"Any anomaly?": {"yes": 1, "no": 0}}
    assert summary["rule"] == EventRule().stored()


def test_events_are_read_by_the_rule_of_the_model(source: Path, out: Path) -> None:
    maps = ((frame, np.zeros((6, 8), np.float32)) for frame in (0, 5, 10, 15, 20))
    rule = MapRule(events=EventRule(0.9, 0.3, gap=1.5))
    evidence = Evidence(np.array([0, 5, 10, 15, 20]), np.array([0.0, 1.0, 0.0, 0.9, 0.6]), maps, rule)
    (event,) = write_prediction(out, source, DIALOGS, evidence, fps=5)["events"]
    assert (event["frames"], event["key"]) == ([2, 20], 5)  # from 0.3 of both peaks on, 0.6 s apart
    assert "Events, whose scores reach 0.9: 0:00 - 0:04." in (out / "dialog.txt").read_text("utf-8")


def test_dialog_for_machines_and_for_people(source: Path, out: Path) -> None:
    write(source, out, [0], [0.5])
    windows = [{"frames": [0, 20], "seconds": [0.0, 4.0], "turns": [ANSWER]}]
    assert json.loads((out / "dialog.json").read_text("utf-8")) == {"video": "street", "windows": windows}
    text = (out / "dialog.txt").read_text("utf-8")
    assert "0:00 - 0:04\n  Q: Any anomaly?\n  A: Yes, a “dog” <b>." in text
    assert text.index("highest score") < text.index("Q: ")  # a summary comes first


class Page(HTMLParser):
    """The words of a page, and the values of one attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.starts, self.tags = "", [], []  # type: ignore[var-annotated]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.starts += [value for name, value in attrs if name == "data-from" and tag == "button"]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_shows_events_and_merged_windows_by_their_times(source: Path, out: Path) -> None:
    no: Turn = {**ANSWER, "answer": "No."}
    dialogs: list[Dialog] = [
        {"frames": [0, 4], "turns": [no]}, {"frames": [5, 9], "turns": [no]}, {"frames": [10, 14], "turns": [ANSWER]},
        {"frames": [15, 20], "turns": [no]},
    ]  # fmt: skip
    write(source, out, [0, 12, 20], [0.0, 1.0, 0.0], dialogs)
    page = Page((out / "index.html").read_text("utf-8"))
    assert {"video", "svg", "rect", "polyline"} <= set(page.tags)
    assert page.starts == ["1.2", "0.0", "2.0", "3.0"]  # the event, and three windows of four
    for words in ("0:00.0 - 0:01.8 (2 windows)", "0:02.0 - 0:02.8", "0:03.0 - 0:04.0", "Yes, a “dog” <b>."):
        assert words in page.words
    assert page.words.count("Yes, a") == 1
    assert "Yes in 1, no in 3 of them" in page.words
    assert len(json.loads((out / "dialog.json").read_text())["windows"]) == 4


def test_windows_of_which_nothing_was_said_are_not_told(source: Path, out: Path) -> None:
    dialogs: list[Dialog] = [{"frames": [0, 9], "turns": []}, {"frames": [10, 20], "turns": [ANSWER]}]
    write(source, out, [0, 12, 20], [0.0, 1.0, 0.0], dialogs)
    page, text = Page((out / "index.html").read_text("utf-8")), (out / "dialog.txt").read_text("utf-8")
    assert page.starts == ["1.2", "2.0"]  # the event, and one window
    assert ANSWER["answer"] in text
    assert "\n0:00" not in text
    assert [len(each["turns"]) for each in json.loads((out / "dialog.json").read_text())["windows"]] == [0, 1]


def test_the_curve_and_its_threshold_have_one_scale(source: Path, out: Path) -> None:
    on = EventRule().on
    write(source, out, [0, 20], [on, on])
    page = (out / "index.html").read_text("utf-8")
    (threshold,) = re.findall(r'y1="([\d.]+)" y2="\1" stroke="#9aa7ae"', page)
    (points,) = re.findall(r'points="([^"]*)"', page)
    assert [float(point.split(",")[1]) for point in points.split()] == pytest.approx(
        [float(threshold)] * FRAMES, abs=0.01
    )


def test_only_neighbours_that_say_the_same_are_merged() -> None:
    windows: list[Dialog] = [
        {"frames": [i, i], "seconds": [i, i], "turns": [{**ANSWER, "answer": word}]} for i, word in enumerate("aaba")
    ]
    assert [(d["frames"], d["windows"]) for d in merged(windows)] == [([0, 1], 2), ([2, 2], 1), ([3, 3], 1)]
    assert "windows" not in windows[0]


@pytest.mark.parametrize(
    ("seconds", "tenths", "said"),
    [(0, False, "0:00"), (12.34, False, "0:12"), (12.34, True, "0:12.3"), (59.99, True, "1:00.0"),
     (59.99, False, "1:00"), (3600 + 72, False, "1:01:12")],
)  # fmt: skip
def test_clock(seconds: float, tenths: bool, said: str) -> None:
    assert clock(seconds, tenths) == said


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
    source: Path, out: Path, frames: list[int], scores: list[float], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        write(source, out, frames, scores)
    assert not list(out.iterdir())
