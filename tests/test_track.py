"""The way through the maps of a clip, against every way there is."""

from itertools import pairwise, product

import numpy as np
import pytest

from tvau.language import way
from tvau.track import track


def worth(logit: np.ndarray, path: list[tuple[int, int, int]], step: float) -> float:
    """What a path of (time, row, column) is worth."""
    moves = sum((a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2 for a, b in pairwise(path))
    return float(sum(logit[place] for place in path) - step * moves)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_path_gathers_more(seed: int) -> None:
    times, rows, columns, step = 4, 2, 3, 0.7
    logit = np.random.default_rng(seed).normal(-0.5, 2, (times, rows, columns))
    every = [
        [(first + i, *place) for i, place in enumerate(places)]
        for first in range(times) for length in range(1, times - first + 1)
        for places in product(product(range(rows), range(columns)), repeat=length)
    ]  # fmt: skip
    best = max(every, key=lambda path: worth(logit, path, step))
    found = track(logit, step)
    assert found[:, 0].tolist() == [time for time, *_ in best]
    sharp = np.full_like(logit, -30.0)  # where nothing else is warm a centre is its patch's
    for place in best:
        sharp[place] = 10
    centres = np.array([((x + 0.5) / columns, (y + 0.5) / rows) for _, y, x in best])
    np.testing.assert_allclose(track(sharp, 0.0)[:, 1:], centres, atol=1e-6)


def test_a_target_is_followed_from_where_it_comes_to_where_it_goes() -> None:
    logit = np.full((8, 12, 20), -4.0)
    for time in range(2, 7):
        logit[time, 10, time + 4] = 5.0
    logit[4] = -4.0  # hidden for a moment
    logit[0, 0, 19] = 3.5  # something short elsewhere
    path = track(logit)
    assert path[:, 0].tolist() == [2, 3, 4, 5, 6]
    assert way(tuple(path[0, 1:]), tuple(path[-1, 1:])) == ("lower left", "lower center", "right")


def test_where_nothing_is_it_is_the_highest_patch() -> None:
    logit = np.full((3, 4, 5), -6.0)
    logit[1, 0, 4] = -2.0
    (time, x, y), *more = track(logit).tolist()
    assert (time, more) == (1, [])
    assert (x, y) == pytest.approx((0.9, 0.125), abs=0.05)
