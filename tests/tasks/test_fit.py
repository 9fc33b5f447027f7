"""What runs in a fit is what the config says, looked at from inside real fits by the command line."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tiny import Demo, stage_one
from tvau.backbones import Qwen25VL
from tvau.heatmap_decoder import initial_weight
from tvau.tasks import DialogTask, HeatmapTask
from tvau.tasks.base import Task

CHECKPOINTING = "--model.backbone.gradient_checkpointing=true"
STAGES = {"heatmap": (), "dialog": ("--model.heatmap=maps.ckpt",), "dialog_lora": ()}


@dataclass
class Step:
    """What one training step found."""

    modes: dict[str, bool]
    kept: int = 0  # bytes that the graph keeps until the backward pass


@dataclass
class Look:
    """Of a whole fit: its training steps, the modes of its validation steps, and what ran."""

    steps: list[Step] = field(default_factory=list)
    validated: list[dict[str, bool]] = field(default_factory=list)
    forwards: Counter[str] = field(
        default_factory=Counter
    )  # of the language model's first layer, and of LoRA's dropout
    dropped: list[float] = field(default_factory=list)  # shares of zeros behind LoRA's dropout


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Look:
    look = Look()

    def begin(task: Task, *_: Any) -> None:
        if not look.steps:
            backbone: Any = task.model.backbone  # in stage 1 the language model is out of it
            decoder = backbone.language.get("model.language_model") or backbone.lm.get_decoder()
            decoder.layers[0].mlp.register_forward_pre_hook(lambda *_: look.forwards.update(["layer"]))
            for name, module in task.named_modules():
                if "lora_dropout" in name and isinstance(module, nn.Dropout):
                    module.register_forward_hook(
                        lambda m, i, out: look.dropped.append((out == 0).float().mean().item())
                    )

    def watch(owner: type[HeatmapTask] | type[DialogTask]) -> None:
        train: Any = owner.training_step
        validate: Any = owner.validation_step

        def training_step(task: Task, batch: Any, index: int) -> Tensor:
            begin(task)
            step = Step(modes(task))
            look.steps.append(step)

            def keep(tensor: Tensor) -> Tensor:
                step.kept += tensor.numel() * tensor.element_size()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                return train(task, batch, index)

        def validation_step(task: Task, batch: Any, index: int) -> Any:
            look.validated.append(modes(task))
            before, dropped = Counter(look.forwards), [*look.dropped]
            try:
                return validate(task, batch, index)
            finally:
                look.forwards, look.dropped = before, dropped

        monkeypatch.setattr(owner, "training_step", training_step)
        monkeypatch.setattr(owner, "validation_step", validation_step)

    watch(HeatmapTask)
    watch(DialogTask)
    return look


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    demo = Demo(tmp_path_factory.mktemp("fit"), checkpoint, root / "configs" / "synthetic")
    stage_one(Qwen25VL(str(checkpoint), blocks=[1, 2]), demo.folder / "maps.ckpt")
    return demo


def modes(task: Task) -> dict[str, bool]:
    """Of the modules of the model, whether each is in training mode."""
    return {name: module.training for name, module in task.model.named_modules(prefix="model")}


def zeros(tensor: Tensor) -> float:
    """The share of zeros."""
    return float((tensor == 0).float().mean())


def fit(demo: Demo, config: str, *more: str) -> None:
    """Two steps, a validation after each."""
    demo(
        "fit", config, *STAGES[config], "--trainer.val_check_interval=1", "--trainer.limit_val_batches=1",
        "--trainer.logger=false", "--trainer.precision=32-true", *more,
    )  # fmt: skip


def learns(name: str, config: str) -> bool:
    """Whether a module of this name should be in training mode, without checkpointing."""
    part = name.split(".")[1] if name.startswith("model.") else ""
    if part == "backbone":
        return "lora_" in name
    return part not in ("decoder", "familiarity", "judge") or (part == "decoder" and config == "heatmap")


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("config", ["heatmap", "dialog", "dialog_lora"])
def test_what_learns_is_in_training_mode_and_nothing_else(
    demo: Demo, look: Look, config: str, checkpointing: bool
) -> None:
    dropout = () if config == "heatmap" else ("--model.lora_dropout=0.5",)
    fit(demo, config, *dropout, *([CHECKPOINTING] if checkpointing else []))
    first, second = look.steps
    assert first.modes == second.modes  # the validation between them left nothing behind
    containers = {"model", "model.backbone"}  # their own mode means nothing
    for name, training in first.modes.items():
        if name in containers:
            continue
        *_, last = name.split(".")
        layer = last.isdigit() and ".language_model.layers." in name and name.split(".")[-2] == "layers"
        assert training == (learns(name, config) or (layer and checkpointing)), name
    assert not any(training for found in look.validated for training in found.values())
    if config != "heatmap":
        assert look.forwards["layer"] == 2 * (1 + checkpointing)
        assert look.dropped
        assert sum(look.dropped) / len(look.dropped) == pytest.approx(0.5, abs=0.05)
    else:
        assert look.forwards["layer"] == 0


def test_stage_one_reads_its_prompts_once_and_then_only_looks(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    read, left, texts = Qwen25VL.encode_text, set[str](), list[list[str]]()
    train: Any = HeatmapTask.training_step

    def training_step(task: HeatmapTask, batch: Any, index: int) -> Tensor:
        left.update(name for name, _ in task.named_parameters())
        return train(task, batch, index)

    def encode_text(lvlm: Qwen25VL, given: list[str]) -> tuple[Tensor, Tensor]:
        texts.append(given)
        return read(lvlm, given)

    def prepare(*_: Any) -> None:
        raise AssertionError("a token was rendered")

    monkeypatch.setattr(HeatmapTask, "training_step", training_step)
    monkeypatch.setattr(Qwen25VL, "encode_text", encode_text)
    monkeypatch.setattr(Qwen25VL, "prepare", prepare)
    fit(demo, "heatmap")
    assert len(texts) == 2  # normal and abnormal
    assert "model.decoder.log_weights.1" in left
    assert any(".visual." in name for name in left)
    assert not [name for name in left if "language_model" in name or "lm_head" in name]
    last = demo.folder / "runs" / "demo" / "heatmap" / "last.ckpt"
    first = torch.load(last, weights_only=True)["state_dict"]
    weight = float((10 * first["model.decoder.log_weights.1"]).exp())
    assert weight == pytest.approx(initial_weight(first["model.text"], 2, 40.0), rel=0.1)
    fit(demo, "heatmap", f"--ckpt_path={last}", "--trainer.max_steps=3")
    demo("test", "heatmap", f"--ckpt_path={last}")
    assert len(texts) == 2  # their features were in the checkpoint


def test_checkpointing_keeps_less_until_the_backward_pass(demo: Demo, look: Look) -> None:
    fit(demo, "dialog", "--model.lora_dropout=0.1")
    fit(demo, "dialog", "--model.lora_dropout=0.1", CHECKPOINTING)
    plain, *_, spared = look.steps
    assert spared.kept < 0.6 * plain.kept
