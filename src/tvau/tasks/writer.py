"""Predictions on disk: the results of each video appear together as soon as its last window has come."""

import hashlib
import json
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tvau import __version__
from tvau.data.module import VideoDataModule
from tvau.data.video import Video
from tvau.errors import DataError, OptionError
from tvau.files import sweep, whole_folder
from tvau.heatmap_decoder import heatmap
from tvau.metrics.boxes import MapRule
from tvau.metrics.frame import smooth
from tvau.tasks.base import OURS, Task
from tvau.tasks.checkpoints import identity
from tvau.types import Batch
from tvau.viz.overlay import Image
from tvau.viz.predictions import Dialog, Evidence, Map, clock, write_prediction

MADE = "made.json"
EVERY = 10  # frames between two looks of the bar
VIEW = ("frames", "stride", "hop", "size", "fps")  # what of the data decides about the results


class Seen:
    """The windows of one video as they come, in order. Their maps lie on disk, at the size of the patches.

    Args:
        folder: where the file of the maps may lie; it has no name and goes with the process.
    """

    def __init__(self, folder: Path) -> None:
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as this
        self.frames: list[NDArray[np.int64]] = []
        self.scores: list[NDArray[np.float32]] = []
        self.dialogs: list[Dialog] = []
        self.strange: list[float] = []

    def add(self, batch: Batch, outputs: dict[str, Any], row: int) -> None:
        """One more window: a clip of a batch, and what `predict_step` gave of it."""
        self.size, self.fps = batch["video"].shape[-2:], batch["fps"][row]
        self.frames.append(batch["frames"][row].cpu().numpy())
        frames = self.frames[-1]
        self.dialogs.append(Dialog(frames=[int(frames[0]), int(frames[-1])], turns=outputs["turns"][row]))
        if repeated := len(frames) - len(np.unique(frames)):
            self.dialogs[-1]["repeated"] = repeated
        if outputs["strange"] is not None:
            self.strange.append(float(outputs["strange"][row]))
        if outputs["logits"] is not None:
            logits = outputs["logits"][row].float().cpu().numpy()  # [T', H', W']
            self.grid = logits.shape
            self.file.write(logits.tobytes())
            self.scores.append(outputs["scores"][row].float().cpu().numpy())

    def evidence(self, rule: MapRule) -> Evidence | None:
        """Scores and heatmaps of all sampled frames; overlapping windows give their mean. None: no maps."""
        if not self.scores:
            return None
        frames, where = np.unique(np.concatenate(self.frames), return_inverse=True)
        scores = np.bincount(where, np.concatenate(self.scores)) / np.bincount(where)
        return Evidence(frames, smooth(scores, rule.smoothing), self._maps(), rule)

    def _maps(self) -> Iterator[tuple[int, Map]]:
        """(frame, heatmap [H, W]) in order, with no more than two windows in memory."""
        self.file.seek(0)
        waiting: dict[int, list[Map]] = {}
        for frames in self.frames:  # they begin one after the other: what lies before this one is whole
            for frame in sorted(frame for frame in waiting if frame < frames[0]):
                yield frame, np.mean(waiting.pop(frame), 0)
            logits = np.frombuffer(self.file.read(4 * int(np.prod(self.grid))), np.float32).reshape(self.grid)
            heatmaps = heatmap(torch.tensor(logits)[None], len(frames), *self.size)[0].numpy()  # [T, H, W]
            for frame, shown in zip(frames.tolist(), heatmaps, strict=True):
                waiting.setdefault(frame, []).append(shown)
        for frame in sorted(waiting):
            yield frame, np.mean(waiting.pop(frame), 0)


