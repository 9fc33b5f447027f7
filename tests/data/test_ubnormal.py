"""UBnormal's layout with every trap of it; and what wrong copies of it say."""

import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning import Trainer
from PIL import Image

from tvau.data.module import collate
from tvau.data.tracks import Track, read_tracks
from tvau.data.ubnormal import UBnormal, UBnormalFiles, read_object_names
from tvau.errors import DataError, OptionError
from tvau.types import Batch, Sample, having, select

NORMAL, ABNORMAL = "normal_scene_1_scenario_1", "abnormal_scene_12_scenario1_1_fog"


@pytest.fixture
def small(world: Any) -> Any:
    """One normal video without id maps, and an abnormal one whose object 2 is abnormal in frames 4..10."""
    for split in ("training", "validation", "test"):
        world.add(NORMAL, split, maps=False)
        world.add(ABNORMAL, split, tracks="2.0, 4.0, 10.0\r\n\r\n")
    return world


def data(world: Any, stage: str = "test", **options: Any) -> UBnormal:
    chosen = {"frames": 8, "size": (24, 32), "batch_size": 2, "num_workers": 0, "turns": None, **options}
    module = UBnormal(str(world.root), **chosen)
    module.setup(stage)
    return module


def samples(world: Any, **options: Any) -> list[Sample]:
    dataset = data(world, **options).splits["test"]
    return [dataset[at] for at in range(len(dataset))]


def test_masks_are_the_pixels_of_active_tracks(small: Any) -> None:
    found = samples(small, size=None)
    assert [(s["name"], s["frames"][0].item()) for s in found] == [
        (name, start) for name in (NORMAL, ABNORMAL) for start in (0, 8, 12)
    ]
    assert not any(s["mask"].any() for s in found[:3])
    first = found[3]
    assert first["video"].shape == (8, 3, 48, 64)
    assert first["video"].dtype == torch.uint8
    assert (first["mask"].dtype, first["fps"], first["turns"]) == (torch.bool, 25.0, [])
    expected = torch.zeros(8, 48, 64, dtype=torch.bool)
    for frame in range(4, 8):
        expected[frame, 24:40, frame : frame + 16] = True
    assert torch.equal(first["mask"], expected)
    assert found[4]["mask"].any((1, 2)).tolist() == [True] * 3 + [False] * 5


def test_frames_and_masks_are_resized_together(small: Any) -> None:
    (clip,) = (s for s in samples(small, ids=True) if s["name"] == ABNORMAL and s["frames"][0] == 0)
    assert clip["video"].shape == (8, 3, 24, 32)
    assert clip["mask"].shape == (8, 24, 32)
    assert clip["mask"][4].nonzero().min(0).values.tolist() == [12, 2]
    assert clip["mask"][4].nonzero().max(0).values.tolist() == [19, 9]
    assert clip["ids"].dtype == torch.uint8
    assert clip["ids"][0].unique().tolist() == [0, 1, 2]  # the normal object too, and before the track begins


def test_ids_of_a_normal_video_without_maps_are_background(small: Any) -> None:
    assert not samples(small, ids=True)[0]["ids"].any()


def test_new_tracks_count_where_the_user_prefers_them(small: Any) -> None:
    (small.annotations(ABNORMAL) / f"{ABNORMAL}_new_tracks.txt").write_text("1,0,1\n2,0,0\n")
    assert samples(small)[3]["mask"].any((1, 2)).tolist() == [False] * 4 + [True] * 4
    assert samples(small, tracks="new_tracks")[3]["mask"].any((1, 2)).tolist() == [True] * 2 + [False] * 6
    (small.annotations(ABNORMAL) / f"{ABNORMAL}_tracks.txt").unlink()
    assert samples(small)[3]["mask"].any((1, 2)).tolist() == [True] * 2 + [False] * 6


def test_tracks_may_end_after_the_video_and_maps_be_missing_outside_tracks(small: Any) -> None:
    (small.annotations(ABNORMAL) / f"{ABNORMAL}_tracks.txt").write_text("2,18,20")
    (small.annotations(ABNORMAL) / f"{ABNORMAL}_0003_gt.png").unlink()
    assert samples(small)[5]["mask"].any((1, 2)).tolist() == [False] * 6 + [True] * 2


def test_an_abnormal_object_may_be_invisible_and_maps_have_a_palette(small: Any) -> None:
    path = small.annotations(ABNORMAL) / f"{ABNORMAL}_0005_gt.png"
    with Image.open(path) as image:
        image.putpalette([level for level in range(256) for _ in "rgb"])
        image.save(path)
    Image.new("L", (64, 48)).save(path.with_name(f"{ABNORMAL}_0006_gt.png"))
    assert samples(small)[3]["mask"].any((1, 2)).tolist() == [False] * 4 + [True, True, False, True]


# ---- dialogs ----


