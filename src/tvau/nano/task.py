"""Pretraining of the embedded LVLM as a task of its own, and its weights saved as an ordinary checkpoint folder."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from tvau.backbones import VideoLVLM
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.model import TVAU
from tvau.nano.dense import Pretraining
from tvau.tasks.base import Task
from tvau.types import Batch


class PretrainTask(Task):
    """Trains every weight of an LVLM on answers and dense labels.

    Args:
        backbone: the LVLM.
        dense_weight, packed, reveal: see `Pretraining`.
        learning_rate, weight_decay, warmup: see `Task`.
    """

    def __init__(
        self,
        backbone: VideoLVLM,
        dense_weight: float = 1.0,
        packed: float = 0.8,
        reveal: tuple[int, int] = (0, 0),
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        warmup: int = 200,
    ) -> None:
        super().__init__(learning_rate, weight_decay, warmup)
        self.save_hyperparameters(ignore=["backbone"])
        backbone.unfreeze()
        self.model = TVAU(backbone)
        self.pretraining = Pretraining(cast(HuggingFaceLVLM, backbone), dense_weight, packed, reveal)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Cross entropy of the answers, and the dense losses."""
        losses = self.pretraining(cast(HuggingFaceLVLM, self.model.backbone), batch, self.global_step)
        self.log_dict({f"train/{k}": v for k, v in losses.items()}, batch_size=len(batch["name"]))
        return self.share(losses["loss"], batch)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Cross entropy of the answers on held-out clips."""
        self.watch_loss(self.model(batch), batch)


class SaveBackbone(Callback):
    """Saves a pretrained backbone as an ordinary checkpoint folder, now and then and at the end.

    Args:
        folder: where to; its other files stay.
        every: steps between two saves.
    """

    def __init__(self, folder: str, every: int = 500) -> None:
        self.folder, self.every = folder, every

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Saves every so many steps."""
        if trainer.global_step % self.every == 0:
            self.on_fit_end(trainer, module)

    def on_fit_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Saves; each file takes the place of its earlier one when it is whole."""
        if not trainer.is_global_zero:
            return
        with TemporaryDirectory(prefix=".", dir=self.folder) as temporary:
            cast(Any, cast(Task, module).model.backbone).lm.save_pretrained(temporary)
            for path in sorted(Path(temporary).iterdir()):
                os.replace(path, Path(self.folder) / path.name)