class PredictionWriter(Callback):
    """Writes what was seen and said of each video into a folder of its own, see `write_prediction`.

    Windows may come in any order of videos (loader workers take turns, processes share the videos); those of one video
    come in order. `made.json` says by which model and options; a video that was done by the same is not done again.

    Args:
        folder: where each video gets a folder of its own.
        overwrite: do all videos again.
    """

    def __init__(self, folder: str = "predictions", overwrite: bool = False) -> None:
        self.folder, self.overwrite = Path(folder), overwrite
        self.seen: dict[str, Seen] = {}
        self.windows: Counter[str] = Counter()
        self.by: dict[str, Any] = {}

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Clears what dead runs left. Raises OptionError where nothing can be written, before anything is looked at."""
        if stage != "predict":
            return
        trainer.predict_loop.return_predictions = False  # Lightning would keep them all in memory
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
            if trainer.is_global_zero:
                sweep(self.folder)
        data = cast(VideoDataModule, cast(Any, trainer).datamodule)
        self.windows = Counter(clip.name for clip in data.splits["predict"].clips)
        data.left_out = lambda: self._done(trainer, cast(Task, module), data)

    def _done(self, trainer: Trainer, task: Task, data: VideoDataModule) -> set[str]:
        """The videos that were done by this model and these options."""
        options = {name: value for name, value in task.hparams.items() if name not in ("heatmap", "start")}
        self.by = {
            "tvau": __version__, "task": type(task).__name__, "weights": fingerprint(task),
            "backbone": identity(task.model.backbone), "options": options, "precision": str(trainer.precision),
            "view": {name: getattr(data, name, None) for name in VIEW},
        }  # fmt: skip
        self.by = json.loads(json.dumps(self.by, default=str))  # as it is read back
        done = (
            set()
            if self.overwrite
            else {n for n in self.windows if read(self.folder / n / MADE) == self._made(data, n)}
        )
        if done:
            tqdm.write(f"{len(done)} of {len(self.windows)} videos were done before and stay (see --overwrite).")
        return done

    def _made(self, data: VideoDataModule, name: str, windows: int | None = None) -> dict[str, Any]:
        """By what the results of a video are made, of all its windows where `windows` says no other number."""
        source = cast(Any, data).paths[name]
        state = source.stat()
        of = self.windows[name]
        return {
            **self.by, "windows": of if windows is None else windows, "of": of,
            "source": {"path": str(source), "bytes": state.st_size, "modified": state.st_mtime},
        }  # fmt: skip

    def on_predict_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Batch, index: int, dataloader_idx: int = 0
    ) -> None:
        """Keeps the windows by video, and writes a video that is whole."""
        for row, name in enumerate(batch["name"]):
            with writing(self.folder):
                self.seen[name] = self.seen.get(name) or Seen(self.folder)
                self.seen[name].add(batch, outputs, row)
            if len(self.seen[name].frames) == self.windows[name]:
                self._write(trainer, name)

    def on_predict_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Writes what came of videos that were not looked at to their end."""
        for name in list(self.seen):
            self._write(trainer, name)

    def _write(self, trainer: Trainer, name: str) -> None:
        seen, data = self.seen.pop(name), cast(Any, trainer).datamodule
        rule = cast(Task, trainer.lightning_module).rules.get(OURS, MapRule())
        try:
            with writing(self.folder), whole_folder(self.folder / name) as folder:
                summary = write_prediction(
                    folder, data.paths[name], seen.dialogs, seen.evidence(rule), seen.fps, shown(trainer, name),
                    seen.strange,
                )  # fmt: skip
                made = self._made(data, name, len(seen.frames))
                (folder / MADE).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
        except DataError as error:
            if data.on_broken == "fail":
                raise
            warnings.warn(f"Skipped {name}: {error}", stacklevel=2)
            return
        finally:
            seen.file.close()
        lacking = self.windows[name] - len(seen.frames)
        found = [f"{lacking} of {self.windows[name]} windows were not looked at"] if lacking else []
        if highest := summary.get("highest"):
            found.append(f"highest score {highest['score']:.2f} at {clock(highest['seconds'])}")
        if summary.get("foreign"):
            found.append("FAR FROM THE TRAINING: do not trust it")
        tqdm.write(f"{name}: {', '.join(found) or 'done'} -> {self.folder / name / 'index.html'}")


def shown(trainer: Trainer, name: str) -> Callable[[Video], Iterable[Image]]:
    """Goes through the frames of a video under a bar below Lightning's own, where that is shown."""

    def rich(video: Video) -> Iterator[Image]:
        progress = cast(RichProgressBar, bar).progress
        assert progress is not None
        task = progress.add_task(f"writing {name}", total=video.frames)
        for at, picture in enumerate(video, start=1):
            yield picture
            progress.update(task, completed=at, refresh=at % EVERY == 0)
        progress.remove_task(task)

    bar = trainer.progress_bar_callback
    if isinstance(bar, RichProgressBar) and bar.is_enabled and bar.progress is not None:
        return rich
    quiet = None if isinstance(bar, TQDMProgressBar) and bar.is_enabled else True  # None: but for a terminal
    return lambda video: tqdm(video, f"writing {name}", video.frames, leave=False, disable=quiet)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Says in one sentence that a folder cannot be written to.

    Raises:
        OptionError: in place of an OSError.
    """
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        raise OptionError(
            f"{folder}: predictions cannot be written there ({getattr(error, 'strerror', None) or error}). Make room, "
            "or choose another folder (--out); videos that were done stay done."
        ) from error


def fingerprint(task: Task) -> str:
    """A hash of all that a checkpoint keeps of a task."""
    digest = hashlib.sha256()
    for key, value in sorted(task.state_dict().items()):
        if task.keeps(key):
            digest.update(key.encode())
            digest.update(cast(Tensor, value).detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read(path: Path) -> Any:
    """The content of a JSON file; None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
