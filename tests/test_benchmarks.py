"""Every script of `benchmarks/` that no other test runs, at its smallest size and as its page calls it."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

import miniatures
from tiny import PRESET
from tvau.memory import nearest
from tvau.viz.cases import save_case
from tvau.viz.report import Case
from tvau.world import BENCHMARK, write
from writers import write_video

Run = Any  # of a script by name and arguments; returns what it printed


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a script in a folder of its own, which sees the repository's presets and model as the root does."""
    for name in ("backbones", "notebooks"):
        (tmp_path / name).symlink_to(root / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(root / "benchmarks"))

    def script(name: str, *words: object) -> str:
        monkeypatch.setattr("sys.argv", [name, *map(str, words)])
        capsys.readouterr()
        runpy.run_path(str(root / "benchmarks" / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return script


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic data set."""
    root = tmp_path_factory.mktemp("world")
    write(root, {"train": 2, "test": 4}, seed=1, size=(64, 96), progress=False)
    return root


def rows(printed: str) -> list[list[str]]:
    """The cells of all rows of the tables, heads included."""
    lines = [line for line in printed.splitlines() if line.startswith("|") and not re.fullmatch(r"[|:\- ]+", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_agreement(run: Run, world: Path) -> None:
    _, ids, masks = rows(run("agreement", world, "--splits", "test", "--limit", 2))
    assert ids[0] == "id maps"
    assert masks[0] == "abnormal pixels, linked"
    assert ids[1] == ids[2] == masks[1] == masks[2] == "4/4"  # windows, and the same yes or no


def test_backbones(run: Run) -> None:
    printed = run("backbones", "--size", "thin", "--clip", "thin", "--rounds", 1, "--words", 2, "--groups", "answers")
    assert [row[0][:3] for row in rows(printed)[1:]] == ["(a)", "(b)", "(c)", "(d)", "(e)"]


def test_cache(run: Run, world: Path) -> None:
    printed = run("cache", world, "--batches", 1, "--blocks", 6)
    assert [row[0] for row in rows(printed)[1:4]] == ["step without cache", "step, cache empty", "step, cache full"]
    assert re.search(r"\n\d\.\d MB a clip on disk", printed)


def test_cases(run: Run, tmp_path: Path) -> None:
    mask = np.zeros((4, 24, 32), bool)
    mask[:, 8:16, 8:16] = True
    pictures = np.random.default_rng(0).integers(255, size=(4, 24, 32, 3), dtype=np.uint8)
    turns = [("Is there any anomaly in the video?", "Yes, a person is running.", "Yes, a person is running.")]
    case = Case("clip", "test_seen", np.arange(4), pictures, mask.astype(np.float32), mask, np.ones(4), None, turns)
    save_case(tmp_path / "cases", case)
    printed = run("cases", "cases", "picture.webp")
    assert "\nfound, described: a known kind, median of 1 of 1\n" in printed
    assert "said: Yes, a person is running." in printed
    assert (tmp_path / "picture.webp").read_bytes()[8:12] == b"WEBP"


def test_contract(root: Path) -> None:
    # in a process of its own, as it runs pytest itself
    command = [sys.executable, f"{root}/benchmarks/contract.py", "-k", "test_toy and tower_runs_once"]
    printed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    head, *checks = rows(printed)
    assert len(head) == 2
    assert checks
    assert not [check for check, figure in checks if figure == "FAILED"]


def test_familiar(run: Run, world: Path) -> None:
    video = next(world.glob("Scene*/abnormal*.mp4"))
    _, row = rows(run("familiar", video))
    assert row[0] == video.name
    assert row[-1] in ("0 of 1", "1 of 1")


def test_loading(run: Run, tmp_path: Path) -> None:
    write_video(tmp_path / "videos" / "a.mp4")
    found = rows(run("loading", "videos", "--size", 24, 32, "--repeats", 1, "--minutes", 0))
    assert [row[0] for row in found[1:]] == ["plain sequential PyAV", *["tvau", "naive", "tvau / naive"] * 2]


def test_maps(run: Run) -> None:
    assert [row[0] for row in rows(run("maps"))] == ["maps", "nano, 8 clips", "7B, 1 clip"]


def test_metrics(run: Run, tmp_path: Path) -> None:
    folder = miniatures.tracks(tmp_path)
    for words in (("--detections", 2560), ("--detections", 2560, "--tracks", folder)):
        assert all(float(row[-1]) < 1e-12 for row in rows(run("metrics", *words))[1:])  # from the plain implementation


def test_one_class(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    miniatures.ucsd(tmp_path / "data", masked=(1, 2, 3), count=20)
    (tmp_path / "tiny.yaml").write_text(PRESET.format(checkpoint=checkpoint, blocks=[1, 2]))
    words = ["--seeds", 0, 1, "--root=data", "--out=out", "--backbone=tiny.yaml", "--cache=", "--set", "data.frames=4",
             "data.size=[32,64]"]  # fmt: skip
    printed = run("one_class", *words)
    table = rows(printed)[-4:]  # behind those of the tests
    assert [row[0] for row in table] == ["method", "memory, default", "median difference", "squared difference"]
    assert "3 test clips, 60 frames" in printed
    with mock.patch("tvau.cli.main", side_effect=AssertionError("done twice")):
        assert rows(run("one_class", *words)) == table
        with pytest.raises(AssertionError, match="done twice"):
            run("one_class", *words, "model.every=1")  # other settings are another run


def test_overlay(run: Run, world: Path) -> None:
    video = next(world.glob("Scene*/abnormal*.mp4"))
    assert re.search(r"\(b\)/\(a\) = \d+\.\d\d", run("overlay", video, "--rounds", 1))


def test_own_words(run: Run, world: Path) -> None:
    found = rows(run("own_words", "notebooks/model", "--root", world))
    assert found[0][3:] == ["trained", "added", "alone", "another"]
    assert all(0 <= float(cell) <= 1 for row in found[1:] for cell in row[3:])


def test_search(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    miniatures.ucsd(tmp_path / "data", masked=(1, 2, 3), count=32)
    monkeypatch.setitem(sys.modules, "faiss", faiss())
    printed = run("search", "--root=data", "--banks", 64)
    assert "bank of 64" in printed
    assert len(re.findall(r"right to 1 % 1\.000", printed)) == 4


def faiss() -> ModuleType:
    """What the script needs of faiss, which is no dependency: the exact search under all three names."""
    module: Any = ModuleType("faiss")

    class Flat:
        def __init__(self, *_: object) -> None: ...

        def train(self, bank: Any) -> None: ...

        def add(self, bank: Any) -> None:
            self.bank = bank

        def search(self, tokens: Any, _: int) -> tuple[Any, None]:
            return nearest(*map(torch.from_numpy, (tokens, self.bank))).square()[:, None].numpy(), None

    module.IndexFlatL2 = module.IndexIVFFlat = module.IndexHNSWFlat = Flat
    return module


def test_splits(run: Run, tmp_path: Path) -> None:
    counts = {"training": 2, "in_distribution": 14, "subtle": 12}
    write(tmp_path / "data", counts, 0, (48, 80), frames=16, progress=False, splits=BENCHMARK)
    found = rows(run("splits", "data", "--picture", "sheet.jpg", "--columns", 1))
    assert [row[:3] for row in found[1:4]] == [[name, str(n), str(n // 2)] for name, n in counts.items()]
    assert {row[0] for row in found[8:]} > {"subtle, far", "subtle, low contrast"}
    assert (tmp_path / "sheet.jpg").is_file()


def test_start(run: Run) -> None:
    assert [row[0] for row in rows(run("start", "--rounds", 1))][-1] == "to the first answer"


def test_targets(run: Run, tmp_path: Path) -> None:
    root = miniatures.ucsd(tmp_path / "data", masked=(1, 2, 3))
    boxes = {str(t): [t, 8, t + 6, 14] for t in range(12)}
    hand = {"target_id": 1, "category": "square", "boxes": boxes, "start_position": "left", "end_position": "center"}
    (root / "targets.json").write_text(json.dumps({"Test002": [hand]}))
    folder = miniatures.tracks(tmp_path / "tracks")
    printed = run("targets", root, "--tracks", folder, "--sentences", tmp_path / "said.txt")
    assert "| Test002 | 1 square | 12/12 | 1.000 | 1.000 |" in printed
    assert "ShanghaiTech: 4 tracks" in printed
    assert len((tmp_path / "said.txt").read_text().splitlines()) == 4


def test_turns(run: Run) -> None:
    printed = run("turns", "--rounds", 1, "--most", 2, "--layers", 1, "--width", 64)
    assert "the answers are the same" in printed  # the script's own check
    assert [row[0] for row in rows(printed)[1:]] == ["1", "2", "3", "4", "2 to 4", "all"]


def test_watch(run: Run, tmp_path: Path) -> None:
    video = write_video(tmp_path / "street.ts", frames=32, gop=8, bf="0")
    last = run("watch", "--video", video, "--hop", 16, "--rate", 25).splitlines()[-1]
    hop, seconds, frames, looked, dropped, *_ = last.split()
    assert (hop, seconds[:2], frames) == ("16", "1.", "32")
    assert 0 < int(looked) + int(dropped) <= 32  # a busy machine may drop some


def test_long(run: Run, tmp_path: Path) -> None:
    printed = run("long", "--minutes", 0.2, "--stride", 2)
    assert printed.startswith("60 frames, 30 looked at")
    assert (tmp_path / "runs" / "long" / "memory.png").is_file()


def test_every_script_is_run_by_some_test(root: Path) -> None:
    tests = "".join(path.read_text() for path in (root / "tests").rglob("*.py"))
    scripts = {path.stem for path in (root / "benchmarks").glob("*.py")}
    ways = r'run\("{0}"|import_module\("{0}"\)|"benchmarks" / "{0}\.py"|benchmarks/{0}\.py"'
    assert sorted(name for name in scripts if not re.search(ways.format(name), tests)) == []
