import numpy as np
import pytest

from tvau.viz import marks
from tvau.viz.sheet import COLUMNS, MOST, WIDTH, Moment, Sheet, smoothed
from tvau.viz.strip import Strip


def test_a_strip_marks_events_scores_and_the_frame_that_is_shown() -> None:
    scores = np.zeros(100)
    scores[50:60] = 1
    strip = Strip(scores, [(50, 59)], (96, 200))
    assert (96 + strip.height) % 2 == 0
    early, late = strip.at(0, "0:00"), strip.at(90, "0:00")
    assert early.shape == (strip.height, 200, 3)
    assert (early[-1, 100:120] == marks.LIGHT).all()
    assert not (early[-1, :100] == marks.LIGHT).any()
    assert (early[strip.bottom - 3, 105] != early[strip.bottom - 3, 50]).any()  # the curve is filled where it is high
    columns = np.flatnonzero((early != late).any((0, 2)))
    assert columns.min() < 8  # the line of the one and that of the other
    assert 170 < columns.max() < 190


def test_one_frame_and_more_frames_than_columns() -> None:
    assert Strip(np.ones(1), [(0, 0)], (48, 64)).at(0, "x").shape[1] == 64
    scores = np.zeros(1000)
    scores[503] = 1  # a single frame is not lost between two columns
    strip = Strip(scores, [], (48, 64))
    assert (strip.base[strip.top, 32] != strip.base[strip.top, 31]).any()


def fill(sheet: Sheet, frames: int, boxes: int = 1) -> None:
    for frame in range(frames):
        found = np.array(
            [[2.0 * frame + 40 * at, 10, 2 * frame + 40 * at + 19, 39, 0.9 - 0.2 * at] for at in range(boxes)]
        )
        sheet.add(frame, np.full((96, 160, 3), 90, np.uint8), found.reshape(-1, 5), range(1, boxes + 1))


def test_a_sheet_shows_the_key_frame_of_each_event() -> None:
    moments = [(Moment(2, 9, 5, "first"), 0.9), (Moment(12, 15, 13, "second"), 0.7)]
    sheet = Sheet(moments)
    fill(sheet, 20)
    image = sheet.image()
    assert image is not None
    assert image.shape[1] == 2 * WIDTH + 4
    # the way of the first goes on over the whole event, beyond the box of the key frame
    row = image[-round(96 * WIDTH / 160) :, :WIDTH][round(24.5 * WIDTH / 160)]
    light = np.flatnonzero((row == marks.LIGHT).all(1)) * 160 / WIDTH
    assert light.min() < 17
    assert light.max() > 27
    assert Sheet([]).image() is None


def test_of_many_events_the_highest_are_kept_in_the_order_of_time() -> None:
    moments = [(Moment(at, at, at, str(at)), 0.5 + at / 100) for at in range(MOST + 5)]
    sheet = Sheet(moments)
    fill(sheet, MOST + 5, 0)
    assert (sheet.left_out, [moment.title for moment in sheet.moments]) == (5, [str(at) for at in range(5, MOST + 5)])
    image = sheet.image()
    assert image is not None
    assert image.shape[1] == COLUMNS * WIDTH + (COLUMNS - 1) * 4


def test_the_arrow_is_that_of_the_main_target() -> None:
    sheet = Sheet([(Moment(0, 9, 4, "one"), 0.9)])
    fill(sheet, 10, 2)
    weights = sheet.weights[sheet.moments[0]]
    assert weights[1] > weights[2] > 0
    image = sheet.image()
    assert image is not None
    row = image[-round(96 * WIDTH / 160) :][round(24.5 * WIDTH / 160)]
    light = np.flatnonzero((row == marks.LIGHT).all(1)) * 160 / WIDTH
    assert ((light > 18.5) & (light < 27)).any()  # on the way of the first
    assert not ((light > 52) & (light < 67)).any()  # and on none of the second, within whose box it would lie


@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_smoothing_keeps_both_ends_and_straight_lines(count: int) -> None:
    line = np.column_stack([np.arange(count), 2.0 * np.arange(count)])
    np.testing.assert_allclose(smoothed(line), line)


def test_a_way_ends_in_a_tip() -> None:
    picture = np.full((120, 160, 3), 100, np.uint8)
    marks.way(picture, np.array([[0.1, 0.5], [0.9, 0.5]]))
    tall = (picture == marks.LIGHT).all(2).sum(0)
    assert tall[70:90].max() <= 3
    assert tall[136:142].max() > tall[80] + 1
    again = np.full((120, 160, 3), 100, np.uint8)
    marks.way(again, np.array([[0.5, 0.5]] * 3))  # somebody who stays is a dot
    assert (again != 100).any()
