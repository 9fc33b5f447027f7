"""RBDC and TBDC against a plain implementation written from the definition, and by hand."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tvau.errors import DataError
from tvau.metrics import RegionScores
from tvau.metrics.region import Detections, Tracks, overlap, region_curve

Box = tuple[float, float, float, float]


def plain(
    detections: list[tuple[int, int, Box, float]],
    tracks: list[tuple[int, int, int, Box]],
    num_frames: int,
    alpha: float,
    beta: float,
) -> tuple[float, float]:
    """RBDC and TBDC by going through all detections once for every threshold; quadratic, no arrays."""

    def iou(a: Box, b: Box) -> float:
        width, height = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
        both = max(width, 0) * max(height, 0)
        return both / sum(((x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b)), start=-both)

    by_frame: dict[tuple[int, int], list[int]] = {}
    for i, (video, _, frame, _) in enumerate(tracks):
        by_frame.setdefault((video, frame), []).append(i)
    hits = [
        [i for i in by_frame.get((video, frame), []) if iou(box, tracks[i][3]) >= beta]
        for video, frame, box, _ in detections
    ]
    members: dict[tuple[int, int], list[int]] = {}
    for i, (video, track, _, _) in enumerate(tracks):
        members.setdefault((video, track), []).append(i)
    points = [(0.0, 0.0, 0.0)]
    for threshold in sorted({score for *_, score in detections}, reverse=True):
        false, found = 0, set()
        for own, (*_, score) in zip(hits, detections, strict=True):
            if score >= threshold:
                false += not own
                found.update(own)
        told = sum(sum(i in found for i in mine) / len(mine) >= alpha for mine in members.values())
        points.append((false / num_frames, len(found) / len(tracks), told / len(members)))
    points = [point for point in points if point[0] <= 1]
    points.append((1.0, *points[-1][1:]))
    steps = list(pairwise(points))
    rbdc, tbdc = (sum((q[0] - p[0]) * (p[i] + q[i]) / 2 for p, q in steps) for i in (1, 2))
    return rbdc, tbdc


def arrays(
    detections: list[tuple[int, int, Box, float]], tracks: list[tuple[int, int, int, Box]]
) -> tuple[Detections, Tracks]:
    def column(rows: list, at: int, kind: type) -> np.ndarray:
        return np.array([row[at] for row in rows], kind)

    boxes = [np.array([row[at] for row in rows], float).reshape(-1, 4) for rows, at in ((detections, 2), (tracks, 3))]
    found = Detections(column(detections, 0, int), column(detections, 1, int), boxes[0], column(detections, 3, float))
    return found, Tracks(column(tracks, 0, int), column(tracks, 1, int), column(tracks, 2, int), boxes[1])


def walk(rng: np.random.Generator, video: int, track: int, length: int) -> list[tuple[int, int, int, Box]]:
    """A track as people walk: a box that drifts, with gaps, its frames in any order."""
    start, centre = int(rng.integers(0, 200)), rng.uniform([50, 50], [800, 420])
    rows = []
    for step in range(length):
        centre += rng.normal(0, 3, 2)
        width, height = rng.uniform(20, 60), rng.uniform(40, 120)
        x, y = np.clip(centre - (width / 2, height / 2), 0, None).round()
        if rng.random() < 0.9 or length == 1:
            rows.append((video, track, start + step, (x, y, float(round(x + width)), float(round(y + height)))))
    rng.shuffle(rows)
    return rows


def random_tracks(rng: np.random.Generator, videos: int) -> list[tuple[int, int, int, Box]]:
    """Like ShanghaiTech's: one track a video or a few, some with gaps, some of one frame, some videos without any."""
    rows = []
    for video in range(videos):
        for track in range(int(rng.choice([0, 1, 1, 1, 2, 3]))):
            rows += walk(rng, video, track, int(rng.choice([1, 9, 10, 11, 30, 60])))
    return rows


def random_detections(
    rng: np.random.Generator, tracks: list[tuple[int, int, int, Box]], number: int, levels: int
) -> list[tuple[int, int, Box, float]]:
    """Half of them near a true box, half anywhere; `levels` distinct scores, so that many tie."""
    rows = []
    for _ in range(number):
        video, _, frame, box = tracks[int(rng.integers(len(tracks)))]
        corners = np.array(box) + rng.normal(0, 15, 4)
        if rng.random() < 0.5:
            frame, corners = int(rng.integers(0, 260)), rng.uniform(0, 400, 4)
        (x1, x2), (y1, y2) = np.sort(corners[[0, 2]]), np.sort(corners[[1, 3]])
        rows.append((video, frame, (float(x1), float(y1), float(x2), float(y2)), float(rng.integers(levels)) / levels))
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_the_plain_implementation_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tracks = random_tracks(rng, 12)
    detections = random_detections(rng, tracks, 600, levels=(7, 50, 10**6)[seed % 3])
    alpha, beta, frames = rng.choice([0.1, 0.3, 1.0]), rng.choice([0.1, 0.5]), int(rng.choice([200, 300, 3000]))
    expected = plain(detections, tracks, frames, alpha, beta)
    assert 0 < expected[0] < 1
    for _ in range(3):
        curve = region_curve(*arrays(detections, tracks), frames, alpha, beta)
        assert (curve.rbdc, curve.tbdc) == pytest.approx(expected, abs=1e-9)
        rng.shuffle(detections)
        rng.shuffle(tracks)


