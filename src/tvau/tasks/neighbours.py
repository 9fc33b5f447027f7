"""One class: what normal video leaves in the memory, and the rules that come of it alone."""

import copy
from collections.abc import Iterator, Sequence
from math import ceil
from typing import cast

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from tvau.backbones import VideoLVLM
from tvau.data.module import Clip, ClipDataset, ClipStream, VideoDataModule, spaced
from tvau.errors import CheckpointError, DataError
from tvau.heatmap_decoder import AnomalyHeatmapDecoder, heatmap
from tvau.memory import Memory
from tvau.metrics.boxes import MapRule, boxes
from tvau.metrics.intervals import SAMPLES
from tvau.metrics.rows import video_key
from tvau.model import TVAU
from tvau.tasks.base import OURS
from tvau.tasks.heatmap import Baseline, MapTask
from tvau.tasks.maps import BASELINES
from tvau.types import Batch

NEIGHBOURS = "nearest neighbours"
HELD = 5  # every fifth video stays out of the bank
PICTURES = 256  # normal frames by which boxes are chosen
REGIONS = 1.0  # false regions a frame of normal video that they may show: as far as RBDC and TBDC look
SHARES = tuple(10 ** -(each / 8) for each in range(32, 3, -1))  # of pixels above a threshold, candidates for it


class NeighbourTask(MapTask):
    """Heatmaps from a memory of normal tokens, see `tvau.memory`.

    There is nothing to fit. `learn` fills the memory from the normal clips of a data set, calibrates it on videos that
    stayed out, and takes the rules for boxes from the same: a threshold for each method under which normal video shows
    no more than one region a frame. `test` learns from the training clips unless a checkpoint did. No label but
    "normal" is read, so a data set's official one-class protocol is enough. What is random follows the seed of the run.

    Args:
        backbone: the LVLM, frozen.
        bank: tokens in the bank.
        each: tokens that are taken from a clip, at random.
        clips: most clips that are looked at, evenly spaced over the videos.
        blocks: of the tower that are compared; None: the last that the backbone reads.
        false_alarms: in an hour of normal video, where a score of 0.5 begins.
        every: see `TVAU`.
        baselines, bootstrap, merl: see `MapTask`.
    """

    def __init__(
        self,
        backbone: VideoLVLM,
        bank: int = 4096,
        each: int = 64,
        clips: int = 2000,
        blocks: Sequence[int] | None = None,
        false_alarms: float = 1.0,
        every: int = 1,
        baselines: Sequence[Baseline] = (),
        bootstrap: int = SAMPLES,
        merl: bool = False,
    ) -> None:
        super().__init__(NEIGHBOURS, baselines, bootstrap, merl, learning_rate=0.0, weight_decay=0.0, warmup=0)
        self.save_hyperparameters(ignore=["backbone"])
        memory = Memory(backbone.vision_size, blocks or backbone.blocks[-1:], bank)
        self.model = TVAU(backbone, cast(AnomalyHeatmapDecoder, memory), every=every)  # it stands where that does

    @property
    def memory(self) -> Memory:
        """What is remembered."""
        return cast(Memory, self.model.decoder)

    def on_test_start(self) -> None:
        """Learns from the training clips, unless a checkpoint was given."""
        if not self.trained:
            data = cast(VideoDataModule, self.trainer.datamodule)  # type: ignore[attr-defined]
            self.learn(data.splits.get("training") or data.split("training"), data.batch_size)
        super().on_test_start()

    def on_predict_epoch_start(self) -> None:
        """Raises CheckpointError where nothing is remembered."""
        if not self.memory.known:
            raise CheckpointError("this memory of normal video is empty: give one that has learned (tvau learn)")

    # ---- learning ----

    @torch.no_grad()
    def learn(self, clips: ClipDataset, batch_size: int = 4) -> None:
        """Fills and calibrates the memory, beside what it knows, and chooses the rules for boxes.

        Args:
            clips: those that are known to be abnormal are left out.
            batch_size: clips at a time.

        Raises:
            DataError: nothing normal, or nothing that can stay out of the bank.
        """
        own, held = parted(clips, self.hparams["clips"])
        tokens = []
        for batch in self._batches(own, batch_size, "learning"):
            for each in self.memory.tokens(self._hidden(batch)).flatten(1, 3):
                tokens.append(each[torch.randperm(len(each))[: self.hparams["each"]].to(each.device)])
        self.memory.learn(torch.cat(tokens))
        frames, _, height, width = held[0]["video"].shape
        every = ceil(len(held) * frames / PICTURES)
        distances, seconds, normal = [], 0.0, {name: list[Tensor]() for name in (self.method, *self.baselines)}
        for batch in self._batches(held, batch_size, "calibrating"):
            distances.append(self.memory.distance(self._hidden(batch)))
            seconds += sum(map(length, batch["frames"], batch["fps"]))
            for name in self.baselines:
                normal[name].append(BASELINES[name](batch["video"])[:, ::every])
        self.memory.calibrate(distances, frames, (height, width), seconds, self.hparams["false_alarms"])
        for each in distances:
            normal[self.method].append(heatmap(self.memory.logit(each), frames, height, width)[:, ::every])
        self.rules |= {name: quiet(torch.cat(maps).flatten(0, 1).cpu().numpy()) for name, maps in normal.items()}
        self.rules[OURS] = self.rules[self.method]  # where there is one method, that is its name
        self.trained = True

    def _batches(self, clips: ClipDataset, batch_size: int, what: str) -> Iterator[Batch]:
        stream = ClipStream(clips, batch_size, workers=1, shared=False)
        for batch in tqdm(stream, what, leave=False, disable=None):
            yield move_data_to_device(batch, self.device)

    def _hidden(self, batch: Batch) -> dict[int, Tensor]:
        return self.model.backbone.encode({"video": batch["video"][:, :: self.model.every]}).hidden


