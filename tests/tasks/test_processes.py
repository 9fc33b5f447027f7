"""`tvau test` in several real processes gives what it gives in one, to 1e-6: no clip is lost, none counts twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from tiny import Demo, stage_one, store
from tvau.backbones import Qwen25VL
from tvau.tasks import DialogTask


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    """Three videos a split: uneven for two processes, and one of four sees nothing."""
    demo = Demo(tmp_path_factory.mktemp("processes"), checkpoint, root / "configs" / "synthetic", videos=3)
    lvlm = Qwen25VL(str(checkpoint), blocks=[1, 2])
    maps = stage_one(lvlm, demo.folder / "heatmap.ckpt")
    store(DialogTask(lvlm, str(maps)), demo.folder / "dialog.ckpt")
    return demo


LEARNED = {  # tasks that learn when they are tested
    "neighbours": ("NeighbourTask", ("bank=40",)),
    "attention": ("AttentionTask", ("heads=2",)),
    "probe": ("ProbeTask", ("of=tower",)),
}


@pytest.mark.parametrize("name", LEARNED)
def test_baselines_learn_the_same_in_every_process(demo: Demo, name: str) -> None:
    found = []
    for processes in (1, 2):
        folder = demo.folder / f"{name}{processes}"
        parallel = [f"--trainer.devices={processes}", "--trainer.strategy=ddp_fork"] if processes > 1 else []
        demo.main("test", f"--model=tvau.tasks.{LEARNED[name][0]}", f"--model.backbone={demo.preset}",
                  *(f"--model.{option}" for option in (*LEARNED[name][1], "bootstrap=0")), "--data=tvau.data.UBnormal",
                  "--data.root=world", "--data.size=[32,64]", "--data.num_workers=0", "--data.batch_size=2",
                  "--data.test_splits=[test]", "--data.hop=4", f"--trainer.default_root_dir={folder}",
                  "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", *parallel)  # fmt: skip
        found.append(numbers(json.loads((folder / "test.json").read_text())))
    assert any(path.endswith("/test/frame/micro_auc") for path in found[0])
    assert found[1] == pytest.approx(found[0], rel=1e-6, abs=1e-6)


def numbers(value: Any, path: str = "") -> dict[str, float]:
    """Every number of a JSON value by its path."""
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return {name: x for key, part in parts for name, x in numbers(part, f"{path}/{key}").items()}
    return {path: float(value)} if isinstance(value, int | float) else {}


def scores_of(demo: Demo, config: str, processes: int, *more: str) -> dict[str, float]:
    folder = demo.folder / f"{config}{processes}"
    parallel = (f"--trainer.devices={processes}", "--trainer.strategy=ddp_fork") if processes > 1 else ()
    demo("test", config, f"--trainer.default_root_dir={folder}", "--trainer.accelerator=cpu", "--trainer.logger=false",
         "--model.bootstrap=20", "--data.batch_size=2", f"--ckpt_path={config}.ckpt", *parallel, *more)  # fmt: skip
    return numbers(json.loads((folder / "test.json").read_text()))


@pytest.mark.parametrize("config", ["heatmap", "dialog"])
def test_two_and_four_processes_give_what_one_gives(demo: Demo, config: str) -> None:
    more = ("--data.hop=12",) if config == "heatmap" else ("--model.most=5",)
    before = demo.folder / "dialog2" / "cases" / "of_a_test_before.npz"
    before.parent.mkdir(parents=True, exist_ok=True)
    before.touch()
    alone = scores_of(demo, config, 1, *more)
    assert alone["/tvau/test/frame/frames"] >= 6
    assert {"/tvau/test/pixel/pro", "/tvau/test/region/rbdc"} <= set(alone)
    assert ("/tvau/test/text/track/count" in alone) == (config == "dialog")
    for processes in (2, 4):
        assert scores_of(demo, config, processes, *more) == pytest.approx(alone, abs=1e-6)
    if config == "dialog":
        assert not before.exists()
        assert list(before.parent.iterdir())
