"""What all data sets share: clips that become samples, batches, and the loaders of a DataModule."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import lightning
import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from tvau.data.order import EpochSampler, ResumableLoader, place, unmoved
from tvau.data.video import Reader, Size
from tvau.errors import DataError, OptionError
from tvau.types import Batch, Sample, Turn, side_by_side

OnBroken = Literal["fail", "skip"]

T = TypeVar("T")


@dataclass(frozen=True)
class Clip:
    """Some frames of a video and what is said about them."""

    name: str  # of the video
    path: Path
    frames: Sequence[int]  # 0-based numbers, rising; the last one again and again where a video is shorter than a clip
    turns: tuple[Turn, ...] = ()
    labels: tuple[bool, ...] | None = None  # the data set's own, of each frame; None where it has none
    mirrored: bool = False  # left is right

    @property
    def abnormal(self) -> bool:
        """Whether any of its frames is."""
        return any(self.labels or ())


class ClipDataset(Dataset[Sample]):
    """Samples of a list of clips. A data set with masks overrides `truth`."""

    def __init__(
        self, clips: Sequence[Clip], size: Size | None, on_broken: OnBroken = "fail", fps: float | None = None
    ) -> None:
        self.clips = list(clips)
        self.on_broken = on_broken
        self.reader = Reader(size, fps)
        self._broken: set[str] = set()
        self.kept: dict[int, Sample] | None = None  # samples by the number of their clip; None: each is read anew

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def abnormal(self) -> set[str]:
        """The videos with an abnormal frame in some clip."""
        return {clip.name for clip in self.clips if clip.abnormal}

    def __getitem__(self, index: int) -> Sample:
        """The sample of a clip; with `on_broken="skip"` the next readable clip of another video stands in for it.

        Used where clips are drawn at random (training); `ClipStream` leaves broken videos out instead.
        """
        if self.kept is not None and index in self.kept:
            return self.kept[index]
        for at in range(index, index + len(self.clips)):
            clip = self.clips[at % len(self.clips)]
            if clip.name in self._broken:
                continue
            try:
                sample = self.sample(clip)
            except DataError as error:
                self.give_up(clip.name, error)
                continue
            if self.kept is not None:
                self.kept[index] = sample
            return sample
        raise DataError(f"None of the {len(self.clips)} clips can be read.")

    def give_up(self, name: str, error: DataError) -> None:
        """Name a broken video and read no more of it, or raise, as the user chose."""
        if self.on_broken == "fail":
            raise error
        warnings.warn(f"Skipped {name}: {error}", stacklevel=3)
        self._broken.add(name)

    def is_broken(self, name: str) -> bool:
        """Whether this process has given up a video."""
        return name in self._broken

    def sample(self, clip: Clip) -> Sample:
        """Read one clip."""
        video = self.reader.open(clip.path)
        sample: Sample = {
            "video": video.read(clip.frames),
            "frames": torch.tensor(list(clip.frames)),
            "fps": video.fps,
            "name": clip.name,
            "turns": list(clip.turns),
        }
        if clip.labels is not None:
            sample["labels"] = torch.tensor(clip.labels)
        sample.update(cast(Sample, self.truth(clip, video.size)))
        return in_a_mirror(sample) if clip.mirrored else sample

    def truth(self, clip: Clip, size: Size) -> dict[str, Tensor]:
        """Mask and other tensors of a clip, resized like its frames; `size` is that of the source."""
        return {}


def in_a_mirror(sample: Sample) -> Sample:
    """The same clip with left and right exchanged."""
    made, width = sample.copy(), sample["video"].shape[-1]
    for key in ("video", "mask", "ids"):
        if key in made:
            made[key] = made[key].flip(-1).contiguous()
    if "boxes" in made:
        track, at, x1, y1, x2, y2 = made["boxes"].unbind(1)
        made["boxes"] = torch.stack([track, at, width - 1 - x2, y1, width - 1 - x1, y2], 1)
    return made


class ClipStream(IterableDataset[Batch]):
    """Batches of all clips in order, for evaluation and prediction.

    Each process and loader worker owns whole videos, so that no frame is decoded twice. With one worker (or none) the
    batches come in the order of the clips; with more, those of several videos take turns. With `apart`, no batch holds
    two videos: what comes of a video then does not depend on its neighbours, be they of another size or left out.
    Where it is not `shared`, each process goes through all clips: what is learned from them is then the same in all.
    """

    def __init__(
        self, dataset: ClipDataset, batch_size: int, workers: int, apart: bool = False, shared: bool = True
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.workers = max(workers, 1)
        self.apart = apart
        self.ranks, self.rank = 1, 0
        if shared and distributed.is_initialized():  # asked here: a worker that is not forked knows of no other process
            self.ranks, self.rank = distributed.get_world_size(), distributed.get_rank()

    def _share(self, worker: int) -> list[Clip]:
        """The clips of one worker of this process."""
        mine, every = self.rank * self.workers + worker, self.ranks * self.workers
        videos = groupby(self.dataset.clips, lambda clip: clip.name)
        return [clip for at, (_, clips) in enumerate(videos) if at % every == mine for clip in clips]

    def __len__(self) -> int:
        """Batches of this process, and 1 where it has none: one with 0 would be left out of sums of scores, too."""
        return max(sum(len(self._batches(worker)) for worker in range(self.workers)), 1)

    def _batches(self, worker: int) -> list[list[Clip]]:
        """The clips of one worker, as they stand side by side where none is broken."""
        share = self._share(worker)
        parts = [list(clips) for _, clips in groupby(share, lambda clip: clip.name)] if self.apart else [share]
        return [part[at : at + self.batch_size] for part in parts for at in range(0, len(part), self.batch_size)]

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        for clips in self._batches(worker.id if worker else 0):
            samples: list[Sample] = []
            for clip in clips:
                if self.dataset.is_broken(clip.name):
                    continue
                try:
                    samples.append(self.dataset.sample(clip))
                except DataError as error:
                    self.dataset.give_up(clip.name, error)
            if samples:
                yield collate(samples)


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples side by side, see `Batch`; nothing that is known of a clip is dropped because its neighbour lacks it.

    Raises:
        DataError: videos of unequal shape.
    """
    shapes = {sample["name"]: tuple(sample["video"].shape) for sample in samples}
    if len(set(shapes.values())) > 1:
        given = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise DataError(
            f"Videos of unequal shape [T, 3, H, W] in one batch: {given}. Set `size`, or `batch_size` to 1."
        )
    keys = dict.fromkeys(key for sample in samples for key in sample)
    return side_by_side({key: [cast(dict[str, Any], sample).get(key) for sample in samples] for key in keys})


