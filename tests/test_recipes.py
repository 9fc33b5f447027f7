"""The recipes of configs/ for real data and machines, each run for a step on a tiny LVLM and a miniature of the data.

Nothing is overruled but the checkpoint, sizes, steps, and which devices there are.
"""

import contextlib
import json
import os
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.multiprocessing as mp
import yaml

import miniatures
from tiny import PRESET
from tvau.backbones import load
from tvau.cli import main
from tvau.costs import cost, read_presets
from tvau.errors import BackboneError
from tvau.model import TVAU
from tvau.tasks.sharded import shard
from tvau.world import write

CONFIGS = Path(__file__).parent.parent / "configs"
SETS = ("ubnormal", "shanghaitech")
CARDS = ("one_24gb", "one_80gb")
MANY = ("ddp", "fsdp")
BACKBONE = "--model.init_args.backbone.init_args"
QUICK = ("--trainer.limit_test_batches=2", "--model.most=3", "--model.bootstrap=0", "--model.cases=0")
ALL = "--trainer.limit_test_batches=1.0"  # over QUICK: two batches of one process are not those of two
RESUMED = [{
    "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
    "init_args": {"dirpath": ".", "filename": "resumed", "enable_version_counter": False},
}]  # fmt: skip
QUANTIZES = find_spec("bitsandbytes") is not None  # an extra; without it the 4-bit recipe runs in bfloat16 here


