"""The synthetic world: reproducible, occlusion-correct, true to its words, and a data set in UBnormal's layout."""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tvau import language
from tvau.data import UBnormal
from tvau.errors import DataError
from tvau.world import (
    BENCHMARK,
    KINDS,
    MORE,
    PRETRAINING,
    SCENES,
    SETS,
    SPLITS,
    Plan,
    abnormal,
    jobs,
    kinds_of,
    plan,
    render,
    scene,
    scene_for_pretraining,
    surroundings,
    targets,
    write,
)
from tvau.world.kinds import ACTIVITIES
from tvau.world.poses import POSES
from tvau.world.splits import TRIES, Job, Split

SIZE = (48, 80)
VIDEOS = {"train": 4, "validation": 2, "validation_open": 2, "test": 2, "test_seen": 2, "test_novel": 2}


def fitting(kind: str, first: int = 1) -> int:
    """A scene that a kind fits, from number `first` on."""
    return next(n for n in range(first, first + 100) if scene(n).kind in KINDS[kind].places)


def script(kind: str | None, seed: int = 3) -> Plan:
    return plan(seed, fitting(kind) if kind else 1, kind, (1, 3))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write(folder, VIDEOS, seed=5, size=SIZE, progress=False)
    return folder


def names(root: Path, group: str, title: str) -> list[str]:
    return (root / "scripts" / f"{group}_{title}_video_names.txt").read_text().split()


def contents(root: Path, pattern: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(root.rglob(pattern))}


# ---- kinds and scenes ----


def test_words_of_every_activity_are_in_the_language() -> None:
    for kind in ACTIVITIES.values():
        assert kind.noun in language.NOUNS
        assert kind.action in language.ACTIONS
        assert kind.pose in POSES or kind.pose == ""


def test_kinds_and_scenes_of_splits_are_disjoint() -> None:
    assert len(KINDS) >= 12
    assert len(kinds_of("novel")) >= 3
    groups = [kinds_of(split) for split in ("train", "validation", "test", "novel")]
    assert sum(map(len, groups)) == len(set().union(*groups)) == len(KINDS)
    numbers = [n for group in SCENES.values() for n in group]
    assert len(numbers) == len(set(numbers)) >= 20
    assert not set(PRETRAINING) & set(kinds_of("novel"))
    assert not {scene_for_pretraining(seed) for seed in range(200)} & set(numbers)


def test_every_kind_fits_a_scene_of_its_split() -> None:
    for split in (split for splits in SETS.values() for split in splits.values()):
        for name in kinds_of(split.kinds):
            assert any(scene(n).kind in KINDS[name].places for n in SCENES[split.scenes])


# ---- plan and render ----


def test_same_seed_same_pixels_in_any_order() -> None:
    forward, again = render(script("running"), [2, 9], SIZE), render(script("running"), [9, 2], SIZE)
    np.testing.assert_array_equal(forward.video, again.video[::-1])
    np.testing.assert_array_equal(forward.ids, again.ids[::-1])
    assert forward.video.shape == (2, *SIZE, 3)
    assert forward.video.dtype == forward.ids.dtype == np.uint8


@pytest.mark.parametrize("kind", list(KINDS))
def test_events_are_in_the_picture_within_their_track(kind: str) -> None:
    frames = range(0, 32, 2)
    seen = 0
    for seed in range(3):
        one = script(kind, seed)
        clip = render(one, frames, SIZE)
        for actor in one.actors:
            track = abnormal(one, actor.ident)
            if track is None:
                continue
            assert 0 <= track[0] <= track[1] < one.frames
            assert ACTIVITIES[actor.activity if actor.activity in ACTIVITIES else kind].split == KINDS[kind].split
            seen += any((clip.ids[i] == actor.ident).any() for i, f in enumerate(frames) if track[0] <= f <= track[1])
    assert seen


def test_normal_clips_have_no_track() -> None:
    one = plan(1, 2, None, (5, 5), activities=("running", "cycling"))
    assert {"running", "cycling"} <= {actor.activity for actor in one.actors}
    assert all(abnormal(one, actor.ident) is None for actor in one.actors)


def test_near_actors_hide_far_ones() -> None:
    one = plan(8, 1, None, (12, 12))
    for frame in (0, 15, 31):
        ids = render(one, [frame], (192, 320)).ids[0]
        assert set(np.unique(ids)) <= {0, *(actor.ident for actor in one.actors)}


