"""Avenue's layout with every trap of it; and what wrong copies of it say."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

import miniatures
from tvau.data import Avenue
from tvau.data.avenue import AvenueFiles
from tvau.errors import DataError


def clips(root: Path, split: str = "test", **options: Any) -> list[Any]:
    dataset = Avenue(str(root), **{"frames": 6, "size": None, "num_workers": 0, **options}).split(split)
    return [dataset[at] for at in range(len(dataset))]


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_masks_may_be_a_frame_longer_or_shorter(tmp_path: Path, extra: int) -> None:
    found = clips(miniatures.avenue(tmp_path, extra=extra))
    assert [clip["name"] for clip in found] == ["01", "01", "02", "02"]
    expected = torch.from_numpy(miniatures.masks(12, range(4, 10))).bool()
    assert torch.equal(torch.cat([clip["mask"] for clip in found[:2]]), expected)
    assert found[3]["mask"].any((1, 2)).all()  # abnormal throughout, and the last mask stands for a missing one
    assert [clip.abnormal for clip in Avenue(str(tmp_path), frames=4).split("test").clips[:3]] == [False, True, True]


def test_masks_that_belong_to_another_video(tmp_path: Path) -> None:
    root = miniatures.avenue(tmp_path, extra=2)
    with pytest.raises(DataError, match=r"1_label\.mat: its shape is \(14,\), but the video has 12 frames"):
        clips(root)


def test_training_videos_have_names_of_their_own(tmp_path: Path) -> None:
    root = miniatures.avenue(tmp_path)
    assert [clip["name"] for clip in clips(root, "training")] == ["train_01", "train_01"]
    assert not any(clip["mask"].any() for clip in clips(root, "training"))
    with pytest.raises(DataError, match="no split 'validation' here, only training, test"):
        clips(root, "validation")


def test_masks_stay_small_and_do_not_travel(tmp_path: Path) -> None:
    truth = AvenueFiles(miniatures.avenue(tmp_path)).truth("01")
    before = truth.mask(5, miniatures.SIZE)
    masks, _ = truth.masks  # type: ignore[attr-defined]
    assert sum(mask.nbytes for mask in masks) == 13 * 24 * 32 / 8
    assert len(pickle.dumps(truth)) < 1000
    truth.forget()  # type: ignore[attr-defined]
    assert (truth.mask(5, miniatures.SIZE) == before).all()


def test_a_mirror_of_frames_with_avenue_mat(tmp_path: Path) -> None:
    for part, videos in (("training", ["01"]), ("testing", ["01", "02", "03"])):
        for video in videos:
            miniatures.frames(tmp_path / part / "frames" / video, 12, "{:04d}.jpg".format)
    gt = np.empty((1, 3), object)
    gt[0, 0] = np.array([[5, 9], [6, 11]])  # 5..6 and 9..11, from 1
    gt[0, 1], gt[0, 2] = np.array([[1], [12]]), np.zeros((2, 0))
    savemat(tmp_path / "avenue.mat", {"gt": gt})
    found = clips(tmp_path, frames=12)
    assert [clip["labels"].nonzero().flatten().tolist() for clip in found] == [[4, 5, 8, 9, 10], [*range(12)], []]
    assert not any("mask" in clip for clip in found)
    (normal,) = clips(tmp_path, "training", frames=12)
    assert (normal["name"], bool(normal["labels"].any())) == ("train_01", False)
    savemat(tmp_path / "avenue.mat", {"gt": gt[:, :2]})
    with pytest.raises(DataError, match=r"avenue\.mat: abnormal frames of 2 videos, but there are 3"):
        clips(tmp_path)
    (tmp_path / "avenue.mat").write_bytes(b"no mat file")
    with pytest.raises(DataError, match=r"avenue\.mat: expected 'gt', for each video"):
        clips(tmp_path)


def test_avenue_mat_counts_videos_by_their_numbers(tmp_path: Path) -> None:
    for video in ("1", "2", "10"):
        miniatures.frames(tmp_path / "testing" / "frames" / video, 12, "{:04d}.jpg".format)
    gt = np.empty((1, 3), object)
    gt[0, 0], gt[0, 1], gt[0, 2] = (np.array([[frame], [frame]]) for frame in (1, 2, 10))
    savemat(tmp_path / "avenue.mat", {"gt": gt})
    found = {clip["name"]: clip["labels"].nonzero().flatten().tolist() for clip in clips(tmp_path, frames=12)}
    assert found == {"1": [0], "2": [1], "10": [9]}


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    root = miniatures.avenue(tmp_path)
    masks = root / "ground_truth_demo" / "testing_label_mask"
    (masks / "2_label.mat").write_bytes(b"no mat file")
    with pytest.raises(DataError, match=r"2_label\.mat: expected 'volLabel', a \(1, frames\) array of masks"):
        clips(root)
    (masks / "2_label.mat").rename(masks / "02_label.mat")
    with pytest.raises(DataError, match=r"2_label\.mat: no such file; .* test video 02; found 02_label\.mat"):
        clips(root)
    assert AvenueFiles(root).problems() == [f"{masks / '02_label.mat'}: there is no such test video"]
    with pytest.raises(DataError, match=r"expected Avenue's layout.* found 02_label\.mat, 1_label\.mat"):
        AvenueFiles(masks)
