"""Predictions on disk: the results of each video appear together as soon as its last window has come."""

import hashlib
import json
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import av
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from torch import Tensor
from tqdm import tqdm

from tvau import __version__
from tvau.data.module import VideoDataModule
from tvau.data.state import state
from tvau.data.video import Video
from tvau.errors import DataError, OptionError
from tvau.files import replaceable, sweep, whole_folder
from tvau.metrics.files import SUMMARY
from tvau.tasks.base import OURS, Task
from tvau.tasks.checkpoints import identity
from tvau.tasks.kept import MADE, Kept, located, looked, made_of
from tvau.tasks.maps import pictures
from tvau.types import Batch
from tvau.viz.overlay import Image
from tvau.viz.predictions import write_prediction
from tvau.viz.told import clock

EVERY = 10  # frames between two looks of the bar
VIEW = ("frames", "stride", "hop", "size", "fps")  # what of the data decides about the results


class PredictionWriter(Callback):
    """Writes what was seen and said of each video into a folder of its own, see `write_prediction`.

    Windows may come in any order of videos (loader workers take turns, processes share the videos); those of one video
    come in order. `made.json` says by which model and options; a video that was done by the same is not done again, and
    one that was begun by the same goes on behind the windows that were looked at, see `Kept`.

    Args:
        folder: where each video gets a folder of its own.
        overwrite: do all videos again.
        boxes: draw boxes with the numbers of their targets into the overlay.
    """

    def __init__(self, folder: str = "predictions", overwrite: bool = False, boxes: bool = False) -> None:
        self.folder, self.overwrite, self.boxes = Path(folder), overwrite, boxes
        self.kept: dict[str, Kept] = {}
        self.before: dict[str, int] = {}
        self.windows: Counter[str] = Counter()
        self.by: dict[str, Any] = {}

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Clears what dead runs left. Raises OptionError where results cannot stand, before anything is looked at."""
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
        for name in self.windows:  # a folder of frames bears the name that its results would have beside it
            replaceable(self.folder / name, SUMMARY)
        data.looked = lambda: self._before(trainer, cast(Task, module), data)

    def _before(self, trainer: Trainer, task: Task, data: VideoDataModule) -> dict[str, int]:
        """How many windows of each video were looked at before, by this model and these options."""
        options = {name: value for name, value in task.hparams.items() if name not in ("heatmap", "start")}
        self.by = {
            "tvau": __version__, "task": type(task).__name__, "weights": fingerprint(task),
            "backbone": identity(task.model.backbone), "options": options, "precision": str(trainer.precision),
            "view": {name: getattr(data, name, None) for name in VIEW}, "boxes": self.boxes,
        }  # fmt: skip
        self.by = json.loads(json.dumps(self.by, default=str))  # as it is read back
        self.before = {} if self.overwrite else {name: self._windows_of(data, name) for name in self.windows}
        done = sum(count == self.windows[name] for name, count in self.before.items())
        if done:
            tqdm.write(f"{done} of {len(self.windows)} videos were done before and stay (see --overwrite).")
        return self.before

    def _windows_of(self, data: VideoDataModule, name: str) -> int:
        """See `_before`; of a video that is not done the last batch is looked at again, since its end writes it."""
        before, now = made_of(self.folder / name), self._made(data, name)
        if before and another(before["source"], now["source"]):
            raise OptionError(
                f"{self.folder / name} holds the results of another video, {before['source']['path']}: give another "
                "folder (--out), or --overwrite"
            )
        if before == now:
            shutil.rmtree(self._begun(name), ignore_errors=True)  # of a process that was stopped right behind its end
            return self.windows[name]
        count, size = looked(self._begun(name), now), data.batch_size
        return min(count, self.windows[name] - 1) // size * size  # whole batches: others would round in other ways

    def _begun(self, name: str) -> Path:
        return self.folder / f".{name}.windows"

    def _made(self, data: VideoDataModule, name: str, windows: int | None = None) -> dict[str, Any]:
        """By what the results of a video are made, of all its windows where `windows` says no other number."""
        source = cast(Any, data).paths[name]
        size, modified = state(source)
        of = self.windows[name]
        return {
            **self.by, "windows": of if windows is None else windows, "of": of,
            "source": {"path": located(source), "bytes": size, "modified": modified},
        }  # fmt: skip

    def on_predict_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Batch, index: int, dataloader_idx: int = 0
    ) -> None:
        """Keeps the windows by video, and writes a video that is whole."""
        task, data = cast(Task, module), cast(Any, trainer).datamodule
        for row, name in enumerate(batch["name"]):
            with writing(self.folder):
                if name not in self.kept:
                    self.kept[name] = Kept(
                        self._begun(name), self._made(data, name), self.before.get(name, 0), task.rules.get(OURS),
                        batch["fps"][row],
                    )  # fmt: skip
                self.kept[name].add(batch, outputs, row)
            if len(self.kept[name].dialogs) == self.windows[name]:
                self._write(trainer, name)

    def on_predict_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Writes what came of videos that were not looked at to their end."""
        for name in list(self.kept):
            self._write(trainer, name)

    def _write(self, trainer: Trainer, name: str) -> None:
        kept, data = self.kept.pop(name), cast(Any, trainer).datamodule
        try:
            with writing(self.folder), whole_folder(self.folder / name, SUMMARY) as folder:
                summary = write_prediction(
                    folder, data.paths[name], kept.dialogs, pictures(kept.seen), kept.fps, shown(trainer, name),
                    kept.seen.strange, self.boxes, cast(Task, trainer.lightning_module).untrained,
                )  # fmt: skip
                made = self._made(data, name, len(kept.dialogs))
                (folder / MADE).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
            kept.remove()
        except DataError as error:
            if data.on_broken == "fail":
                raise
            warnings.warn(f"Skipped {name}: {error}", stacklevel=2)
            return
        finally:
            kept.close()
        lacking = self.windows[name] - len(kept.dialogs)
        found = [f"{lacking} of {self.windows[name]} windows were not looked at"] if lacking else []
        if highest := summary.get("highest"):
            found.append(f"highest score {highest['score']:.2f} at {clock(highest['seconds'])}")
        if summary.get("untrained"):
            found.append("UNTRAINED")
        if summary.get("foreign"):
            found.append("FAR FROM THE TRAINING: do not trust it")
        tqdm.write(f"{name}: {', '.join(found) or 'done'} -> {self.folder / name / 'index.html'}")


def another(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether results are of another video than now, and not of one that was moved or has changed where it lies."""
    return before["path"] != now["path"] and any(before.get(key) != now[key] for key in ("bytes", "modified"))


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
def writing(folder: Path, what: str = "predictions", kept: str = "videos that were done stay done") -> Iterator[None]:
    """Says in one sentence that a folder cannot be written to, what was to stand there, and what is not lost.

    Raises:
        OptionError: in place of an OSError.
    """
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        raise OptionError(
            f"{folder}: {what} cannot be written there ({getattr(error, 'strerror', None) or error}). Make room, "
            f"or choose another folder (--out); {kept}."
        ) from error


def fingerprint(task: Task) -> str:
    """A hash of all that a checkpoint keeps of a task."""
    digest = hashlib.sha256()
    for key, value in sorted(task.state_dict().items()):
        if task.keeps(key):
            digest.update(key.encode())
            digest.update(cast(Tensor, value).detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
