"""The order of training clips: it follows from seed and epoch alone, so a resumed run goes on with what comes next."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from tvau.signals import CAUGHT

Place = Callable[[], tuple[int, int]]  # the epoch, and how many of its batches are done


def place(trainer: lightning.Trainer | None) -> tuple[int, int]:
    """Where training stands: whole epochs done, and batches done of the one after them."""
    if trainer is None:
        return 0, 0
    epochs: Any = trainer.fit_loop.epoch_progress.current
    batches = trainer.fit_loop.epoch_loop.batch_progress.current
    # between two epochs the batches still count those of the last one
    return epochs.processed, batches.ready if epochs.processed < epochs.ready else 0


def mixed(*parts: int) -> int:
    """One seed of several numbers, different for each of them."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def unmoved(worker: int) -> None:
    """Begins a loader's process: what a terminal sends to all is the parent's to answer.

    SIGTERM ends it in peace, by whomever it is sent; torch takes another end for an error of the parent's.
    """
    for number in (signal.SIGINT, *CAUGHT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


class EpochSampler(DistributedSampler[int]):
    """Numbers of clips in the order of an epoch, without those of batches that are done; shared out over processes.

    Args:
        total: clips of an epoch.
        batch_size: clips of a batch of one process.
        where: asked whenever an iteration begins: Lightning begins the first one before it says which epoch it is.
        seed: of the random order.
        shuffle: draw in random order.
        shares: probabilities of the clips, to draw with replacement; None: each comes once.
        ranks, rank: processes, and which of them this is; the last batch is filled up from the beginning.
    """

    def __init__(
        self, total: int, batch_size: int, where: Place, seed: int = 0, shuffle: bool = False,
        shares: Sequence[float] | None = None, ranks: int = 1, rank: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(cast(Dataset[Any], range(total)), ranks, rank, shuffle, seed)
        self.total, self.batch_size, self.where, self.shares = total, batch_size, where, shares

    def order(self, epoch: int) -> list[int]:
        """All numbers of an epoch, over all processes."""
        draw = torch.Generator().manual_seed(mixed(self.seed, epoch))
        if self.shares is not None:
            shares = torch.tensor(self.shares, dtype=torch.double)
            return cast(list[int], torch.multinomial(shares, self.total, replacement=True, generator=draw).tolist())
        if self.shuffle:
            return cast(list[int], torch.randperm(self.total, generator=draw).tolist())
        return [*range(self.total)]

    def __iter__(self) -> Iterator[int]:
        epoch, done = self.where()
        order = self.order(epoch)
        filled = [order[at % self.total] for at in range(self.total_size)]
        yield from filled[self.rank :: self.num_replicas][done * self.batch_size :]


class ResumableLoader(DataLoader[Any]):
    """A loader over an `EpochSampler`: Lightning may ask for its state, but all of it is in the trainer's progress."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing of its own."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""
