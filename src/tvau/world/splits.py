"""The sets of `tvau synth` as tables of splits, and the videos that they list."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tvau.errors import DataError
from tvau.world.kinds import KINDS, kinds_of
from tvau.world.scenes import SCENES, scene

VERSION = 1  # of the look of the world; another one means other pixels for the same seed
LISTS = 2  # of the sets below; in 1 validation held other kinds alone, and ranked variants backwards
TRIES = 12  # seeds tried until an event is seen
Conditions = tuple[tuple[str, str], ...]  # (light, weather)
Subtle = Mapping[str, tuple[str, ...]]  # kind: values of Plan.subtle, one is drawn for each event

_MIXED: Subtle = dict.fromkeys(KINDS, ("", "", "", "far", "short", "low contrast"))
_PLAIN: Subtle = dict.fromkeys(KINDS, ("",))
_SUBTLE: Subtle = {  # two ways at once where both work: a fire has no clothes, a bag stays where it is left
    **dict.fromkeys(
        ("running", "lying", "fighting", "dancing"),
        ("far and short", "far and low contrast", "short and low contrast"),
    ),
    "cycling": ("far and low contrast",), "bag": ("far",), "fire": ("far",),
}  # fmt: skip
_FAIR: Conditions = (("daylight", ""), ("overcast light", ""), ("artificial light", ""))
_BAD: Conditions = (
    ("overcast light", "rain"), ("overcast light", "fog"), ("dusk", "fog"), ("darkness", ""), ("darkness", "rain"),
)  # fmt: skip


@dataclass(frozen=True)
class Split:
    """One split of a set.

    Attributes:
        stream: its own random numbers; no two splits share one.
        videos: how many there are at scale 1.
        kinds: abnormal kinds of which split of KINDS.
        scenes: which entry of SCENES.
        title: name of the lists that hold it, beside others of the same title.
        conditions: (light, weather) of its videos; those that each scene is usually filmed in where empty.
        subtle: ways in which the events of a kind may be hard to see.
    """

    stream: int
    videos: int
    kinds: str
    scenes: str
    title: str
    conditions: Conditions
    subtle: Subtle


# Everything is chosen on `validation`: the kinds of the training in scenes of its own. `validation_open` shows beside
# it what a choice does to two kinds that no other split has.
SPLITS: dict[str, Split] = {  # of the demo
    "train": Split(0, 240, "train", "train", "training", (), _MIXED),
    "validation": Split(13, 42, "train", "validation", "validation", (), _MIXED),  # each kind three times
    "validation_open": Split(1, 16, "validation", "validation", "validation_open", (), _MIXED),
    "test": Split(2, 80, "test", "test", "test", (), _MIXED),
    "test_seen": Split(3, 48, "train", "test", "test_seen", (), _MIXED),
    "test_novel": Split(4, 32, "novel", "test", "test_novel", (), _MIXED),
}
BENCHMARK: dict[str, Split] = {  # of record: each test split differs from the training in one thing
    "training": Split(5, 392, "train", "train", "training", _FAIR, _PLAIN),  # each kind twice in each scene
    "validation": Split(14, 70, "train", "validation", "validation", _FAIR, _PLAIN),  # each kind five times
    "validation_open": Split(6, 40, "validation", "validation", "validation_open", _FAIR, _PLAIN),
    "in_distribution": Split(7, 60, "train", "train", "in_distribution", _FAIR, _PLAIN),
    "open_set": Split(8, 60, "test", "train", "open_set", _FAIR, _PLAIN),
    "unseen_scenes": Split(9, 60, "train", "test", "unseen_scenes", _FAIR, _PLAIN),
    "weather": Split(10, 60, "train", "train", "weather", _BAD, _PLAIN),
    "subtle": Split(11, 60, "train", "train", "subtle", _FAIR, _SUBTLE),
    "novel": Split(12, 60, "novel", "train", "novel", _FAIR, _PLAIN),
}
MORE: dict[str, Split] = {  # the same videos, and twice as many again to train with
    **BENCHMARK, "more": Split(15, 784, "train", "train", "training", _FAIR, _PLAIN),
}  # fmt: skip
SETS = {"demo": SPLITS, "benchmark": BENCHMARK, "benchmark_more": MORE}


@dataclass(frozen=True)
class Job:
    """One video to make; equal jobs make equal bytes."""

    video: str
    split: str
    seed: int
    scene: int
    kind: str | None
    subtle: str
    crowd: tuple[int, int]
    frames: int
    fps: float
    size: tuple[int, int]
    version: int = VERSION
    conditions: Conditions = ()


def jobs(
    videos: Mapping[str, int], seed: int, size: tuple[int, int], frames: int, fps: float,
    splits: Mapping[str, Split] = SPLITS,
) -> list[Job]:  # fmt: skip
    """Every video of a data set: half of each split abnormal, kinds and scenes in turn.

    No two videos share a name, or a scene and one of the seeds that may be tried. Raises DataError for an unknown
    split or a count below 0.
    """
    unknown = set(videos) - set(splits)
    if unknown or any(n < 0 for n in videos.values()):
        raise DataError(f"videos={dict(videos)}; expected counts of 0 or more for: {', '.join(splits)}")
    out: list[Job] = []
    numbers: dict[tuple[bool, int], int] = {}
    taken: dict[int, list[int]] = {}
    for name, split in splits.items():
        random = np.random.default_rng((seed, split.stream))
        kinds = kinds_of(split.kinds)
        order = [int(n) for n in random.permutation(SCENES[split.scenes])]
        if split.conditions:
            order = [n for n in order if scene(n).under(split.conditions)]
        for j in range(videos.get(name, 0)):
            at, turn = j // 2 % len(kinds), j // 2 // len(kinds)
            kind = kinds[at] if j % 2 else None
            number = order[j // 2 % len(order)]
            if kind:
                fit = [n for n in order if scene(n).kind in KINDS[kind].places]
                # crossed: were kinds and scenes counted side by side, a kind would see few scenes
                number = fit[(turn + at * len(fit) // len(kinds)) % len(fit)]
            key = (kind is not None, number)
            numbers[key] = numbers.get(key, 0) + 1
            video = f"{'abnormal' if kind else 'normal'}_scene_{number}_scenario_{numbers[key]}"
            subtle = str(random.choice(split.subtle[kind])) if kind else ""
            crowd = 1, int(random.choice((2, 4, 6, 11)))
            start = int(random.integers(1 << 31))
            while any(abs(start - other) < TRIES for other in taken.setdefault(number, [])):
                start = int(random.integers(1 << 31))
            taken[number].append(start)
            conditions = scene(number).under(split.conditions)
            out.append(Job(video, name, start, number, kind, subtle, crowd, frames, fps, size, conditions=conditions))
    return out
