"""Dialog files: what is written is read; what is wrong is named by its line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tvau.data.dialogs import Dialog, DialogTurn, read_dialogs, write_dialogs
from tvau.errors import DataError

LINE: dict[str, Any] = {
    "video": "a", "frames": [0, 31], "target": 2, "task": "target", "question": "Who?", "answer": "A dog.",
    "provenance": "geometry",
}  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dialogs.jsonl"
    turns = (DialogTurn("judgement", "Any?", "Yes, ünïcode."), DialogTurn("target", "Who?", "A dog.", 3, "geometry"))
    dialogs = [Dialog("b", 0, 31, turns), Dialog("a", 4, 9, turns[:1])]
    write_dialogs(path, dialogs)
    assert read_dialogs(path, {"a", "b"}) == dialogs
    assert list(tmp_path.iterdir()) == [path]
    assert turns[1].turn == {"task": "target", "question": "Who?", "answer": "A dog."}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "dialogs.jsonl"
    path.write_text("old")

    def broken() -> Any:
        yield Dialog("a", 0, 1, (DialogTurn("target", "Who?", "A dog."),))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_dialogs(path, broken())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_turns_of_one_clip_are_one_dialog_in_file_order(tmp_path: Path) -> None:
    lines = [LINE, LINE | {"frames": [32, 63]}, LINE | {"task": "trajectory", "target": None}]
    path = tmp_path / "dialogs.jsonl"
    path.write_bytes("\r\n\r\n".join(map(json.dumps, lines)).encode())
    first, second = read_dialogs(path)
    assert [turn.task for turn in first.turns] == ["target", "trajectory"]
    assert [turn.target for turn in first.turns] == [2, None]
    assert (second.first, second.last, len(second.turns)) == (32, 63, 1)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "not a JSON object"),
        ("[1, 2]", "expected an object with the keys video, frames"),
        ("null", "expected an object"),
        (json.dumps({"video": "a"}), "missing: frames, target, task"),
        (json.dumps(LINE | {"answer": 3}), "'answer' has to be a text"),
        (json.dumps(LINE | {"question": ""}), "'question' has to be a text that is not empty"),
        (json.dumps(LINE | {"answer": " \n"}), "'answer' has to be a text that is not empty"),
        (json.dumps(LINE | {"task": "Trajectory"}), "'task' has to be one of judgement, target, motion, trajectory"),
        (json.dumps(LINE), "the same turn stands there twice"),
        (json.dumps(LINE | {"frames": [0]}), r"'frames' has to be \[first, last\]"),
        (json.dumps(LINE | {"frames": [5, 4]}), r"'frames' has to be \[first, last\]"),
        (json.dumps(LINE | {"frames": [-1, 4]}), r"'frames' has to be \[first, last\]"),
        (json.dumps(LINE | {"frames": [0, 4.0]}), r"'frames' has to be \[first, last\]"),
        (json.dumps(LINE | {"target": "dog"}), "'target' has to be an object id or null"),
        (json.dumps(LINE | {"video": "unknown"}), "the video 'unknown' is not in the data set's lists"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "dialogs.jsonl"
    path.write_text(json.dumps(LINE) + "\n\n" + line + "\n")
    with pytest.raises(DataError, match=r"dialogs\.jsonl, line 3: .*" + fault):
        read_dialogs(path, {"a"})


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_dialogs(tmp_path / "dialogs.jsonl")


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.lists(st.integers(-2, 9))
ANYTHING = st.binary(max_size=60) | st.dictionaries(st.sampled_from([*LINE]), VALUES).map(
    lambda change: json.dumps(LINE | change).encode()
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(ANYTHING, max_size=3))
def test_any_bytes_are_read_or_refused(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "dialogs.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        dialogs = read_dialogs(path, {"a"})
    except DataError:
        return
    write_dialogs(path, dialogs)
    assert read_dialogs(path, {"a"}) == dialogs
