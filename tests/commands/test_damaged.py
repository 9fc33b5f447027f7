"""Half-written and hostile files: one sentence that names them, short whatever they hold."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvau.cli import main
from tvau.data.boxes import read_shanghaitech_tracks, read_ucsd_tracks
from tvau.data.dialogs import read_dialogs
from tvau.data.tracks import read_tracks
from tvau.data.ucsd import read_frame_ranges, read_matlab_ranges
from tvau.errors import DataError
from tvau.viz.cases import save_case
from tvau.viz.report import Case


def failure(*args: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*args])
    assert str(stop.value.code).startswith("tvau: ")
    return str(stop.value.code)


def runs(root: Path) -> Path:
    """A folder of runs with one case, as `tvau test` leaves it."""
    (root / "dialog").mkdir(parents=True)
    (root / "dialog" / "test.json").write_text(json.dumps({"tvau": {"test": {"frame": {"micro_auc": 0.5}}}}))
    pictures, maps = np.zeros((4, 16, 24, 3), np.uint8), np.zeros((4, 16, 24), np.float32)
    case = Case("a", "test", np.arange(4), pictures, maps, None, np.zeros(4), None, [("q", "a", "r")])
    save_case(root / "dialog" / "cases", case)
    return root


@pytest.mark.parametrize("damage", ["{", '{"tvau": 3}', '{"tvau": {"test": 3}}', "[1]", "", "\xff"])
def test_results_that_are_half_written(tmp_path: Path, damage: str) -> None:
    path = runs(tmp_path) / "dialog" / "test.json"
    path.write_bytes(damage.encode("latin-1"))
    for command in ("report", "compare"):
        assert "test.json: expected the results of `tvau test`" in failure(command, str(tmp_path))


@pytest.mark.parametrize("size", [0, 40, 400])
def test_cases_that_are_half_written(tmp_path: Path, size: int) -> None:
    (path,) = (runs(tmp_path) / "dialog" / "cases").iterdir()
    path.write_bytes(path.read_bytes()[:size])
    assert f"{path.name}: expected a case of `tvau test`" in failure("report", str(tmp_path))
    assert not (tmp_path / "report.html").exists()


def test_a_case_of_something_else(tmp_path: Path) -> None:
    (path,) = (runs(tmp_path) / "dialog" / "cases").iterdir()
    np.savez(path, words=np.array("{}"))
    assert "without frames, pictures, scores" in failure("report", str(tmp_path))


LONG = "9" * 4000


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (read_tracks, f"1,0,{LONG}"), (read_tracks, f"1,0,{'9' * 300}"),
        (read_shanghaitech_tracks, f"1,{LONG},0,0,1,1"),
        (read_ucsd_tracks, f"001.tif {LONG} 5 5 {'x' * 3000} 10"),
        (read_matlab_ranges, f"TestVideoFile{{end+1}}.gt_frame = [{LONG}:{LONG}];"),
        (read_frame_ranges, f'{{"Test001": [[0, {LONG}]]}}'),
        *(
            (read_dialogs, json.dumps({"video": "v", "frames": [0, 9], "target": None, "task": "t", "question": "q",
                                       "answer": "a", "provenance": "", **change}).replace('"LONG"', LONG))
            for change in ({"frames": [0, "LONG"]}, {"frames": ["LONG", 1]}, {"target": "LONG"}, {"answer": ["LONG"]})
        ),
    ],
)  # fmt: skip
def test_long_values_are_shown_in_short(tmp_path: Path, read: Any, content: str) -> None:
    path = tmp_path / "file.txt"
    path.write_text(content)
    with pytest.raises(DataError) as error:
        read(path)
    assert "file.txt" in str(error.value)
    assert len(str(error.value).replace(str(path), "")) < 500


def test_many_turns_take_little_memory(tmp_path: Path) -> None:
    path, lines = tmp_path / "dialogs.jsonl", 20_000
    turn = {"target": 1, "task": "target", "question": "Describe the features of the anomaly.",
            "answer": "A person in a red top and blue trousers is running.", "provenance": "geometry"}  # fmt: skip
    path.write_text("".join(json.dumps({"video": f"v{i // 40}", "frames": [i, i + 9], **turn}) + "\n"
                            for i in range(lines)))  # fmt: skip
    tracemalloc.start()
    dialogs = read_dialogs(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(dialogs) == lines
    assert dialogs[7].turns[0].answer == turn["answer"]
    assert peak < 550 * lines  # bytes; each line of its own dialog, which is the worst case
