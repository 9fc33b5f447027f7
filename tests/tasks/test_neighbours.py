"""The one-class task: what it learns from, and what it marks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from miniatures import ucsd
from tiny import FRAMES, PRESET, SIZE, close, video
from tvau.backbones import Qwen25VL
from tvau.cli import main
from tvau.data import VideoFolder
from tvau.data.module import Clip, ClipDataset
from tvau.errors import DataError
from tvau.metrics.boxes import MapRule, boxes
from tvau.metrics.frame import frame_scores
from tvau.tasks import NeighbourTask
from tvau.tasks.base import OURS
from tvau.tasks.neighbours import NEIGHBOURS, parted, quiet
from tvau.types import Sample
from writers import write_video


class Scenes(ClipDataset):
    """The same scene in so many videos of so many clips; the first video is labelled abnormal."""

    def __init__(self, videos: int, clips: int = 1) -> None:
        labels = (False,) * FRAMES
        made = [
            Clip(f"v{n}", Path(), range(at * FRAMES, (at + 1) * FRAMES), labels=labels)
            for n in range(videos) for at in range(clips)
        ]  # fmt: skip
        if videos > 1:
            made[:clips] = [replace(clip, labels=(True,) * FRAMES) for clip in made[:clips]]
        super().__init__(made, SIZE)

    def sample(self, clip: Clip) -> Sample:
        frames = torch.tensor(list(clip.frames))
        return {"video": video(1, seed=1)[0], "frames": frames, "fps": 5.0, "name": clip.name, "turns": []}


@pytest.mark.parametrize(("videos", "clips", "own", "held"), [(11, 2, 16, 4), (4, 10, 24, 6), (1, 10, 8, 2)])
def test_a_fifth_stays_out_by_video_or_else_by_time(videos: int, clips: int, own: int, held: int) -> None:
    first, second = parted(Scenes(videos, clips), 1000)
    assert (len(first), len(second)) == (own, held)
    if videos > 1:  # no abnormal one
        assert "v0" not in {clip.name for clip in (*first.clips, *second.clips)}
    if videos > 5:
        assert not {clip.name for clip in first.clips} & {clip.name for clip in second.clips}
    else:
        assert max(clip.frames[0] for clip in first.clips) < min(clip.frames[0] for clip in second.clips)
    few = parted(Scenes(videos, clips), 5)
    assert [len(part) for part in few] == [4, 1]


@pytest.mark.parametrize(("frames", "hop"), [(34, None), (40, None), (44, 3)])
def test_what_stays_out_shares_no_frame_with_the_bank(tmp_path: Path, frames: int, hop: int | None) -> None:
    """The last window of a video is shifted back, and windows may overlap."""
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", frames=frames)
    own, held = parted(VideoFolder(str(tmp_path), 8, hop=hop).split("training"), 1000)
    seen = {(clip.name, frame) for clip in own.clips for frame in clip.frames}
    assert seen.isdisjoint((clip.name, frame) for clip in held.clips for frame in clip.frames)
    assert {clip.name for clip in own.clips} == {clip.name for clip in held.clips} == {"a", "b"}


def test_normal_video_has_to_be_there() -> None:
    with pytest.raises(DataError, match="4 normal clips of 1 videos"):
        parted(Scenes(1, 4), 100)
    overlapping = Scenes(1, 5)
    overlapping.clips = [replace(clip, frames=range(FRAMES)) for clip in overlapping.clips]
    with pytest.raises(DataError, match=r"5 normal clips of 1 videos.* shares no frame"):
        parted(overlapping, 100)


def test_boxes_begin_where_normal_maps_show_one_region_a_frame() -> None:
    draw = np.random.default_rng(0)
    maps = np.kron(draw.random((40, 6, 10)), np.ones((8, 8))).astype(np.float32)
    rule = quiet(maps)
    regions = np.mean([len(boxes(own, rule)) for own in maps])
    more = np.mean([len(boxes(own, MapRule(rule.threshold - 0.02))) for own in maps])
    assert 0.5 < regions <= 1 < more


@torch.no_grad()
def test_a_changed_place_stands_out(checkpoint: Path) -> None:
    torch.manual_seed(0)
    task = NeighbourTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), bank=256, each=64)
    task.learn(Scenes(11), 2)
    assert task.memory.blocks == (2,)  # the last that is read
    assert task.rules[OURS] == task.rules[NEIGHBOURS]
    clip = video(1, seed=1)
    changed = clip.clone()
    changed[:, 2:, :, :16, :16] = 255
    heatmaps = task.model.heatmaps({"video": changed, "name": ["v"]})[0].numpy()  # type: ignore[typeddict-item]
    assert len(boxes(heatmaps[3], task.rules[OURS])) == 1
    _, y, x = np.unravel_index(heatmaps.argmax(), heatmaps.shape)
    assert heatmaps.max() > 0.5
    assert y < 20
    assert x < 20
    close(frame_scores(task.model.heatmaps({"video": clip, "name": ["v"]})).max(), torch.tensor(0.5))  # type: ignore[typeddict-item]


def test_the_official_protocol_needs_no_label_but_those_of_the_test(
    tmp_path: Path, checkpoint: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ucsd(tmp_path / "ped2", count=24)
    (tmp_path / "tiny.yaml").write_text(PRESET.format(checkpoint=checkpoint, blocks=[1, 2]))
    monkeypatch.setattr("sys.argv", ["tvau"])
    main([
        "test", f"--config={root / 'configs' / 'ucsd_ped2' / 'one_class.yaml'}", f"--data.root={tmp_path / 'ped2'}",
        f"--model.backbone={tmp_path / 'tiny.yaml'}", "--data.size=[32,64]", "--data.frames=4", "--model.bank=64",
        "--model.bootstrap=0", f"--trainer.default_root_dir={tmp_path / 'run'}",
        "--trainer.enable_progress_bar=false",
    ])  # fmt: skip
    told = json.loads((tmp_path / "run" / "test.json").read_text())
    assert {*told} == {NEIGHBOURS, "median difference", "squared difference"}
    for scores in (method["test"] for method in told.values()):
        assert scores["frame"]["frames"] == 72  # all of them, though the tower saw every second
        assert {"frame", "pixel", "region"} <= {*scores}
        assert scores["rule"]["threshold"] != MapRule().threshold  # the methods' own
