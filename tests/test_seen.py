"""Windows become scores and heatmaps at constant memory; what overlaps is blended by one rule."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from tvau.errors import DataError
from tvau.metrics.boxes import MapRule, boxes
from tvau.metrics.events import EventRule
from tvau.seen import Seen


def outputs(logits: torch.Tensor, scores: torch.Tensor) -> dict[str, Any]:
    return {"logits": logits[None], "scores": scores[None], "strange": None}


def test_overlapping_windows_give_their_mean() -> None:
    draw = torch.Generator().manual_seed(0)
    seen, logits, scores = (
        Seen(), torch.randn(3, 2, 2, 3, generator=draw) * 9, torch.rand(3, 4, generator=draw)
    )  # fmt: skip
    starts = (0, 4, 6)  # of windows of four frames, two apart: 4, 6 and 8, 10 are seen twice, 6 to 10 by the last two
    for row, start in enumerate(starts):
        seen.add(start + np.arange(0, 8, 2), (8, 12), outputs(logits[row], scores[row]))
    large = interpolate(logits[:, None], (4, 8, 12), mode="trilinear")[:, 0].sigmoid()  # [window, T, H, W]
    expected: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for row, start in enumerate(starts):
        for t in range(4):
            expected.setdefault(start + 2 * t, []).append((large[row, t], scores[row, t]))
    assert seen.frames.tolist() == sorted(expected) == list(range(0, 13, 2))
    assert seen.heatmap.shape == (7, 8, 12)
    for frame, heatmap, score in zip(seen.frames.tolist(), seen.heatmap, seen.scores, strict=True):
        maps, values = zip(*expected[frame], strict=True)
        np.testing.assert_allclose(heatmap, torch.stack(maps).mean(0), atol=1e-6)
        assert score == pytest.approx(float(torch.stack(values).mean()))
    whole = seen.heatmap[:]
    assert (seen.heatmap[2:5] == whole[2:5]).all()  # in whatever order frames are asked for
    assert (seen.heatmap[-1] == whole[6]).all()
    assert (np.asarray(seen.heatmap) == whole).all()
    with pytest.raises(IndexError):
        seen.heatmap[7]


def test_a_short_video_repeats_its_last_frame_and_counts_it_once() -> None:
    seen = Seen()
    seen.add(np.array([0, 1, 1, 1]), (4, 4), outputs(torch.zeros(2, 1, 1), torch.tensor([0.1, 0.2, 0.4, 0.6])))
    assert seen.frames.tolist() == [0, 1]
    assert seen.scores == pytest.approx([0.1, 0.4])
    assert seen.heatmap[:].shape == (2, 4, 4)


def test_events_run_over_windows_and_hold_the_boxes_of_their_frames() -> None:
    seen = Seen(MapRule(threshold=0.5, events=EventRule(on=0.5, off=0.5)))
    bright = torch.full((2, 4, 4), -9.0)
    bright[:, 1, 2] = 9
    for start, high in ((0, (2, 3)), (4, (0, 1))):
        scores = torch.tensor([0.9 if t in high else 0.1 for t in range(4)])
        seen.add(start + np.arange(4), (8, 8), outputs(bright, scores))
    (event,) = seen.events(np.arange(8) / 4)
    assert (event.start, event.end, event.seconds) == (2, 5, (0.5, 1.25))
    assert sorted(event.boxes) == [2, 3, 4, 5]
    for frame, own in event.boxes.items():
        assert (own == boxes(seen.heatmap[frame], seen.rule)).all()
    assert event.track[:, 0].tolist() == [2, 3, 4, 5]


def test_without_maps_there_are_no_scores() -> None:
    seen = Seen()
    seen.add(np.arange(4), (4, 4), {"logits": None, "scores": None, "strange": torch.tensor([2.0])})
    assert not seen.mapped
    assert seen.foreign
    assert len(seen.heatmap) == 0
    with pytest.raises(DataError, match="without a heatmap decoder"):
        _ = seen.scores


def test_memory_does_not_grow_with_the_number_of_windows() -> None:
    seen = Seen()
    tracemalloc.start()
    for window in range(30):  # 480 frames of 336x588: 380 MB of heatmaps, 1 MB of logits
        seen.add(np.arange(16) + 16 * window, (336, 588), outputs(torch.zeros(8, 24, 42), torch.zeros(16)))
    assert sum(1 for _ in seen.heatmap) == 480
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # numpy's share, two windows of 12 MB; tensors come and go by the window
