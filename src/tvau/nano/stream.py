"""Endless synthetic scenes with questions about all actors: the data of nano's pretraining.

Clips are drawn on the fly, each from its own number, so that a run of any length repeats nothing and a resumed run goes
on where it stopped. Scenes, seeds and the novel kinds of the data sets never occur here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import cast

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset, Sampler

from tvau.data.module import collate
from tvau.data.order import EpochSampler, ResumableLoader, place, unmoved
from tvau.errors import DataError
from tvau.language import ACTIONS, CELLS, COLOURS, DIRECTIONS, NOUNS, Target, scene_turns
from tvau.types import Batch, Sample
from tvau.world import PRETRAINING, ZONES, Plan, plan, render, scene, scene_for_pretraining, surroundings, targets

HELD_OUT = range(900_000, 900_060)  # scenes that are asked about only in validation and test
FRAMES, FPS = 32, 5.0  # of a script; as in the data sets
RENDER = (192, 320)


@dataclass
class Stage:
    """One part of the curriculum.

    Attributes:
        batches, batch_size: how many batches of how many clips.
        pairs: time steps T' of a clip; 2 T' frames are drawn.
        spacing: frames from one pair's start to the next (2: the plain clip of 2 T' consecutive frames).
        crowd: least and most normal people.
        activities: least and most others, who do anything that has a name.
        kinds: names of these activities (keys of `tvau.world.ACTIVITIES`), one named twice comes twice as often; all of
            the pretraining where there are none.
        questions: at most so many for each clip; 0: dense labels only.
    """

    batches: int
    batch_size: int = 32
    pairs: int = 1
    spacing: int = 2
    crowd: tuple[int, int] = (0, 3)
    activities: tuple[int, int] = (1, 3)
    kinds: tuple[str, ...] = ()
    questions: int = 12


def attributes(facts: Sequence[tuple[int, Target]], ground: Mapping[int, str]) -> Tensor:
    """int64 [256, 8]: noun, action, top or body colour, trousers, ground, start, end, direction; -1 unknown.

    Args:
        facts: id and facts of every object.
        ground: of ids, the zone of the ground under the object.
    """
    table = torch.full((256, 8), -1)
    for ident, target in facts:
        parts = dict(target.colours)
        words = (
            (NOUNS, target.noun), (ACTIONS, target.action), (COLOURS, parts.get("top", parts.get("body"))),
            (COLOURS, parts.get("trousers")), (ZONES, ground.get(ident)), (CELLS, target.start), (CELLS, target.end),
            (("", *DIRECTIONS), target.direction),
        )  # fmt: skip
        table[ident] = torch.tensor([values.index(v) if v is not None else -1 for values, v in words])
    return table


def grounds(script: Plan, frame: int) -> dict[int, str]:
    """The zone of the ground under every actor in a frame; between and beyond the strips people walk."""
    place = scene(script.scene)
    return {actor.ident: place.zone(*actor.position[frame]) or "walk" for actor in script.actors}


class SyntheticClips(Dataset[Batch]):
    """Batches by number, drawn when asked for."""

    def __init__(self, stages: Sequence[Stage], size: tuple[int, int], seed: int, scenes: range) -> None:
        self.stages, self.size, self.seed, self.scenes = list(stages), size, seed, scenes
        self.ends = np.cumsum([stage.batches for stage in self.stages])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> Batch:
        at = int(np.searchsorted(self.ends, index, side="right"))
        stage, first = self.stages[at], index * 1000
        return collate([self.sample(stage, self.seed + first + i) for i in range(stage.batch_size)])

    def sample(self, stage: Stage, number: int) -> Sample:
        """One clip; `number` decides everything in it."""
        random = Random(number)
        scene = scene_for_pretraining(random.choice(self.scenes))
        activities = random.choices(stage.kinds or PRETRAINING, k=random.randint(*stage.activities))
        script = plan(number, scene, None, stage.crowd, FRAMES, FPS, activities=activities)
        span = (stage.pairs - 1) * stage.spacing + 2
        if span > FRAMES:
            raise DataError(
                f"{stage.pairs} pairs every {stage.spacing} frames need {span} frames, a script has {FRAMES}: lower one"
            )
        start = random.randrange(FRAMES - span + 1)
        frames = [start + k * stage.spacing + i for k in range(stage.pairs) for i in (0, 1)]
        clip = render(script, frames, RENDER)
        facts = targets(script, clip, frames)
        objects = attributes(facts, grounds(script, frames[len(frames) // 2]))
        turns = []
        if stage.questions:
            turns = scene_turns(facts, surroundings(script, clip, frames), random, stage.questions)
        video = torch.from_numpy(clip.video).movedim(-1, 1).float()
        small = interpolate(video, self.size, mode="area").round().byte()
        ids = torch.from_numpy(clip.ids)[:, None].float()
        return {
            "video": small, "frames": torch.tensor(frames), "fps": FPS, "name": f"synthetic_{number}", "turns": turns,
            "ids": interpolate(ids, self.size, mode="nearest")[:, 0].byte(), "objects": objects,
        }  # fmt: skip


class SyntheticStream(lightning.LightningDataModule):
    """Curriculum of synthetic clips for pretraining, and held-out clips with one question each for the test.

    Args:
        stages: the curriculum, in order.
        size: height and width of the frames.
        scenes: number of different places; each costs 80 ms to draw and is then kept, a few MB each worker.
        held_out: clips of the test, each asked one question on its first turn; validation takes an eighth of them.
        num_workers: processes that draw ahead.
        seed: of all clips.
    """

    test_names = ("held_out",)

    def __init__(
        self, stages: list[Stage], size: tuple[int, int] = (96, 160), scenes: int = 320, held_out: int = 1024,
        num_workers: int = 1, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stages, self.size, self.scenes, self.held_out = stages, size, range(scenes), held_out
        self.num_workers, self.seed = num_workers, seed

    def train_dataloader(self) -> DataLoader[Batch]:
        """The curriculum, from the batch at which an interrupted run stopped."""
        clips = SyntheticClips(self.stages, self.size, self.seed * 10**9, self.scenes)
        return self._loader(clips, EpochSampler(len(clips), 1, lambda: place(self.trainer)))

    def val_dataloader(self) -> DataLoader[Batch]:
        """Held-out clips with several questions."""
        stage = Stage(self.held_out // 64, 8, 8, crowd=(0, 6), questions=8)
        clips = SyntheticClips([stage], self.size, 7 * 10**14, HELD_OUT)
        return self._loader(clips, range(len(clips)))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Held-out clips, one question each, so that no answer is helped by an earlier turn."""
        stage = Stage(self.held_out // 16, 16, 8, crowd=(0, 6), questions=1)
        clips = SyntheticClips([stage], self.size, 8 * 10**14, HELD_OUT)
        return self._loader(clips, range(len(clips)))

    def _loader(self, clips: SyntheticClips, order: Iterable[int]) -> DataLoader[Batch]:
        return ResumableLoader(
            clips, batch_size=None, sampler=cast(Sampler[int], order), num_workers=self.num_workers,
            prefetch_factor=4 if self.num_workers else None, worker_init_fn=unmoved,
        )  # fmt: skip