class Lab:
    """A folder with both data sets under the names of the recipes, in which commands are given as a user gives them."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.folder, self.checkpoint = folder, checkpoint
        (folder / "whole.yaml").write_text("model: {init_args: {backbone: {init_args: {bits: null}}}}\n")
        counts = {"train": 2, "validation": 2, "test": 2}
        write(folder / "data" / "UBnormal", counts, seed=3, size=(64, 96), progress=False)
        (folder / "data" / "UBnormal" / "dialogs.jsonl").unlink()  # the release has none
        clips = ("01_0014", "04_0012", "01_0030", "04_0050")  # those that `limit` takes, two of each side of the split
        miniatures.tracks(miniatures.shanghaitech(folder / "data" / "shanghaitech", clips, count=16), clips)
        # as docs/train/index.md says it, but for the length of a clip
        self.main("annotate", "ubnormal", "data/UBnormal", "data/UBnormal", "--frames=4", "--stride=1")
        self.main("annotate", "shanghaitech", "data/shanghaitech", "data/shanghaitech", "--splits=test", "--frames=4")

    def __call__(self, command: str, data: str, stage: str, *machines: str, more: tuple[str, ...] = ()) -> Any:
        """A recipe on a machine. Results go to runs/<data>/<stage>, as in the recipe."""
        one = [] if set(machines) & set(MANY) else ["--trainer.devices=1"]
        bits = ["--config=whole.yaml"] if "one_24gb" in machines and not QUANTIZES else []
        return self.main(
            command, f"--config={CONFIGS / data / stage}.yaml",
            *(f"--config={CONFIGS / 'machines' / machine}.yaml" for machine in machines),
            *bits, f"{BACKBONE}.checkpoint={self.checkpoint}", f"{BACKBONE}.blocks=[1,2]", f"{BACKBONE}.size=[32,64]",
            "--data.frames=4", "--data.stride=1", "--data.size=[32,64]", "--data.num_workers=0",
            *(["--data.limit=2"] if data == "shanghaitech" else []),
            "--trainer.accelerator=cpu", *one, "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=2",
            "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
            *(["--trainer.max_epochs=1"] if command == "fit" else []), *more,
        )  # fmt: skip

    def main(self, *args: str) -> Any:
        packs: Any = contextlib.nullcontext()
        if QUANTIZES:  # on some CPUs bitsandbytes packs weights anew for inference, which has no gradients
            packs = mock.patch("bitsandbytes.nn.modules.has_avx512bf16", return_value=False)
        with contextlib.chdir(self.folder), mock.patch("sys.argv", ["tvau"]), packs:
            return main(args)

    def stored(self, data: str, stage: str, name: str = "last") -> dict[str, Any]:
        return torch.load(self.folder / "runs" / data / stage / f"{name}.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Lab:
    """Both data sets, with dialogs, and the tiny LVLM."""
    return Lab(tmp_path_factory.mktemp("lab"), checkpoint)


@pytest.fixture(scope="module")
def maps(lab: Lab) -> None:
    """Stage 1 of both data sets on one large card: what stage 2 of every machine starts from."""
    for data in SETS:
        assert lab("fit", data, "heatmap", "one_80gb").trainer.global_step == 1


def test_stage_one_on_one_small_card(lab: Lab) -> None:
    for data in SETS:
        trainer = lab("fit", data, "heatmap", "one_24gb").trainer
        assert trainer.global_step == 1  # both batches make one step: they are accumulated
        assert (trainer.accumulate_grad_batches, trainer.datamodule.batch_size) == (16, 1)
        parts = {key.split(".")[1] for key in lab.stored(data, "heatmap")["state_dict"]}
        assert parts == {"text", "decoder", "familiarity"}
        assert lab.stored(data, "heatmap")["rules"]


@pytest.mark.parametrize("data", SETS)
@pytest.mark.parametrize("machine", CARDS)
def test_stage_two_on_one_card(lab: Lab, maps: None, data: str, machine: str) -> None:
    task = lab("fit", data, "dialog", machine).model
    assert task.model.backbone.checkpointing == (machine == "one_24gb")
    assert getattr(task.model.backbone.lm, "is_quantized", False) == (machine == "one_24gb" and QUANTIZES)
    state = lab.stored(data, "dialog")["state_dict"]
    tuned = {key: weight for key, weight in state.items() if "lora_B" in key}
    assert {key.split(".")[1] for key in state} == {"text", "decoder", "familiarity", "judge", "encoder", "backbone"}
    assert tuned
    assert all(weight.dtype == torch.float32 and weight.abs().sum() > 0 for weight in tuned.values())


def test_the_rest_of_the_recipe(lab: Lab, maps: None) -> None:
    """Resume, test and predict, as docs/train/index.md types them."""
    lab("fit", "ubnormal", "dialog", "one_80gb")
    last = "--ckpt_path=runs/ubnormal/dialog/last.ckpt"
    assert lab("fit", "ubnormal", "dialog", "one_80gb", more=(last, "--trainer.max_epochs=2")).trainer.global_step == 2
    lab("test", "ubnormal", "dialog", "one_24gb", more=(last, *QUICK))  # trained on one machine, tested on another
    results = json.loads((lab.folder / "runs" / "ubnormal" / "dialog" / "test.json").read_text())
    assert set(results["tvau"]) == {"validation", "test"}
    videos = next((lab.folder / "data" / "UBnormal").glob("Scene*"))
    preset = lab.folder / "qwen2_5_vl_7b.yaml"
    preset.write_text(PRESET.format(checkpoint=lab.checkpoint, blocks=[1, 2]))
    lab.main(
        "predict", f"--config={CONFIGS / 'synthetic' / 'predict'}.yaml", f"--model.backbone={preset}",
        "--model.heatmap=runs/ubnormal/dialog/last.ckpt", last, f"--data.videos={videos}",
        "--trainer.default_root_dir=runs/ubnormal/predict", "--trainer.callbacks.folder=runs/ubnormal/predict",
        "--data.size=[32,64]", "--data.frames=4", "--data.num_workers=0", "--data.limit=1", "--model.most=3",
        "--trainer.accelerator=cpu", "--trainer.limit_predict_batches=1", "--trainer.enable_progress_bar=false",
    )  # fmt: skip
    assert list((lab.folder / "runs" / "ubnormal" / "predict").glob("*/dialog.json"))


def test_the_recipes_fit_their_cards() -> None:
    """By computed memory, a tenth of the card and a GB a clip to spare; these are the figures of docs/train."""
    given, config = read_presets(CONFIGS.parent / "backbones")["qwen2_5_vl_7b"]
    page = (CONFIGS.parent / "docs" / "train" / "index.md").read_text()
    for machine, card in (("one_24gb", 24e9), ("one_80gb", 80e9)):
        overlay = yaml.safe_load((CONFIGS / "machines" / f"{machine}.yaml").read_text())
        options = overlay.get("model", {"init_args": {"backbone": {"init_args": {}}}})["init_args"]["backbone"]
        clips = overlay["data"]["init_args"]["batch_size"]
        needed = cost({**given, **options["init_args"]}, config, (96, 160), clips)
        assert max(needed.predict, needed.heatmap, needed.dialog) + clips * 1e9 < 0.9 * card
        figures = " | ".join(f"{memory / 1e9:.1f}" for memory in (needed.predict, needed.heatmap, needed.dialog))
        assert f"| {clips} | {figures} |" in page


# ---- many cards: two processes ----


def work(rank: int, lab: Lab, port: int, machine: str) -> None:
    """What each of two processes does: stage 1 on one data set, stage 2 on the other."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
    exact: tuple[str, ...] = (
        "--trainer.devices=2",
        "--trainer.precision=32-true",
        f"{BACKBONE}.dtype=float32",
    )  # to be compared
    lab("fit", "shanghaitech", "heatmap", "one_80gb", machine, more=exact)
    exact = (*exact, "--model.lora_dropout=0", "--data.batch_size=1")
    lab("fit", "ubnormal", "dialog", "one_80gb", machine, more=exact)
    if machine == "fsdp":
        exact = (*exact, "--ckpt_path=runs/ubnormal/dialog/last.ckpt")
        lab("test", "ubnormal", "dialog", "one_80gb", machine, more=(*exact, *QUICK, ALL))
        again = ("--trainer.max_epochs=2", f"--trainer.callbacks={json.dumps(RESUMED)}")
        lab("fit", "ubnormal", "dialog", "one_80gb", machine, more=(*exact, *again))


