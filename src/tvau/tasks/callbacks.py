"""What happens beside training: pictures in the log, costs."""

import json
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from tvau.backbones.served import Served
from tvau.files import whole
from tvau.tasks.base import Task
from tvau.tasks.heatmap import MapTask
from tvau.types import Batch, having
from tvau.viz.overlay import key_frames


class OwnWords(Callback):
    """Puts own phrases in the place of a checkpoint's prompts as soon as it is read; see `TVAU.words`.

    Args:
        abnormal, normal: phrases; of a side without them the trained feature stays.
    """

    def __init__(self, abnormal: Sequence[str] = (), normal: Sequence[str] = ()) -> None:
        self.abnormal, self.normal = list(abnormal), list(normal)

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """The checkpoint is read later, and after that nobody asks before the first clip is looked at."""

        def speak(task: Any, _: Any) -> None:
            muted = isinstance(task, MapTask)
            task.model.backbone.mute(False)
            task.words(self.abnormal, self.normal)
            task.model.backbone.mute(muted)

        module.register_load_state_dict_post_hook(speak)


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


class Serve(Callback):
    """Lets a server speak in `predict`, see `tvau.backbones.served`.

    Args:
        server: its address.
        name: of the LVLM there; None: the first that it names.
    """

    def __init__(self, server: str, name: str | None = None) -> None:
        self.server, self.name = server, name

    def on_predict_start(self, trainer: Trainer, module: LightningModule) -> None:
        """The language model leaves the device. Raises BackboneError where no server answers."""
        model = cast(Task, module).model
        model.backbone = Served(model.backbone, self.server, self.name)


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
