"""ShanghaiTech's layout with every trap of it; and what wrong copies of it say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import miniatures
from tvau.data import ShanghaiTech
from tvau.data.boxes import read_shanghaitech_tracks
from tvau.data.layout import supervised_split
from tvau.data.shanghaitech import ShanghaiTechFiles
from tvau.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return miniatures.shanghaitech(tmp_path / "shanghaitech")


def clips(root: Path, split: str = "test", **options: Any) -> list[Any]:
    chosen = {"protocol": "official", "frames": 6, "size": None, "num_workers": 0, **options}
    dataset = ShanghaiTech(str(root), **chosen).split(split)
    return [dataset[at] for at in range(len(dataset))]


def test_frames_go_by_their_numbers_and_masks_with_them(root: Path) -> None:
    first, second, *_ = clips(root)
    assert first["video"][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert second["video"][:, 0, 0, 0].tolist() == [6, 7, 8, 9, 10, 11]  # 10 and 11 after 9
    expected = torch.from_numpy(miniatures.masks(12, range(4, 10))).bool()
    assert torch.equal(torch.cat([first["mask"], second["mask"]]), expected)
    assert first["fps"] == 24


def test_masks_of_either_axis_order(root: Path) -> None:
    expected = torch.cat([clip["mask"] for clip in clips(root)])
    path = root / "testing" / "test_pixel_mask" / "01_0014.npy"
    np.save(path, np.load(path).transpose(1, 2, 0))
    assert torch.equal(torch.cat([clip["mask"] for clip in clips(root)]), expected)


def test_mask_files_are_never_loaded_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    load = np.load

    def spy(*args: Any, **options: Any) -> Any:
        modes.append(options.get("mmap_mode"))
        return load(*args, **options)

    monkeypatch.setattr(np, "load", spy)
    clips(root)
    assert set(modes) == {"r"}


def test_labels_of_frames_alone_are_enough(root: Path) -> None:
    expected = torch.cat([clip["labels"] for clip in clips(root)])
    miniatures.tracks(root)
    (root / "testing" / "test_pixel_mask").rename(root / "elsewhere")
    found = clips(root)
    assert torch.equal(torch.cat([clip["labels"] for clip in found]), expected)
    assert [("mask" in clip, "boxes" in clip) for clip in found] == [(False, True)] * 4
    with pytest.raises(DataError, match="this video has labels of frames only"):
        ShanghaiTechFiles(root).truth("01_0014").mask(0, miniatures.SIZE)


def test_a_mirror_without_the_level_of_frames(root: Path) -> None:
    expected = clips(root)
    for inner in (root / "testing" / "frames", root / "training" / "videos"):
        for path in inner.iterdir():
            path.rename(inner.parent / path.name)
        inner.rmdir()
    found = clips(root)
    assert [clip["name"] for clip in found] == [clip["name"] for clip in expected]
    assert all(torch.equal(one["mask"], other["mask"]) for one, other in zip(found, expected, strict=True))
    assert [clip["name"] for clip in clips(root, "training")] == ["01_001", "01_001"]


def test_a_video_without_tracks_has_none_and_the_others_keep_theirs(root: Path) -> None:
    miniatures.tracks(root, ["01_0014"])
    found = {(clip["name"], "boxes" in clip) for clip in clips(root)}
    assert found == {("01_0014", True), ("04_0011", False)}
    assert all("boxes" not in clip for clip in clips(root, "training"))  # a split without tracks at all


def test_a_license_is_no_track_file(root: Path) -> None:
    folder = miniatures.tracks(root)
    (folder / "LICENSE.txt").write_text("CC BY-NC-ND")
    assert not any("LICENSE" in fault for fault in ShanghaiTechFiles(root).problems())


def test_a_video_that_is_abnormal_throughout(root: Path) -> None:
    dataset = ShanghaiTech(str(root), "official", frames=6, num_workers=0).split("test")
    assert [(clip.name, clip.abnormal) for clip in dataset.clips] == [
        ("01_0014", True), ("01_0014", True), ("04_0011", True), ("04_0011", True),
    ]  # fmt: skip


def test_training_videos_are_normal(root: Path) -> None:
    found = clips(root, "training")
    assert [clip["name"] for clip in found] == ["01_001", "01_001"]
    assert not any(clip["mask"].any() for clip in found)


def test_names_that_mirrors_change(root: Path) -> None:
    testing = root / "testing"
    expected = torch.cat([clip["mask"] for clip in clips(root)])
    (testing / "test_frame_mask").rename(testing / "testframemask")
    (testing / "test_pixel_mask").rename(testing / "Test_Pixel_Masks")
    for path in sorted((testing / "frames" / "01_0014").iterdir(), key=lambda p: -int(p.stem)):
        path.rename(path.with_name(f"{int(path.stem) + 1:04d}.png"))  # 1-based
    found = clips(root.parent)  # and the folder above
    assert torch.equal(torch.cat([clip["mask"] for clip in found]), expected)
    assert found[0]["video"][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_supervised_sides_share_no_video(root: Path) -> None:
    dataset = ShanghaiTech(str(root), frames=6, num_workers=0, on_broken="skip")
    with pytest.warns(UserWarning, match="Skipped"):
        assert {clip.name for clip in dataset.split("training").clips} == {"01_0014", "04_0011"}
    with pytest.raises(DataError, match="there is no split 'predict'"):
        dataset.split("predict")


def test_the_official_protocol_has_no_validation(root: Path) -> None:
    with pytest.raises(DataError, match=r"no split 'validation' .* choose `protocol: supervised`"):
        clips(root, "validation")


@pytest.mark.parametrize(("data_set", "videos"), [("shanghaitech", 107), ("ucsd_ped1", 36), ("ucsd_ped2", 12)])
def test_published_lists(data_set: str, videos: int) -> None:
    split = supervised_split(data_set)
    assert not set(split["training"]) & set(split["validation"])
    assert len({*split["training"], *split["validation"]}) == videos
    assert 0.75 <= len(split["training"]) / videos <= 0.85


def test_shares_of_the_published_list(real_data: Path) -> None:
    labels = json.loads((real_data / "shanghaitech_frame_labels.json").read_text())
    boxes = {
        path.stem: sum(len(track.boxes) for track in read_shanghaitech_tracks(path))
        for path in (real_data / "shanghaitech_tracks").glob("*_*.txt")
    }
    held_out = supervised_split("shanghaitech")["validation"]
    assert set(held_out) < set(boxes)
    for size in (lambda name: len(labels[name]), lambda name: labels[name].count("1"), lambda name: boxes[name]):
        assert sum(map(size, held_out)) / sum(map(size, boxes)) == pytest.approx(0.2, abs=0.005)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda t: (t / "test_pixel_mask" / "01_0014.npy").unlink(), r"test_pixel_mask/01_0014\.npy: no such file"),
        (lambda t: np.save(t / "test_frame_mask" / "01_0014.npy", np.zeros(11)), r"shape is \(11,\), .* has 12 frames"),
        (
            lambda t: np.save(t / "test_pixel_mask" / "01_0014.npy", np.zeros((12, 20, 32), bool)),
            r"expected masks of shape \(frames, 24, 32\) or \(24, 32, frames\)",
        ),
        (
            lambda t: np.save(t / "test_frame_mask" / "01_0014.npy", np.array([{}] * 12), allow_pickle=True),
            "cannot be read as an npy file",
        ),
        (lambda t: (t / "test_pixel_mask" / "01_0014.npy").write_bytes(b""), "cannot be read as an npy file"),
        (lambda t: (t / "test_frame_mask").rename(t / "labels"), r"no such file; .*found frames, labels"),
    ],
)
def test_what_is_wrong_is_named(root: Path, damage: Any, fault: str) -> None:
    damage(root / "testing")
    with pytest.raises(DataError, match=fault):
        clips(root)


def test_another_layout(tmp_path: Path) -> None:
    (tmp_path / "Scene1").mkdir()
    with pytest.raises(DataError, match=r"expected ShanghaiTech's layout.* found Scene1"):
        ShanghaiTechFiles(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        ShanghaiTechFiles(tmp_path / "nowhere")


def test_tracks(root: Path) -> None:
    assert ShanghaiTechFiles(root).boxes("01_0014") is None
    miniatures.tracks(root)
    files = ShanghaiTechFiles(root)
    moving, single = files.boxes("01_0014") or []
    assert list(moving.boxes) == [4, 5, 8, 9]  # disorder and a gap
    assert moving.boxes[5] == (5, 8, 11, 14)  # inclusive pixels become exclusive ends
    assert list(single.boxes) == [6]
    (absent,) = files.problems()
    assert "missing are 01_0015, " in absent
    (root / "testing" / "tracks" / "04_0011.txt").rename(root / "testing" / "tracks" / "09_0001.txt")
    assert [text.split(": ")[1] for text in files.problems()[1:]] == [
        "09_0001 has no video in testing/frames", "no tracks of 04_0011",
    ]  # fmt: skip


def test_published_tracks(real_data: Path) -> None:
    paths = sorted((real_data / "shanghaitech_tracks").glob("[0-9]*.txt"))
    tracks = [track for path in paths for track in read_shanghaitech_tracks(path)]
    # 60 tracks have gaps once they are in order; in the order of the lines there seem to be 61
    gaps = sum(len(t.boxes) <= max(t.boxes) - min(t.boxes) for t in tracks)
    counts = (len(paths), len(tracks), sum(len(t.boxes) for t in tracks), gaps, sum(len(t.boxes) == 1 for t in tracks))
    assert counts == (107, 158, 18_937, 60, 1)
    assert all(list(track.boxes) == sorted(track.boxes) for track in tracks)


def test_a_video_with_broken_tracks_is_skipped_alone(root: Path) -> None:
    miniatures.tracks(root)
    (root / "testing" / "tracks" / "01_0014.txt").write_text("no track\n")
    with pytest.raises(DataError, match=r"01_0014\.txt, line 1"):
        clips(root)
    with pytest.warns(UserWarning, match=r"Skipped 01_0014: .*01_0014\.txt, line 1"):
        found = clips(root, on_broken="skip")
    assert "01_0014" not in {clip["name"] for clip in found}
    assert found
    assert all("boxes" in clip for clip in found)


def test_tracks_reach_the_clips(root: Path) -> None:
    assert all("boxes" not in clip for clip in clips(root))
    miniatures.tracks(root)
    first = next(clip for clip in clips(root) if clip["name"] == "01_0014" and 5 in clip["frames"].tolist())
    at = first["frames"].tolist().index(5)
    assert [5, 8, 10, 13] in [row[2:] for row in first["boxes"].tolist() if row[1] == at]  # inclusive
    height, width = first["video"].shape[-2:]
    double = next(
        clip
        for clip in clips(root, size=(2 * height, 2 * width))
        if clip["name"] == "01_0014" and 5 in clip["frames"].tolist()
    )
    assert [10, 16, 21, 27] in [row[2:] for row in double["boxes"].tolist() if row[1] == at]
    assert all("boxes" in clip for clip in clips(root))
