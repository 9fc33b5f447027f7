"""What makes a fit one that can be stopped at any time: last.ckpt as training goes, and a log that is gone on with."""

import copy
import csv
import signal
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from tvau.errors import CheckpointError
from tvau.files import whole
from tvau.signals import CAUGHT
from tvau.tasks.checkpoints import read_checkpoint
from tvau.tasks.folders import write_model

SIGNALS = (signal.SIGINT, *CAUGHT)


class LastCheckpoint(ModelCheckpoint):
    """Keeps `last.ckpt`, from which a fit goes on as if it had never stopped.

    It is written after each epoch, before the validation at its end, within an epoch every so many minutes, and when
    the fit is stopped by a signal or an error; always with the progress as of the last finished optimizer step. Inside
    a fit a signal waits for the end of the batch, then it is obeyed; a second one is obeyed at once.

    Args:
        dirpath: the folder; None: `checkpoints` in the logger's, or in the trainer's `default_root_dir`.
        minutes: between two files within an epoch.
    """

    def __init__(self, dirpath: str | None = None, minutes: float = 10.0) -> None:
        super().__init__(dirpath, save_last=True, save_top_k=0, enable_version_counter=False)
        self.minutes, self.written, self.step = minutes, 0.0, 0
        self.signal, self.handlers = 0, dict[signal.Signals, Any]()
        self.progress: dict[str, Any] | None = None  # the loops' state that belongs to the weights
        self.saves = False

    # ---- signals ----

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """From here on signals wait."""
        self.written, self.step, self.progress = time.monotonic(), trainer.global_step, None
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if (earlier := signal.getsignal(number)) is not signal.SIG_IGN:
                    self.handlers[number] = earlier
                    signal.signal(number, self.note)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Keeps a signal in mind."""
        if self.signal:
            self.obey(number)
        self.signal = number

    def obey(self, number: int) -> None:
        """Hands a signal to who was there before."""
        self.release()
        signal.raise_signal(number)

    def release(self) -> None:
        """From here on signals no longer wait."""
        while self.handlers:
            signal.signal(*self.handlers.popitem())

    def agreed(self, trainer: Trainer, module: LightningModule, due: bool = False) -> tuple[int, bool]:
        """The signal that any process got (0: none), and whether in any of them a file is due."""
        if trainer.world_size == 1:
            return self.signal, due
        told = torch.tensor([self.signal, due], device=module.device)
        number, late = trainer.strategy.reduce(told, reduce_op="max").tolist()
        return number, bool(late)

    # ---- when ----

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Saves in time, and where a signal came; what the steps until now logged is written by now."""
        number, due = self.agreed(trainer, module, time.monotonic() - self.written > 60 * self.minutes)
        if number or due:
            self.save(trainer)
        if number:
            self.obey(number)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Remembers the progress of each step."""
        if trainer.global_step != self.step:
            self.step, self.progress = trainer.global_step, copy.deepcopy(trainer.fit_loop.state_dict())

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Saves before the validation at the end of an epoch."""
        if trainer.sanity_checking or trainer.state.fn != "fit" or not trainer.is_last_batch:
            return
        self.progress = copy.deepcopy(trainer.fit_loop.state_dict())
        # the state of a validation in its first batch, as Lightning knows it again: it will be run from its start
        counts = self.progress["epoch_loop.val_loop.batch_progress"]
        counts["total"] |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}
        counts["current"] |= dict.fromkeys(counts["current"], 0)
        self.save(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Obeys a signal at once where no other process would wait."""
        if self.signal and trainer.world_size == 1:
            if not trainer.is_last_batch:
                self.save(trainer)
            self.obey(self.signal)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """What is saved does not depend on validation."""

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Saves; an epoch that `max_steps` ended can be gone on with."""
        if trainer.is_last_batch:
            self.progress = copy.deepcopy(trainer.fit_loop.state_dict())
        self.save(trainer)
        if number := self.agreed(trainer, module)[0]:
            self.obey(number)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Signals act at once again."""
        self.release()

    def on_fit_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Leaves the model as a folder, `model`, beside the file; of the best checkpoint where one was chosen."""
        chosen = [getattr(each, "best_model_path", "") for each in trainer.checkpoint_callbacks]
        source = next(filter(None, chosen), self.last_model_path)
        own: dict[str, Any] = {"state_dict": {}}
        module.on_save_checkpoint(own)  # what is the task's, beside the loops and optimizers
        if trainer.is_global_zero and source and own.get("lvlm"):
            stored = read_checkpoint(source)
            write_model({key: stored[key] for key in own}, Path(str(self.dirpath)) / "model")

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Saves what an error would lose; other processes are not waited for."""
        training = bool(self.handlers)
        self.release()
        if training and isinstance(exception, Exception) and trainer.world_size == 1:
            with suppress(CheckpointError):  # the first error is the one to tell
                self.save(trainer)
            if self.signal:  # a loader's process that got it too has ended, and was missed
                self.obey(self.signal)

    # ---- what ----

    def save(self, trainer: Trainer) -> None:
        """Writes the file, and what was logged until then; before the first step there is nothing to write."""
        if self.progress is None:
            return
        path = Path(str(self.dirpath)) / f"{self.CHECKPOINT_NAME_LAST}{self.FILE_EXTENSION}"
        self.saves = True
        try:
            trainer.save_checkpoint(path, weights_only=False)
        finally:
            self.saves = False
        self.last_model_path, self.written = str(path), time.monotonic()
        for logger in trainer.loggers:
            logger.save()

    def on_save_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Puts the progress in that belongs to the weights."""
        if self.saves:
            checkpoint["loops"]["fit_loop"] = self.progress


class MetricsLogger(CSVLogger):
    """`metrics.csv` that a resumed fit goes on with; one that begins anew replaces it."""

    kept = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Lightning's writer; it would remove the rows that are there."""
        file = Path(self.log_dir) / "metrics.csv"
        earlier = file.read_bytes() if not self.kept and file.is_file() else b""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Experiment logs directory")
            writer = super().experiment
        if earlier:
            with whole(file) as temporary:
                temporary.write_bytes(earlier)
        self.kept = True
        return writer

    @rank_zero_only
    def begin(self, step: int) -> None:
        """Keeps the rows of the steps before `step`, at which training begins or goes on."""
        writer, file = self.experiment, Path(self.log_dir) / "metrics.csv"
        if not file.is_file():
            return
        with file.open(newline="") as text:
            reader = csv.DictReader(text)
            columns, rows = list(reader.fieldnames or ()), [row for row in reader if int(row["step"] or 0) < step]
        if not rows:
            file.unlink()
            return
        with whole(file) as temporary, temporary.open("w", newline="") as text:
            out = csv.DictWriter(text, columns)
            out.writeheader()
            out.writerows(rows)
        writer.metrics_keys = columns