def test_dialog_clips_are_spread_over_their_frames(small: Any) -> None:
    small.dialogs((ABNORMAL, 1, 18, "target"), (NORMAL, 0, 7, "judgement"), (ABNORMAL, 1, 18, "trajectory"))
    normal, abnormal = samples(small, clips="dialogs")
    assert abnormal["frames"].tolist() == [1, 3, 5, 7, 10, 12, 14, 16]  # the first of eight equal parts of 1..18 each
    assert [turn["task"] for turn in abnormal["turns"]] == ["target", "trajectory"]
    assert normal["turns"] == [{"task": "judgement", "question": "judgement?", "answer": "judgement."}]
    (only,) = samples(small, clips="dialogs", turns=["target"])
    assert [turn["task"] for turn in only["turns"]] == ["target"]


def test_dialogs_that_begin_with_one_frame_are_several(small: Any) -> None:
    small.dialogs((ABNORMAL, 1, 8, "target"), (ABNORMAL, 1, 9, "trajectory"))
    found = samples(small, clips="dialogs")
    assert [(sample["frames"][-1].item(), sample["turns"][0]["task"]) for sample in found] == [
        (8, "target"), (8, "trajectory"),
    ]  # fmt: skip


def test_a_window_over_the_frames_of_a_dialog_has_its_turns(small: Any) -> None:
    small.dialogs((ABNORMAL, 8, 15, "target"), (ABNORMAL, 3, 5, "trajectory"))
    assert [len(s["turns"]) for s in samples(small)] == [0, 0, 0, 0, 1, 0]


def test_dialogs_that_do_not_fit(small: Any) -> None:
    with pytest.raises(DataError, match=r"dialogs\.jsonl: the dialogs cannot be read"):
        samples(small, clips="dialogs")
    small.dialogs((ABNORMAL, 0, 6, "target"))
    with pytest.raises(DataError, match=r"frames 0\.\.6 are 7 frames; a clip needs 8"):
        samples(small, clips="dialogs")
    small.dialogs((ABNORMAL, 0, 20, "target"))
    with pytest.raises(DataError, match=r"frames 0\.\.20, but the video ends with frame 19"):
        samples(small, clips="dialogs")
    small.dialogs(("abnormal_scene_9_scenario_9", 0, 9, "target"))
    with pytest.raises(DataError, match=r"line 1: the video 'abnormal_scene_9_scenario_9' is not in"):
        samples(small)


# ---- loaders ----


def test_splits_come_from_their_lists_and_test_has_a_loader_for_each(small: Any) -> None:
    small.add("abnormal_scene_3_scenario_2", "test_novel", tracks="2,0,3")
    module = data(small, test_splits=["test", "test_novel"])
    assert module.test_names == ["test", "test_novel"]
    names = [[name for batch in loader for name in batch["name"]] for loader in module.test_dataloader()]
    assert names == [[NORMAL] * 3 + [ABNORMAL] * 3, ["abnormal_scene_3_scenario_2"] * 3]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_clip_is_evaluated_once_whatever_the_workers(small: Any, workers: int) -> None:
    module = data(small, "validate", num_workers=workers, batch_size=2)
    assert module.splits["validation"][0]["name"] == NORMAL  # an open video here must not stop the workers
    loader = module.val_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader)
    found = sorted((n, f[0].item()) for batch in batches for n, f in zip(batch["name"], batch["frames"], strict=True))
    assert found == sorted((name, start) for name in (NORMAL, ABNORMAL) for start in (0, 8, 12))
    assert batches[0]["video"].shape == (2, 3 + 5, 3, 24, 32)
    assert batches[0]["mask"].shape == (2, 8, 24, 32)


