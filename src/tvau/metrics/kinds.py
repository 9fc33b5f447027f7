"""Which kinds of anomaly are found: the frame AUC of each kind, where a data set says what happens in a video."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvau.metrics.curves import Levels, areas
from tvau.metrics.rows import video_key

Kinds = Mapping[int, str | None]  # by the key of a video's name; None: a normal video
Owned = tuple[int, NDArray[np.float64], NDArray[np.bool_]]  # key of a video, scores [N], labels [N]


def kinds_of(root: Path) -> Kinds:
    """The kinds of a synthetic world's videos, from its `world.json`; empty where there is none."""
    path = root / "world.json"
    if not path.is_file():
        return {}
    videos = json.loads(path.read_text(encoding="utf-8"))["videos"]
    return {video_key(name): about["kind"] for name, about in videos.items()}


def kind_scores(videos: Sequence[Owned], kinds: Kinds) -> dict[str, dict[str, Any]]:
    """{kind: videos, abnormal_frames and two AUCs of its abnormal frames}; undefined ones are left out.

    `auc`: against the frames of all normal videos; they are the same for all kinds, so the figures are not the split's
    AUC taken apart. `auc_within`: against the other frames of the same videos. A low first one with a high second one
    says that normal videos hold something that looks worse.
    """
    normal = [scores for key, scores, _ in videos if key in kinds and kinds[key] is None]
    found: dict[str, dict[str, Any]] = {}
    for kind in sorted({kind for key, *_ in videos if (kind := kinds.get(key)) is not None}):
        own = [(scores, labels) for key, scores, labels in videos if kinds.get(key) == kind]
        shown = np.concatenate([scores[labels] for scores, labels in own])
        within = np.concatenate([scores[~labels] for scores, labels in own])
        pairs = {"auc": auc(shown, np.concatenate([np.empty(0), *normal])), "auc_within": auc(shown, within)}
        known = {name: value for name, value in pairs.items() if value is not None}
        found[kind] = {"videos": len(own), "abnormal_frames": len(shown), **known}
    return found


def auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float | None:
    """Share of pairs that are ordered rightly; None where one side is empty."""
    labels = np.repeat([True, False], [len(positive), len(negative)])
    return areas(*Levels.of(np.concatenate([positive, negative]), labels).counts()).get("auroc")
