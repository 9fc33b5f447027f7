"""The recipes of configs/ for real data and machines, each run for a step on a tiny LVLM and a miniature of the data.

Nothing is overruled but the checkpoint, sizes, steps, and which devices there are.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor

import miniatures
from tvau.cli import main
from tvau.data.synthetic import write
from tvau.tasks.sharded import Sharded, clip

CONFIGS = Path(__file__).parent.parent / "configs"
SETS = ("ubnormal", "shanghaitech")
CARDS = ("one_24gb", "one_80gb")
MANY = ("ddp", "fsdp")


class Lab:
    """A folder with both data sets under the names of the recipes, in which commands are given as a user gives them."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.folder, self.checkpoint = folder, checkpoint
        counts = {"train": 2, "validation": 2, "test": 2}
        write(folder / "data" / "UBnormal", counts, seed=3, size=(64, 96), progress=False)
        clips = ("01_0014", "01_0030", "04_0011", "05_0017")  # two of each side of the split
        miniatures.tracks(miniatures.shanghaitech(folder / "data" / "shanghaitech", clips, count=16), clips)
        # as docs/training.md says it, but for the length of a clip
        self.main("annotate", "ubnormal", "data/UBnormal", "data/UBnormal", "--frames=4", "--stride=1")
        self.main("annotate", "shanghaitech", "data/shanghaitech", "data/shanghaitech", '--splits=["test"]', "--frames=4")

    def __call__(self, command: str, data: str, stage: str, *machines: str, more: tuple[str, ...] = ()) -> Any:
        """A recipe on a machine. Results go to runs/<data>/<stage>, as in the recipe."""
        backbone = "--model.init_args.backbone.init_args"
        one = [] if set(machines) & set(MANY) else ["--trainer.devices=1"]
        bits = [f"{backbone}.bits=null"] if "one_24gb" in machines and not find_spec("bitsandbytes") else []
        return self.main(
            command, f"--config={CONFIGS / data / stage}.yaml",
            *(f"--config={CONFIGS / 'machines' / machine}.yaml" for machine in machines),
            f"{backbone}.checkpoint={self.checkpoint}", f"{backbone}.blocks=[1,2]", f"{backbone}.size=[32,64]", *bits,
            "--data.frames=4", "--data.stride=1", "--data.size=[32,64]", "--data.num_workers=0",
            *(["--data.limit=2"] if data == "shanghaitech" else []),
            "--trainer.accelerator=cpu", *one, "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=2",
            "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
            *(["--trainer.max_epochs=1"] if command == "fit" else []), *more,
        )  # fmt: skip

    def main(self, *args: str) -> Any:
        with contextlib.chdir(self.folder), mock.patch("sys.argv", ["tvau"]):
            return main(args)

    def stored(self, data: str, stage: str, name: str = "last") -> dict[str, Any]:
        return torch.load(self.folder / "runs" / data / stage / f"{name}.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"), checkpoint)


@pytest.mark.parametrize("data", SETS)
@pytest.mark.parametrize("machine", CARDS)
def test_both_stages_on_one_card(lab: Lab, data: str, machine: str) -> None:
    first = lab("fit", data, "heatmap", machine)
    assert first.trainer.global_step == 1
    second = lab("fit", data, "dialog", machine)
    assert second.trainer.global_step == 1
    print(second.config)