def test_processes_share_the_videos_of_an_evaluation(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    found = []
    for rank in range(2):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        loader = data(small, "validate").val_dataloader()
        with monkeypatch.context() as worker:  # one that was not forked knows of no other process
            worker.setattr("torch.distributed.is_initialized", lambda: False)
            batches = list(loader)
        assert len(batches) == len(loader)
        found.append([name for batch in batches for name in batch["name"]])
    assert found == [[NORMAL] * 3, [ABNORMAL] * 3]


def test_training_order_is_random_seeded_and_changes_with_the_epoch(small: Any) -> None:
    def epochs(**options: Any) -> list[list[tuple[str, int]]]:
        module = data(small, "fit", batch_size=1, **options)
        module.trainer = Trainer(logger=False, enable_checkpointing=False)
        loader, progress, seen = module.train_dataloader(), module.trainer.fit_loop.epoch_progress.current, []
        for epoch in range(2):
            progress.ready = progress.processed = epoch  # type: ignore[attr-defined]
            seen.append([(batch["name"][0], int(batch["frames"][0, 0])) for batch in loader])
        return seen

    first, second = epochs()
    assert sorted(first) == sorted(second)
    assert first != second
    assert epochs() == [first, second] != epochs(seed=1)
    ordered = epochs(shuffle=False)
    assert ordered == [sorted(first, key=lambda clip: (clip[0] != NORMAL, clip[1]))] * 2


def test_balance_draws_normal_and_abnormal_equally(small: Any) -> None:
    for number in range(2, 8):
        small.add(f"normal_scene_1_scenario_{number}", "training", maps=False)
    module = data(small, "fit", balance=True, hop=1, size=(4, 4))
    sampler = module.train_dataloader().sampler
    drawn = [module.splits["training"].clips[at].abnormal for _ in range(10) for at in sampler]
    assert 0.4 < sum(drawn) / len(drawn) < 0.6
    (small.root / "scripts" / "abnormal_training_video_names.txt").write_text("")
    with pytest.raises(DataError, match="`balance` needs normal and abnormal clips"):
        data(small, "fit", balance=True).train_dataloader()


def test_limit_takes_videos_from_all_over_the_lists(small: Any) -> None:
    for number in range(2, 6):
        small.add(f"normal_scene_1_scenario_{number}", "test", maps=False)
        small.add(f"abnormal_scene_1_scenario_{number}", "test", tracks="2,0,3")
    clips = data(small, limit=4).splits["test"].clips
    assert [clip.name[:8] for clip in clips[::3]] == ["normal_s"] * 2 + ["abnormal"] * 2
    assert data(small, limit={"test": 4}).splits["test"].clips == clips
    with pytest.raises(OptionError, match=r"limit of 'train': the splits are .*training"):
        data(small, limit={"train": 1})
    assert len(data(small, limit={"training": 1}).splits["test"].clips) > len(clips)


def test_training_clips_stay_in_memory_if_asked(small: Any) -> None:
    for keeps in (True, False):
        clips = data(small, "fit", in_memory=keeps).splits["training"]
        assert (clips[0] is clips[0]) == keeps
        assert torch.equal(clips[0]["video"], clips.sample(clips.clips[0])["video"])


def test_training_clips_come_a_second_time_in_a_mirror(small: Any) -> None:
    plain = data(small, "fit").splits
    both = data(small, "fit", mirror=True).splits
    count = len(plain["training"])
    assert (len(both["training"]), both["validation"].clips) == (2 * count, plain["validation"].clips)
    abnormal = next(at for at, clip in enumerate(plain["training"].clips) if clip.abnormal)
    one, other = both["training"][abnormal], both["training"][count + abnormal]
    assert torch.equal(other["video"], one["video"].flip(-1))
    assert torch.equal(other["mask"], one["mask"].flip(-1))
    assert not torch.equal(other["mask"], one["mask"])
    assert torch.equal(other["labels"], one["labels"])
    for (track, at, x1, y1, x2, y2), own in zip(other["boxes"].tolist(), one["boxes"].tolist(), strict=True):
        assert (track, at, y1, y2) == (own[0], own[1], own[3], own[5])
        frame = other["mask"][at, y1 : y2 + 1, x1 : x2 + 1]
        assert torch.equal(frame, one["mask"][at, y1 : y2 + 1, own[2] : own[4] + 1].flip(-1))
    with pytest.raises(DataError, match="dialogs name both"):
        data(small, "fit", mirror=True, clips="dialogs")


def test_videos_of_unequal_shape_make_no_batch(small: Any) -> None:
    first, second = samples(small)[0], samples(small, size=(12, 16))[3]
    with pytest.raises(DataError, match=r"unequal shape .* \(8, 3, 24, 32\).* \(8, 3, 12, 16\)"):
        collate([first, second])


def test_what_only_some_clips_have_stays_with_them(small: Any) -> None:
    with_mask, without = samples(small)[:2]
    del without["mask"]
    batch: Batch = collate([with_mask, without])
    assert having(batch, "mask") == [0]
    assert having(batch, "labels") == [0, 1]
    assert having(batch, "ids") == []
    assert torch.equal(select(batch, [0])["mask"], with_mask["mask"][None])
    assert "mask" not in select(batch, [1])
    assert select(batch, [1, 0])["labels"].shape == (2, len(with_mask["frames"]))
    assert batch["fps"] == [25.0, 25.0]


# ---- bad input ----


def test_no_folder_and_wrong_layout(tmp_path: Path, small: Any) -> None:
    with pytest.raises(DataError, match=r"nowhere: expected UBnormal's layout.*there is no such folder"):
        UBnormalFiles(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"expected UBnormal's layout.*found UBnormal"):
        UBnormalFiles(tmp_path)
    with pytest.raises(DataError, match=r"expected normal_val_video_names\.txt and .* found abnormal_test_video_names"):
        data(small, test_splits=["val"])
    (small.root / "scripts" / "normal_test_video_names.txt").write_text(f"{NORMAL}\n../etc\n")
    with pytest.raises(DataError, match=r"normal_test_video_names\.txt, line 2: expected a video name .* '\.\./etc'"):
        data(small)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda w, notes: (w.root / "Scene12" / f"{ABNORMAL}.mp4").unlink(), "no such file or folder"),
        (lambda w, notes: (w.root / "Scene12" / f"{ABNORMAL}.mp4").write_bytes(b""), "the file is empty"),
        (lambda w, notes: (notes / f"{ABNORMAL}_tracks.txt").unlink(), "an abnormal video needs its tracks"),
        (
            lambda w, notes: (notes / f"{ABNORMAL}_tracks.txt").write_text("\n"),
            r"tracks\.txt, line 1: the file is empty",
        ),
        (lambda w, notes: (notes / f"{ABNORMAL}_0005_gt.png").unlink(), r"_0005_gt\.png: no such file.* 1 of 7"),
    ],
)
def test_what_is_missing_is_found_before_training(small: Any, damage: Any, fault: str) -> None:
    damage(small, small.annotations(ABNORMAL))
    with pytest.raises(DataError, match=fault):
        data(small)
    with pytest.warns(UserWarning, match=f"Skipped {ABNORMAL}: .*{fault}"):
        module = data(small, on_broken="skip")
    assert {clip.name for clip in module.splits["test"].clips} == {NORMAL}


