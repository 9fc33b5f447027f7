"""What a test scores: the data set's own frame labels, and everything that is known of a clip, in any batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import miniatures
from tvau.data import ShanghaiTech, UBnormal, UCSDPed
from tvau.data.module import VideoDataModule
from tvau.tasks.maps import MapScores, median_difference


def scored(module: VideoDataModule) -> dict[str, Any]:
    """The scores of a baseline over the test split, as `tvau test` runs it."""
    module.setup("test")
    scores = MapScores()
    for batch in module.test_dataloader()[0]:
        scores.update(batch, median_difference(batch["video"]))
    return scores.compute()


def test_small_and_hidden_targets_keep_their_labels(tmp_path: Path) -> None:
    root = miniatures.ubnormal(tmp_path / "UBnormal")
    for frame in range(10, 20):
        path = next((root / "Scene1").glob(f"*/*_{frame:04d}_gt.png"))
        ids = np.zeros(miniatures.SIZE, np.uint8)
        ids[11, frame] = 2 if frame < 18 else 0  # a single pixel, then hidden
        Image.fromarray(ids).save(path)
    result = scored(UBnormal(str(root), frames=10, size=(8, 12), num_workers=0))
    assert result["frame"]["abnormal_frames"] == 16  # frames 4..19 of the track
    for part in ("frame", "pixel", "region"):
        assert (result[part]["frames"], result[part]["videos"]) == (20, 1)


def test_frames_with_an_empty_mask_count_as_they_are_labelled(tmp_path: Path) -> None:
    root = miniatures.shanghaitech(tmp_path, ["01_0014"])
    for folder in ("test_pixel_mask", "test_frame_mask"):
        path = root / "testing" / folder / "01_0014.npy"
        values = np.load(path)
        if folder == "test_pixel_mask":
            values[4:6] = 0
        np.save(path, values)
    data: dict[str, Any] = {"protocol": "official", "frames": 6, "size": None, "num_workers": 0}
    frame = scored(ShanghaiTech(str(root), **data))["frame"]
    assert (frame["frames"], frame["abnormal_frames"]) == (12, 6)
    (root / "testing" / "test_pixel_mask").rename(root / "elsewhere")
    result = scored(ShanghaiTech(str(root), **data))
    assert "pixel" not in result
    assert result["frame"] == frame


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("batch_size", [1, 2, 4, 5])
def test_the_same_frames_are_scored_with_any_batch(tmp_path: Path, batch_size: int) -> None:
    root = miniatures.ucsd(tmp_path, "ped1", masked=(1,))
    module = UCSDPed(
        str(root), "ped1", "official", frames=4, size=None, num_workers=0, batch_size=batch_size, linked=True
    )
    result = scored(module)
    assert [result["frame"][key] for key in ("frames", "abnormal_frames", "videos")] == [36, 18, 3]
    for part in ("pixel", "region"):  # one clip has masks, and tracks linked from them
        assert (result[part]["frames"], result[part]["videos"]) == (12, 1)


def test_the_figures_are_those_of_single_clips(tmp_path: Path) -> None:
    root = miniatures.ucsd(tmp_path, "ped1", masked=(1,))
    data: dict[str, Any] = {
        "part": "ped1",
        "protocol": "official",
        "frames": 4,
        "size": None,
        "num_workers": 0,
        "linked": True,
    }
    one, many = (scored(UCSDPed(str(root), batch_size=size, **data)) for size in (1, 5))
    assert one == many
    assert 0 < one["frame"]["micro_auc"] < 1
    assert torch.isfinite(torch.tensor(one["region"]["rbdc"]))
