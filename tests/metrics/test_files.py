"""The readers of the field's text files: they read, or they name the line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tvau.errors import DataError
from tvau.metrics.files import read_detections, read_series, read_track_boxes, video_files


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_detections_with_any_line_ends_and_blank_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "v.txt", "\ufeff3,0,1,2.5,4,0.5\r\n\r\n 0, 1,1,2,2,-1e3\n")
    assert read_detections(path).tolist() == [[3, 0, 1, 2.5, 4, 0.5], [0, 1, 1, 2, 2, -1000]]
    assert read_detections(written(path, "\n \n")).shape == (0, 6)
    assert read_detections(written(path, "3,0,0,1,1,0.5")).shape == (1, 6)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0,0,0,1,1,1\n0,0,0,1,1", r"v.txt, line 2: expected frame,x1,y1,x2,y2,score, not '0,0,0,1,1' \(5 values\)"),
        ("\n0,0,0,1,1,x", "v.txt, line 2: .*could not convert"),
        ("0,0,0,1,1,1\n0,0,0,1,1,nan", "v.txt, line 2: .*not finite"),
        ("0,0,0,1,1,1\n\n0.5,0,0,1,1,1", "v.txt, line 3: the frame is no whole number"),
        ("-1,0,0,1,1,1", "v.txt, line 1: the frame is no whole number"),
        ("0,5,0,1,1,1\n0,0,5,1,1,1", r"v.txt, line 1: expected x1 <= x2 .* \(2 such lines\)"),
        ("4,0,0,1,1,1\n5,0,0,1,1,1", "v.txt, line 2: the frame lies behind the last one, 4"),
        ("0,0,0,1,1,1_0", "v.txt, line 1: .*underscore"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_detections(written(tmp_path / "v.txt", lines), frames=5)


def test_a_track_has_one_box_a_frame(tmp_path: Path) -> None:
    path = written(tmp_path / "v.txt", "1,7,0,0,1,1\n0,7,0,0,1,1\n0,2,0,0,1,1\n")
    assert read_track_boxes(path)[:, :2].tolist() == [[1, 7], [0, 7], [0, 2]]
    with pytest.raises(DataError, match="line 3: the track has a box in this frame already"):
        read_track_boxes(written(path, "1,7,0,0,1,1\n0,7,0,0,1,1\n1,7,3,3,4,4\n"))
    with pytest.raises(DataError, match="line 1: the track is no whole number"):
        read_track_boxes(written(path, "0.5,7,0,0,1,1\n"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.text("0123456789,.-+einfa_ \n\r\t", max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "any.txt", content)
    for read in (read_detections, read_track_boxes):
        rows, complaint = outcome(read, path)
        assert rows is None or (rows.shape[1] == 6 and np.isfinite(rows).all())
        assert rows is None or len(rows) == sum(bool(x.strip()) for x in content.decode("utf-8-sig").split("\n"))
        assert rows is not None or "any.txt" in complaint
    for name in ("any.json", "any.npy"):
        folder = tmp_path / name.removeprefix("any.")
        folder.mkdir(exist_ok=True)
        path = written(folder / name, content)
        series, complaint = outcome(lambda path: read_series(path, "scores"), path if name == "any.json" else folder)
        assert series is None or all(np.isfinite(values).all() for values in series.values())
        assert series is not None or name in complaint


def outcome(read: Callable[[Path], Any], path: Path) -> tuple[Any, str]:
    """What was read, or what was said."""
    try:
        return read(path), ""
    except DataError as error:
        return None, str(error)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9), st.integers(10, 20), st.floats(-9, 9)), max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_written_is_read(tmp_path: Path, rows: list[tuple[int, int, int, float]]) -> None:
    text = "".join(f"{frame},{low},{low},{high},{high},{score!r}\n" for frame, low, high, score in rows)
    read = read_detections(written(tmp_path / "v.txt", text))
    assert read.tolist() == [[f, low, low, high, high, score] for f, low, high, score in rows]


def test_series_in_every_form(tmp_path: Path) -> None:
    folder = tmp_path / "scores"
    folder.mkdir()
    written(folder / "a.txt", "0\n1\n1\n")
    np.save(folder / "b.npy", np.array([0, 1], np.uint8))
    written(folder / "readme.txt", "no numbers")
    path = written(tmp_path / "scores.json", json.dumps({"a": "011", "b": [0, 1]}))
    for source in (folder, path):
        series = read_series(source, "labels")
        assert {name: values.tolist() for name, values in series.items()} == {"a": [0, 1, 1], "b": [0, 1]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "0.5\n\ninf", "a.txt, line 3: expected a number"),
        ("a.txt", "", "a.txt: no scores"),
        ("a.txt", "0.5 0.2", "a.txt, line 1: expected a number"),
        ("a.npy", "x", "a.npy: cannot be read"),
        ("a.md", "0", "no file a video"),
    ],
)
def test_a_wrong_series_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    written(tmp_path / name, content)
    with pytest.raises(DataError, match=message):
        read_series(tmp_path, "scores")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": "012"}', "a: expected a list of numbers"),
        ('{"a": [0, 2]}', "a, frame 1: 2; expected 0 .normal."),
        ("[1]", "expected {video"),
        ("{", "no JSON"),
        ('{"a": []}', "a: no labels"),
    ],
)
def test_a_wrong_json_is_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_series(written(tmp_path / "x.json", content), "labels")


def test_two_files_of_one_video(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", "0")
    written(tmp_path / "a.csv", "0")
    with pytest.raises(DataError, match="both files of the video a"):
        video_files(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        video_files(tmp_path / "absent")
