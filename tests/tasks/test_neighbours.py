"""The one-class baseline: its parts against plain references."""

from math import dist
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from tiny import batch, close
from tvau.backbones import Qwen25VL
from tvau.errors import DataError
from tvau.tasks import NeighbourTask
from tvau.tasks.neighbours import average, coreset, nearest, scale
from tvau.types import Batch

DRAW = torch.Generator().manual_seed(0)


def test_distances_are_those_of_a_librarys_search() -> None:
    tokens, bank = torch.randn(5000, 6, generator=DRAW), torch.randn(40, 6, generator=DRAW)
    expected, _ = NearestNeighbors(n_neighbors=1).fit(bank.numpy()).kneighbors(tokens.numpy())
    close(nearest(tokens, bank), torch.from_numpy(expected[:, 0]).float())


def test_the_bank_is_thinned_out_from_far_to_near() -> None:
    # 5 clusters far apart: the first 5 choices take one of each, in whatever projection
    centres = 100 * torch.randn(5, 3, generator=DRAW)
    tokens = (centres[:, None] + torch.randn(5, 20, 3, generator=DRAW) / 100).flatten(0, 1)
    torch.manual_seed(1)
    chosen = coreset(tokens, 5, 8)
    owners = {min(range(5), key=lambda i: dist(token, centres[i].tolist())) for token in chosen.tolist()}
    assert owners == set(range(5))
    whole = coreset(tokens, 100, 8)
    assert sorted(whole.tolist()) == sorted(tokens.tolist())  # each once


def test_neighbours_are_averaged_within_the_picture() -> None:
    features = torch.randn(1, 2, 3, 4, 5, generator=DRAW)
    given = average(features)
    for t, y, x in ((0, 0, 0), (1, 1, 2), (1, 2, 3)):
        own = features[0, t, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        close(given[0, t, y, x], own.flatten(0, 1).mean(0))


def test_scores_rise_with_the_distance_between_two_fixed_points() -> None:
    distances = torch.linspace(0.1, 20, 200, dtype=torch.float64)
    scores = scale(distances, 2.0, 6.0).sigmoid()
    assert (scores.diff() > 0).all()
    assert 0 < scores[0] < scores[-1] < 1
    close(scale(torch.tensor([2.0, 6.0]), 2.0, 6.0).sigmoid(), torch.tensor([0.02, 0.5]))
    assert scale(torch.zeros(1), 0.0, 0.0).isfinite().all()  # features that never differ


def task(checkpoint: Path, bank: int) -> NeighbourTask:
    made = NeighbourTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), bank=bank, each=16)
    made._trainer = mock.Mock(strategy=mock.Mock(batch_to_device=lambda batch, device: batch))
    return made


@torch.no_grad()
def test_only_normal_clips_fill_the_bank_and_a_changed_place_stands_out(checkpoint: Path) -> None:
    clips: Batch = {**batch(8), "name": [f"normal_{i}" for i in range(8)]}
    clips["labels"][1:] = False
    cast(Any, clips)["mask"] = [clips["mask"][0], *[None] * 7]  # which clips have a mask decides nothing
    clips["video"] = clips["video"][:1].expand(8, -1, -1, -1, -1).clone()  # the same scene again and again
    model = task(checkpoint, 20)
    own, held = model.gather([clips])
    assert (len(own), len(held)) == (5 * 16, 2 * 16)  # of all but the abnormal clip
    model.bank, model.median, model.high = own, 0.5, 1.0
    changed: Batch = {**clips, "video": clips["video"].clone()}
    changed["video"][0, 2:, :, :16, :16] = 255
    before, after = model.heatmaps(clips)[0], model.heatmaps(changed)[0]
    difference = (after - before).numpy()
    _, y, x = np.unravel_index(difference.argmax(), difference.shape)
    assert difference.max() > 0.1
    assert y < 20
    assert x < 20


@torch.no_grad()
def test_a_bank_needs_enough_normal_clips(checkpoint: Path) -> None:
    with pytest.raises(DataError, match=r"a bank of 20 tokens needs more normal training clips: got 0 beside"):
        task(checkpoint, 20).gather([batch(2)])
