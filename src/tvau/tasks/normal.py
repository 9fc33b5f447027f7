"""Heatmaps for an LVLM as it comes, from normal video that is at hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer

from tvau.data.folder import VideoFolder
from tvau.errors import OptionError
from tvau.heatmap_decoder import AnomalyHeatmapDecoder
from tvau.tasks.base import OURS, Task, described
from tvau.tasks.neighbours import NeighbourTask

SEED = 0  # of what is random in the memory: the same video gives the same memory to predict, chat and Python


def remember(task: Task, videos: Sequence[str | Path], device: torch.device | str, **view: Any) -> None:
    """A memory of normal video, as `tvau learn` makes it, stands where a heatmap decoder would; with its rules.

    Args:
        task: an LVLM as it comes.
        videos: normal video files, frame folders, or folders that hold either.
        device: on which the video is looked at.
        view: of `VideoFolder`; the same as that of the videos that will be judged.

    Raises:
        OptionError: something was trained, and has heatmaps of its own or was tuned without any.
        DataError: too little video, or none.
    """
    if not task.untrained:
        raise OptionError("normal video makes heatmaps for an LVLM as it comes, and this model was trained: "
                          "`tvau learn` makes a model of normal video")  # fmt: skip
    data = VideoFolder([str(video) for video in videos], **view)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        learner = NeighbourTask(task.model.backbone).to(device)
        learner.learn(data.split("training"), data.batch_size)
    task.model.decoder = cast(AnomalyHeatmapDecoder, learner.memory)
    task.rules[OURS], task.data = learner.rules[OURS], described(data)


class NormalVideo(Callback):
    """Gives `predict` a memory of normal video, see `remember`; it is looked at as the videos are.

    Args:
        videos: normal video files, frame folders, or folders that hold either.
    """

    def __init__(self, videos: Sequence[str]) -> None:
        self.videos = list(videos)

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Learns, before the results of earlier runs are held against this model. Raises as `remember`."""
        data = cast(Any, trainer).datamodule
        view = {name: getattr(data, name) for name in ("frames", "stride", "size", "fps", "batch_size", "on_broken")}
        remember(cast(Task, module), self.videos, trainer.strategy.root_device, **view)