def parted(clips: ClipDataset, most: int) -> tuple[ClipDataset, ClipDataset]:
    """The normal clips, at most so many: for the bank, and those that stay out of it.

    Every fifth video stays out, in an order without meaning; where there are fewer than five, the last fifth of each.
    No clip for the bank shares a frame with one that stays out.

    Raises:
        DataError: too few.
    """
    normal = [clip for clip in clips.clips if not clip.abnormal]
    videos = sorted({clip.name for clip in normal}, key=video_key)
    if len(videos) >= HELD:
        out = {*videos[::HELD]}
        held = [clip for clip in normal if clip.name in out]
    else:
        each = [[clip for clip in normal if clip.name == name] for name in videos]
        held = [clip for own in each for clip in own[len(own) - len(own) // HELD :]]
    apart = {(clip.name, frame) for clip in held for frame in clip.frames}  # the last window is shifted back
    own = [clip for clip in normal if apart.isdisjoint((clip.name, frame) for frame in clip.frames)]
    if not held or not own:
        raise DataError(
            f"{len(normal)} normal clips of {len(videos)} videos: a fifth of the videos, or of each, has to stay "
            f"out of the memory to say what is usual, and shares no frame with the rest. Give {HELD} videos, or one "
            f"of {HELD} clips that do not overlap."
        )
    return part(clips, spaced(own, most - most // HELD)), part(clips, spaced(held, most // HELD))


def part(clips: ClipDataset, chosen: Sequence[Clip]) -> ClipDataset:
    """A data set with these clips only."""
    less = copy.copy(clips)
    less.clips, less.kept = list(chosen), None
    return less


def length(frames: Tensor, fps: float) -> float:
    """Seconds of video for which a window [T] of frames stands."""
    return float(frames[-1] - frames[0]) / max(len(frames) - 1, 1) * len(frames) / fps


def quiet(maps: NDArray[np.float32]) -> MapRule:
    """The rule with the lowest threshold under which normal maps [N, H, W] show at most one region a frame."""
    best = MapRule(1.0)
    for threshold in np.quantile(maps, 1 - np.array(SHARES)):
        rule = MapRule(float(threshold))
        if np.mean([len(boxes(own, rule)) for own in maps]) > REGIONS:
            break
        best = rule
    return best
