"""A step's gradient is the same however its clips are spread over batches and processes, the last of an epoch too."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tiny import Demo, stage_one
from tvau.backbones import Qwen25VL

PROCESSES = ("--trainer.devices=2", "--trainer.strategy=ddp_fork")
WAYS: dict[str, tuple[int, list[str]]] = {  # of taking the six clips of an epoch: clips of a step, batches
    "6x1": (6, ["--data.batch_size=1", "--trainer.accumulate_grad_batches=6"]),
    "4 and 2": (6, ["--data.batch_size=4", "--trainer.accumulate_grad_batches=2"]),
    "4x1, 2x1": (4, ["--data.batch_size=1", "--trainer.accumulate_grad_batches=4"]),
    "processes": (6, ["--data.batch_size=3", *PROCESSES]),
    "processes, 2 and 1 of three": (6, ["--data.batch_size=2", "--trainer.accumulate_grad_batches=3", *PROCESSES]),
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    """Six training clips, with answers of unequal length, one of them abnormal."""
    demo = Demo(tmp_path_factory.mktemp("steps"), checkpoint, root / "configs" / "synthetic", videos=3)
    stage_one(Qwen25VL(str(checkpoint), blocks=[1, 2]), demo.folder / "maps.ckpt")
    return demo


def fitted(demo: Demo, config: str, name: str, *way: str) -> dict[str, Any]:
    """The checkpoint after two epochs at a rate of 0: AdamW would make whole steps of what rounding leaves."""
    more = ("--model.heatmap=maps.ckpt", "--model.view=difference", "--model.lora_rank=2") if config == "dialog" else ()
    folder = demo.folder / name
    demo("fit", config, "--trainer.max_steps=-1", "--trainer.max_epochs=2", "--data.balance=false",
         "--data.shuffle=false", "--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.logger=false",
         "--trainer.limit_val_batches=0", f"--trainer.default_root_dir={folder}", "--model.learning_rate=0",
         f"--trainer.callbacks={{class_path: ModelCheckpoint, init_args: {{dirpath: '{folder}', save_last: true}}}}",
         *more, *way)  # fmt: skip
    return dict(torch.load(folder / "last.ckpt", weights_only=True))


def moments(checkpoint: dict[str, Any]) -> list[Tensor]:
    """AdamW's means of the gradients."""
    (optimizer,) = checkpoint["optimizer_states"]
    return [state["exp_avg"] for state in optimizer["state"].values()]


@pytest.mark.parametrize(("config", "rounding"), [("heatmap", 1e-5), ("dialog", 0.03)])
def test_the_same_step_in_other_parts(demo: Demo, config: str, rounding: float) -> None:
    whole = {size: fitted(demo, config, f"{config}{size}", f"--data.batch_size={size}") for size in (4, 6)}
    assert (whole[4]["global_step"], whole[6]["global_step"]) == (4, 2)  # the second step of four takes two clips
    for name, (size, way) in WAYS.items():
        expected, parts = whole[size], fitted(demo, config, f"{config} {name}", *way)
        assert parts["global_step"] == expected["global_step"]
        for given, one in zip(moments(parts), moments(expected), strict=True):
            assert (given - one).norm() <= rounding * one.norm()
        encoder = {k: v for k, v in expected["state_dict"].items() if k.startswith("model.encoder.")}
        statistics = {k: v for k, v in encoder.items() if k.endswith((".mean", ".variance"))}
        assert bool(statistics) == (config == "dialog")
        for key, value in statistics.items():
            torch.testing.assert_close(parts["state_dict"][key], value, rtol=1e-3, atol=1e-4)
