"""What the stages share: modes and the optimizer, what a checkpoint holds, and results as JSON."""

import json
from collections.abc import Sequence
from functools import cache
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric

from tvau.data.module import ClipDataset
from tvau.data.order import mixed, place
from tvau.errors import CheckpointError, OptionError
from tvau.files import whole
from tvau.metrics.boxes import MapRule
from tvau.metrics.intervals import DRAWS, VIDEOS, of_videos, take_samples
from tvau.model import Evidence
from tvau.tasks.checkpoints import CheckpointFiles, check_identity, identity, named, read_checkpoint, rules_of
from tvau.tasks.folders import add_figures
from tvau.tasks.resume import MetricsLogger
from tvau.tasks.sharded import clip, shard
from tvau.tasks.steps import WholeSteps
from tvau.types import Batch
from tvau.viz.curves import take_curves
from tvau.viz.report import score_table

FROZEN = "model.backbone."
OURS = "tvau"  # our maps among the methods of a test


class Task(WholeSteps):
    """Base of the stages; `model` is the composed T-VAU.

    A checkpoint holds what was trained, the prompt features and the hyperparameters, never the frozen LVLM.

    Args:
        learning_rate, weight_decay: of AdamW.
        warmup: steps of linear warm-up, before a cosine down to 0 over all steps.
    """

    scores: nn.ModuleDict  # of the test, filled as its splits come
    decoder_options: dict[str, Any] | None = None
    speaks = False  # whether it answers questions
    untrained = ""  # what looks and answers where nothing was trained, in words
    data: dict[str, Any]  # what it was trained on, in words; empty: unknown
    rules: dict[str, MapRule]  # how boxes are read from the maps of each method, chosen on validation in stage 1

    def __init__(self, learning_rate: float, weight_decay: float, warmup: int) -> None:
        super().__init__()
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self.strict_loading = False
        self.scores, self.rules, self.data = nn.ModuleDict(), {}, {}
        self.losses = MeanMetric()  # of the validation, over all processes
        self.trained = False

    # ---- what runs ----

    def setup(self, stage: str) -> None:
        """Before anything runs.

        Raises:
            OptionError: a precision that would train in bfloat16 or half weights.
        """
        trainer = self.trainer
        if trainer.precision in ("bf16-true", "16-true"):
            raise OptionError(
                f"--trainer.precision={trainer.precision} would round small steps of the trained parts to nothing: use "
                "bf16-mixed; the frozen LVLM's own precision is --model.backbone.dtype"
            )
        if stage == "fit":
            self.data = described(getattr(trainer, "datamodule", None))
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = CheckpointFiles()

    def answer(self) -> None:
        """Before anything is said or scored.

        Raises:
            CheckpointError: by parts that were never trained.
        """
        untrained = sorted({name.rpartition(".")[0] for name, w in self.named_parameters() if w.requires_grad})
        if untrained and not self.trained:
            raise CheckpointError(
                f"`tvau {getattr(self.trainer.state.fn, 'value', '')}` without a checkpoint would answer with "
                f"{len(untrained)} untrained parts (first: {untrained[0]}): give that of this stage's training by "
                "--ckpt_path"
            )

    on_test_epoch_start = on_predict_epoch_start = answer

    def on_validation_epoch_start(self) -> None:
        """See `answer`; the validations of a fit show how far it is."""
        if self.trainer.state.fn != "fit":
            self.answer()

    def train(self, mode: bool = True) -> "Task":
        """What is frozen stays in evaluation mode."""
        super().train(mode)
        for part in self.model.children():
            if part is not self.model.backbone and not any(w.requires_grad for w in part.parameters()):
                part.train(False)  # the backbone says for itself what of it learns
        return self

    def on_fit_start(self) -> None:
        """Puts everything that learns into training mode: Lightning keeps the modes it finds."""
        self.seed = torch.initial_seed()
        self.train()
        if isinstance(self.trainer.model, DistributedDataParallel):
            # buffers are the same everywhere; sent out, they would wait for a process that has no validation clip
            self.trainer.model.broadcast_buffers = False

    def on_train_start(self) -> None:
        """From here on its parts are no longer untrained; the log goes on where training does."""
        super().on_train_start()
        self.trained = True
        for logger in self.loggers:
            if isinstance(logger, MetricsLogger):
                logger.begin(self.global_step)

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        """What is random in a step follows from the seed and the step's place, so that it can be done again."""
        epoch, done = place(self.trainer)
        torch.manual_seed(mixed(self.seed, epoch, done, self.global_rank))

    def watch_loss(self, loss: Tensor, batch: Batch) -> None:
        """Adds the loss of validation clips to that of the epoch."""
        self.losses.update(loss, weight=len(batch["name"]))

    def on_validation_epoch_end(self) -> None:
        """Logs the mean loss of a clip, in every process, also in one that saw no clip."""
        self.log("validation/loss", self.losses.compute(), prog_bar=True, sync_dist=False)
        self.losses.reset()

    def configure_optimizers(self) -> Any:
        """AdamW on what is trained; weights of one dimension (norms, biases, scales) do not decay."""
        groups: dict[bool, dict[str, Any]] = {}
        for weight in self.parameters():
            if weight.requires_grad:
                decays = weight.ndim > 1
                empty = {"params": [], "weight_decay": self.weight_decay * decays}
                groups.setdefault(decays, empty)["params"].append(weight)

        @cache
        def steps() -> int:
            return max(int(self.trainer.estimated_stepping_batches), 1)

        def rate(step: int) -> float:
            # asking for the estimate starts the loaders: not before a checkpoint has restored where they begin
            done = min(step / steps(), 1) if step else 0.0
            return min((step + 1) / max(self.warmup, 1), 1.0) * (1 + cos(pi * done)) / 2

        optimizer = AdamW(list(groups.values()), self.learning_rate, betas=(0.9, 0.98))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, rate), "interval": "step"}}

    def sure(self, batch: Batch, seen: Evidence) -> Tensor | None:
        """Scores [B] of clips without heatmaps, where the task has any; see `tvau.tasks.dialog`."""
        return None

    def words(self, abnormal: Sequence[str] = (), normal: Sequence[str] = ()) -> None:
        """Own phrases in the place of the prompts, see `TVAU.words`; with them no probability is known any longer."""
        self.model.words(abnormal, normal)
        if OURS in self.rules:
            self.rules[OURS] = self.rules[OURS].uncalibrated()

    # ---- checkpoints ----

    def configure_model(self) -> None:
        """Splits the model over the devices where the strategy asks for it (`Sharded`)."""
        if self.device_mesh is not None:
            beside = [weight for name, weight in self.named_parameters() if not name.startswith("model.")]
            shard(self.model, self.device_mesh["data_parallel"], beside)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Lightning's, and by norm where weights are split over devices."""
        if self.device_mesh is None:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            clip(self.parameters(), gradient_clip_val)

    def keeps(self, key: str) -> bool:
        """Whether a checkpoint keeps this part of the state."""
        return not key.startswith(FROZEN) or "lora_" in key or not getattr(self.model.backbone, "frozen", True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Drops the frozen LVLM and says to which LVLM the rest belongs."""
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if self.keeps(k)}
        checkpoint["task"], checkpoint["data"] = type(self).__name__, self.data
        backbone = self.model.backbone
        checkpoint["backbone"], checkpoint["lvlm"] = identity(backbone), named(backbone)
        checkpoint["decoder"] = self.decoder_options
        checkpoint["rules"] = {method: rule.stored() for method, rule in self.rules.items()}
        # under Lightning's own name they would overrule what the command line says, the task itself included
        options = checkpoint.pop("hyper_parameters", {})
        checkpoint["options"] = {k: v for k, v in options.items() if not k.startswith("_")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises CheckpointError for a checkpoint of another backbone, or one that lacks trained parts."""
        check_identity(checkpoint, self.model.backbone, "the checkpoint")
        given = {k: tuple(v.shape) for k, v in checkpoint["state_dict"].items()}
        later = ("model.familiarity.", "model.judge.")  # older checkpoints have none
        new = {k for k in self.state_dict() if k.startswith(later)} - given.keys()
        wanted = {k: tuple(v.shape) for k, v in self.state_dict().items() if self.keeps(k) and k not in new}
        if wanted != given:
            wrong = sorted(k for k in wanted.keys() | given.keys() if wanted.get(k) != given.get(k))
            raise CheckpointError(
                f"the checkpoint does not fit this model, {len(wrong)} parts differ (first: {wrong[0]}): was it "
                "trained with the same task and options (heatmap, view, lora_rank)?"
            )
        self.rules |= rules_of(checkpoint)
        self.data = dict(checkpoint.get("data") or {})
        self.trained = True

    # ---- results ----

    @property
    def split_names(self) -> list[str]:
        """Names of the test loaders."""
        return list(getattr(getattr(self.trainer, "datamodule", None), "test_names", ("test",)))

    @property
    def splits(self) -> dict[str, ClipDataset]:
        """The clips of the DataModule's splits, of those that are indexed."""
        return dict(getattr(getattr(self.trainer, "datamodule", None), "splits", {}))

    @property
    def folder(self) -> Path:
        """Where the run leaves its results."""
        return Path(self.trainer.default_root_dir)

    def publish(self, results: dict[str, Any]) -> None:
        """Writes `test.json`, and of what stands behind it `curves.json` and `samples.npz`, into the run's folder.

        Each appears whole or not at all.
        """
        if not self.trainer.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        curves, samples = take_curves(results), take_samples(results)
        for name, content, indent in (("test.json", results, 2), ("curves.json", curves, None)):
            with whole(self.folder / name) as temporary:
                temporary.write_text(json.dumps(content, indent=indent))
        with whole(self.folder / DRAWS) as temporary:
            arrays: dict[str, Any] = {key: np.array(own, np.float32) for key, own in samples.items()}
            for split in set(self.split_names) & set(self.splits):
                arrays[f"{VIDEOS}/{split}"] = of_videos(clip.name for clip in self.splits[split].clips)
            np.savez_compressed(temporary, **arrays)
        if (tested := getattr(self.trainer, "ckpt_path", None)) and Path(tested).exists():
            add_figures(self.folder / "model", read_checkpoint(tested), results)
        self.print(f"{score_table(results)}\n\nresults: {self.folder / 'test.json'}")


def described(data: Any) -> dict[str, Any]:
    """What of its data a model remembers: the kind and name of the data set, and what its clips were like."""
    root = getattr(data, "root", None) or getattr(data, "videos", None)
    named = Path(root).name if isinstance(root, str | Path) else None
    known = {"set": type(data).__name__, "name": named} if data is not None else {}
    return known | {key: getattr(data, key) for key in ("frames", "stride", "size") if hasattr(data, key)}
