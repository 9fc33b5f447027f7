"""Decoders that leave clips out, in real fits: they never see them, and change nothing for the one that sees all."""

from collections import Counter
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tiny import Demo, batch, close
from tvau.backbones import Qwen25VL
from tvau.data.parts import fold
from tvau.errors import OptionError
from tvau.judge import peak
from tvau.tasks import HeatmapTask
from tvau.tasks.checkpoints import load_decoder, load_fold_decoders
from tvau.types import Batch
from tvau.world import SCENES


def fitted(checkpoint: Path, batches: list[Batch], **options: Any) -> HeatmapTask:
    """A fit of one epoch with gradients that are always clipped."""
    torch.manual_seed(0)
    task = HeatmapTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), warmup=1, width=16, **options)
    loader: Any = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, gradient_clip_val=1e-3,
    )  # fmt: skip
    trainer.fit(task, loader)
    return task


def clips(seeds: dict[int, int]) -> list[Batch]:
    """Two batches of four clips, of scenes in both parts; each scene's clips are drawn by its own seed."""
    scenes = [1, 3, 7, 8]
    drawn = [[batch(1, seed=seeds.get(scene, scene) + step) for scene in scenes] for step in (0, 50)]
    made = []
    for parts in drawn:
        whole = {**parts[0], "name": [f"normal_scene_{scene}_scenario_1" for scene in scenes], "fps": [5.0] * 4}
        for key in ("video", "frames", "mask", "labels"):
            whole[key] = torch.cat([part[key] for part in parts])
        made.append(whole)
    return made  # type: ignore[return-value]


def weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_parts_hold_whole_scenes_about_equally_many() -> None:
    assert fold("abnormal_scene_3_scenario_2", 2) == fold("normal_scene_3_scenario_9_fog", 2)
    assert fold("01_0014", 5) == fold("01_177", 5)
    assert 0 <= fold("corridor", 3) < 3
    counts = Counter(fold(f"normal_scene_{n}_scenario_1", 2) for n in SCENES["train"])
    assert sorted(counts) == [0, 1]
    assert min(counts.values()) >= 5


def test_a_decoder_learns_nothing_of_its_own_part(checkpoint: Path) -> None:
    base = clips({})
    mine = {scene for scene in (1, 3, 7, 8) if fold(f"scene_{scene}", 2) == 0}
    assert 0 < len(mine) < 4
    plain = fitted(checkpoint, base, folds=2)
    for part, scenes in ((0, mine), (1, {1, 3, 7, 8} - mine)):
        other = fitted(checkpoint, clips({scene: 100 + scene for scene in scenes}), folds=2)
        assert same(plain.fold_decoders[part], other.fold_decoders[part])
        assert not same(plain.fold_decoders[1 - part], other.fold_decoders[1 - part])
    assert not same(plain.fold_decoders[0], plain.fold_decoders[1])
    without = fitted(checkpoint, base)
    assert without.model.decoder is not None
    assert plain.model.decoder is not None
    for own, expected in zip(plain.model.decoder.parameters(), without.model.decoder.parameters(), strict=True):
        close(own, expected)  # the decoder itself learns the same with and without folds, up to the order of sums


def test_a_step_of_one_part_alone_is_a_step(checkpoint: Path) -> None:
    (one, _) = clips({})
    one["name"] = ["normal_scene_1_scenario_1"] * 4
    task = fitted(checkpoint, [one], folds=2)
    part = fold("scene_1", 2)
    assert all(torch.isfinite(w).all() for w in task.parameters())
    assert not same(task.fold_decoders[part], task.fold_decoders[1 - part])


def test_one_fold_and_taught_texts_are_refused(checkpoint: Path) -> None:
    backbone = Qwen25VL(str(checkpoint), blocks=[1])
    with pytest.raises(OptionError, match="at least 2"):
        HeatmapTask(backbone, folds=1)
    with pytest.raises(OptionError, match="fixed texts"):
        HeatmapTask(backbone, folds=2, learned_text=True)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"), checkpoint, root / "configs" / "synthetic")


def test_the_checkpoint_holds_them_and_every_command_reads_it(demo: Demo, checkpoint: Path) -> None:
    demo("fit", "heatmap", "--model.folds=2", "--model.context=time", "--model.clip_weight=0.2", "--model.familiar=0")
    last = demo.folder / "runs/demo/heatmap/last.ckpt"
    state = torch.load(last, weights_only=True)["state_dict"]
    backbone = Qwen25VL(str(checkpoint), blocks=[1, 2])
    decoder, text, options = load_decoder(str(last), backbone)
    folds = load_fold_decoders(str(last), backbone)
    assert options == {"width": None, "context": "time"}
    assert len(folds) == 2
    hidden = backbone.encode({"video": batch()["video"]}).hidden
    with torch.no_grad():
        peaks = [peak(each(hidden, text).logit) for each in (decoder, *folds)]
    assert len({float(value) for value in peaks}) > 1  # a miniature world may have scenes of one part only
    assert torch.equal(folds[1].state_dict()["projections.2.1.weight"], state["fold_decoders.1.projections.2.1.weight"])

    demo("test", "heatmap", f"--ckpt_path={last}")  # the config does not say folds or context: the file does
    demo("fit", "dialog", "--trainer.max_steps=1", "--trainer.limit_val_batches=1")
    stage_2 = demo.folder / "runs/demo/dialog/last.ckpt"
    assert not [key for key in torch.load(stage_2, weights_only=True)["state_dict"] if "fold" in key]
    assert load_fold_decoders(str(stage_2), backbone) == []
    assert load_decoder(str(stage_2), backbone)[2] == options
