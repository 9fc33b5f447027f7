"""Events and their scores against brute force, frame by frame, on random sequences."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tvau.errors import CheckpointError, DataError
from tvau.metrics.events import (
    COUNTS,
    EventChoice,
    EventRule,
    EventScores,
    Recording,
    alarms,
    counts,
    event_summary,
    runs,
    scores_of,
    spans,
)

FPS = 10.0
RULES = st.builds(
    lambda low, high, shortest, gap: EventRule(max(low, high) / 4, min(low, high) / 4, shortest / FPS, gap / FPS),
    st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4),
)  # fmt: skip
VIDEOS = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=24)


def plain_events(scores: list[float], rule: EventRule) -> list[list[int]]:
    """The rule as its text says it, in frames of a tenth of a second."""
    found: list[list[int]] = []
    for at, score in enumerate(scores):
        if score < rule.off:
            continue
        if found and found[-1][-1] == at - 1:
            found[-1].append(at)
        else:
            found.append([at])
    found = [event for event in found if any(scores[at] >= rule.on for at in event)]
    at = 0
    while at + 1 < len(found):
        between = found[at + 1][0] - found[at][-1] - 1
        if between <= round(rule.gap * FPS):
            found[at : at + 2] = [[*range(found[at][0], found[at + 1][-1] + 1)]]
        else:
            at += 1
    return [event for event in found if len(event) >= round(rule.shortest * FPS)]


def recording(video: list[tuple[int, bool]]) -> Recording:
    scores, labels = zip(*video, strict=True)
    # a tenth of a second, as whole numbers of it: sums of tenths are not exact, and the rule's limits are inclusive
    return Recording(np.arange(len(video)) / FPS, np.array(scores) / 4, np.array(labels), FPS)


@given(VIDEOS, RULES)
def test_events_are_those_of_the_rule_in_words(video: list[tuple[int, bool]], rule: EventRule) -> None:
    own = recording(video)
    expected = plain_events(own.scores.tolist(), rule)
    assert spans(own.scores, own.seconds, rule) == [(event[0], event[-1]) for event in expected]


def plain_scores(videos: list[Recording], rule: EventRule) -> dict[str, float]:
    """Every score by sets of frames and all ways of matching."""
    true_events, found_events, hits, false, matched, seconds = 0, 0, 0, 0, 0, 0.0
    delays: list[float] = []
    for video in videos:
        truth = [set(range(a, b + 1)) for a, b in runs(video.labels)]
        found = [set(event) for event in plain_events(video.scores.tolist(), rule)]
        true_events, found_events = true_events + len(truth), found_events + len(found)
        false += sum(not any(event & true for true in truth) for event in found)
        for true in truth:
            known = []
            for event in found:
                if event & true:
                    lasting = min(event) + max(round(rule.shortest * FPS) - 1, 0)
                    known.append(max(min(at for at in event if video.scores[at] >= rule.on), lasting))
            if known:
                hits += 1
                delays.append(max(min(known) - min(true), 0))
        fewer, more = sorted((truth, found), key=len)
        matched += max(
            sum(len(a & b) / len(a | b) >= 0.5 for a, b in zip(fewer, chosen, strict=True))
            for chosen in permutations(more, len(fewer))
        )
        seconds += len(video.labels) / FPS

    def three(prefix: str, hit: int, of: int) -> dict[str, float]:
        result = {}
        if of:
            result[f"{prefix}precision"] = hit / of
        if true_events:
            result[f"{prefix}recall"] = hit / true_events
        if of or true_events:
            precision, recall = hit / max(of, 1), hit / max(true_events, 1)
            result[f"{prefix}f1"] = 2 * precision * recall / (precision + recall) if hit else 0.0
        return result

    result = three("", hits, hits + false) | three("iou_", matched, found_events)
    if delays:
        result |= {"delay": float(np.mean(delays)) / FPS, "delay_frames": float(np.mean(delays))}
    return result | {"false_alarms_per_hour": 3600 * false / seconds}


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=12), min_size=1, max_size=4),
       RULES)  # fmt: skip
def test_scores_are_those_of_brute_force(videos: list[list[tuple[int, bool]]], rule: EventRule) -> None:
    every = [recording(video) for video in videos]
    by_video = np.array([counts(runs(video.labels), alarms(video, rule), video) for video in every])
    assert by_video.shape == (len(every), len(COUNTS))
    assert scores_of(by_video.sum(0)) == pytest.approx(plain_scores(every, rule), abs=1e-9)


def test_a_long_event_finds_all_and_matches_nothing() -> None:
    video = Recording(np.arange(100) / FPS, np.full(100, 0.7), np.isin(np.arange(100), (10, 11, 50, 51)), FPS)
    summary = event_summary(np.array([counts(runs(video.labels), alarms(video, EventRule()), video)]))
    assert (summary["precision"], summary["recall"], summary["f1"], summary["iou_f1"]) == (1, 1, 1, 0)
    assert (summary["events"], summary["alarms"], summary["hours"]) == (2, 1, pytest.approx(10 / 3600))


def update(scores: EventScores, name: str, values: NDArray[np.floating], labels: NDArray[np.bool_]) -> None:
    numbers = torch.arange(len(values))[None]
    scores.update([name], numbers, torch.tensor(values)[None].float(), torch.tensor(labels)[None], [FPS])


def noisy(seed: int, peak: float, abnormal: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores of a video that flicker, and rise to `peak` from frame 20 to 39 where something happens."""
    labels = (np.arange(60) // 20 == 1) & abnormal
    draw = np.random.default_rng(seed)
    return np.clip(0.1 + peak * labels + draw.normal(0, 0.02, 60), 0, 1) * np.where(np.arange(60) == 30, 0.3, 1), labels


def test_the_choice_finds_levels_and_closes_gaps() -> None:
    choice = EventChoice()
    for seed in range(8):
        update(choice, f"v{seed}", *noisy(seed, 0.2, abnormal=seed % 2 == 0))
    rule = EventRule.restored(choice.compute())
    assert 0.15 < rule.on < 0.32  # far below the default, under which nothing would be found
    assert rule.gap > 0  # frame 30 flickers
    chosen, default = EventScores(rule), EventScores()
    for seed in range(20, 28):
        update(chosen, f"v{seed}", *noisy(seed, 0.2, abnormal=seed % 2 == 0))
        update(default, f"v{seed}", *noisy(seed, 0.2, abnormal=seed % 2 == 0))
    scores = chosen.compute()
    assert (scores["f1"], scores["iou_f1"], scores["false_alarms_per_hour"]) == (1, 1, 0)
    assert (default.compute()["recall"], default.compute()["alarms"]) == (0, 0)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_what_cannot_be_measured_leaves_the_default() -> None:
    assert EventRule.restored(EventChoice().compute()) == EventRule()
    assert EventScores().compute() == {}
    only_normal = EventChoice()
    update(only_normal, "v", *noisy(0, 0.2, abnormal=False))
    assert EventRule.restored(only_normal.compute()) == EventRule()


def test_a_sampled_video_counts_its_own_seconds() -> None:
    """Every fifth frame at 25 a second is what ten a second are not: five a second."""
    scores = EventScores(EventRule(0.5, 0.5), bootstrap=20)
    labels = torch.tensor([[False, True, True, True]])
    scores.update(["v"], torch.tensor([[0, 5, 10, 15]]), torch.tensor([[0.0, 0.0, 0.9, 0.9]]), labels, [25.0])
    scores.update(["w"], torch.tensor([[0, 5, 10, 15]]), torch.tensor([[0.9, 0.0, 0.0, 0.0]]), ~labels & False, [25.0])
    found = scores.compute()
    assert (found["delay"], found["delay_frames"]) == (pytest.approx(0.2), pytest.approx(5))
    assert found["false_alarms_per_hour"] == pytest.approx(3600 / 1.6)
    assert found["interval"]["recall"] == [1, 1]


@pytest.mark.parametrize("wrong", [{"on": 0.4, "off": 0.5}, {"on": 2}, {"shortest": -1}, {"gap": float("nan")}])
def test_a_rule_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="expected 0 <= off <= on <= 1"):
        EventRule(**wrong)
    with pytest.raises(CheckpointError, match="rule for events"):
        EventRule.restored(wrong)


def test_a_rule_survives_its_checkpoint() -> None:
    rule = EventRule(0.6, 0.3, 1.0, 2.0)
    assert EventRule.restored(rule.stored()) == rule
    assert EventRule.restored(None) == EventRule()
