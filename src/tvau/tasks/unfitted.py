"""Baselines without a fit: `test` first runs over the training clips, and chooses a rule on the validation clips."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from torch import Tensor

from tvau.data.module import VideoDataModule
from tvau.tasks.heatmap import MapTask
from tvau.types import Batch


class UnfittedTask(MapTask):
    """A method that learns what it needs in one pass, if anything; arguments as `MapTask`.

    What is random in it follows the seed of the run.
    """

    reads = False  # whether the language model takes part

    def __init__(self, method: str, **options: Any) -> None:
        super().__init__(method, learning_rate=0.0, weight_decay=0.0, warmup=0, **options)

    def setup(self, stage: str) -> None:
        """The language model goes to the device with the rest where it takes part."""
        super().setup(stage)
        self.model.backbone.mute(not self.reads)

    def on_test_start(self) -> None:
        """Learns from the training clips and chooses the rule on the validation clips."""
        data = cast(VideoDataModule, self.trainer.datamodule)  # type: ignore[attr-defined]
        data.setup("fit")
        self.learn(data)
        self.start_choice()
        for batch in self.moved(data.val_dataloader()):
            self.watch(batch, self.heatmaps(batch))
        self.rules |= self.chosen()
        super().on_test_start()

    def learn(self, data: VideoDataModule) -> None:
        """What the method has to know of the training clips, from all of them in every process: all know the same."""

    def moved(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Batches on the device of the model."""
        return (self.trainer.strategy.batch_to_device(batch, self.device) for batch in batches)


class FrameTask(UnfittedTask):
    """A method that scores frames and makes no maps; of pixels, regions and tracks nothing is said."""

    def frames(self, batch: Batch) -> Tensor:
        """Scores [B, T] in [0, 1]."""
        raise NotImplementedError

    def heatmaps(self, batch: Batch) -> Tensor:
        """The scores as maps of one pixel [B, T, 1, 1]."""
        return self.frames(batch)[..., None, None]

    def watch(self, batch: Batch, own: Tensor) -> None:
        """Adds validation clips to the choice of the rule."""
        super().watch(labelled(batch), own)

    def test_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> None:
        """Scores the frames."""
        super().test_step(labelled(batch), index, dataloader_idx)


def labelled(batch: Batch) -> Batch:
    """A batch of which only the labels of frames are known."""
    return cast(Batch, {key: value for key, value in batch.items() if key not in ("mask", "boxes")})


def spread(steps: Tensor, frames: int) -> Tensor:
    """Values of time steps [B, T'] for each of T frames [B, T]."""
    return steps[:, [at * steps.shape[1] // frames for at in range(frames)]]
