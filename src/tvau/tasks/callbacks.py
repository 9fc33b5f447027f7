"""What happens beside training: pictures in the log, costs, predictions on disk."""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from tvau.files import whole
from tvau.metrics.boxes import MapRule
from tvau.metrics.frame import smooth
from tvau.tasks.base import OURS, Task
from tvau.types import Batch, having
from tvau.viz.overlay import key_frames
from tvau.viz.predictions import Dialog, write_prediction


class HeatmapPictures(Callback):
    """Puts key frames of the first validation clips, with truth and heatmap, into TensorBoard.

    Args:
        clips: number of clips.
    """

    def __init__(self, clips: int = 4) -> None:
        self.clips = clips

    def on_validation_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Batch, index: int, dataloader_idx: int = 0
    ) -> None:
        """Logs the pictures of the first batch."""
        if index or not isinstance(outputs, Tensor):
            return
        for i in range(min(self.clips, len(batch["name"]))):
            pictures = batch["video"][i].movedim(1, -1).cpu().numpy()
            mask = batch["mask"][i].cpu().numpy() if i in having(batch, "mask") else None
            picture = key_frames(pictures, outputs[i].float().cpu().numpy(), mask)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_image(f"heatmaps/{i}", picture, trainer.global_step, dataformats="HWC")


class Cost(Callback):
    """Writes what a run costs into `cost.json` in its folder; fit and test each add their part.

    parameters: numbers that are trained; fit_seconds, test_seconds: wall clock, without imports and the loading of
    weights; fit_memory, test_memory: peak of the process in bytes, the interpreter and its libraries included;
    fit_gpu, test_gpu: peak of what tensors took on the GPU, bytes, where there is one.
    """

    start = 0.0

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """The clock starts."""
        self.start = time.monotonic()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def teardown(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Writes the part of a fit or test that ended well."""
        if stage not in ("fit", "test") or not trainer.is_global_zero or trainer.interrupted:
            return
        path, name = cast(Task, module).folder / "cost.json", getattr(stage, "value", stage)  # an enum, or a word
        unit = 1 if sys.platform == "darwin" else 1024
        costs = json.loads(path.read_text()) if path.is_file() else {}
        costs |= {
            f"{name}_seconds": time.monotonic() - self.start,
            f"{name}_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        }
        if torch.cuda.is_available():
            costs[f"{name}_gpu"] = torch.cuda.max_memory_allocated()
        if name == "fit":
            costs["parameters"] = sum(w.numel() for w in module.parameters() if w.requires_grad)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as temporary:
            temporary.write_text(json.dumps(costs, indent=2))


class PredictionWriter(Callback):
    """Writes overlay, scores and dialog of each video as soon as its last window is done.

    Args:
        folder: where each video gets a folder of its own.
    """

    def __init__(self, folder: str = "predictions") -> None:
        self.folder = Path(folder)
        self.name: str | None = None
        self.windows: list[dict[str, Any]] = []

    def on_predict_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Batch, index: int, dataloader_idx: int = 0
    ) -> None:
        """Keeps the windows of a video together; they come in order, one video after the other."""
        for i, name in enumerate(batch["name"]):
            if name != self.name:
                self._write(trainer)
                self.name = name
            self.windows.append(
                {
                    "frames": batch["frames"][i].cpu().numpy(),
                    "heatmaps": outputs["heatmaps"][i].float().cpu().numpy(),
                    "scores": outputs["scores"][i].float().cpu().numpy(),
                    "turns": outputs["turns"][i],
                    "fps": batch["fps"][i],
                }
            )

    def on_predict_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Writes the last video."""
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if not self.windows:
            return
        name, windows, self.windows = cast(str, self.name), self.windows, []
        rule = cast(Task, trainer.lightning_module).rules.get(OURS, MapRule())
        frames = np.concatenate([w["frames"] for w in windows])
        at, where = np.unique(frames, return_inverse=True)  # overlapping windows: their mean
        weight = np.bincount(where)
        heatmaps = np.zeros((len(at), *windows[0]["heatmaps"].shape[1:]), np.float32)
        np.add.at(heatmaps, where, np.concatenate([w["heatmaps"] for w in windows]))
        scores = smooth(np.bincount(where, np.concatenate([w["scores"] for w in windows])) / weight, rule.smoothing)
        dialogs = [Dialog(frames=[int(w["frames"][0]), int(w["frames"][-1])], turns=w["turns"]) for w in windows]
        source = cast(Any, trainer).datamodule.paths[name]
        folder = self.folder / name
        write_prediction(folder, source, at, heatmaps / weight[:, None, None], scores, dialogs, windows[0]["fps"], rule)
        print(f"{name}: highest score {scores.max():.3f} at frame {at[scores.argmax()]} -> {folder}")
