"""`tvau data check` on miniatures: what it counts, what it names, and its exit status."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import miniatures
from tvau.cli import main
from tvau.commands.check import check, inspect
from tvau.data import UBnormal
from tvau.data.folder import VideoFolder
from tvau.data.kinds import open_layout
from tvau.errors import DataError
from writers import write_frames


def faults(kind: Any, root: Path) -> list[str]:
    """What is wrong with a miniature, besides that most of the release is missing."""
    return [fault for fault in inspect(open_layout(kind, str(root)), False).faults if ": missing are" not in fault]


def status(*words: str) -> Any:
    """The exit status of the command."""
    try:
        main(["data", "check", *words])
    except SystemExit as stop:
        return stop.code
    return 0


def test_counts_stand_beside_the_published_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = miniatures.shanghaitech(tmp_path / "shanghaitech")
    miniatures.tracks(root)
    assert status("shanghaitech", str(root)) == 1
    rows = {row[:24].strip(): row[24:].split() for row in capsys.readouterr().out.splitlines()}
    assert rows["test videos"] == ["2", "107", "differs"]
    assert rows["test frames"] == ["24", "40791", "differs"]
    assert rows["test abnormal frames"] == ["18", "17326", "differs"]
    assert (rows["tracks"][0], rows["boxes"][0]) == ("4", "10")


def test_miniatures_hold_nothing_that_does_not_fit(tmp_path: Path, world: Any) -> None:
    assert faults("shanghaitech", miniatures.shanghaitech(tmp_path / "a")) == []
    assert faults("avenue", miniatures.avenue(tmp_path / "b")) == []
    assert faults("ucsd_ped2", miniatures.ucsd(tmp_path / "c", masked=(1, 2, 3))) == []
    assert faults("ucsd_ped1", miniatures.ucsd(tmp_path / "d", "ped1", masked=(1,))) == []
    world.add("normal_scene_1_scenario_1", "training", maps=False)
    world.add("abnormal_scene_1_scenario_1", "training", tracks="2,4,10\n2,12,13")
    assert faults("ubnormal", world.root) == []
    counts = inspect(open_layout("ubnormal", str(world.root)), False).counts
    assert (counts["tracks"], counts["training abnormal frames"], counts["training frames"]) == (2, 9, 40)


def test_an_object_that_no_id_map_shows_is_named(tmp_path: Path) -> None:
    """Masks of 0 and 3 and a track of object 1 would train that nothing is there."""
    root = miniatures.ubnormal(tmp_path)
    assert faults("ubnormal", root) == []
    (middle,) = root.glob("Scene1/*/*_0011_gt.png")
    middle.write_bytes(middle.read_bytes()[:60])
    assert not any("none of the id maps" in fault for fault in faults("ubnormal", root))  # others show the object
    (tracks,) = root.glob("Scene1/*/*_tracks.txt")
    tracks.write_text("9,4,19")
    (fault,) = faults("ubnormal", root)
    assert "object 9 of a track is in none of the id maps within it" in fault
    with pytest.warns(UserWarning, match="object 9 .* none of its frames has an abnormal pixel"):
        UBnormal(root=str(root), test_splits=["test"], frames=4).setup("test")


def test_masks_that_are_there_and_not_read_are_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_frames(tmp_path / name, range(4), (32, 64), "{:03d}.png")
    (tmp_path / "a_gt").mkdir()
    write_frames(tmp_path / "b_annotations", range(4), (32, 64), "{:03d}.png")  # not b_0000_gt.png
    write_frames(tmp_path / "c_annotations", range(4), (32, 64), "c_{:04d}_gt.png")
    write_frames(tmp_path / "d_gt", [0, 1, 3, 4], (32, 64), "{:03d}.png")
    layout = open_layout("folder", str(tmp_path))
    assert {name: layout.truth(name).known for name in "abcd"} == {"a": False, "b": False, "c": True, "d": True}
    named = [
        "a_gt: no masks of a are read", "b_annotations: no masks of b are read", "c_annotations: no c_tracks.txt",
        "d_gt/003.png: frame 1 is followed by 3",
    ]  # fmt: skip
    assert [text for text, fault in zip(named, faults("folder", tmp_path), strict=True) if text in fault] == named


def test_masks_of_another_length_than_labels_and_video_are_named(tmp_path: Path) -> None:
    testing = miniatures.shanghaitech(tmp_path) / "testing"
    path = testing / "test_pixel_mask" / "01_0014.npy"
    masks = np.load(path)
    np.save(path, np.concatenate([masks[:2], masks]))
    found = [fault for fault in faults("shanghaitech", tmp_path) if "01_0014" in fault]
    assert any("01_0014.npy" in fault and "14" in fault for fault in found)
    np.save(path, masks)
    miniatures.tracks(tmp_path)
    tracks = testing / "tracks"
    (tracks / "01_0014.txt").rename(tracks / "01_0014.TXT")
    found = faults("shanghaitech", tmp_path)
    assert [fault.split(": ")[1] for fault in found] == [
        "is not read, since it does not end in .txt",
        "no tracks of 01_0014",
    ]


def test_shanghaitech_faults_name_their_file(tmp_path: Path) -> None:
    testing = miniatures.shanghaitech(tmp_path) / "testing"
    (testing / "frames" / "04_0011" / "5.png").unlink()
    labels = np.load(testing / "test_frame_mask" / "01_0014.npy")
    labels[3] = 1
    np.save(testing / "test_frame_mask" / "01_0014.npy", labels)
    np.save(testing / "test_pixel_mask" / "09_0001.npy", labels)
    Image.new("L", (30, 24)).save(testing / "frames" / "01_0014" / "7.png")
    found = faults("shanghaitech", tmp_path)
    assert [Path(fault.split(":")[0]).name for fault in found] == [
        "test_pixel_mask", "7.png", "01_0014", "6.png", "04_0011.npy",
    ]  # fmt: skip
    for text, fault in zip(
        ("09_0001 has no video", "24x30", "frame 3 is labelled abnormal, but its mask is empty", "frame 4 is followed",
         "has 11 frames"),
        found, strict=True,
    ):  # fmt: skip
        assert text in fault


def test_frames_that_are_missing(tmp_path: Path) -> None:
    root = miniatures.ucsd(tmp_path, masked=(1, 2, 3))
    test = root / "UCSDped2" / "Test"
    (test / "Test001" / "004.tif").unlink()
    found = faults("ucsd_ped2", root)
    assert "005.tif: frame 3 is followed by 5" in found[0]
    assert "Test001_gt: 12 masks for a video of 11 frames" in found[1]


def test_ubnormal_faults_name_their_file(world: Any) -> None:
    name = "abnormal_scene_1_scenario_1"
    world.add("normal_scene_1_scenario_1", "training", maps=False)
    notes = world.add(name, "training", tracks="2,4,10\n7,30,40")
    (notes / f"{name}_0005_gt.png").unlink()
    assert "_0005_gt.png: no such file" in faults("ubnormal", world.root)[0]
    (notes / f"{name}_tracks.txt").write_text("7,30,40")
    world.add(name, "test", tracks="7,30,40")
    (world.root / "scripts" / "object_names_per_video.pkl").write_bytes(b"cposix\nsystem\n.")
    world.split[("normal", "training")].clear()
    world.lists()
    found = faults("ubnormal", world.root)
    for text in ("object_names_per_video.pkl", "stands in 2 lists", "normal_scene_1_scenario_1.mp4: no list",
                 "track of object 7 is frames 30 to 40, the video ends with frame 19"):  # fmt: skip
        assert any(text in fault for fault in found)


def test_a_folder_with_masks_and_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        miniatures.frames(tmp_path / name, 12)
    (tmp_path / "a_gt").mkdir()
    for frame, mask in enumerate(miniatures.masks(12, range(4, 10))):
        Image.fromarray(mask).save(tmp_path / "a_gt" / f"{frame}.png")
    np.save(tmp_path / "b_gt.npy", miniatures.masks(12, range(2)))
    assert status("folder", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "nothing is missing, and everything fits together" in out
    module = VideoFolder(str(tmp_path), frames=12, size=None, num_workers=0, masks=True, batch_size=1)
    module.setup("predict")
    a, b, c = module.predict_dataloader()
    assert a["mask"][0].any((1, 2)).nonzero().flatten().tolist() == [4, 5, 6, 7, 8, 9]
    assert b["mask"][0].any((1, 2)).nonzero().flatten().tolist() == [0, 1]
    assert "mask" not in c


def test_a_wrong_folder_is_explained(tmp_path: Path) -> None:
    assert "tvau: " in str(status("avenue", str(tmp_path)))
    with pytest.raises(DataError, match=r"expected Avenue's layout.* found nothing"):
        check("avenue", str(tmp_path))
