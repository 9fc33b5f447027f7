import numpy as np
import pytest

from tvau.data.following import Follower
from tvau.data.linking import PATIENCE


def boxes(*lefts: float) -> np.ndarray:
    return np.array([[left, 10, left + 9, 29, 0.8] for left in lefts]).reshape(-1, 5)


def test_two_targets_that_pass_one_another_keep_their_numbers() -> None:
    follow = Follower()
    found = [follow(frame, boxes(3 * frame, 100 - 3 * frame)[:: 1 if frame % 2 else -1]) for frame in range(12)]
    first = dict(zip([100, 0], found[0].tolist(), strict=True))
    assert sorted(first.values()) == [1, 2]
    for frame, numbers in enumerate(found):
        assert numbers.tolist() == ([first[0], first[100]] if frame % 2 else [first[100], first[0]])


@pytest.mark.parametrize(("hidden", "same"), [(0, True), (PATIENCE, True), (PATIENCE + 1, False)])
def test_a_target_that_is_hidden_for_long_is_a_new_one(hidden: int, same: bool) -> None:
    follow = Follower()
    (before,), (after,) = follow(0, boxes(0)), follow(hidden + 1, boxes(2))
    assert bool(before == after) is same


def test_what_overlaps_nothing_is_new_and_no_box_is_none() -> None:
    follow = Follower()
    assert follow(0, boxes()).shape == (0,)
    assert follow(1, boxes(0)).tolist() == [1]
    assert follow(2, boxes(50, 1)).tolist() == [2, 1]