def test_agrees_with_the_plain_implementation_on_the_tracks_of_shanghaitech(real_data: Path) -> None:
    files = sorted((real_data / "shanghaitech_tracks").glob("[0-9]*.txt"))
    if len(files) != 107:
        pytest.skip("no shanghaitech_tracks among the real data")
    tracks = []
    for video, file in enumerate(files):
        for track, frame, *box in np.loadtxt(file, delimiter=",", ndmin=2):
            tracks.append((video, int(track), int(frame), tuple(box)))
    assert (len(tracks), len({row[:2] for row in tracks})) == (18937, 158)
    detections = random_detections(np.random.default_rng(0), tracks, 4000, levels=20)
    curve = region_curve(*arrays(detections, tracks), 500)
    assert (curve.rbdc, curve.tbdc) == pytest.approx(plain(detections, tracks, 500, 0.1, 0.1), abs=1e-9)
    assert 0 < curve.rbdc < 1
    assert 0 < curve.tbdc < 1


def one(scores: list[float], boxes: list[Box], frames: int = 1, beta: float = 0.1) -> tuple[float, float]:
    """RBDC and TBDC of detections in frame 0 against one true box there."""
    found = [(0, 0, box, score) for box, score in zip(boxes, scores, strict=True)]
    curve = region_curve(*arrays(found, [(0, 0, 0, (0, 0, 9, 9))]), frames, beta=beta)
    return curve.rbdc, curve.tbdc


RIGHT, WRONG = (0.0, 0.0, 9.0, 9.0), (50.0, 50.0, 59.0, 59.0)


def test_by_hand() -> None:
    assert one([0.9], [RIGHT]) == (1.0, 1.0)  # FPR never leaves 0: flat to 1
    assert one([0.9, 0.1], [RIGHT, WRONG]) == (1.0, 1.0)
    assert one([0.1, 0.9], [RIGHT, WRONG]) == (0.0, 0.0)  # found when FPR is already 1
    assert one([0.1, 0.9], [RIGHT, WRONG], frames=2) == (0.5, 0.5)
    assert one([0.5, 0.5], [RIGHT, WRONG]) == one([0.5, 0.5], [WRONG, RIGHT]) == (0.5, 0.5)  # one point, half way
    assert one([0.9, 0.8, 0.7], [RIGHT, RIGHT, WRONG]) == (1.0, 1.0)  # found again: neither right nor false
    assert one([0.5, 0.5], [WRONG, WRONG]) == (0.0, 0.0)  # the only point lies beyond FPR 1
    assert one([], []) == (0.0, 0.0)


def test_areas_are_inclusive() -> None:
    corner = np.array([9.0, 9.0, 9.0, 9.0])  # one pixel
    assert overlap(corner, corner) == 1
    assert overlap(corner, np.array(RIGHT)) == pytest.approx(1 / 100)
    assert one([1.0], [(0, 0, 0, 9)], beta=0.1) == (1.0, 1.0)  # 10 of 100 pixels, exactly beta
    assert one([1.0], [(0, 0, 0, 9)], beta=0.11) == (0.0, 0.0)


def test_a_detection_finds_every_box_that_it_overlaps() -> None:
    tracks = [(0, 0, 3, RIGHT), (0, 1, 3, (5.0, 0.0, 14.0, 9.0)), (0, 2, 4, RIGHT)]
    curve = region_curve(*arrays([(0, 3, (2.0, 0.0, 12.0, 9.0), 0.5)], tracks), 10)
    assert curve.rbdc == curve.tbdc == pytest.approx(2 / 3)


@pytest.mark.parametrize(("length", "needed"), [(1, 1), (9, 1), (10, 1), (11, 2), (30, 3), (31, 4), (70, 7)])
def test_a_track_is_found_with_a_tenth_of_its_boxes(length: int, needed: int) -> None:
    tracks = [(0, 0, frame, RIGHT) for frame in range(length)]
    for found, expected in ((needed - 1, 0.0), (needed, 1.0)):
        detections = [(0, frame, RIGHT, 0.5) for frame in range(found)]
        assert region_curve(*arrays(detections, tracks), length).tbdc == expected


def test_without_true_boxes_nothing_is_defined() -> None:
    curve = region_curve(*arrays([(0, 0, RIGHT, 0.5)], []), 4)
    assert np.isnan([curve.rbdc, curve.tbdc]).all()
    assert curve.fpr.tolist() == [0, 0.25]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda d, t: region_curve(d, t, 0), "0 frames"),
        (lambda d, t: region_curve(d, t, 1, alpha=0), "alpha 0"),
        (lambda d, t: region_curve(d, t, 1, beta=1.5), "beta 1.5"),
        (lambda d, t: Detections(d.video, d.frame, d.boxes[:, [2, 1, 0, 3]], d.scores), "x1 <= x2"),
        (lambda d, t: Detections(d.video, d.frame, d.boxes[:, :3], d.scores), r"expected \[1, 4\]"),
        (lambda d, t: Detections(d.video, d.frame, d.boxes, d.scores * np.nan), "NaN"),
        (lambda d, t: Tracks(t.video, t.track, t.frame, t.boxes + np.inf), "not finite"),
        (lambda d, t: Tracks(t.video, t.track, t.frame[:0], t.boxes), "as many of each"),
    ],
)
def test_bad_input_is_explained(wrong, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=message):
        wrong(*arrays([(0, 0, RIGHT, 0.5)], [(0, 0, 0, RIGHT)]))


