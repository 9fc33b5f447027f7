"""Both stages for one step through the command line with each family, picked by the checkpoint's flag alone."""

import json
from pathlib import Path

import pytest
import torch

from families import FAMILIES, write
from tiny import Demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"), checkpoint, root / "configs" / "synthetic")


@pytest.mark.parametrize("family", FAMILIES)
def test_both_stages_take_a_step(demo: Demo, family: str) -> None:
    folder, run = write(FAMILIES[family], demo.folder / family), demo.folder / "runs" / family
    height, width = FAMILIES[family].size
    short = [
        f"--model.backbone.checkpoint={folder}", "--data.root=world", "--data.frames=4",
        f"--data.size=[{height},{width}]", "--data.batch_size=1", "--data.num_workers=0", "--trainer.max_steps=1",
        "--trainer.limit_val_batches=0", "--trainer.num_sanity_val_steps=0", "--trainer.logger=false",
        "--trainer.precision=32-true", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
    ]  # fmt: skip
    for config, more in (("heatmap", []), ("dialog", [f"--model.heatmap={run}/heatmap/last.ckpt"])):
        callback = {
            "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
            "init_args": {"dirpath": f"{run}/{config}", "save_last": True, "save_top_k": 0},
        }
        shipped = f"--config={demo.configs / config}.yaml"
        demo.main("fit", shipped, *short, f"--trainer.callbacks={json.dumps([callback])}", *more)
    state = torch.load(run / "dialog" / "last.ckpt", weights_only=True)
    assert state["backbone"]["name"].startswith(f"{family}:")
    trained = {key.split(".")[1] for key in state["state_dict"]}
    assert trained == {"text", "decoder", "encoder", "backbone"}
    assert all("lora_" in key for key in state["state_dict"] if key.startswith("model.backbone."))
    moved = [v.abs().sum() > 0 for k, v in state["state_dict"].items() if "lora_B" in k]
    assert moved
    assert all(moved)
