"""Targets: what is said about a path, and linked components that touch, part, hide and fall into parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tvau.data.boxes import BoxTrack
from tvau.data.following import Follower
from tvau.data.linking import PATIENCE, link
from tvau.data.masks import Mask
from tvau.data.traces import Trace, box_traces, make_trace, relative_speed

SIZE = (60, 100)


def path(*points: tuple[float, float], first: int = 0, total: int = 100, id: int = 1) -> Trace:
    """A trace of 10x10 boxes around centres given in [0, 1], one a frame."""
    boxes = {
        first + t: (x * SIZE[1] - 5, y * SIZE[0] - 5, x * SIZE[1] + 5, y * SIZE[0] + 5)
        for t, (x, y) in enumerate(points)
    }
    return make_trace(id, boxes, None, SIZE, total)


def line(a: tuple[float, float], b: tuple[float, float], count: int = 10) -> list[tuple[float, float]]:
    return [tuple(p) for p in np.linspace(a, b, count)]


def test_a_straight_way() -> None:
    trace = path(*line((0.1, 0.5), (0.9, 0.5)))
    assert (trace.start, trace.end, trace.direction, trace.legs) == ("center left", "center right", "right", ["right"])
    assert trace.moves
    assert trace.speed == pytest.approx(100 * 0.8 / 9 / 10)


def test_a_way_that_turns_and_one_that_returns() -> None:
    turning = path(*line((0.1, 0.8), (0.8, 0.8)), *line((0.8, 0.8), (0.8, 0.2)))
    assert turning.legs == ["right", "up"]
    back = path(*line((0.2, 0.5), (0.8, 0.5)), *line((0.8, 0.5), (0.2, 0.5)))
    assert (back.direction, back.legs, back.moves) == ("", ["right", "left"], True)


def test_who_stays() -> None:
    still = path(*[(0.5 + 0.01 * (t % 2), 0.5) for t in range(10)])
    assert (still.direction, still.legs, still.moves, still.start, still.end) == ("", [], False, "center", "center")


def test_entering_and_leaving() -> None:
    crossing = path(*line((0.05, 0.5), (0.95, 0.5)), first=20)
    assert (crossing.enters, crossing.leaves) == (True, True)
    cut = path(*line((0.05, 0.5), (0.95, 0.5)), total=10)  # there from the first to the last frame of the video
    assert (cut.enters, cut.leaves) == (False, False)
    middle = crossing.within(20, 24)  # a part of it does not leave where it is only cut
    assert middle is not None
    assert (middle.enters, middle.leaves) == (True, False)
    inner = path(*line((0.3, 0.5), (0.7, 0.5)), first=20)
    assert (inner.enters, inner.leaves) == (False, False)


def test_speed_beside_the_others() -> None:
    slow, fast = path(*line((0.4, 0.5), (0.6, 0.5)), id=2), path(*line((0.1, 0.5), (0.9, 0.5)))
    assert relative_speed(fast, [fast, slow]) == pytest.approx(4)
    assert relative_speed(fast, [fast]) is None


def test_boxes_are_cut_at_the_edge_and_gaps_stay() -> None:
    track = BoxTrack(3, {5: (-4, 10, 6, 20), 9: (95, 50, 140, 90), 200: (0, 0, 5, 5)})
    (trace,) = box_traces([track], SIZE, 100)
    assert trace.frames.tolist() == [5, 9]
    assert trace.boxes.tolist() == [[0, 10, 6, 20], [95, 50, 100, 60]]
    part = trace.within(6, 20)
    assert part is not None
    assert part.frames.tolist() == [9]
    assert trace.within(6, 8) is None


# ---- linking ----


def squares(*boxes: tuple[int, int, int, int] | None) -> Mask:
    mask = np.zeros(SIZE, bool)
    for box in boxes:
        if box:
            mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def moving(x: int, y: int, side: int = 10) -> tuple[int, int, int, int]:
    return (x, y, x + side, y + side)


def linked(masks: list[Mask]) -> list[Trace]:
    return link(enumerate(masks), SIZE, len(masks))


def rights(trace: Trace) -> NDArray[np.float64]:
    return np.diff(trace.boxes[:, 0])


def test_two_targets_that_pass_each_other_keep_their_names() -> None:
    masks = [squares(moving(2 * t, 20), moving(80 - 2 * t, 24, 14)) for t in range(40)]
    first, second = linked(masks)
    assert len(first.frames) == len(second.frames) == 40
    ends = sorted((float(t.boxes[0, 0]), float(t.boxes[-1, 0])) for t in (first, second))
    assert ends == [(0, 78), (80, 2)]


def test_somebody_before_a_target_does_not_make_two_of_it() -> None:
    masks = []
    for t in range(30):
        mask = squares((2 * t, 10, 2 * t + 16, 40))
        mask[:, 38:43] = False  # a post
        masks.append(mask)
    (target,) = linked(masks)
    assert len(target.frames) == 30


def test_parts_that_leave_one_another_are_two_targets() -> None:
    masks = [squares(moving(45 - 2 * t, 20), moving(45 + 2 * t, 20)) for t in range(20)]
    traces = linked(masks)
    assert len(traces) == 2
    assert sorted(float(trace.boxes[-1, 0]) for trace in traces) == [7, 83]


def test_a_target_that_is_hidden_for_a_while_keeps_its_name() -> None:
    masks = [squares(moving(2 * t, 20) if not 15 <= t < 23 else None) for t in range(40)]
    (target,) = linked(masks)
    assert target.frames.tolist() == [*range(15), *range(23, 40)]
    far = [squares(moving(2 * t, 20) if t < 15 else None if t < 35 else moving(2 * t, 20)) for t in range(40)]
    assert len(linked(far)) == 2


def test_specks_are_noise() -> None:
    assert linked([squares((50, 50, 51, 51))] * 5) == []


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 90), st.integers(0, 50), st.integers(2, 30)), max_size=3),
        min_size=1,
        max_size=8,
    )
)
def test_linking_gives_away_every_pixel_once_and_never_a_frame_twice(drawn: list[list[tuple[int, int, int]]]) -> None:
    masks = [squares(*(moving(*box) for box in boxes)) for boxes in drawn]
    traces = linked(masks)
    assert [trace.id for trace in traces] == [*range(1, len(traces) + 1)]
    for frame, mask in enumerate(masks):
        areas = [int(t.areas[t.frames == frame][0]) for t in traces if frame in t.frames]
        assert sum(areas) <= mask.sum()
        assert bool(areas) == bool(mask.any())
    for trace in traces:
        assert (np.diff(trace.frames) > 0).all()
        assert (trace.boxes[:, 2:] > trace.boxes[:, :2]).all()


@pytest.mark.parametrize(("hidden", "targets"), [(PATIENCE, 1), (PATIENCE + 1, 2)])
def test_a_target_keeps_its_name_while_it_is_hidden(hidden: int, targets: int) -> None:
    """As long by masks as by boxes (`tvau.data.following`)."""
    mask = np.zeros((48, 64), bool)
    mask[10:30, 20:40] = True
    frames = [0, 1, 2 + hidden, 3 + hidden]
    assert len(link([(frame, mask) for frame in frames], (48, 64), 4 + hidden)) == targets
    follow = Follower()
    numbers = [follow(frame, np.array([[20.0, 10, 39, 29]]))[0] for frame in frames]
    assert len({*numbers}) == targets