# ---- the metric ----


def as_clip(rng: np.random.Generator, video: int, frames: int = 30) -> tuple[list, list]:
    tracks = [(video, 0, t, RIGHT) for t in range(5, 20)]
    return [row for row in random_detections(rng, tracks, 40, 9) if row[1] < frames], tracks


def update(metric: RegionScores, name: str, rows: tuple[list, list], first: int = 0, length: int = 30) -> None:
    found = [
        np.array([[*box, score] for _, frame, box, score in rows[0] if frame == t]).reshape(-1, 5)
        for t in range(first, first + length)
    ]
    true = np.array([[k, t - first, *box] for _, k, t, box in rows[1] if first <= t < first + length]).reshape(-1, 6)
    metric.update([name], torch.arange(first, first + length)[None], [found], [true])


def test_the_metric_equals_the_function_and_merges() -> None:
    rng = np.random.default_rng(3)
    clips = {f"v{i}": as_clip(rng, i) for i in range(4)}
    whole, parts = RegionScores(), [RegionScores(), RegionScores()]
    for i, (name, rows) in enumerate(clips.items()):
        update(whole, name, rows)
        update(parts[i % 2], name, rows)
    detections, tracks = ([row for rows in clips.values() for row in rows[i]] for i in (0, 1))
    curve, result = region_curve(*arrays(detections, tracks), 120), whole.compute()
    assert (result["rbdc"], result["tbdc"]) == pytest.approx((curve.rbdc, curve.tbdc), abs=1e-12)
    assert (result["frames"], result["boxes"], result["tracks"]) == (120, 60, 4)
    parts[0].merge_state(parts[1])
    assert parts[0].compute() == result


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_seen_gives_nothing() -> None:
    assert RegionScores(num_frames=1000).compute() == {}


def test_the_number_of_frames_can_be_given() -> None:
    rows = as_clip(np.random.default_rng(6), 0)
    few, many = RegionScores(), RegionScores(num_frames=3000)
    for metric in (few, many):
        update(metric, "v", rows)
    curve = region_curve(*arrays(*rows), 3000)
    assert few.compute()["rbdc"] < many.compute()["rbdc"] == pytest.approx(curve.rbdc)


def test_overlapping_and_repeated_clips_count_once() -> None:
    rng = np.random.default_rng(4)
    rows = as_clip(rng, 0)
    once, often = RegionScores(), RegionScores()
    update(once, "v", rows)
    for first, length in ((0, 16), (8, 22), (0, 16), (14, 16)):
        update(often, "v", rows, first, length)
    assert often.compute() == once.compute()


def test_a_clip_that_repeats_its_last_frame_counts_its_first_copy() -> None:
    one, two = np.array([[*WRONG, 0.2]]), np.array([[*WRONG, 0.3], [*RIGHT, 0.1]])
    once, often = RegionScores(), RegionScores()
    once.update(["v"], torch.arange(2)[None], [[one, one]], [np.array([[0, 0, *RIGHT]])])
    often.update(["v"], torch.tensor([[0, 1, 1]]), [[one, one, two]], [np.array([[0, 0, *RIGHT]])])
    assert often.compute() == once.compute()


def test_intervals_hold_the_score_and_need_two_videos() -> None:
    rng = np.random.default_rng(5)
    metric = RegionScores(bootstrap=50)
    update(metric, "v0", as_clip(rng, 0))
    assert metric.compute()["interval"] == {}
    for i in range(1, 6):
        update(metric, f"v{i}", as_clip(rng, i))
    result = metric.compute()
    low, high = result["interval"]["rbdc"]
    assert 0 <= low < result["rbdc"] < high <= 1


def test_the_metric_explains_bad_input() -> None:
    metric, frames = RegionScores(), torch.arange(2)[None]
    empty = np.empty((0, 5))
    with pytest.raises(DataError, match="expected B of each"):
        metric.update(["a", "b"], frames, [[empty, empty]], [np.empty((0, 6))])
    with pytest.raises(DataError, match="empty array"):
        metric.update(["a"], frames, [[empty]], [np.empty((0, 6))])
    with pytest.raises(DataError, match="index within the clip"):
        metric.update(["a"], frames, [[empty, empty]], [np.array([[0, 2, *RIGHT]])])
    with pytest.raises(DataError, match="x1 <= x2"):
        metric.update(["a"], frames, [[empty, np.array([[5, 5, 1, 1, 0.5]])]], [np.empty((0, 6))])
