"""Events as they come are those of the whole video."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvau.data.stream import Shot
from tvau.events import find
from tvau.metrics.events import EventRule
from tvau.metrics.frame import smooth
from tvau.watching import Look, Smoother, Tracker

STEP = 0.2
SCORES = st.lists(st.sampled_from([0.1, 0.4, 0.5, 0.6, 0.8, 0.9]), min_size=1, max_size=60)


def look(number: int, score: float) -> Look:
    """A frame with a score and no picture."""
    nothing: Any = np.zeros((2, 2, 3), np.uint8)
    shot = Shot(number, number * STEP, 0.0, nothing, nothing, (2, 2), False)
    return Look(shot, score, np.zeros((2, 2), np.float32), (), 5.0, None)


def online(looks: list[Look], rule: EventRule) -> list[tuple[int, int, int, float]]:
    """(first, last, key, peak) of each event that ended; each has begun before."""
    tracker, begun, found = Tracker(rule, STEP), 0, []
    for what, event in [change for each in looks for change in tracker.add(each)] + list(tracker.end()):
        if what == "begins":
            begun += 1
        else:
            found.append((event.first.shot.number, event.last.shot.number, event.peak.shot.number, event.peak.score))
            assert begun == len(found)
    return found


@given(SCORES, st.sampled_from([0.5, 0.8]), st.sampled_from([0.3, 0.5]), st.integers(0, 5), st.integers(0, 5))
def test_online_and_offline_find_the_same_events(
    scores: list[float], on: float, off: float, shortest: int, gap: int
) -> None:
    rule = EventRule(on, off, shortest * STEP, gap * STEP)
    frames = np.arange(len(scores))
    whole = find(np.array(scores), frames, frames * STEP, None, rule)
    if len(scores) == 1:  # whose length nobody knows
        whole = find(np.array([*scores, 0.0]), np.arange(2), np.arange(2) * STEP, None, rule)
    found = online([look(n, s) for n, s in enumerate(scores)], rule)
    assert found == [(e.start, e.end, e.key, e.peak) for e in whole]


@given(SCORES, st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_online_and_offline_smooth_alike(scores: list[float], width: float) -> None:
    smoother = Smoother(width)
    came = [each for n, s in enumerate(scores) for each in smoother.add(look(n, s))]
    early = len(came)
    came += smoother.end()
    assert [each.shot.number for each in came] == list(range(len(scores)))
    assert [each.score for each in came] == pytest.approx(smooth(np.array(scores), width), abs=1e-9)
    assert early == max(len(scores) - int(4 * width + 0.5), 0)


def test_an_event_is_told_as_soon_as_it_is_sure() -> None:
    tracker = Tracker(EventRule(0.8, 0.5, shortest=3 * STEP, gap=STEP), STEP)
    scores = [0.1, 0.6, 0.9, 0.6, 0.1, 0.6, 0.8, 0.1, 0.1, 0.1]
    told = [[what for what, _ in tracker.add(look(n, score))] for n, score in enumerate(scores)]
    assert told == [[], [], [], ["begins"], [], [], [], [], [], ["ends"]]