@pytest.mark.parametrize(
    ("kind", "activities", "message"),
    [("swimming", (), "unknown kind"), (None, ("drone",), "novel"), ("jaywalking", (), "does not fit")],
)
def test_bad_kinds_are_named(kind: str | None, activities: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        plan(0, 1, kind, (1, 1), activities=activities)


def test_frames_beyond_the_plan_are_refused() -> None:
    with pytest.raises(DataError, match="frame 32"):
        render(script(None), [32], SIZE)


# ---- facts ----


def test_targets_agree_with_the_masks() -> None:
    frames = range(0, 32, 4)
    one = plan(4, 1, None, (6, 6), activities=("running", "lying"))
    clip = render(one, frames)
    found = dict(targets(one, clip, frames))
    for ident, target in found.items():
        seen = [i for i in range(len(frames)) if (clip.ids[i] == ident).sum() >= 0.0003 * clip.ids[0].size]
        centres = []
        for i in (seen[0], seen[-1]):
            y, x = np.nonzero(clip.ids[i] == ident)
            centres.append(((x.min() + x.max() + 1) / 2 / 320, (y.min() + y.max() + 1) / 2 / 192))
        assert (target.start, target.end) == (language.cell(*centres[0]), language.cell(*centres[1]))
        assert target.direction == language.direction(*np.subtract(centres[1], centres[0]))
        actor = next(a for a in one.actors if a.ident == ident)
        assert target.action in {actor.words[f] for f in frames}
    people = sum(target.noun in ("person", "cyclist", "skateboarder", "motorcyclist") for target in found.values())
    assert surroundings(one, clip, frames).people == people


# ---- the data set ----


def test_layout_is_ubnormals(root: Path) -> None:
    objects = json.loads((root / "scripts" / "object_names_per_video.json").read_text())
    for name, split in SPLITS.items():
        normal, strange = names(root, "normal", split.title), names(root, "abnormal", split.title)
        assert len(normal) + len(strange) == VIDEOS[name]
        for video in normal + strange:
            number = int(video.split("_")[2])
            assert number in SCENES[split.scenes]
            folder = root / f"Scene{number}"
            with av.open(str(folder / f"{video}.mp4")) as container:
                stream = container.streams.video[0]
                assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
                assert sum(1 for _ in container.decode(stream)) == 32
            notes = folder / f"{video}_annotations"
            masks = [np.asarray(Image.open(notes / f"{video}_{f:04d}_gt.png")) for f in range(32)]
            assert all(mask.shape == SIZE and mask.dtype == np.uint8 for mask in masks)
            assert {int(i) for mask in masks for i in np.unique(mask)} - {0} <= {int(i) for i in objects[video]}
            assert (notes / f"{video}_tracks.txt").exists() == (video in strange)
    for path in root.rglob("*_tracks.txt"):
        rows = [[int(v) for v in line.split(",")] for line in path.read_text().split()]
        assert rows
        assert all(len(row) == 3 and 0 <= row[1] <= row[2] < 32 for row in rows)


def test_dialogs_can_be_read_back_and_agree_with_the_tracks(root: Path) -> None:
    lines = [json.loads(line) for line in (root / "dialogs.jsonl").read_text().splitlines()]
    world = json.loads((root / "world.json").read_text())["videos"]
    assert {line["provenance"] for line in lines} == {"synthetic"}
    assert {tuple(line["frames"]) for line in lines} == {(0, 15), (16, 31)}
    for line in lines:
        if line["task"] != "judgement":
            continue
        tracks = {ident: (first, last) for ident, first, last in world[line["video"]]["tracks"]}
        if line["target"] is None:
            assert line["answer"] == language.NORMAL
            continue
        first, last = tracks[line["target"]]
        assert first <= line["frames"][1]
        assert last >= line["frames"][0]
        assert {"class", "action", "start", "end"} <= set(language.slots(line["answer"]))


def test_bytes_do_not_depend_on_workers(root: Path, tmp_path: Path) -> None:
    write(tmp_path, VIDEOS, seed=5, size=SIZE, workers=2, progress=False)
    for pattern in ("*.png", "*.txt", "*.json", "*.jsonl"):  # not the mp4: the encoder promises pixels, not bytes
        assert contents(root, pattern) == contents(tmp_path, pattern)


def test_complete_videos_are_kept_and_broken_ones_made_again(tmp_path: Path) -> None:
    few = {"train": 2}
    write(tmp_path, few, seed=1, size=SIZE, progress=False)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    lost = next(iter(before))
    notes = contents(tmp_path, "*_gt.png")
    lost.unlink()
    write(tmp_path, few, seed=1, size=SIZE, progress=False)
    assert lost.is_file()
    assert contents(tmp_path, "*_gt.png") == notes
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path != lost)
    write(tmp_path, few, seed=1, size=(24, 40), progress=False)  # another size is another data set
    assert contents(tmp_path, "*_gt.png").keys() == notes.keys()
    assert contents(tmp_path, "*_gt.png") != notes
    assert not list(tmp_path.rglob("*tmp*"))


def test_unknown_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected counts"):
        write(tmp_path, {"holidays": 3}, seed=0)


# ---- the benchmark of record ----


@pytest.fixture(scope="module")
def record() -> list[Job]:
    """All videos of the benchmark as planned, none drawn."""
    return jobs({name: split.videos for name, split in BENCHMARK.items()}, 0, SIZE, 32, 5.0, BENCHMARK)


def of(record: list[Job], split: str) -> list[Job]:
    return [job for job in record if job.split == split]


