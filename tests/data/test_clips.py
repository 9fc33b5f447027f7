"""Windows and spreads of frames."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvau.data.clips import spread, windows
from tvau.errors import DataError


@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 6), st.data())
def test_windows_hold_every_sampled_frame_once_decoded(
    total: int, length: int, stride: int, data: st.DataObject
) -> None:
    hop = data.draw(st.integers(1, length))
    if (length - 1) * stride + 1 > total:
        with pytest.raises(DataError):
            windows(total, length, stride, hop)
        return
    found = windows(total, length, stride, hop)
    assert all(len(window) == length and window.step == stride for window in found)
    assert {frame for window in found for frame in window} == set(range(0, total, stride))
    starts = [window.start for window in found]
    assert starts == sorted(set(starts))
    assert all(after - before <= hop * stride for before, after in pairwise(starts))


def test_the_last_window_is_shifted_back() -> None:
    assert windows(22, 8) == [range(0, 8), range(8, 16), range(14, 22)]
    assert windows(16, 8) == [range(0, 8), range(8, 16)]
    assert windows(16, 8, hop=4) == [range(0, 8), range(4, 12), range(8, 16)]
    assert windows(21, 4, stride=2) == [range(0, 8, 2), range(8, 16, 2), range(14, 22, 2)]


def test_a_clip_longer_than_its_video() -> None:
    with pytest.raises(DataError, match="lobby: it has 30 frames, but a clip of 16 frames at stride 2 needs 31"):
        windows(30, 16, 2, name="lobby")


@pytest.mark.parametrize("numbers", [(0, 1, 1), (4, 0, 1), (4, 1, 0), (4, 1, 5)])
def test_impossible_windows(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match="have to be at least 1"):
        windows(100, *numbers)


@given(st.integers(0, 50), st.integers(1, 100), st.integers(1, 20))
def test_a_spread_stays_inside_and_is_as_wide_as_it_can(first: int, total: int, length: int) -> None:
    last = first + total - 1
    if total < length:
        with pytest.raises(DataError, match=f"{total} frames; a clip needs {length}"):
            spread(first, last, length)
        return
    frames = spread(first, last, length)
    assert (len(frames), frames[0]) == (length, first)
    starts = [first + at * total / length for at in range(length)]  # of equal parts
    assert all(start - 1 < frame <= start for frame, start in zip(frames, starts, strict=True))
    assert frames[-1] <= last
    if total % length == 0:
        assert frames == list(range(first, last + 1, total // length))
