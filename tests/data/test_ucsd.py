"""UCSD Ped's layout with every trap of it; and what wrong copies of it say."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import miniatures
from tvau.data import UCSDPed
from tvau.data.boxes import read_ucsd_tracks
from tvau.data.ucsd import UCSDPedFiles, ped2_folds, read_frame_ranges, read_matlab_ranges
from tvau.errors import DataError


def clips(root: Path, split: str = "test", **options: Any) -> list[Any]:
    chosen = {"protocol": "official", "frames": 12, "size": None, "num_workers": 0, **options}
    dataset = UCSDPed(str(root), **chosen).split(split)
    return [dataset[at] for at in range(len(dataset))]


@pytest.mark.parametrize("inside", ["", "UCSDped2"])
def test_frames_masks_and_hidden_files(tmp_path: Path, inside: str) -> None:
    miniatures.ucsd(tmp_path, masked=(1, 2, 3))
    first, second, third = clips(tmp_path / inside)
    assert first["video"].shape == (12, 3, 24, 32)  # gray tif becomes RGB; .DS_Store and ._001.tif are no frames
    assert first["video"][:, 0, 0, 0].tolist() == list(range(12))
    assert first["mask"].any((1, 2)).nonzero().flatten().tolist() == [2, 3, 6, 7, 8]  # two ranges, 1-based inclusive
    assert second["mask"].any((1, 2)).all()  # frame001.bmp
    assert third["mask"].any((1, 2)).nonzero().flatten().tolist() == [11]
    assert first["mask"][2].sum() == 36  # 0/255
    (only,) = clips(tmp_path / inside, "training")
    assert not only["mask"].any()


def test_ped1_has_clips_without_masks(tmp_path: Path) -> None:
    miniatures.ucsd(tmp_path, "ped1", masked=(1,))
    found = clips(tmp_path, part="ped1")
    assert ["mask" in clip for clip in found] == [True, False, False]
    dataset = UCSDPed(str(tmp_path), "ped1", "official", frames=6).split("test")
    assert [clip.abnormal for clip in dataset.clips] == [True, True, True, True, False, True]
    assert UCSDPedFiles(tmp_path, "ped1", "supervised").names("validation") == {"Test001": True}  # masks only


def test_ranges_from_json_or_from_the_masks(tmp_path: Path) -> None:
    miniatures.ucsd(tmp_path, masked=(1, 2, 3))
    expected = [UCSDPedFiles(tmp_path).truth(f"Test00{n}").labels(12).tolist() for n in (1, 2, 3)]
    (tmp_path / "UCSDped2" / "Test" / "UCSDped2.m").unlink()
    assert [UCSDPedFiles(tmp_path).truth(f"Test00{n}").labels(12).tolist() for n in (1, 2, 3)] == expected
    assert "no list of abnormal frames" in UCSDPedFiles(tmp_path).problems()[-1]
    ranges = {"Test001": [[2, 3], [6, 8]], "Test002": [[0, 11]], "Test003": [[11, 11]]}
    (tmp_path / "frame_ranges.json").write_text(json.dumps(ranges))
    assert [UCSDPedFiles(tmp_path).truth(f"Test00{n}").labels(12).tolist() for n in (1, 2, 3)] == expected


@pytest.mark.parametrize("own", ["UCSDped2.m", "labels.m"])
def test_scripts_beside_the_list(tmp_path: Path, own: str) -> None:
    test = miniatures.ucsd(tmp_path, masked=(1, 2, 3)) / "UCSDped2" / "Test"
    expected = UCSDPedFiles(tmp_path).ranges
    (test / "UCSDped2.m").rename(test / own)
    (test / "Evaluate.m").write_text("function auc = Evaluate(scores)\n")
    if own == "UCSDped2.m":
        (test / "A_first.m").write_text("TestVideoFile{end+1}.gt_frame = [1:1];")
    assert UCSDPedFiles(tmp_path).ranges == expected


def test_the_copy_with_other_names_and_formats(real_data: Path) -> None:
    files = UCSDPedFiles(real_data / "ucsd_ped2")
    assert list(files.names("test")) == [f"Test{n:03d}" for n in (1, 3, 5, 7, 8, 9, 10, 11)]
    truth = files.truth("Test009")
    assert truth.labels(120).all()
    assert truth.mask(0, (240, 360)).any()


def test_every_split_of_the_supervised_protocol(tmp_path: Path) -> None:
    miniatures.ucsd(tmp_path, masked=(1, 2, 3))
    files = UCSDPedFiles(tmp_path, protocol="supervised")
    assert list(files.names("training")) == ["Test001", "Test002", "Test003"]
    assert files.names("validation") == files.names("test") == {}
    with pytest.raises(DataError, match=r"no split 'validation' .* choose `protocol: supervised`"):
        clips(tmp_path, "validation")


def test_a_clip_of_ped2_without_its_masks_is_not_passed_over(tmp_path: Path) -> None:
    miniatures.ucsd(tmp_path, masked=(1, 3))
    with pytest.raises(DataError, match=r"Test002_gt: no such folder; the supervised protocol learns from masks"):
        clips(tmp_path, "training", protocol="supervised")
    with pytest.warns(UserWarning, match="Skipped Test002"):
        found = clips(tmp_path, "training", protocol="supervised", on_broken="skip")
    assert [clip["name"] for clip in found] == ["Test001", "Test003"]


def test_the_folds_are_disjoint_and_leave_every_clip_out_once() -> None:
    clips = [f"Test{n:03d}" for n in (1, 3, 5, 7, 8, 9, 10, 11)]  # those that the project has
    normal = [f"Train{n:03d}" for n in range(1, 17)]
    for fold in ped2_folds():
        assert [*fold] == ["training", "validation", "test"]
        assert sorted(name for side in fold.values() for name in side) == clips + normal  # each on one side only
        assert not set(fold["test"]) & set(normal)
    assert sorted(name for fold in ped2_folds() for name in fold["test"]) == clips


def test_a_fold_reads_its_clips_and_links_their_masks(tmp_path: Path) -> None:
    base = miniatures.ucsd(tmp_path, masked=(1, 2, 3)) / "UCSDped2"
    (base / "Test" / "Test002").rename(base / "Test" / "Test008")  # fold 0 tests Test001 and Test008
    (base / "Test" / "Test002_gt").rename(base / "Test" / "Test008_gt")
    ranges = {"Test001": [[2, 3], [6, 8]], "Test008": [[0, 11]], "Test003": [[11, 11]]}
    (tmp_path / "frame_ranges.json").write_text(json.dumps(ranges))
    first, second = clips(tmp_path, protocol="folds", fold=0, linked=True)
    assert (first["name"], second["name"]) == ("Test001", "Test008")
    boxes = [[1, t, t, 8, t + 5, 13] for t in range(12)]  # inclusive; the square of 6x6 moves on by a pixel a frame
    assert second["boxes"].tolist() == boxes
    assert first["boxes"].tolist() == [boxes[t] for t in (2, 3, 6, 7, 8)]  # one target, hidden in between
    assert "boxes" not in clips(tmp_path, protocol="folds", fold=0)[0]
    layout = UCSDPedFiles(tmp_path, protocol="folds", fold=1)
    assert layout.names("validation") == {"Test005": True, "Test009": True, "Train003": False, "Train011": False}
    (base / "Test" / "Test008_gt.txt").write_text("001.tif 7 10 8 4 2\n")  # a file of tracks goes before the masks
    (track,) = UCSDPedFiles(tmp_path, protocol="folds", linked=True).boxes("Test008") or []
    assert track.id == 7
    for wrong in ({"fold": 4}, {"fold": -1}, {"part": "ped1"}):
        with pytest.raises(DataError, match="there are folds 0 to 3 of ped2 only"):
            UCSDPed(str(tmp_path), protocol="folds", **wrong).layout()


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    base = miniatures.ucsd(tmp_path, masked=(1, 2, 3)) / "UCSDped2"
    gt = base / "Test" / "Test001_gt"
    Image.new("L", (31, 24)).save(gt / "003.bmp")
    with pytest.raises(DataError, match=r"003\.bmp: the mask is 24x31 .* 24x32"):
        clips(tmp_path)
    (gt / "003.bmp").write_bytes(b"BM")
    with pytest.raises(DataError, match=r"003\.bmp: the mask cannot be read"):
        clips(tmp_path)
    (gt / "003.bmp").unlink()
    with pytest.raises(DataError, match="Test001_gt: 11 masks for a video of 12 frames"):
        clips(tmp_path)
    (base / "Test" / "UCSDped2.m").write_text("TestVideoFile{end+1}.gt_frame = [3:13];")
    (gt / "003.bmp").write_bytes(b"")
    with pytest.raises(DataError, match="frame 13 is abnormal, but the video has 12 frames"):
        UCSDPedFiles(tmp_path).truth("Test001").labels(12)
    with pytest.raises(DataError, match="does not say anything about Test002"):
        UCSDPedFiles(tmp_path).truth("Test002")
    with pytest.raises(DataError, match=r"expected UCSD's layout.* found Test001"):
        UCSDPedFiles(base / "Test")


@pytest.mark.parametrize(
    "line", ["gt_frame = 61:180;", "gt_frame = [180:61];", "gt_frame = [0:3];", "gt_frame = [1:a];"]
)
def test_malformed_lists_name_their_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "UCSDped2.m"
    path.write_text(f"TestVideoFile{{end+1}}.gt_frame = [1:2]; % fine\nTestVideoFile{{end+1}}.{line}\n")
    with pytest.raises(DataError, match=r"UCSDped2\.m, line 2: expected gt_frame = \[first:last"):
        read_matlab_ranges(path)
    path.write_text("% nothing")
    with pytest.raises(DataError, match="there is no line like"):
        read_matlab_ranges(path)


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3}', '{"a": [[3]]}', '{"a": [[3, 2]]}', '{"a": [[0, 1.0]]}'])
def test_malformed_ranges(tmp_path: Path, text: str) -> None:
    path = tmp_path / "frame_ranges.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"frame_ranges\.json: expected"):
        read_frame_ranges(path)


def test_tracks(tmp_path: Path) -> None:
    path = tmp_path / "Test001_gt.txt"
    path.write_text("001.tif 1 10 8 4 2\n003.tif 1 12 8 4 2\n001.tif 2 5 5 1 1\n")
    first, second = read_ucsd_tracks(path)
    assert first.boxes == {0: (8, 7, 12, 9), 2: (10, 7, 14, 9)}
    assert (second.id, list(second.boxes)) == (2, [0])
    path.write_text("001.tif 1 10 8 4 2\n000.tif 1 12 8 4 2\n")
    with pytest.raises(DataError, match="line 2: expected frame_file track_id cx cy w h"):
        read_ucsd_tracks(path)
