"""`tvau table`: every line with every seed, resumed where it stopped, and every figure traceable to its file."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import IO, Any
from unittest import mock

import numpy as np
import pytest
import torch
import yaml

from tiny import Demo
from tvau.cli import main
from tvau.commands import table as module
from tvau.commands.figures import read_plan
from tvau.commands.table import table
from tvau.errors import DataError

PLAN = {
    "title": "Two lines", "splits": {"seen": "seen kinds", "novel": "novel kinds"},
    "columns": {"AUC": "frame.micro_auc", "BLEU-4": "text.target.bleu4"}, "plot": ["AUC", "BLEU-4"],
    "aims": {"AUC": 0.9},
    "rows": {
        "first": {"line": "one"}, "second": {"line": "two", "fit": False}, "constant": {"line": "one", "floor": True},
        "difference": {"line": "one", "method": "median difference"},
    },
}  # fmt: skip


class Fake:
    """Stands in for fit and test: writes what they write, with figures that differ by line and seed."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.breaks: str | None = None

    def __call__(self, args: Sequence[str], log: IO[bytes]) -> None:
        given = dict(word.removeprefix("--").split("=", 1) for word in args[1:])
        folder, seed = Path(given["trainer.default_root_dir"]), int(given["seed_everything"])
        self.calls.append((args[0], folder.parent.name, given["seed_everything"]))
        assert given["data.seed"] == str(seed)
        if self.breaks == folder.parent.name:
            raise DataError("out of luck")
        if args[0] == "fit":
            (folder / "log").mkdir()
            torch.save({}, folder / "log" / "last.ckpt")
            (folder / "cost.json").write_text(json.dumps({"parameters": 7, "fit_seconds": 10.0 * (seed + 1)}))
            return
        assert given.get("ckpt_path") == (str(folder / "last.ckpt") if folder.parent.name == "one" else None)
        words = {"target": {"bleu4": 0.5 + seed / 10, "floor": {"bleu4": 0.25}}}
        scores = {"seen": {"frame": {"micro_auc": 0.8 + seed / 100}, "text": words}, "novel": {"frame": {}}}
        baseline = {"seen": {"frame": {"micro_auc": 0.6}}}
        (folder / "test.json").write_text(json.dumps({"tvau": scores, "median difference": baseline}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "claims"
    folder.mkdir()
    (folder / "table.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False))
    (folder / "base.yaml").write_text("trainer: {max_epochs: 1}\n")
    (folder / "one.yaml").write_text("model: {init_args: {heatmap: '{out}/localization/ahd/{seed}/last.ckpt'}}\n")
    (folder / "two.yaml").write_text("{}\n")
    return folder


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake()
    with mock.patch.object(module, "in_process", return_value=fake):
        yield fake


def test_every_figure_comes_with_its_file(folder: Path, fake: Fake, tmp_path: Path) -> None:
    main(["table", str(folder), "--seeds", "0,1,4", f"--out={tmp_path / 'out'}"])
    assert len(fake.calls) == 9
    out = tmp_path / "out" / "claims"
    gathered = json.loads((out / "table.json").read_text())
    score = gathered["splits"]["seen"]["first"]["AUC"]
    assert score["mean"] == pytest.approx(mean((0.8, 0.81, 0.84)))
    assert score["deviation"] == pytest.approx(stdev((0.8, 0.81, 0.84)))
    for splits in gathered["splits"].values():
        for figure in (v for row in splits.values() for column in row.values() for v in column["values"]):
            value = json.loads(Path(figure["file"]).read_text())
            for key in figure["key"]:
                value = value[key]
            assert value == figure["value"]
            assert f"/{figure['seed']}/" in figure["file"]
    assert gathered["splits"]["seen"]["constant"] == {"BLEU-4": mock.ANY}
    assert gathered["splits"]["seen"]["constant"]["BLEU-4"]["mean"] == 0.25
    assert set(gathered["splits"]) == {"seen"}  # nothing was measured on the other
    assert gathered["costs"]["first"]["fit, s"]["median"] == 20
    lines = [line.split("|") for line in (out / "table.md").read_text().splitlines()]
    cells = {words[1].strip(): [word.strip() for word in words[2:-1]] for words in lines if len(words) > 3}
    assert cells["difference"] == ["0.600 ± 0.000", "-"]
    assert (out / "table.png").read_bytes().startswith(b"\x89PNG")
    assert (
        "heatmap: '" + str(tmp_path / "out" / "localization/ahd/4/last.ckpt") in (out / "one/4/line.yaml").read_text()
    )


def test_rows_are_set_against_one_of_them(folder: Path, fake: Fake, tmp_path: Path) -> None:
    (folder / "table.yaml").write_text(yaml.safe_dump({**PLAN, "against": "first"}, sort_keys=False))
    table(str(folder), "0,1", str(tmp_path / "out"))
    out = tmp_path / "out" / "claims"
    assert "p" in json.loads((out / "table.json").read_text())
    assert "p-values" not in (out / "table.md").read_text()  # nothing was resampled
    for line, shift in (("one", 0.0), ("two", 0.1)):
        for seed in (0, 1):
            draws = np.linspace(0.7, 0.9, 99)
            own: dict[str, Any] = {"tvau/seen/frame/micro_auc": draws + shift, "tvau/seen/text/target/bleu4": draws}
            np.savez(out / line / str(seed) / "samples.npz", **own)
    table(str(folder), "0,1", str(out.parent))
    assert json.loads((out / "table.json").read_text())["p"] == {"seen": {"second": {"AUC": 0.02, "BLEU-4": 1.0}}}
    text = (out / "table.md").read_text()
    assert "### seen kinds: p-values against first (paired bootstrap over videos)" in text
    (folder / "table.yaml").write_text(yaml.safe_dump({**PLAN, "against": "third"}, sort_keys=False))
    with pytest.raises(DataError, match="against names 'third'; expected one of first, second"):
        read_plan(folder)


def test_several_test_splits_have_a_mean(folder: Path, fake: Fake, tmp_path: Path) -> None:
    (folder / "table.yaml").write_text(yaml.safe_dump({**PLAN, "against": "first"}, sort_keys=False))
    table(str(folder), "0,1", str(tmp_path / "out"))
    out, drawn = tmp_path / "out" / "claims", np.random.default_rng(0).normal(size=(2, 2, 2, 99))
    for a, line in enumerate(("one", "two")):
        for seed in (0, 1):
            results = json.loads((out / line / str(seed) / "test.json").read_text())
            results["tvau"] |= {
                "novel": {"frame": {"micro_auc": 0.1 * (a + 1) + seed}},
                "validation_open": {"frame": {"micro_auc": 9.0}},
            }
            (out / line / str(seed) / "test.json").write_text(json.dumps(results))
            own: dict[str, Any] = {
                f"tvau/{split}/frame/micro_auc": drawn[a, seed, n] + a for n, split in enumerate(("seen", "novel"))
            }
            np.savez(out / line / str(seed) / "samples.npz", **own)
    table(str(folder), "0,1", str(out.parent))
    gathered = json.loads((out / "table.json").read_text())
    first, *others = gathered["splits"]
    assert (first, others) == ("mean of the test splits", ["seen", "novel", "validation_open"])
    own = gathered["splits"][first]
    assert own["first"]["AUC"]["mean"] == pytest.approx(((0.8 + 0.1) / 2 + (0.81 + 1.1) / 2) / 2)
    assert [value["value"] for value in own["second"]["AUC"]["values"]] == pytest.approx([(0.8 + 0.2) / 2, 2.01 / 2])
    assert own["first"]["BLEU-4"] == {**gathered["splits"]["seen"]["first"]["BLEU-4"], "values": mock.ANY}
    assert "difference" not in own  # it has no figure on one of the splits
    means = (drawn[:, :, 0] + np.roll(drawn[:, :, 1], 1, -1)) / 2  # over the splits, which are drawn apart
    wins = int((means[1].mean(0) + 1 - means[0].mean(0) <= 0).sum())
    assert gathered["p"][first] == {"second": {"AUC": pytest.approx(2 * (wins + 1) / 100)}}
    main(["table", str(folder), "--seeds", "0,1", f"--out={out.parent}", "--against", "second"])
    assert json.loads((out / "table.json").read_text())["p"][first] == {"first": gathered["p"][first]["second"]}
    with pytest.raises(SystemExit, match="against names 'third'"):
        main(["table", str(folder), "--seeds", "0,1", f"--out={out.parent}", "--against", "third"])


def test_an_interrupted_table_goes_on(folder: Path, fake: Fake, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fake.breaks = "two"
    with pytest.raises(DataError, match=r"2 of 4 runs failed: two, seed 0 \(out of luck\)"):
        table(str(folder), "0,1", str(out), jobs=2)
    assert "second" not in json.loads((out / "claims" / "table.json").read_text())["splits"]["seen"]
    (out / "claims" / "one" / "1" / "test.json").unlink()
    (out / "claims" / "one" / "0" / "last.ckpt").unlink()  # nobody misses it: the line is tested
    fake.breaks, fake.calls = None, []
    table(str(folder), "0,1", str(out))
    assert fake.calls == [("test", "two", "0"), ("test", "one", "1"), ("test", "two", "1")]
    assert "first" in json.loads((out / "claims" / "table.json").read_text())["splits"]["seen"]


def test_other_maps_are_other_words(
    folder: Path, fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = tmp_path / "out" / "localization" / "ahd" / "0" / "last.ckpt"
    maps.parent.mkdir(parents=True)
    maps.write_bytes(b"first")
    table(str(folder), "0", str(tmp_path / "out"), "one")
    made, fake.calls = tmp_path / "out" / "claims" / "one" / "0" / "made.json", []
    stored = json.loads(made.read_text())
    maps.write_bytes(b"second")
    with pytest.raises(DataError, match="or checkpoint of stage 1 than those given now"):
        table(str(folder), "0", str(tmp_path / "out"), "one")
    made.write_text(json.dumps({key: own for key, own in stored.items() if key != "maps"}))  # of an older version
    table(str(folder), "0", str(tmp_path / "out"), "one")
    made.write_text(json.dumps(stored))
    maps.write_bytes(b"first")
    fake.calls = []
    table(str(folder), "0", str(tmp_path / "out"), "two")
    assert "made with another" not in capsys.readouterr().out
    maps.write_bytes(b"third")
    table(str(folder), "0", str(tmp_path / "out"), "two")  # shows the other line, which was not asked for
    said = capsys.readouterr().out
    assert "made with another config, --set or stage 1 than those given now: one, seed 0" in said
    fake.calls = []
    maps.unlink()  # its results stay results
    table(str(folder), "0", str(tmp_path / "out"), "one")
    assert fake.calls == []


def test_one_line_with_settings(folder: Path, fake: Fake, tmp_path: Path) -> None:
    words = [
        "table",
        str(folder),
        "--out",
        str(tmp_path / "out"),
        "--lines",
        "two",
        "--seeds=3",
        "--set",
        "a=1",
        "b.c=2",
    ]
    main(words)
    assert fake.calls == [("test", "two", "3")]
    assert json.loads((tmp_path / "out/claims/two/3/made.json").read_text())["set"] == ["a=1", "b.c=2"]
    with pytest.raises(SystemExit, match=r"was made with another base\.yaml, two\.yaml, --set or checkpoint"):
        main(words[:-1])
    with pytest.raises(SystemExit, match="--jobs 0: expected one run at a time or more"):
        main([*words[:4], "--jobs=0"])
    for wrong in (["--lines=three"], ["--seeds=x"]):
        with pytest.raises(SystemExit, match="is none of the table's"):
            main([*words[:4], *wrong])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"plot": ["RBDC"]}, "name RBDC; expected some of AUC, BLEU-4"), ({"row": {}}, "expected what"),
     ({"rows": {"third": {"line": "three"}}}, r"needs .*three\.yaml"),
     ({"rows": {"a": {"run": "one"}}}, "expected what")],
)  # fmt: skip
def test_a_wrong_plan(folder: Path, change: dict[str, Any], message: str) -> None:
    (folder / "table.yaml").write_text(yaml.safe_dump(PLAN | change))
    with pytest.raises(DataError, match=message):
        read_plan(folder)
    with pytest.raises(DataError, match="no such file; expected a folder such as"):
        read_plan(folder / "absent")


def test_the_shipped_lines_run(checkpoint: Path, root: Path, tmp_path: Path) -> None:
    """Localization with the tiny LVLM, commands in this process."""
    demo = Demo(tmp_path, checkpoint, root / "configs" / "tables" / "localization", videos=10)

    def step(args: Sequence[str], log: IO[bytes]) -> None:
        demo.main(*args)

    small = [
        "trainer.max_epochs=1", f"model.backbone.checkpoint={checkpoint}", "data.root=world", "data.size=[32,64]",
        "data.num_workers=0", "data.batch_size=2", "data.test_splits=[test]",
    ]  # fmt: skip
    with mock.patch.object(module, "in_process", return_value=step), contextlib.chdir(tmp_path):
        table(str(demo.configs), "0", "out", "ahd,no_text", small)
        table(str(demo.configs), "0", "bank", "neighbours", [*small[1:], "model.bank=40"])
    gathered = json.loads((tmp_path / "out" / "localization" / "table.json").read_text())
    assert set(gathered["costs"]) == {"AHD (blocks 1, 2, 4, 6)", "no text (learned vectors)"}
    assert all({"fit, s", "test, s", "memory, GB"} <= set(cost) for cost in gathered["costs"].values())
    trained = [cost["trained"]["median"] for cost in gathered["costs"].values()]
    assert trained[1] - trained[0] == 2 * 64  # the two vectors
    results = json.loads((tmp_path / "out/localization/ahd/0/test.json").read_text())
    rules = torch.load(tmp_path / "out/localization/ahd/0/last.ckpt", weights_only=True)["rules"]
    assert {method: splits["test"]["rule"] for method, splits in results.items()} == rules
    assert set(rules) == {"tvau", "median difference", "squared difference"}
    (bank,) = json.loads((tmp_path / "bank/localization/neighbours/0/test.json").read_text()).values()
    assert 0 <= bank["test"]["frame"]["micro_auc"] <= 1
    assert len(list((tmp_path / "runs" / "cache").rglob("*.safetensors"))) > 8
