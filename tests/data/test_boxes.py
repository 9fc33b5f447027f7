"""Readers of tracks, lists and attributes: they parse, or raise the project's own error, on any bytes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tvau.annotate.known import read_attributes
from tvau.data.boxes import BoxTrack, read_shanghaitech_tracks, read_ucsd_tracks
from tvau.data.stacks import MaskStack, MatStack
from tvau.data.ucsd import read_frame_ranges, read_matlab_ranges
from tvau.errors import DataError

TEXT = st.text('0123456789.,-:;[]{}() eginfa"_=T%\r\n', max_size=60)
ROWS = st.lists(st.lists(st.integers(-1, 12) | st.floats(), min_size=5, max_size=7), max_size=4).map(
    lambda rows: "\n".join(",".join(map(str, row)) for row in rows)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "boxes", "target_id", "category", "0"]), inner, max_size=3)
    ),
    max_leaves=8,
).map(json.dumps)
BYTES = st.binary(max_size=60) | (TEXT | ROWS | JSON).map(str.encode)


@pytest.mark.parametrize(
    "read", [read_shanghaitech_tracks, read_ucsd_tracks, read_matlab_ranges, read_frame_ranges, read_attributes]
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=BYTES)
def test_any_bytes_are_read_or_refused(tmp_path: Path, read: Callable[[Path], Any], content: bytes) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    try:
        found = read(path)
    except DataError:
        return
    for track in found if isinstance(found, list) else []:
        assert isinstance(track, BoxTrack)
        assert list(track.boxes) == sorted(track.boxes)
        assert all(x0 < x1 and y0 < y1 for x0, y0, x1, y1 in track.boxes.values())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(content=st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"\x93NUMPY\x01\x00" + tail))
def test_any_bytes_are_masks_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "masks.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"masks\.npy"):
        MaskStack(path, path).labels(3)
    with pytest.raises(DataError, match=r"masks\.npy"):
        MatStack(path).mask(0, (2, 2))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    boxes=st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 99)),
        st.tuples(*[st.integers(0, 50)] * 4).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])),
        min_size=1,
    ),
    seed=st.integers(0, 99),
)
def test_tracks_in_any_order_are_read_whole(tmp_path: Path, boxes: dict[Any, Any], seed: int) -> None:
    rows = [f"{track},{frame},{','.join(map(str, box))}" for (track, frame), box in boxes.items()]
    np.random.default_rng(seed).shuffle(rows)
    path = tmp_path / "01_0014.txt"
    path.write_text("\n".join(rows))
    found = {
        (track.id, frame): (x0, y0, x1 - 1, y1 - 1)
        for track in read_shanghaitech_tracks(path)
        for frame, (x0, y0, x1, y1) in track.boxes.items()
    }
    assert found == boxes


@pytest.mark.parametrize(
    "line", ["0,1,2,3,4", "0,1,5,3,4,4", "a,1,2,3,4,5", "0,-1,2,3,4,5", "0,1.5,2,3,4,5", "0,1,1,1,2,2"]
)
def test_malformed_boxes_name_their_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "01_0014.txt"
    path.write_text(f"0,1,2,3,4,5\n{line}\n")
    with pytest.raises(DataError, match=r"01_0014\.txt, line 2: "):
        read_shanghaitech_tracks(path)
