"""Baselines without a fit: each against the library's own forward, and as a line of the table."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast
from unittest import mock

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import roc_auc_score

from tiny import FRAMES, Demo, batch, close, turn
from tvau.backbones import Qwen25VL
from tvau.cli import main
from tvau.commands import table as module
from tvau.commands.table import table
from tvau.errors import DataError, OptionError
from tvau.language import JUDGEMENT
from tvau.tasks import AskedTask, AttentionTask, ProbeTask
from tvau.tasks.unfitted import UnfittedTask, spread
from tvau.types import Batch


@pytest.fixture(scope="module")
def lvlm(checkpoint: Path) -> Qwen25VL:
    return Qwen25VL(str(checkpoint), blocks=[1, 2])


def on_cpu(task: UnfittedTask) -> None:
    """A trainer that moves nothing."""
    task._trainer = mock.Mock(strategy=mock.Mock(batch_to_device=lambda batch, device: batch))


def data(*batches: Batch) -> Any:
    return mock.Mock(train_dataloader=lambda **_: list(batches), val_dataloader=lambda **_: list(batches))


def bright(seed: int) -> Batch:
    """Two clips of noise whose second half is bright in a quarter of the picture."""
    made = batch(2, seed=seed)
    made["video"] = torch.where(made["mask"][:, :, None], 255 - made["video"] // 4, made["video"] // 4)
    return made


@torch.no_grad()
def test_asked_is_the_library_s_logit_of_yes_against_no(lvlm: Qwen25VL) -> None:
    clips = batch(2)
    scores = AskedTask(lvlm).frames(clips)
    inputs = lvlm.prepare(clips["video"], [[turn(JUDGEMENT)]] * 2, 0, [5.0, 5.0])
    logits = lvlm(inputs, lvlm.encode(inputs))[:, -1]
    yes, no = (lvlm.tokens.tokenizer.encode(word, add_special_tokens=False)[0] for word in ("Yes", "No"))
    close(scores, (logits[:, yes] - logits[:, no]).sigmoid()[:, None].expand(2, FRAMES))


@torch.no_grad()
def test_attention_is_that_of_one_whole_forward(lvlm: Qwen25VL) -> None:
    clips = batch(2)
    look = AttentionTask(lvlm).look(clips)
    inputs = lvlm.prepare(clips["video"], [[turn(JUDGEMENT)]] * 2, 0, [5.0, 5.0])
    vision = lvlm.encode(inputs)
    first = lvlm(inputs, vision)[:, -1].argmax(-1, keepdim=True)
    longer = {**inputs, "input_ids": torch.cat([inputs["input_ids"], first], 1)}
    longer["attention_mask"] = torch.cat([inputs["attention_mask"], torch.ones_like(first)], 1)
    longer["position_ids"] = torch.cat([inputs["position_ids"], inputs["position_ids"][..., -1:] + 1], -1)
    lvlm.lm.set_attn_implementation("eager")
    output = lvlm.lm.model(**lvlm._call(longer, vision, None), use_cache=False, output_attentions=True)
    lvlm.lm.set_attn_implementation("sdpa")
    places = inputs["input_ids"][0] == lvlm.tokens.placeholder
    expected = torch.cat([own[:, :, -1, :-1][..., places] for own in output.attentions], 1) * int(places.sum())
    assert look.shape[2:] == (2, 2, 4)
    close(look.flatten(2), expected)
    assert lvlm.lm.get_decoder().config._attn_implementation == "sdpa"  # as it was


def test_the_heads_that_look_at_the_target_are_chosen(lvlm: Qwen25VL, monkeypatch: pytest.MonkeyPatch) -> None:
    clips, task = batch(2), AttentionTask(lvlm, heads=2)
    on_cpu(task)
    inside = torch.zeros(2, 2, 2, 4)
    inside[:, 1, 0, :2] = 1  # tokens of the masks
    noise = torch.rand(2, 8, 2, 2, 4, generator=torch.Generator().manual_seed(0))
    look = noise.clone()
    look[:, 5], look[:, 2] = 0.1 * noise[:, 5] + inside, 0.5 * noise[:, 2] + inside
    monkeypatch.setattr(task, "look", lambda given: look[: len(given["name"])])
    normal = cast(Batch, {**clips, "mask": torch.zeros_like(clips["mask"])})
    task.clips = 4
    task.learn(data(normal, normal, normal, clips))  # lists may begin with normal videos
    assert sorted(task.chosen_heads) == [2, 5]
    heatmaps = task.heatmaps(clips)
    assert roc_auc_score(clips["mask"].flatten(), heatmaps.flatten()) > 0.95
    without = cast(Batch, {key: value for key, value in clips.items() if key != "mask"})
    with pytest.raises(DataError, match="chosen by masks"):
        task.learn(data(without))


@pytest.mark.parametrize("of", ["tower", "language"])
def test_a_probe_finds_what_is_planted(lvlm: Qwen25VL, of: Any) -> None:
    task = ProbeTask(lvlm, of=of, strength=1.0)
    on_cpu(task)
    task.learn(data(*(bright(seed) for seed in range(8))))
    new = [bright(seed) for seed in range(20, 24)]
    scores, labels = torch.cat([task.frames(clips) for clips in new]), torch.cat([clips["labels"] for clips in new])
    assert scores.shape == labels.shape
    assert roc_auc_score(labels.flatten(), scores.flatten()) > 0.9
    normal = bright(0)
    normal["labels"] = torch.zeros_like(normal["labels"])
    with pytest.raises(DataError, match="normal and with abnormal frames"):
        task.learn(data(normal))


def test_a_layer_that_is_not_there_is_named(lvlm: Qwen25VL) -> None:
    with pytest.raises(OptionError, match="layer=3: expected one of the language model, from 1 to 2"):
        ProbeTask(lvlm, of="language", layer=3)


def test_steps_are_spread_over_frames() -> None:
    assert spread(torch.tensor([[0.1, 0.9]]), 4).tolist() == torch.tensor([[0.1, 0.1, 0.9, 0.9]]).tolist()
    assert spread(torch.tensor([[0.1, 0.9]]), 3)[0, [0, 2]].tolist() == torch.tensor([0.1, 0.9]).tolist()


LINES = ("attention", "probe_tower", "probe_language", "asked")


def test_every_line_of_a_baseline_runs(checkpoint: Path, root: Path, tmp_path: Path) -> None:
    demo = Demo(tmp_path, checkpoint, root / "configs" / "tables" / "localization", videos=4)

    def step(args: Sequence[str], log: IO[bytes]) -> None:
        demo.main(*args)

    small = [
        f"model.backbone.checkpoint={checkpoint}", "data.root=world", "data.size=[32,64]", "data.num_workers=0",
        "data.batch_size=4", "data.test_splits=[test]", "model.bootstrap=20",
    ]  # fmt: skip
    with mock.patch.object(module, "in_process", return_value=step), contextlib.chdir(tmp_path):
        table(str(demo.configs), "0", "out", ",".join(LINES), small)
    place = tmp_path / "out" / "localization"
    parts = {}
    for line in LINES:
        ((method, splits),) = json.loads((place / line / "0" / "test.json").read_text()).items()
        parts[line] = splits["test"]
        assert 0 <= splits["test"]["frame"]["micro_auc"] <= 1
        assert splits["test"]["events"]["hours"] > 0
        assert any(key.startswith(f"{method}/test/events/") for key in np.load(place / line / "0" / "samples.npz"))
    assert {"pixel", "region"} <= parts["attention"].keys()
    for line in ("probe_tower", "probe_language", "asked"):
        assert {"pixel", "region"}.isdisjoint(parts[line])  # they make no maps
    assert len(json.loads((place / "table.json").read_text())["splits"]["test"]) == len(LINES)


REAL = (
    "model.backbone=backbones/qwen2_5_vl_7b.yaml data.root=data/UBnormal data.test_splits=[test] data.stride=4 "
    "data.size=[336,588] data.batch_size=2 data.num_workers=8 data.in_memory=false trainer.precision=bf16-mixed"
)


def test_the_same_lines_are_stated_for_a_real_lvlm(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command of the benchmark's page, up to its arguments."""
    page = (root / "docs" / "measure" / "benchmark.md").read_text()
    last = REAL.replace("7b.yaml", "7b.yaml model.backbone.blocks=[32]")  # where a line reads the last block alone
    assert f"--set {REAL}" in page
    assert f"--lines recommended --out runs/ubnormal_tables --set {last}" in page
    folder = root / "configs" / "tables" / "localization"
    for line in ("ahd", "neighbours", *LINES, "recommended"):
        words = [f"--config={folder / name}.yaml" for name in ("base", line)]
        more = last if line == "recommended" else REAL
        with pytest.raises(SystemExit) as stop, contextlib.chdir(root):
            main(["test", *words, *(f"--{word}" for word in more.split()), "--print_config"])
        assert not stop.value.code
        stated = yaml.safe_load(capsys.readouterr().out)
        blocks = [32] if line == "recommended" else [1, 8, 16, 32]
        assert stated["model"]["init_args"]["backbone"]["init_args"]["blocks"] == blocks
        assert stated["data"]["init_args"]["root"] == "data/UBnormal"