def test_each_test_split_differs_from_the_training_in_one_thing(record: list[Job]) -> None:
    def traits(split: str) -> dict[str, Any]:
        row, mine = BENCHMARK[split], of(record, split)
        return {
            "kinds": {job.kind for job in mine} <= {None, *kinds_of("train")},
            "scenes": {job.scene for job in mine} <= set(SCENES["train"]),
            "conditions": row.conditions,
            "subtle": {job.subtle for job in mine if job.kind} == {""},
        }

    training = traits("training")
    changed = {s: [key for key, value in traits(s).items() if value != training[key]] for s in BENCHMARK}
    assert changed == {
        "training": [], "validation": ["scenes"], "validation_open": ["kinds", "scenes"], "in_distribution": [],
        "open_set": ["kinds"], "unseen_scenes": ["scenes"], "weather": ["conditions"], "subtle": ["subtle"],
        "novel": ["kinds"],
    }  # fmt: skip


def test_weather_is_bad_and_all_else_is_fair(record: list[Job]) -> None:
    fair = {("daylight", ""), ("overcast light", ""), ("artificial light", "")}
    for job in record:
        assert job.conditions
        if job.split == "weather":
            assert all(weather or light == "darkness" for light, weather in job.conditions)
            assert scene(job.scene).kind != "hall"
        else:
            assert set(job.conditions) <= fair
    rain = (("darkness", "rain"),)
    one = plan(0, 1, None, (1, 1), conditions=rain)
    assert (one.light, one.weather) == rain[0]


def test_the_benchmark_is_large_and_no_video_is_in_two_splits(record: list[Job]) -> None:
    assert len({job.video for job in record}) == len(record) == 862
    assert sum(not job.split.startswith(("training", "validation")) for job in record) >= 300
    for split in BENCHMARK:
        mine = of(record, split)
        assert 2 * sum(job.kind is not None for job in mine) == len(mine)
    seeds = sorted((job.scene, job.seed) for job in record)
    for (one, first), (other, second) in pairwise(seeds):
        assert one != other or second - first >= TRIES  # the seeds that a video may try belong to it alone
    pairs = {(job.kind, job.scene) for job in of(record, "training") if job.kind}
    assert pairs == {
        (kind, n) for kind in kinds_of("train") for n in SCENES["train"] if scene(n).kind in KINDS[kind].places
    }


@pytest.mark.parametrize("splits", [SPLITS, BENCHMARK], ids=["demo", "benchmark"])
def test_validation_has_the_kinds_of_the_training_and_nothing_of_a_test(splits: Mapping[str, Split]) -> None:
    made = jobs({name: split.videos for name, split in splits.items()}, 0, SIZE, 32, 5.0, splits)
    training, validation, apart, *_ = splits
    assert (validation, apart) == ("validation", "validation_open")
    kinds = {name: {job.kind for job in of(made, name)} - {None} for name in splits}
    scenes = {name: {job.scene for job in of(made, name)} for name in splits}
    assert kinds[validation] == kinds[training] == set(kinds_of("train"))
    assert kinds[apart] == set(kinds_of("validation"))
    for name in set(splits) - {validation, apart}:
        assert not scenes[name] & (scenes[validation] | scenes[apart])
        assert not kinds[name] & kinds[apart]


def test_more_to_train_with_changes_no_video_of_the_benchmark(record: list[Job], tmp_path: Path) -> None:
    made = jobs({name: split.videos for name, split in MORE.items()}, 0, SIZE, 32, 5.0, MORE)
    assert made[: len(record)] == record
    more = made[len(record) :]
    assert len(more) == 784
    assert {job.kind for job in more} - {None} == set(kinds_of("train"))
    assert {job.scene for job in more} == set(SCENES["train"])
    seeds = sorted((job.scene, job.seed) for job in made)
    assert all(one != other or second - first >= TRIES for (one, first), (other, second) in pairwise(seeds))
    write(tmp_path, {"training": 2, "validation": 2, "more": 2}, 0, SIZE, frames=8, progress=False, splits=MORE)
    world = json.loads((tmp_path / "world.json").read_text())["videos"]
    module = UBnormal(root=str(tmp_path), frames=8, size=SIZE, num_workers=0)
    module.setup("fit")
    trained = {clip.name for clip in module.splits["training"].clips}
    assert trained == {name for name, video in world.items() if video["split"] in ("training", "more")}
    assert len(trained) == 4


def test_every_split_of_the_benchmark_can_be_read(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(BENCHMARK, 2), seed=0, size=SIZE, frames=8, progress=False, splits=BENCHMARK)
    tests = [name for name in BENCHMARK if name not in ("training", "validation")]
    module = UBnormal(root=str(tmp_path), test_splits=tests, frames=8, size=SIZE, num_workers=0)
    module.setup("test")
    world = json.loads((tmp_path / "world.json").read_text())["videos"]
    for split, loader in zip(tests, module.test_dataloader(), strict=True):
        read = {name for batch in loader for name in batch["name"]}
        assert read == {name for name, video in world.items() if video["split"] == split}
        assert {world[name]["kind"] is None for name in read} == {True, False}
    with pytest.raises(DataError, match="other splits"):
        write(tmp_path, {"train": 2}, seed=0, size=SIZE, progress=False)