def gradients(checkpoint: dict[str, Any]) -> list[float]:
    """Norms of the first moments of AdamW, sorted: strategies number weights in different orders."""
    (optimizer,) = checkpoint["optimizer_states"]
    return sorted(float(state["exp_avg"].norm()) for state in optimizer["state"].values())


def test_ddp_and_fsdp_train_the_same(lab: Lab, maps: None) -> None:
    trained = {}
    for machine in MANY:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        mp.start_processes(work, (lab, port, machine), nprocs=2, start_method="fork")
        trained[machine] = lab.stored("shanghaitech", "heatmap"), lab.stored("ubnormal", "dialog")
    for ddp, fsdp in zip(*trained.values(), strict=True):
        assert ddp["global_step"] == fsdp["global_step"] > 0
        shapes = [{key: tuple(weight.shape) for key, weight in one["state_dict"].items()} for one in (ddp, fsdp)]
        assert shapes[0] == shapes[1]
        assert not any(".base_layer." in key or "visual" in key for key in shapes[0])
        assert gradients(fsdp) == pytest.approx(gradients(ddp), rel=1e-3, abs=1e-7)
    assert torch.load(lab.folder / "resumed.ckpt", weights_only=True)["global_step"] == 2 * ddp["global_step"]
    together = json.loads((lab.folder / "runs" / "ubnormal" / "dialog" / "test.json").read_text())
    last = "--ckpt_path=runs/ubnormal/dialog/last.ckpt"
    lab(
        "test",
        "ubnormal",
        "dialog",
        "one_80gb",
        more=(last, *QUICK, ALL, f"{BACKBONE}.dtype=float32", "--trainer.precision=32-true"),
    )
    alone = json.loads((lab.folder / "runs" / "ubnormal" / "dialog" / "test.json").read_text())
    for split in ("validation", "test"):
        one, two = alone["tvau"][split], together["tvau"][split]
        assert two["frame"]["micro_auc"] == pytest.approx(one["frame"]["micro_auc"], abs=1e-5)
        assert two["pixel"]["auroc"] == pytest.approx(one["pixel"]["auroc"], abs=1e-5)


def test_fsdp_refuses_what_it_cannot_split(lab: Lab) -> None:
    backbone: Any = load(str(lab.checkpoint), blocks=[1])
    backbone.unfreeze()
    with pytest.raises(BackboneError, match="fsdp takes a frozen LVLM"):
        shard(TVAU(backbone), mock.Mock())
    backbone.frozen = backbone.lm.is_quantized = True
    with pytest.raises(BackboneError, match="cannot split weights of 4 or 8 bits"):
        shard(TVAU(backbone), mock.Mock())
