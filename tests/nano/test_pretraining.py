"""nano's pretraining by its shipped config, in three steps: everything learns, an ordinary checkpoint comes out."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningCLI
from torch import Tensor
from transformers import PreTrainedModel

from tvau.backbones import Qwen25VL
from tvau.cli import main
from tvau.nano import PretrainTask
from tvau.types import Batch

STAGES = [
    {"batches": 1, "batch_size": 2, "pairs": 1, "crowd": [0, 1], "questions": 0},
    {"batches": 2, "batch_size": 1, "pairs": 2, "spacing": 14, "crowd": [0, 1], "questions": 3},
]


def pretrain(root: Path, folder: Path, steps: int, *more: str) -> LightningCLI:
    """Some steps in `folder`, which holds backbones/nano."""
    config = root / "configs" / "synthetic" / "pretrain.yaml"
    with contextlib.chdir(folder), mock.patch("sys.argv", ["tvau"]):
        return main([
            "fit", f"--config={config}", f"--data.stages={json.dumps(STAGES)}", "--data.scenes=2",
            "--data.num_workers=0", "--data.seed=0", "--model.backbone.init_args.blocks=[1,6]",
            f"--trainer.max_steps={steps}", "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false", *more,
        ])  # fmt: skip


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A folder to work in, with an untrained backbone."""
    ignore = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(checkpoint, tmp_path / "backbones" / "nano", ignore=ignore)
    return tmp_path


class Watch:
    """Steps and first clips of the batches that were trained on, and the weights before the first of them."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, str]] = []
        self.start: dict[str, Tensor] = {}
        self.asleep: set[str] = set()  # modules in evaluation mode
        self.forwards = 0  # of the language model's first layer, by its MLP

    def __call__(self, task: PretrainTask, batch: Batch) -> None:
        self.start = self.start or {name: weights.detach().clone() for name, weights in task.named_parameters()}
        if not self.steps:
            layers = cast(Any, task.model.backbone).lm.get_decoder().layers
            layers[0].mlp.register_forward_pre_hook(self.count)
        self.steps.append((task.global_step, batch["name"][0]))
        self.asleep |= {name for name, module in task.named_modules() if not module.training}

    def count(self, *_: object) -> None:
        self.forwards += 1


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Sees every training step."""
    watch, step = Watch(), PretrainTask.training_step

    def watched(task: PretrainTask, batch: Batch, index: int) -> Tensor:
        watch(task, batch)
        return step(task, batch, index)

    monkeypatch.setattr(PretrainTask, "training_step", watched)
    return watch


@pytest.mark.parametrize("checkpointing", [False, True])
def test_everything_learns_and_an_ordinary_checkpoint_comes_out(
    root: Path, folder: Path, watch: Watch, checkpointing: bool
) -> None:
    cli = pretrain(root, folder, 3, f"--model.backbone.init_args.gradient_checkpointing={str(checkpointing).lower()}")
    assert not watch.asleep
    assert watch.forwards == 2 * (1 + checkpointing)  # of three steps; the first asks no words
    assert cli.trainer.global_step == 3
    still = [name for name, weights in cli.model.named_parameters() if torch.equal(weights, watch.start[name])]
    assert not still
    trained = cli.model.model.backbone.lm.state_dict()
    loaded = Qwen25VL(str(folder / "backbones" / "nano"), blocks=[1, 6])
    assert all(torch.equal(weights, trained[key]) for key, weights in loaded.lm.state_dict().items())


def test_an_interrupted_pretraining_goes_on_with_the_next_batch(root: Path, folder: Path, watch: Watch) -> None:
    pretrain(root, folder, 2, "--trainer.callbacks.minutes=0")
    pretrain(root, folder, 3, f"--ckpt_path={folder / 'runs' / 'nano' / 'last.ckpt'}")
    assert watch.steps == [(step, f"synthetic_{step * 1000}") for step in range(3)]


def test_a_save_that_breaks_leaves_the_weights_of_before(
    root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain(root, folder, 1)
    nano = folder / "backbones" / "nano"
    before = {path.name: path.read_bytes() for path in nano.iterdir()}
    save = PreTrainedModel.save_pretrained

    def full(model: PreTrainedModel, where: str) -> None:
        save(model, where)
        (Path(where) / "model.safetensors").write_bytes(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    with pytest.raises(OSError, match="no space left"):
        pretrain(root, folder, 2)
    assert {path.name: path.read_bytes() for path in nano.iterdir()} == before


def test_make_nano_is_this_one_run_over_its_stages(root: Path, folder: Path) -> None:
    config = root / "configs" / "synthetic" / "pretrain.yaml"
    shipped = yaml.safe_load(config.read_text())
    stages = shipped["data"]["init_args"]["stages"]
    assert shipped["trainer"]["max_steps"] == sum(stage["batches"] for stage in stages)
    small = [{**stage, "batches": 1, "batch_size": 1} for stage in stages]
    with contextlib.chdir(folder), mock.patch("sys.argv", ["tvau"]):
        cli = main([
            "fit", f"--config={config}", f"--data.stages={json.dumps(small)}", "--data.scenes=2",
            "--data.num_workers=0", f"--trainer.max_steps={len(small)}", "--model.backbone.init_args.blocks=[1,6]",
            "--trainer.enable_progress_bar=false",
        ])  # fmt: skip
    assert cli.trainer.global_step == len(small)
    assert (root / "Makefile").read_text().partition("\nnano:")[2].count("$(TVAU) fit") == 1
    assert (folder / "backbones" / "nano" / "model.safetensors").is_file()
