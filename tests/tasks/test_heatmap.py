"""Stage 1 in real fits on the tiny LVLM: what learns, and in which precision."""

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tiny import batch, close, store
from tvau.backbones import Qwen25VL
from tvau.errors import OptionError
from tvau.heatmap_decoder import Maps
from tvau.losses import map_loss
from tvau.model import TVAU
from tvau.region_encoder import RegionAwareAnomalyEncoder
from tvau.tasks import DialogTask, HeatmapTask
from tvau.tasks.pretrained import restore
from tvau.types import Batch


@pytest.fixture
def task(checkpoint: Path) -> HeatmapTask:
    torch.manual_seed(0)
    made = HeatmapTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), warmup=1)
    made.read()
    return made


def clips(seed: int) -> Batch:
    """Two clips of noise whose abnormal quarter is bright."""
    made = batch(2, seed=seed)
    made["video"] = torch.where(made["mask"][:, :, None], 255 - made["video"] // 4, made["video"] // 4)
    return made


def fit(task: HeatmapTask, steps: int, **options: Any) -> None:
    loader: Any = DataLoader([clips(seed) for seed in range(4)], batch_size=None)  # type: ignore[arg-type]
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, **options,
    )  # fmt: skip
    trainer.fit(task, loader)


def test_a_useless_block_loses_weight(task: HeatmapTask, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = task.model.decoder
    assert decoder is not None
    forward, before = decoder.forward, {i: float(w) for i, w in decoder.weights.items()}

    def noisy(hidden: dict[int, Tensor], text: Tensor) -> Maps:
        return forward({**hidden, 2: torch.randn_like(hidden[2])}, text)

    monkeypatch.setattr(decoder, "forward", noisy)
    fit(task, 150)
    after = {i: float(w) for i, w in decoder.weights.items()}
    assert before[1] == pytest.approx(before[2])
    assert after[2] < 0.7 * after[1]
    assert after[2] < 0.9 * before[2]


def test_the_loss_is_that_of_the_heatmaps_that_are_shown(task: HeatmapTask) -> None:
    given = clips(0)
    with torch.no_grad():
        shown, maps = task.heatmaps(given).double(), task.model.maps(given)
        loss = map_loss(maps.logit, given["mask"], positive_weight=1.0, dice_weight=0.0)
    truth = given["mask"].double()
    log = (truth * shown.clamp(1e-30).log() + (1 - truth) * (1 - shown).clamp(1e-30).log()).clamp(-80)
    certain = (shown > 1e-6) & (shown < 1 - 1e-6)  # nearer to 0 and 1 single precision ends
    assert certain.float().mean() > 0.1
    assert float(-log.mean()) == pytest.approx(float(loss), rel=0.02)


def test_the_tower_may_look_at_every_second_frame(checkpoint: Path, task: HeatmapTask, tmp_path: Path) -> None:
    torch.manual_seed(0)
    half = HeatmapTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), every=2)
    half.read()
    clip, thin = clips(0), clips(0)
    thin["video"] = thin["video"][:, ::2]
    found, few = half.heatmaps(clip), task.heatmaps(thin)
    assert found.shape == clip["mask"].shape  # of all frames
    close(found, few[:, :1].expand_as(found))  # two frames are one time step of the tower
    store(half, tmp_path / "half.ckpt")
    assert restore(str(tmp_path / "half.ckpt"), half.model.backbone).model.every == 2
    with pytest.raises(OptionError, match="every 0: expected"):
        HeatmapTask(half.model.backbone, every=0)
    with pytest.raises(OptionError, match="looks at one of 2 frames"):  # a dialog would give its decoder all of them
        DialogTask(half.model.backbone, str(tmp_path / "half.ckpt"))


def test_mixed_precision_leaves_maps_and_prompts_exact(task: HeatmapTask, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = RegionAwareAnomalyEncoder(task.model.backbone.hidden_size, channels=8).eval()
    decoder = task.model.decoder
    assert decoder is not None
    forward, seen = decoder.forward, []

    def watched(hidden: dict[int, Tensor], text: Tensor) -> Maps:
        inside, prompts = forward(hidden, text), encoder(forward(hidden, text).similar)
        assert torch.is_autocast_enabled("cpu")
        with torch.autocast("cpu", enabled=False):
            outside = forward({i: h.float() for i, h in hidden.items()}, text)
            seen.append((inside, outside, prompts, encoder(outside.similar)))
        return inside

    monkeypatch.setattr(decoder, "forward", watched)
    fit(task, 1, precision="bf16-mixed")
    ((inside, outside, prompts, expected),) = seen
    assert isinstance(task.model, TVAU)
    assert inside.logit.dtype == torch.float32
    assert torch.equal(inside.logit, outside.logit)
    assert torch.equal(inside.similar, outside.similar)
    assert torch.equal(prompts, expected)
