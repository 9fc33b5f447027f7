from pathlib import Path

import numpy as np
import pytest

from tvau.data.video import open_video
from tvau.errors import DataError
from tvau.viz import marks, overlay
from tvau.viz.mp4 import Mp4


@pytest.fixture
def picture() -> np.ndarray:
    return np.full((24, 40, 3), 120, np.uint8)


def test_a_film_of_motion_alone_shows_no_pause_that_its_format_cannot_hold(picture: np.ndarray, tmp_path: Path) -> None:
    with Mp4(tmp_path / "film.mp4", picture.shape[:2], 0.01) as film:
        for seconds in (0.0, 0.2, 86400.2, 86400.4):  # a day
            film.add(picture, seconds)
    with open_video(tmp_path / "film.mp4") as video:
        np.testing.assert_allclose(video.seconds, [0, 0.2, 3 * 3600 + 0.2, 3 * 3600 + 0.4])


def test_heat_leaves_quiet_places_and_yellows_hot_ones(picture: np.ndarray) -> None:
    heatmap = np.zeros((3, 5), np.float32)
    heatmap[1, 4] = 1
    result = overlay.heat(picture, heatmap, marked=None)
    assert result.shape == picture.shape
    assert result.dtype == np.uint8
    assert (result[:, :20] == 120).all()
    red, green, blue = result[12, -2].astype(int)
    assert min(red, green) > 180
    assert blue < 80


def test_heat_grows_lighter_in_gray_too_so_that_print_shows_its_order() -> None:
    dark = np.full((4, 4, 3), 20, np.uint8)
    grays = [overlay.heat(dark, np.full((1, 1), s), marked=None)[0, 0] @ [0.299, 0.587, 0.114] for s in (0.3, 0.6, 1)]
    assert grays[0] + 20 < grays[1] < grays[2] - 20


def test_what_is_marked_has_a_light_outline_with_a_dark_edge(picture: np.ndarray) -> None:
    heatmap = np.zeros((24, 40))
    heatmap[6:16, 10:30] = 0.6
    plain, marked = (overlay.heat(picture, heatmap, level) for level in (None, 0.5))
    changed = (plain != marked).any(2)
    assert changed[6:16, 10].all()
    assert not changed[9:13, 14:26].any()  # the inside is as it was
    for colour in (marks.LIGHT, marks.DARK):
        assert (marked[changed] == colour).all(1).any()
    assert (overlay.heat(picture, heatmap, 0.7) == plain).all()


def test_what_is_too_low_to_be_seen_has_no_outline_of_its_own(picture: np.ndarray) -> None:
    """A threshold below that of the heat outlines the heat, not the rectangle around all of it."""
    spots = np.zeros((24, 40), np.float32)
    spots[4:8, 4:8] = spots[16:20, 30:34] = 0.8
    lined = (overlay.heat(picture, spots, marked=0.05) != overlay.heat(picture, spots, marked=None)).any(2)
    assert lined[:12, :20].any()
    assert lined[12:, 20:].any()
    assert not lined[:12, 20:].any()
    assert not lined[12:, :20].any()


def test_heat_can_be_drawn_on_even_where_the_picture_was_turned_from_channels_first() -> None:
    turned = np.zeros((3, 24, 40), np.uint8).transpose(1, 2, 0)
    assert overlay.heat(turned, np.ones((2, 2))).flags.c_contiguous


def test_heat_rises_with_the_score(picture: np.ndarray) -> None:
    changes = [np.abs(overlay.heat(picture, np.full((1, 1), s)).astype(int) - 120).sum() for s in (0, 0.3, 0.6, 1)]
    assert changes == sorted(changes)
    assert changes[0] == 0


def test_bad_pictures_and_maps_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(DataError, match="expected uint8"):
        overlay.heat(picture.astype(np.float32), np.zeros((2, 2)))
    with pytest.raises(DataError, match="NaN"):
        overlay.heat(picture, np.full((2, 2), np.nan))


def test_contour_draws_the_outline_only_and_leaves_its_input(picture: np.ndarray) -> None:
    mask = np.zeros((24, 40), bool)
    mask[4:20, 10:30] = True
    result = overlay.contour(picture, mask)
    assert (result[4, 15] == overlay.TRUTH).all()
    assert (result[12, 20] == 120).all()
    assert (picture == 120).all()
    assert (overlay.contour(picture, np.zeros((24, 40), bool)) == picture).all()


def test_key_frames_stand_side_by_side(picture: np.ndarray) -> None:
    pictures = np.repeat(picture[None], 9, axis=0)
    heatmaps, mask = np.zeros((9, 3, 5)), np.zeros((9, 24, 40), bool)
    gutter = overlay.GUTTER
    assert overlay.key_frames(pictures, heatmaps, mask).shape == (3 * 24 + 2 * gutter, 3 * 40 + 2 * gutter, 3)
    assert overlay.key_frames(pictures, heatmaps, None, count=1).shape == (24, 2 * 40 + gutter, 3)


@pytest.mark.parametrize(("length", "count", "keys"), [(16, 4, [2, 6, 10, 14]), (2, 4, [0, 1]), (1, 3, [0])])
def test_key_indices(length: int, count: int, keys: list[int]) -> None:
    assert overlay.key_indices(length, count) == keys


def test_intervals_reach_half_way_to_normal_frames() -> None:
    frames = np.array([0, 2, 4, 6, 8])
    assert overlay.intervals(frames, np.array([False, True, True, False, True])) == [(1.0, 5.0), (7.0, 8.0)]
    assert overlay.intervals(frames, np.zeros(5, bool)) == []


def test_score_curve_shades_the_true_interval() -> None:
    frames, scores = np.arange(10), {"T-VAU": np.linspace(0, 1, 10), "median": np.zeros(10)}
    figure = overlay.score_curve(frames, scores, frames > 6)
    assert len(figure.axes[0].lines) == 2
    assert len(figure.axes[0].patches) == 1
    image = overlay.image_of(figure)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.std() > 5
    assert not overlay.score_curve(frames[:1], {"one": np.zeros(1)}).axes[0].patches


def test_block_grid_has_a_map_for_each_block(picture: np.ndarray) -> None:
    figure = overlay.block_grid(picture, {"block 1": np.zeros((3, 5)), "block 2": np.ones((3, 5))})
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:3] == ["frame", "block 1", "block 2"]
    assert overlay.image_of(figure).shape[1] > overlay.image_of(figure).shape[0]
