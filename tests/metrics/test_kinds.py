"""Scores by kind against scikit-learn on frames picked by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tvau.metrics import FrameScores
from tvau.metrics.kinds import kinds_of

KINDS = {"a": "fire", "b": "fire", "c": "dancing", "d": None, "e": None}


def test_each_kind_is_set_against_all_normal_videos(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text(json.dumps({"videos": {name: {"kind": kind} for name, kind in KINDS.items()}}))
    metric, draw = FrameScores(kinds=kinds_of(tmp_path)), np.random.default_rng(0)
    scores = {name: draw.random(12) for name in (*KINDS, "unknown")}
    labels = {name: (np.arange(12) // 4 == 1) & (KINDS.get(name) is not None) for name in scores}
    for name, own in scores.items():
        metric.update(
            [name], torch.arange(12)[None], torch.from_numpy(own)[None].float(), torch.from_numpy(labels[name])[None]
        )
    found = metric.compute()["kinds"]
    assert {kind: (own["videos"], own["abnormal_frames"]) for kind, own in found.items()} == {
        "dancing": (1, 4), "fire": (2, 8)
    }  # fmt: skip
    shown = np.concatenate([scores[name][labels[name]] for name in "ab"])
    for name, rest in (
        ("auc", [scores["d"], scores["e"]]),
        ("auc_within", [scores[name][~labels[name]] for name in "ab"]),
    ):
        other = np.concatenate(rest)
        expected = roc_auc_score(np.repeat([1, 0], [len(shown), len(other)]), np.concatenate([shown, other]))
        assert found["fire"][name] == pytest.approx(expected)


def test_where_nobody_knows_the_kinds_there_are_none(tmp_path: Path) -> None:
    assert kinds_of(tmp_path) == {}
    metric = FrameScores()
    metric.update(["v"], torch.arange(2)[None], torch.tensor([[0.1, 0.9]]), torch.tensor([[False, True]]))
    assert "kinds" not in metric.compute()
