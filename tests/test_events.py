"""Events of a video: spans, key frames, boxes and the way of the main target."""

import numpy as np
import pytest

from tvau.errors import DataError
from tvau.events import EventRule, find


def test_an_event_holds_its_boxes_and_the_way_of_its_main_target() -> None:
    scores = np.array([0.1, 0.45, 0.9, 0.8, 0.45, 0.2, 0.1, 0.7])
    frames = np.arange(8) * 5  # every fifth frame of the source
    boxes = [np.empty((0, 5)) for _ in scores]
    for at in range(1, 5):  # one target crosses the picture in the upper part, another stands below for two frames
        boxes[at] = np.array([[4.0 + 2 * at, 2, 7 + 2 * at, 5, 0.9]])
    for at in (2, 3):
        boxes[at] = np.concatenate([boxes[at], [[20.0, 20, 27, 27, 0.95]]])
    first, second = find(scores, frames, frames / 25, boxes, EventRule(on=0.6, off=0.4), size=(32, 40))
    assert (first.start, first.end, first.seconds) == (5, 20, (0.2, 0.8))
    assert (first.peak, first.key) == (0.9, 10)
    assert {frame: len(own) for frame, own in first.boxes.items()} == {5: 1, 10: 2, 15: 2, 20: 1}
    expected = [[5 * at, (4 + 2 * at + 8 + 2 * at) / 2 / 40, 4 / 32] for at in range(1, 5)]
    np.testing.assert_allclose(first.track, expected)
    assert (second.start, second.end, second.key, second.boxes, len(second.track)) == (35, 35, 35, {}, 0)


def test_without_boxes_there_are_events_without_a_way() -> None:
    (event,) = find(np.array([0.9]), np.array([3]), np.array([0.1]), None, EventRule())
    assert (event.start, event.end, event.peak, event.boxes, event.track.shape) == (3, 3, 0.9, {}, (0, 3))
    assert find(np.empty(0), np.empty(0, int), np.empty(0), None, EventRule()) == []


def test_parts_that_do_not_agree_are_named() -> None:
    with pytest.raises(DataError, match="2 scores, 2 frames, 2 seconds and 1 boxes"):
        find(np.ones(2), np.arange(2), np.ones(2), [np.empty((0, 5))], EventRule())
