"""`benchmarks/left_out.py`: each kind of the training is left out once, and nothing of a test is read."""

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvau.data import UBnormal
from tvau.world import BENCHMARK, write


def test_each_kind_is_left_out_once(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"training": 28, "validation": 14, "open_set": 2}
    write(tmp_path / "world", sizes, seed=0, size=(48, 80), frames=8, progress=False, splits=BENCHMARK)
    world = json.loads((tmp_path / "world" / "world.json").read_text())["videos"]
    script = root / "benchmarks" / "left_out.py"
    monkeypatch.setattr("sys.argv", [script.name, str(tmp_path / "world"), str(tmp_path / "folds"), "--folds", "2"])
    for _ in range(2):  # what is there is written anew
        runpy.run_path(str(script), run_name="__main__")
    trained, away, normal = [], [], []
    for fold in sorted((tmp_path / "folds").iterdir()):
        data = UBnormal(root=str(fold), test_splits=["left_out"], frames=8, size=(48, 80), num_workers=0)
        read = {
            split: {clip.name for clip in data.split(split).clips} for split in ("training", "left_out", "validation")
        }
        kinds = {split: {world[name]["kind"] for name in names} - {None} for split, names in read.items()}
        assert read["training"] | read["left_out"] == {n for n, video in world.items() if video["split"] == "training"}
        assert not read["training"] & read["left_out"]
        assert not kinds["left_out"] & (kinds["training"] | kinds["validation"])
        assert kinds["validation"] <= kinds["training"]
        spoken = UBnormal(root=str(fold), clips="dialogs", frames=8, size=(48, 80), num_workers=0)
        for split, names in read.items():  # each has the dialogs of its videos, and no others
            assert {clip.name for clip in spoken.split(split).clips} == names
        trained.append(kinds["training"])
        away.append(kinds["left_out"])
        normal.append({name for name in read["left_out"] if world[name]["kind"] is None})
    assert trained == away[::-1]
    assert not normal[0] & normal[1]
    assert all(normal)


def test_the_table_is_the_mean_over_folds(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for fold, seed, auc in ((0, 0, 0.5), (1, 0, 0.7), (0, 1, 0.8), (1, 1, 0.8)):
        folder = tmp_path / str(fold) / "localization" / "recommended" / str(seed)
        folder.mkdir(parents=True)
        scores = {"frame": {"micro_auc": auc}, "region": {"rbdc": 0.25, "tbdc": auc / 2}}
        (folder / "test.json").write_text(json.dumps({"tvau": {"left_out": scores}, "squared difference": {}}))
    for fold, auc in ((0, 0.5), (1, 0.75)):
        folder = tmp_path / str(fold) / "dialog" / "lora_only" / "0"
        folder.mkdir(parents=True)
        slots = dict.fromkeys(("class", "top", "trousers", "action"), 0.5)
        words = {
            "judgement": {"yes_no_balanced": auc, "yes_no_auc": auc + 0.125}, "target": {"bleu4": 0.25, "slots": slots}
        }  # fmt: skip
        (folder / "test.json").write_text(json.dumps({"lvlm": {"left_out": {"text": words}}}))
    monkeypatch.setattr("sys.argv", ["left_out.py", "--scores", str(tmp_path)])
    runpy.run_path(str(root / "benchmarks" / "left_out.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert printed[2] == "| `recommended` | 0.700 ± 0.141 | 0.250 ± 0.000 | 0.350 ± 0.071 |"
    assert printed[-1] == "| `lora_only` | 0.625 | 0.750 | 0.250 | 0.500 | 0.500 | 0.500 | 0.500 |"
    monkeypatch.setattr("sys.argv", ["left_out.py", "--scores", str(tmp_path), "--against", "recommended"])
    for fold in (0, 1):  # the draws of a fold with its videos, those of `clip_term` all lower on the mean of the folds
        for line, draws in (("recommended", (0.9, 0.8, 0.3 + fold)), ("clip_term", (0.8, 0.7, 0.6))):
            folder = tmp_path / str(fold) / "localization" / line / "0"
            folder.mkdir(parents=True, exist_ok=True)
            scores = {"frame": {"micro_auc": 0.6}, "region": {"rbdc": 0.25, "tbdc": 0.25}}
            (folder / "test.json").write_text(json.dumps({"tvau": {"left_out": scores}}))
            own = np.roll(np.array(draws, np.float32), -fold)  # folds are drawn apart, see `together`
            drawn: dict[str, Any] = {"tvau/left_out/frame/micro_auc": own}
            np.savez(folder / "samples.npz", **drawn)
            shutil.rmtree(folder.with_name("1"), ignore_errors=True)
    runpy.run_path(str(root / "benchmarks" / "left_out.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert printed[2:4] == [
        "| `clip_term` | 0.600 | 0.250 | 0.250 |",
        "| p against `recommended` | 0.500 | nan | nan |",
    ]
    monkeypatch.setattr("sys.argv", [*sys.argv[:-1], "spotlights"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(root / "benchmarks" / "left_out.py"), run_name="__main__")
    assert "--against spotlights: expected a line of" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", sys.argv[:-2])
    (tmp_path / "1" / "localization" / "recommended" / "0" / "test.json").unlink()
    with pytest.raises(SystemExit, match="has 2 folds, and not all of them are tested for recommended, seed 0: run"):
        runpy.run_path(str(root / "benchmarks" / "left_out.py"), run_name="__main__")
