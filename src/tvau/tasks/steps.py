"""Whole optimizer steps: the same, however their clips are spread over batches and processes."""

from typing import Any

import lightning
import torch
from torch import Tensor

from tvau.model import TVAU
from tvau.types import Batch


class WholeSteps(lightning.LightningModule):
    """A step's gradient is that of the mean over its clips: 4 x 1 by accumulation, 1 x 4, or two processes with 2 each.

    Lightning divides every batch's loss by the number of batches that a full step accumulates, and means gradients over
    processes. The last batches of an epoch are fewer and smaller: left at that, their clips would count less, or more.
    """

    model: TVAU
    clips = 0  # of this process since the last step

    def share(self, loss: Tensor, batch: Batch) -> Tensor:
        """What `training_step` returns of a batch's loss, a mean over its clips."""
        self.clips += len(batch["name"])
        return loss * len(batch["name"])

    def on_train_start(self) -> None:
        """A step begins."""
        self.clips = 0

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """The sum over the step's clips becomes their mean, and the region encoder's statistics follow."""
        trainer = self.trainer
        clips = trainer.strategy.reduce(torch.tensor(float(self.clips), device=self.device), reduce_op="sum")
        for weight in self.parameters():
            if weight.grad is not None:
                weight.grad *= trainer.accumulate_grad_batches * trainer.world_size / float(clips)
        self.clips = 0
        if self.model.encoder is not None:
            self.model.encoder.follow()
