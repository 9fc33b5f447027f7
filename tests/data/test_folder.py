"""Any folder of videos: what counts as one, and that every window comes in order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from tvau.data.folder import VideoFolder, find_videos, truth_of
from tvau.data.masks import MaskFiles, Unknown
from tvau.errors import DataError
from writers import write_frames

Write = Callable[..., Path]


def batches(videos: Path, **options: Any) -> list[Any]:
    chosen = {"frames": 8, "size": (12, 16), "num_workers": 0, **options}
    module = VideoFolder(str(videos), **chosen)
    module.setup("predict")
    return list(module.predict_dataloader())


def test_videos_and_frame_folders_side_by_side(tmp_path: Path, video: Write, frame_folder: Write) -> None:
    for name in ("b.mp4", "c.mp4", "c.avi", ".hidden.mp4"):
        video(tmp_path / name, frames=20)
    for name in ("a", "a_gt", "b_annotations", "lonely_gt"):
        frame_folder(tmp_path / name, range(10))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes.txt").write_text("words")
    found = find_videos(tmp_path)
    assert {name: path.name for name, path in found.items()} == {
        "a": "a", "b": "b.mp4", "c.avi": "c.avi", "c.mp4": "c.mp4", "lonely_gt": "lonely_gt",
    }  # fmt: skip
    assert list(found) == sorted(found)


def test_every_window_in_order(tmp_path: Path, video: Write, frame_folder: Write) -> None:
    video(tmp_path / "b.mp4", frames=20)
    frame_folder(tmp_path / "a", range(10))
    found = batches(tmp_path, batch_size=2, num_workers=1, fps=10)
    clips = [(n, f[0].item(), p) for b in found for n, f, p in zip(b["name"], b["frames"], b["fps"], strict=True)]
    assert clips == [("a", 0, 10), ("a", 2, 10), ("b", 0, 25), ("b", 8, 25), ("b", 12, 25)]
    assert [len(batch["turns"]) for batch in found] == [2, 2, 1]
    assert found[0]["video"].shape == (2, 8, 3, 12, 16)
    assert "mask" not in found[0]


def test_every_video_has_a_name_of_its_own(tmp_path: Path, video: Write) -> None:
    for name in ("a.mp4", "a.avi", "a.mp4.avi", "b.mp4"):
        video(tmp_path / name, frames=8)
    found = find_videos(tmp_path)
    assert {name: path.name for name, path in found.items()} == {
        "a.avi": "a.avi", "a.mp4": "a.mp4", "a.mp4.avi": "a.mp4.avi", "b": "b.mp4",
    }  # fmt: skip
    assert [batch["name"] for batch in batches(tmp_path, batch_size=1)] == [[name] for name in found]


def test_one_video_or_one_frame_folder(tmp_path: Path, video: Write, frame_folder: Write) -> None:
    path = video(tmp_path / "videos" / "b.mp4", frames=8)
    assert [batch["name"] for batch in batches(path)] == [["b"]]
    folder = frame_folder(tmp_path / "a", range(8))
    assert [batch["name"] for batch in batches(folder)] == [["a"]]


def test_a_broken_video_fails_or_is_named_and_skipped(tmp_path: Path, video: Write, frame_folder: Write) -> None:
    video(tmp_path / "good.mp4", frames=16)
    (tmp_path / "empty.mp4").write_bytes(b"")
    folder = frame_folder(tmp_path / "holes", range(24))
    (folder / "9.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.mp4: the file is empty"):
        batches(tmp_path)
    with pytest.warns(UserWarning, match="Skipped") as warned:
        found = batches(tmp_path, on_broken="skip", batch_size=1)
    assert [batch["name"] for batch in found] == [["good"], ["good"], ["holes"]]
    said = [str(w.message) for w in warned]
    assert [next(n for n in ("empty", "holes") if f"Skipped {n}: " in text) for text in said] == ["empty", "holes"]
    assert "9.png: the frame is empty" in said[1]


def test_a_video_shorter_than_a_clip_repeats_its_last_frame(tmp_path: Path, video: Write) -> None:
    video(tmp_path / "short.mp4", frames=7)
    (batch,) = batches(tmp_path, masks=True)
    assert batch["frames"].tolist() == [[0, 1, 2, 3, 4, 5, 6, 6]]
    assert batch["video"].shape == (1, 8, 3, 12, 16)
    assert torch.equal(batch["video"][0, 6], batch["video"][0, 7])
    assert not torch.equal(batch["video"][0, 5], batch["video"][0, 6])


def test_what_ffmpeg_can_open_is_found_and_the_rest_is_named(tmp_path: Path, video: Write) -> None:
    for name in ("a.3gp", "b.m2ts", "c.vob", "d.asf", "e.nut"):  # the last by what is in it
        video(tmp_path / name, frames=16)
    (tmp_path / "f.dav").write_bytes(b"a broken recording")
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "deep").mkdir()
    assert list(find_videos(tmp_path)) == ["a", "b", "c", "d", "e", "f"]
    (tmp_path / "f.dav").unlink()
    with pytest.warns(UserWarning, match=r"left out, since FFmpeg finds no video in them: deep, notes\.txt\."):
        assert {name for batch in batches(tmp_path) for name in batch["name"]} == {"a", "b", "c", "d", "e"}


def test_nothing_to_read(tmp_path: Path, video: Write) -> None:
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        find_videos(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"expected video files .*found nothing"):
        find_videos(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"expected video files .*found deep"):
        find_videos(tmp_path)
    with (
        pytest.warns(UserWarning, match="Skipped a"),
        pytest.raises(DataError, match="none of its 1 videos can be read"),
    ):
        batches(tmp_path / "deep", on_broken="skip")


def test_masks_of_a_folder_that_is_named_by_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = tmp_path / "cam" / "frames"
    write_frames(frames, range(4), (32, 64), "{:03d}.png")
    assert isinstance(truth_of(frames), Unknown)
    monkeypatch.chdir(frames)
    assert isinstance(truth_of(Path()), Unknown)
    write_frames(tmp_path / "cam" / "frames_gt", range(4), (32, 64), "{:03d}.png")
    assert isinstance(truth_of(Path()), MaskFiles)


def test_masks_that_are_cut_blurred_or_in_colours(tmp_path: Path) -> None:
    inside = np.zeros((48, 64), bool)
    inside[10:30, 20:50] = True
    picture = PIL.Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))
    coloured = picture.convert("RGB").quantize(2)  # its first colour may be the light one
    for name, mask in (("gray.png", picture), ("blurred.jpg", picture), ("whole.tif", picture), ("two.png", coloured)):
        folder = tmp_path / f"{name}_gt"
        folder.mkdir()
        mask.save(folder / f"000{name[-4:]}")
        np.testing.assert_array_equal(MaskFiles(folder).mask(0, (48, 64)), inside)
    cut = tmp_path / "whole.tif_gt" / "000.tif"
    cut.write_bytes(cut.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"000\.tif: the mask cannot be read"):
        MaskFiles(cut.parent).mask(0, (48, 64))


def test_real_videos(real_data: Path) -> None:
    found = find_videos(real_data / "clips")
    assert len(found) == 4
    (batch, *_) = batches(found["normal_scene_6_scenario_5"], limit=1, frames=4, hop=2)
    assert batch["video"].shape == (4, 4, 3, 12, 16)
    assert batch["frames"].tolist() == [[s, s + 1, s + 2, s + 3] for s in (0, 2, 4, 6)]


def test_masks_of_ucsd_ped_are_no_videos(real_data: Path) -> None:
    folder = real_data / "ucsd_ped2/UCSDped2/Test"
    found = find_videos(folder)
    assert list(found) == [f"Test{number:03d}" for number in (1, 3, 5, 7, 8, 9, 10, 11)]
