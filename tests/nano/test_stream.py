"""The endless stream: numbered clips, a curriculum, held-out scenes, and going on where training stopped."""

from typing import cast

import numpy as np
import pytest
import torch
from lightning import Trainer

from tvau.data.module import collate
from tvau.errors import DataError
from tvau.language import ACTIONS, CELLS, COLOURS, NOUNS, Target
from tvau.nano import SyntheticStream
from tvau.nano.stream import Stage, SyntheticClips, attributes, grounds
from tvau.types import Batch
from tvau.world import ZONES, plan, scene_for_pretraining

SIZE = (48, 80)
STAGES = [Stage(2, 2, pairs=1, crowd=(1, 2), questions=0), Stage(1, 1, pairs=2, spacing=14, questions=3)]


def clips(seed: int = 0) -> SyntheticClips:
    return SyntheticClips(STAGES, SIZE, seed, range(2))


def same(one: Batch, two: Batch) -> bool:
    return (
        torch.equal(one["video"], two["video"]) and torch.equal(one["ids"], two["ids"]) and one["turns"] == two["turns"]
    )


def test_a_number_decides_everything_in_a_clip() -> None:
    first, again, other = (collate([clips().sample(STAGES[1], number)]) for number in (7, 7, 8))
    assert same(first, again)
    assert not same(first, other)


def test_batches_follow_the_curriculum() -> None:
    stream = clips()
    assert len(stream) == 3
    batches = [stream[i] for i in range(3)]
    assert [b["video"].shape for b in batches] == [(2, 2, 3, *SIZE), (2, 2, 3, *SIZE), (1, 4, 3, *SIZE)]
    assert [b["ids"].shape for b in batches] == [(2, 2, *SIZE), (2, 2, *SIZE), (1, 4, *SIZE)]
    assert [b["objects"].shape for b in batches] == [(2, 256, 8), (2, 256, 8), (1, 256, 8)]
    assert not any(turns for b in batches[:2] for turns in b["turns"])
    assert 0 < len(batches[2]["turns"][0]) <= 3
    frames = batches[2]["frames"][0]
    assert (frames - frames[0]).tolist() == [0, 1, 14, 15]
    assert not same(batches[0], batches[1])
    assert not same(clips(seed=10**9)[0], batches[0])


def test_what_is_seen_is_known() -> None:
    sample = clips().sample(Stage(1, 1, 1, crowd=(2, 3)), 4)
    areas = np.bincount(sample["ids"].flatten().numpy(), minlength=256)
    seen = np.flatnonzero(areas[1:] > 0.01 * areas.sum()) + 1
    assert len(seen) > 0
    assert (sample["objects"][torch.from_numpy(seen), 0] >= 0).all()
    assert (sample["objects"][0] == -1).all()  # the background is no object


@pytest.mark.parametrize(
    ("kind", "noun", "zone"),
    [("car on the road", "car", "road"), ("jaywalking", "person", "road"), ("cycling", "cyclist", "walk")],
)
def test_the_ground_under_an_actor_is_known(kind: str, noun: str, zone: str) -> None:
    found = []
    for number in range(40):
        script = plan(number, scene_for_pretraining(number % 8), None, (0, 0), 32, 5.0, activities=[kind] * 3)
        under = grounds(script, 16)
        found += [under[actor.ident] == zone for actor in script.actors if actor.noun == noun and actor.shown[16]]
    assert sum(found) > len(found) / 2 > 0  # who crosses a road is on the walk at times


def test_a_stage_may_favour_kinds() -> None:
    table = clips().sample(Stage(1, crowd=(0, 0), activities=(2, 2), kinds=("fire",)), 3)["objects"]
    assert set(table[table[:, 0] >= 0][:, 0].tolist()) == {NOUNS.index("fire")}
    with pytest.raises(DataError, match="'drone' is a novel kind"):
        clips().sample(Stage(1, kinds=("drone",)), 0)


def test_attributes_are_numbers_of_words() -> None:
    person = Target("person", "running", (("top", "red"), ("trousers", "blue")), "upper left", "center", "down right")
    smoke = Target("smoke", "rising", (), "center", "center", "")
    table = attributes([(3, person), (9, smoke)], {3: "road"})
    words = (NOUNS.index("person"), ACTIONS.index("running"), COLOURS.index("red"), COLOURS.index("blue"),
             ZONES.index("road"), CELLS.index("upper left"), CELLS.index("center"), 2)  # fmt: skip
    assert table[3].tolist() == list(words)
    center = CELLS.index("center")
    assert table[9].tolist() == [NOUNS.index("smoke"), ACTIONS.index("rising"), -1, -1, -1, center, center, 0]
    assert (table != -1).any(1).nonzero()[:, 0].tolist() == [3, 9]


def test_a_clip_longer_than_its_script() -> None:
    with pytest.raises(DataError, match="3 pairs every 16 frames need 34 frames"):
        clips().sample(Stage(1, pairs=3, spacing=16), 0)


def stream() -> SyntheticStream:
    return SyntheticStream(STAGES, SIZE, scenes=2, held_out=64, num_workers=0)


def test_interrupted_training_goes_on_with_the_next_batch() -> None:
    module = stream()
    module.trainer = Trainer(logger=False, enable_checkpointing=False)
    module.trainer.fit_loop.epoch_progress.current.ready = 1
    module.trainer.fit_loop.epoch_loop.batch_progress.current.ready = 2
    rest = list(module.train_dataloader())
    assert len(rest) == 1
    assert same(rest[0], clips()[2])


def test_held_out_clips_are_of_other_scenes_and_numbers() -> None:
    module = stream()
    train, validation, test = (
        cast(SyntheticClips, loader.dataset)
        for loader in (module.train_dataloader(), module.val_dataloader(), module.test_dataloader())
    )
    assert not set(train.scenes) & set(test.scenes)
    assert train.seed != validation.seed != test.seed != train.seed
    assert sum(stage.batches * stage.batch_size for stage in test.stages) == 64
    assert len(test.sample(test.stages[0], 5)["turns"]) == 1  # no answer is helped by an earlier turn
