"""The lines of the dialog table: their configs, and each kind of line trained and tested on a miniature world."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tiny import Demo, stage_one
from tvau.backbones import Qwen25VL
from tvau.cli import main
from tvau.tasks import DialogTask

TABLE = Path(__file__).parents[2] / "configs" / "tables" / "dialog"
LINES = sorted(path.stem for path in TABLE.glob("*.yaml") if path.stem not in ("base", "table"))
HEATMAP = {"heatmap": "{out}/localization/recommended/{seed}/last.ckpt"}
LINE_OPTIONS: dict[str, dict[str, Any]] = {  # what a line changes, by its own meaning
    "untuned_grounded": {**HEATMAP, "view": None, "lora_rank": 0, "grounded": True},
    "untuned": {"lora_rank": 0}, "lora_only": {"heatmap": None},
    "tvau": {**HEATMAP, "view": "difference", "of": "heatmap"},
    "paper": {
        "heatmap": "{out}/localization/ahd/{seed}/last.ckpt", "view": "difference", "of": "heatmap",
        "out_of_fold": False, "backbone": {"init_args": {"blocks": [1, 2, 4, 6]}},
    },
    "before_softmax": {**HEATMAP, "of": "similarity"}, "base_once": {**HEATMAP, "base_once": True},
    "pooled_steps": {**HEATMAP, "pool": 4}, "prompts_first": {**HEATMAP, "prompts_first": 40},
    "evidence_beside": {**HEATMAP, "parts": ["base", "region", "global", "peak", "track"]},
    "evidence_alone": {**HEATMAP, "parts": ["peak", "track"]}, "grounded": {**HEATMAP, "grounded": True},
    "spotlight": {**HEATMAP, "grounded": True, "spotlight": 6.0},
    "maps_beside_differences": {**HEATMAP, "view": "difference+map"}, "maps_instead": {**HEATMAP, "view": "map"},
    "without_prompts": {**HEATMAP, "view": None, "grounded": True, "spotlight": 6.0},
    "without_base": {**HEATMAP, "parts": ["region", "global"]},
    "without_region": {**HEATMAP, "parts": ["base", "global"]},
    "without_global": {**HEATMAP, "parts": ["base", "region"]},
    "numbers_a_step": {**HEATMAP, "parts": ["step"]}, "pooled_tokens": {**HEATMAP, "parts": ["tokens"]},
    "evidence_together": {**HEATMAP, "parts": ["peak", "track", "step", "tokens"]},
    "dropout": {**HEATMAP, "lora_dropout": 0.1}, "larger_batches": HEATMAP,
    "evidence_in_sample": {**HEATMAP, "out_of_fold": False},
    "coordinates_as_text": {**HEATMAP, "variant": "coordinates_as_text"}, "marks": {**HEATMAP, "variant": "marks"},
    "heatmap_as_video": {**HEATMAP, "variant": "heatmap_video"}, "true_masks": {"variant": "true_masks"},
}  # fmt: skip


BESIDE: dict[str, dict[str, Any]] = {  # and outside the model
    "grounded": {"trainer": {"limit_val_batches": 1.0}},  # what its judge learns from
    "spotlight": {"trainer": {"limit_val_batches": 1.0}},
    "without_prompts": {"trainer": {"limit_val_batches": 1.0}},
    "larger_batches": {"data": {"init_args": {"batch_size": 16}}},
}


def stated(name: str) -> Any:
    return yaml.safe_load((TABLE / f"{name}.yaml").read_text())


# ---- the configs ----


def test_a_line_changes_its_own_options_alone() -> None:
    for line in LINES:
        assert stated(line) == {"model": {"init_args": LINE_OPTIONS[line]}} | BESIDE.get(line, {})


def test_every_row_of_the_table_has_its_line() -> None:
    assert {row["line"] for row in stated("table")["rows"].values()} == set(LINES)


def test_every_line_parses_over_the_base(capsys: pytest.CaptureFixture[str]) -> None:
    files = [f"--config={TABLE / name}.yaml" for name in ("base", *LINES)]  # each is checked as it is layered
    with pytest.raises(SystemExit) as stop:
        main(["fit", *files, "--print_config"])
    assert not stop.value.code
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["data"]["init_args"]["batch_size"] == 16
    options = printed["model"]["init_args"]
    layered = {key: value for line in LINES for key, value in LINE_OPTIONS[line].items() if key != "backbone"}
    assert {key: options[key] for key in layered} == layered
    assert options["backbone"]["init_args"]["blocks"] == LINE_OPTIONS["paper"]["backbone"]["init_args"]["blocks"]


# ---- each kind of line ----


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Demo:
    made = Demo(tmp_path_factory.mktemp("table"), checkpoint, TABLE)
    stage_one(Qwen25VL(str(checkpoint), blocks=[1, 2]), made.folder / "first.ckpt")
    return made


def run(demo: Demo, line: str, command: str, *more: str) -> DialogTask:
    """A line on the miniature world: its config over the base, and everything made small."""
    first = ["--model.heatmap=first.ckpt"] if "heatmap" in LINE_OPTIONS[line] else []
    cli = demo(
        command, "base", f"--config={TABLE / line}.yaml", f"--model.backbone={demo.preset}", *first,
        "--data.test_splits=[test]", "--trainer.logger=false", f"--trainer.default_root_dir={line}",
        "--trainer.precision=32-true", "--trainer.max_steps=1",
        "--trainer.limit_test_batches=2", "--model.most=2", "--model.bootstrap=0",
        *more,
    )  # fmt: skip
    assert isinstance(cli.model, DialogTask)
    return cli.model


INSTEAD = ("heatmap_as_video", "coordinates_as_text", "marks")  # of the region encoder


@pytest.mark.parametrize("line", ["without_region", "without_prompts", "evidence_together", *INSTEAD, "true_masks"])
def test_a_line_is_trained_and_tested(demo: Demo, line: str) -> None:
    run(demo, line, "fit")
    (last,) = (demo.folder / line).rglob("last.ckpt")
    state = torch.load(last, weights_only=True)["state_dict"]
    missing = "encoder" if line in (*INSTEAD, "without_prompts") else "decoder" if line == "true_masks" else None
    parts = {"lora" if "lora_" in key else key.split(".")[1] for key in state}
    assert parts - {"familiarity", "judge"} == {"lora", "text", "decoder", "encoder"} - {missing}
    run(demo, line, "test", f"--ckpt_path={last}")
    results = json.loads((demo.folder / line / "test.json").read_text())["tvau"]["test"]
    assert results["text"]["judgement"]["count"] > 0
    assert ("frame" in results) == (line != "true_masks")  # scores of true maps would mean nothing


@pytest.mark.parametrize("line", ["untuned", "untuned_grounded"])
def test_the_untuned_lvlm_is_tested_without_a_checkpoint(demo: Demo, line: str) -> None:
    task = run(demo, line, "test")
    assert not any(weights.requires_grad for weights in task.parameters())
    results = json.loads((demo.folder / line / "test.json").read_text())
    method = "tvau" if line == "untuned_grounded" else "lvlm"
    assert set(results) == {"lvlm"} if line == "untuned" else {"tvau", "map"}
    assert results[method]["test"]["text"]["judgement"]["count"] > 0
    if line == "untuned_grounded":  # the peak decides, with and without the LVLM
        ours, alone = (results[method]["test"]["text"]["judgement"] for method in ("tvau", "map"))
        assert ours["yes_no"] == alone["yes_no"]
        assert ours["yes_no_read"] == 1
