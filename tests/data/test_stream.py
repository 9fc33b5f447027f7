"""Frames of live sources: real HTTP and RTSP on loopback, growing files, and what goes wrong."""

import os
import sys
import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from serving import http, joined, rtsp, write_stream
from tvau.data.clock import Clock
from tvau.data.stream import Shot, Stream, fitting, open_stream
from tvau.data.video import open_video
from tvau.errors import DataError

SIZE = (32, 64)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 25 frames a second, 96x160."""
    return write_stream(tmp_path_factory.mktemp("camera") / "camera.ts")


def taken(source: str | Path, **options: Any) -> tuple[Stream, list[Shot], list[str]]:
    """A stream that was read to its end, its frames, and what was said meanwhile."""
    said: list[str] = []
    with open_stream(str(source), 5, SIZE, say=said.append, **{"patience": 10.0, "reconnects": 0, **options}) as stream:
        shots = [shot for shot in stream if shot is not None]
    return stream, shots, said


def gray(shot: Shot) -> float:
    """The level of the left half."""
    return float(shot.looked[:, : SIZE[1] // 2 - 4].mean())


def check_camera(shots: list[Shot]) -> None:
    """Every fifth frame of `camera`, with its time and picture."""
    assert [shot.number for shot in shots] == list(range(0, 50, 5))
    assert [shot.seconds for shot in shots] == pytest.approx(np.arange(0, 2, 0.2), abs=0.002)
    assert [gray(shot) for shot in shots] == pytest.approx([16 + 5 * n % 200 for n in range(0, 50, 5)], abs=6)
    assert [shot.fresh for shot in shots] == [True] + [False] * 9
    assert {(shot.looked.shape, shot.shown.shape, shot.size) for shot in shots} == {
        ((*SIZE, 3), (96, 160, 3), (96, 160))
    }


def test_a_file_is_sampled_by_time(camera: Path) -> None:
    stream, shots, said = taken(camera)
    check_camera(shots)
    assert not stream.live
    assert (stream.came, stream.dropped, stream.damaged) == (50, 0, 0)
    assert said == [f"{camera}: it ended, after 50 frames"]


@pytest.mark.parametrize(
    ("name", "codec", "steps"),
    [("b.avi", "libx264", [1]), ("varies.wmv", "wmv2", [1, 5]), ("raw.h264", "libx264", [1])],
)
def test_a_file_without_times_of_showing_has_those_of_a_prediction(
    tmp_path: Path, name: str, codec: str, steps: list[int]
) -> None:
    path, at = tmp_path / name, 0
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=25))
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        stream.codec_context.options = {"bf": "3"} if codec == "libx264" else {}
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 16 + 5 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 25)
            container.mux(stream.encode(frame))
            at += steps[number % len(steps)]
        container.mux(stream.encode())
    _, shots, _ = taken(path)
    with open_video(path) as video:
        seconds = [video.seconds[shot.number] for shot in shots]
        assert [shot.seconds for shot in shots] == pytest.approx(seconds, abs=0.002)
        assert video.seconds[-1] - shots[-1].seconds < 0.2


def test_http_and_a_connection_that_breaks_off(camera: Path) -> None:
    with http(camera, camera) as address:
        stream, shots, said = taken(address, reconnects=1)
    check_camera(shots[:10])
    assert stream.live
    assert stream.connections == 2
    assert [shot.number for shot in shots[10:]] == list(range(50, 100, 5))
    assert shots[10].fresh  # what follows a new connection is not joined to what was before
    assert shots[10].seconds >= 2
    assert "connecting again in 1 s (1 of 1)" in said[0]
    assert said[-1].endswith("after 100 frames")


def test_the_clock_goes_on_whatever_that_of_the_source_does() -> None:
    clock = Clock()
    assert clock.tell(90.0, 1000.0, 25, live=True) == 0
    assert clock.tell(90.5, 1000.5, 25, live=True) == 0.5
    assert clock.tell(3.0, 1001.5, 25, live=True) == 1.5  # set anew: what the watch on the wall says
    assert clock.tell(3.25, 1001.7, 25, live=True) == 1.75
    clock.connect()
    assert clock.tell(0.0, 1060.0, 25, live=True) == 60
    assert clock.tell(None, 1060.1, 25, live=False) == pytest.approx(60.04)


def test_the_clock_of_a_file_is_believed_but_where_it_goes_back() -> None:
    clock = Clock()
    told = [clock.tell(stamp, 0.0, 25, live=False) for stamp in (7.0, 7.04, 3607.0, 3607.04, 0.0)]
    assert told == pytest.approx([0, 0.04, 3600, 3600.04, 3600.08])


def test_rtsp(camera: Path) -> None:
    with rtsp(camera) as address:
        _, shots, _ = taken(address)
    assert [shot.number for shot in shots] == [shot.number for shot in shots if shot.number % 5 == 0]
    assert len(shots) >= 9  # the last frames are complete when the next begins, which never comes
    assert gray(shots[4]) == pytest.approx(16 + 5 * 20, abs=6)


def test_a_stream_that_stalls_is_lost(camera: Path) -> None:
    begun = time.monotonic()
    with http(camera, stall=True) as address:
        _, shots, said = taken(address, patience=0.5)
    assert len(shots) == 10
    assert "nothing came for 0.5 s" in said[-1]
    assert time.monotonic() - begun < 10


def test_who_looks_too_slowly_sees_the_newest_frames(camera: Path) -> None:
    with http(camera, seconds=1.5) as address, open_stream(address, 25, SIZE, waiting=5, reconnects=0) as stream:
        frames = iter(stream)
        first = next(frames)
        assert first is not None
        while not stream._ended:  # as long as the server sends
            time.sleep(0.05)
        rest = [shot for shot in frames if shot is not None]
    assert [shot.number for shot in rest] == [45, 46, 47, 48, 49]
    assert [shot.fresh for shot in (first, *rest)] == [True, True, False, False, False, False]
    assert stream.dropped == 44


def test_a_file_waits_for_who_looks_slowly(camera: Path) -> None:
    with open_stream(str(camera), 25, SIZE, waiting=2) as stream:
        for number, shot in enumerate(stream):
            time.sleep(0.002)
            assert shot is not None
            assert shot.number == number
    assert number == 49
    assert stream.dropped == 0


def test_a_file_that_is_stopped_has_lost_nothing(camera: Path) -> None:
    with open_stream(str(camera), 25, SIZE, waiting=2) as stream:
        assert next(iter(stream)) is not None
        while len(stream._queue) < 2:  # the next one waits to be offered
            time.sleep(0.01)
    assert stream.dropped == 0


def test_a_growing_file_is_followed(camera: Path, tmp_path: Path) -> None:
    path, data = tmp_path / "growing.ts", camera.read_bytes()
    path.write_bytes(data[: len(data) // 2])

    def grow() -> None:
        time.sleep(0.3)
        with path.open("ab") as file:
            file.write(data[len(data) // 2 :])

    threading.Thread(target=grow).start()
    _, shots, said = taken(path, follow=True, patience=1.0)
    check_camera(shots)
    assert "nothing came for 1 s" in said[-1]


def test_stdin(camera: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()

    def send() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(camera.read_bytes())

    threading.Thread(target=send).start()
    with os.fdopen(reading) as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        _, shots, _ = taken("-")
    check_camera(shots)


def test_sizes_and_rates_that_change_midway(camera: Path, tmp_path: Path) -> None:
    other = write_stream(tmp_path / "other.ts", 20, (120, 120), rate=10)
    _, shots, said = taken(joined(tmp_path / "both.ts", [camera, other]))
    assert [shot.number for shot in shots] == [*range(0, 50, 5), *range(50, 70, 2)]
    assert all(0.15 < b.seconds - a.seconds < 0.3 for a, b in pairwise(shots))
    assert (shots[9].size, shots[10].size) == ((96, 160), (120, 120))
    assert {shot.shown.shape for shot in shots} == {(96, 160, 3)}  # a clip keeps its size
    assert "its pictures are now 120x120, no longer 160x96" in said[0]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ten.ts", {"pixels": "yuv420p10le"}),
        ("gray.mkv", {"pixels": "gray", "codec": "ffv1"}),
        ("one.ts", {"frames": 1}),
    ],
)
def test_depths_and_lengths(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    _, shots, _ = taken(write_stream(tmp_path / name, **{"frames": 10, **options}))
    assert [shot.number for shot in shots] == ([0, 5] if options.get("frames") != 1 else [0])
    assert gray(shots[-1]) == pytest.approx(16 + 5 * shots[-1].number, abs=6)


def test_turned_pictures_stand_upright(root: Path) -> None:
    path = root.parent / "shared" / "cases" / "video" / "rot90.mp4"
    if not path.is_file():
        pytest.skip(f"no turned video at {path}")
    _, shots, _ = taken(path)
    assert shots[0].size == (160, 96)
    assert shots[0].shown.shape == (160, 96, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: f / "absent.mp4", "no such file or device; expected a file, a camera"),
        (lambda f: f, "is a folder; tvau predict looks at frame folders"),
        (lambda f: written(f / "empty.ts", ""), "cannot be opened as a stream"),
        (lambda f: written(f / "notes.txt", "hello\n" * 99), "there is no video in it, only text"),
        (lambda f: "http://127.0.0.1:9/camera", "cannot be opened as a stream .Connection refused"),
        (lambda f: headless(f / "headless.ts"), "no frame came"),
    ],
)
def test_what_is_no_stream_is_one_clear_error(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        taken(make(tmp_path))


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def headless(path: Path) -> Path:
    """A stream that says it is video and holds no picture that can be decoded."""
    data = bytearray(write_stream(path, 3).read_bytes())
    for at in range(0, len(data), 188):
        if int.from_bytes(data[at + 1 : at + 3]) & 0x1FFF == 0x100:  # the packets of its video
            data[at + 30 : at + 188] = bytes(158)
    path.write_bytes(data)
    return path


def test_passwords_are_not_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^http://127[^@]*/camera: cannot be opened"):
        taken("http://me:secret@127.0.0.1:9/camera")


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    empty = tmp_path / "nothing.ts"
    empty.touch()
    with http(empty, stall=True) as address, pytest.raises(DataError, match="nothing came"):
        taken(address, patience=0.5)


def test_silence_is_told(camera: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvau.data.stream.SILENCE", 0.3)
    with http(camera, stall=True) as address, open_stream(address, 5, SIZE, patience=30) as stream:
        came = 0
        for shot in stream:
            if shot is None and came == 10:
                break
            came += shot is not None
        else:
            pytest.fail("the stream ended before its silence was told")


def test_stopping_does_not_wait_for_a_silent_source(camera: Path) -> None:
    with http(camera, stall=True) as address, open_stream(address, 5, SIZE, patience=600) as stream:
        for shot in stream:
            if shot is not None and shot.number >= 20:
                stream.stop()  # else this test would last ten minutes


def test_pictures_for_people_fit() -> None:
    assert fitting((1080, 1920)) == (360, 640)
    assert fitting((96, 160)) == (96, 160)
    assert fitting((1920, 1080)) == (360, 202)