class VideoDataModule(lightning.LightningDataModule, ABC):
    """Loaders over the clips of a data set; a data set says which clips its splits hold.

    Args:
        batch_size: clips of a batch.
        num_workers: processes that read ahead; 0 reads in the main process.
        shuffle: draw training clips in random order.
        balance: draw normal and abnormal training clips equally often (with replacement; implies `shuffle`).
        seed: of the random order.
        on_broken: what an unreadable video does: "fail", or "skip": it is named in a warning and left out.
        in_memory: keep training clips once they are read, in each worker: small data sets are decoded only once. A
            clip of 16 frames of 96x160 pixels takes 1 MB.
        test_splits: names of the splits that `test` runs over, one loader each, in this order.
        mirror: every training clip comes a second time, as in a mirror, without its turns: they say left and right.
    """

    def __init__(
        self,
        batch_size: int,
        num_workers: int,
        shuffle: bool = True,
        balance: bool = False,
        seed: int = 0,
        on_broken: OnBroken = "fail",
        test_splits: Sequence[str] = ("test",),
        in_memory: bool = False,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise OptionError(f"batch_size {batch_size}: expected the number of clips of a batch, at least 1")
        if num_workers < 0:
            raise OptionError(f"num_workers {num_workers}: expected a number of processes, 0 for the main one alone")
        self.batch_size, self.num_workers = batch_size, num_workers
        self.shuffle, self.balance, self.seed = shuffle, balance, seed
        self.on_broken: OnBroken = on_broken
        self.test_splits, self.in_memory, self.mirror = list(test_splits), in_memory, mirror
        self.splits: dict[str, ClipDataset] = {}
        self.looked: Callable[[], Mapping[str, int]] = (
            dict  # windows by video that were predicted before; each process asks
        )

    @property
    def test_names(self) -> list[str]:
        """Names of the test loaders, by their index."""
        return self.test_splits

    @abstractmethod
    def split(self, name: str) -> ClipDataset:
        """Index a split: all files are looked up here, once."""

    def setup(self, stage: str) -> None:
        """Index the splits that a stage ("fit", "validate", "test" or "predict") needs."""
        names = {"fit": ["training", "validation"], "validate": ["validation"], "predict": ["predict"]}
        for name in names.get(stage, self.test_splits):
            if name not in self.splits:
                self.splits[name] = self.split(name)
                if name == "training" and self.mirror:
                    clips = self.splits[name].clips
                    clips += [replace(clip, mirrored=True, turns=()) for clip in clips]
        if self.in_memory and "training" in self.splits:
            self.splits["training"].kept = {}

    def train_dataloader(self, shared: bool = True) -> DataLoader[Sample]:
        """Training clips in the order of the epoch, without those that a resumed run has seen; see `ClipStream`."""
        dataset = self.splits["training"]
        shares: list[float] | None = None
        abnormal = sum(clip.abnormal for clip in dataset.clips)
        if self.balance:
            if not 0 < abnormal < len(dataset):
                raise DataError(
                    f"`balance` needs normal and abnormal clips; of {len(dataset)} training clips {abnormal} are "
                    "abnormal. Set it to false, or check the lists of the split."
                )
            shares = [1 / abnormal if clip.abnormal else 1 / (len(dataset) - abnormal) for clip in dataset.clips]
        trainer = self.trainer
        ranks, rank = (trainer.world_size, trainer.global_rank) if trainer and shared else (1, 0)
        sampler = EpochSampler(
            len(dataset), self.batch_size, lambda: place(trainer), self.seed, self.shuffle, shares, ranks, rank
        )
        return ResumableLoader(
            dataset,
            self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            worker_init_fn=unmoved,
            collate_fn=collate,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self, shared: bool = True) -> DataLoader[Batch]:
        """All validation clips, in order; see `ClipStream`."""
        return self._stream("validation", shared=shared)

    def test_dataloader(self) -> list[DataLoader[Batch]]:
        """All clips of each test split, in order; `test_names` names the loaders."""
        return [self._stream(name) for name in self.test_splits]

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The clips to predict, in order, without the first of each video, of `looked`; no batch holds two videos."""
        before, dataset = self.looked(), self.splits["predict"]
        videos = groupby(dataset.clips, lambda clip: clip.name)
        dataset.clips = [clip for name, clips in videos for clip in islice(clips, before.get(name, 0), None)]
        return self._stream("predict", apart=True)

    def _stream(self, split: str, apart: bool = False, shared: bool = True) -> DataLoader[Batch]:
        stream = ClipStream(self.splits[split], self.batch_size, self.num_workers, apart, shared)
        return DataLoader(
            stream,
            batch_size=None,
            num_workers=self.num_workers,
            worker_init_fn=unmoved,
            pin_memory=torch.cuda.is_available(),
        )


def spaced(names: Sequence[T], limit: int | None) -> list[T]:
    """At most `limit` names, evenly spaced over the list, so that every part of it stays represented."""
    if limit is None or limit >= len(names):
        return list(names)
    return [names[at * len(names) // limit] for at in range(limit)]
