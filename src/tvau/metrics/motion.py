"""Where something moved, in words: from tracks and from heatmaps, to check what an answer says about it.

The words are those of `tvau.language`, so that one reader finds start, end and direction in answers and here.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tvau import language
from tvau.language import Target, slots, trajectory
from tvau.types import Turn


def way(first: NDArray[np.floating], last: NDArray[np.floating], size: tuple[int, int]) -> str:
    """The sentence about a way from one box to another (x1, y1, x2, y2, inclusive) in pictures of (height, width)."""
    one, other = (((box[0] + box[2] + 1) / 2 / size[1], (box[1] + box[3] + 1) / 2 / size[0]) for box in (first, last))
    return trajectory(Target("", "", (), *language.way(one, other)))


def track_ways(tracks: NDArray[np.integer] | NDArray[np.floating], size: tuple[int, int]) -> list[str]:
    """A sentence for each track of a clip, [m, 6]: track, index of the frame, x1, y1, x2, y2."""
    ways = []
    for track in np.unique(tracks[:, 0]):
        own = tracks[tracks[:, 0] == track]
        own = own[np.argsort(own[:, 1], kind="stable")].astype(float)
        ways.append(way(own[0, 2:], own[-1, 2:], size))
    return ways


def heat_way(found: Sequence[NDArray[np.floating]], size: tuple[int, int]) -> str:
    """The sentence about the highest region of each frame, from the first frame that has one to the last; "" if none.

    Args:
        found: for each frame [n, 5]: x1, y1, x2, y2, score; the highest first.
        size: (height, width) of the maps.
    """
    best = [boxes[0] for boxes in found if len(boxes)]
    return way(best[0], best[-1], size) if best else ""


def closest(answer: str, ways: Sequence[str]) -> str:
    """The way that agrees best with an answer, of equals the first; "" without ways.

    Where several objects are abnormal, an answer about any of them is right.
    """
    said = slots(answer)
    return max(ways, key=lambda words: sum(said.get(k) == v for k, v in slots(words).items()), default="")


def answer_rows(
    turns: Sequence[Turn],
    answers: Sequence[str],
    tracks: NDArray[np.integer] | None,
    found: Sequence[NDArray[np.floating]] | None,
    size: tuple[int, int],
) -> list[tuple[str, str, str]]:
    """What `TextScores` gets of one clip: (task, answer, reference), also of the tasks "track" and "heatmap".

    Args:
        turns: questions with their references.
        answers: one for each turn.
        tracks: true boxes as for `track_ways`; None where unknown.
        found: boxes of the model's own heatmap as for `heat_way`; None without heatmaps.
        size: (height, width) of the frames.
    """
    rows = [(turn["task"], answer, turn["answer"]) for turn, answer in zip(turns, answers, strict=True)]
    for task, answer, _ in rows.copy():
        if task == "trajectory" and tracks is not None:
            rows.append(("track", answer, closest(answer, track_ways(tracks, size))))
        if found is not None and task in ("judgement", "trajectory"):
            judgement = "Yes." if any(map(len, found)) else "No."
            rows.append(("heatmap", answer, judgement if task == "judgement" else heat_way(found, size)))
    return rows