def break_id_map(small: Any, kind: str) -> None:
    path = small.annotations(ABNORMAL) / f"{ABNORMAL}_0005_gt.png"
    if kind == "size":
        Image.new("L", (65, 48)).save(path)
    elif kind == "colour":
        Image.new("RGB", (64, 48)).save(path)
    else:
        path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("size", r"_0005_gt\.png: the id map is 48x65 .* 48x64"),
        ("colour", r"_0005_gt\.png: expected 8 bit, one channel"),
        ("broken", r"_0005_gt\.png: the id map cannot be read"),
    ],
)
def test_broken_id_maps(small: Any, kind: str, fault: str) -> None:
    break_id_map(small, kind)
    with pytest.raises(DataError, match=fault):
        samples(small)
    module = data(small, "test", on_broken="skip")
    with pytest.warns(UserWarning, match=f"Skipped {ABNORMAL}: .*{fault}"):
        names = [name for batch in module.test_dataloader()[0] for name in batch["name"]]
    assert names == [NORMAL] * 3  # evaluation leaves the video out
    module = data(small, "fit", on_broken="skip", shuffle=False)
    with pytest.warns(UserWarning, match=f"Skipped {ABNORMAL}: .*{fault}"):
        names = [name for batch in module.train_dataloader() for name in batch["name"]]
    assert names == [NORMAL] * 6  # training draws another clip instead


def test_a_clip_longer_than_its_video(small: Any) -> None:
    with pytest.raises(DataError, match=f"{NORMAL}: it has 20 frames, but a clip of 8 frames at stride 3 needs 22"):
        data(small, stride=3)


# ---- tracks and object names ----


@pytest.mark.parametrize(
    "line", ["1,2", "1,2,3,4", "a,b,c", "1,2.5,3", "1,5,4", "0,1,2", "256,1,2", "1,-1,2", "1,nan,2"]
)
def test_malformed_tracks_name_their_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a_tracks.txt"
    path.write_text(f"1,2,3\n{line}\n")
    with pytest.raises(DataError, match=r"a_tracks\.txt, line 2: expected object_id,start,end"):
        read_tracks(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=30) | st.text("0123456789.,-einfa \r\n", max_size=30).map(str.encode))
def test_any_bytes_are_tracks_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tracks.txt"
    path.write_bytes(content)
    try:
        tracks = read_tracks(path)
    except DataError:
        return
    assert tracks
    assert all(isinstance(track, Track) and 0 <= track.start <= track.end for track in tracks)


class Attack:
    """A pickle that would run a command when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must never run",)


def test_object_names(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    files = UBnormalFiles(world.root)
    assert files.object_names() == {}
    path = world.root / "scripts" / "object_names_per_video.pkl"
    names = {"a": {1: "car"}, "b": {}}
    path.write_bytes(pickle.dumps(names))
    assert files.object_names() == names
    for other in ({"a": {1: Attack()}}, OrderedDict(names), ["a"], {"a": 3}, {"a": {"x": "car"}}):
        path.write_bytes(pickle.dumps(other))
        with pytest.raises(DataError, match="object_names_per_video"):
            read_object_names(path)
    path.write_bytes(b"words")
    with pytest.raises(DataError, match="object_names_per_video"):
        read_object_names(path)
    assert capsys.readouterr().out == ""
    path.with_suffix(".json").write_text(json.dumps(names))
    assert files.object_names() == names  # the checked conversion comes first
