"""The parts of a test, scored together: the same figures as one test over all videos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tvau.errors import DataError
from tvau.metrics.boxes import MapRule
from tvau.tasks.folds import load_scores, merged, save_scores
from tvau.tasks.maps import MapScores
from tvau.types import Batch

RULE = MapRule(threshold=0.6, area=0.01, smoothing=1.5)


def clips(names: list[str]) -> tuple[Batch, Tensor]:
    """Clips of 6 frames of 16x24 with a square that moves, and maps of noise that is a little higher on it."""
    mask = torch.zeros(len(names), 6, 16, 24, dtype=torch.bool)
    tracks = []
    for i in range(len(names)):
        for t in range(i % 3, 6):
            mask[i, t, 4:10, 2 * t : 2 * t + 6] = True
        tracks.append(torch.tensor([[1, t, 2 * t, 4, 2 * t + 5, 9] for t in range(i % 3, 6)]))
    draw = torch.Generator().manual_seed(sum(map(ord, "".join(names))))
    noise = torch.rand(mask.shape, generator=draw)
    batch: Batch = {
        "video": torch.zeros(len(names), 6, 3, 16, 24, dtype=torch.uint8), "fps": [10.0] * len(names), "name": names,
        "frames": torch.arange(6).repeat(len(names), 1), "turns": [[] for _ in names], "mask": mask, "boxes": tracks,
        "labels": mask.flatten(2).any(2),
    }  # fmt: skip
    maps = 0.94 * noise + 0.06 * mask
    maps[:, 0, 12, 20] = 1  # a false alarm
    return batch, maps


def scored(*parts: list[str], rule: MapRule = RULE) -> MapScores:
    scores = MapScores(rule)
    for names in parts:
        scores.update(*clips(names))
    return scores


def test_folds_give_the_same_figures_as_one_test(tmp_path: Path) -> None:
    one, two = ["a", "b", "c"], ["d", "e"]
    direct = scored(one, two).compute()
    picture = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    for at, names in enumerate((one, two)):
        save_scores(tmp_path / f"{at}.npz", {"tvau": scored(names)}, {"case/x/picture": picture})
    (first, extra), (second, _) = (load_scores(tmp_path / f"{at}.npz") for at in (0, 1))
    assert (extra["case/x/picture"] == picture).all()
    assert first["tvau"].rule == RULE
    together = merged([first["tvau"], second["tvau"]])
    assert {"frame", "events", "pixel", "region", "rule"} == set(direct)
    for part in ("frame", "events", "pixel", "region"):
        assert together[part] == direct[part]
    assert 0 < direct["frame"]["micro_auc"] < 1  # figures that can differ
    assert 0 < direct["region"]["rbdc"] < 1


def test_every_fold_reads_its_maps_by_its_own_rule() -> None:
    sharp = MapRule(threshold=0.9)
    together = merged([scored(["a", "b", "c"]), scored(["d", "e"], rule=sharp)], bootstrap=20)
    blunt = merged([scored(["a", "b", "c"]), scored(["d", "e"])])
    assert together["region"]["rbdc"] < blunt["region"]["rbdc"]
    assert together["pixel"]["auroc"] == blunt["pixel"]["auroc"]
    assert {"micro_auc"} <= set(together["frame"]["interval"])


def test_a_video_in_two_folds_is_refused() -> None:
    with pytest.raises(DataError, match="2 folds with 4 videos, of which 3 are different"):
        merged([scored(["a", "b"]), scored(["b", "c"])])


@pytest.mark.parametrize("content", [None, b"", b"PK\3\4 half", "other"])
def test_wrong_files_are_named(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "scores.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        np.savez(path, other=np.zeros(3))
    with pytest.raises(DataError, match=r"scores\.npz: no scores of a fold"):
        load_scores(path)
