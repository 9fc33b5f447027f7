"""Videos as cameras and tools make them, beside plain sequential decoding by PyAV; made on the spot."""

import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
import torch
from av.video.stream import VideoStream

from tvau.commands.check import inspect
from tvau.data.kinds import open_layout
from tvau.data.video import Video, open_video
from tvau.errors import DataError

H264 = {"preset": "ultrafast", "bf": "3", "b-adapt": "0"}
REFRESH = {"preset": "veryfast", "bf": "0", "x264-params": "intra-refresh=1"}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "b.ts": ("libx264", H264),
    "b.avi": ("libx264", H264),
    "b.mkv": ("libx264", H264),
    "b.flv": ("libx264", H264),
    "refresh.ts": ("libx264", REFRESH),
    "refresh.mp4": ("libx264", REFRESH),
    "open.ts": ("libx264", {"preset": "veryfast", "bf": "3", "x264-params": "open-gop=1"}),
    "b.mpg": ("mpeg2video", {"bf": "2"}),
    "xvid.avi": ("mpeg4", {"bf": "2"}),
    "alternate.webm": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime", "cpu-used": "8"}),
    "b.wmv": ("wmv2", {"b": "1M"}),
    "raw.h264": ("libx264", H264),
}


def write(path: Path, codec: str = "libx264", frames: int = 70, gop: int = 12, turn: int = 0, times: Any = None,
          **options: Any) -> Path:  # fmt: skip
    """A video of noise in which something moves: no two frames are equal."""
    noise = np.random.default_rng(0).integers(0, 255, (48, 64 + frames, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=25))
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = 48, 64, "yuv420p", gop
        stream.codec_context.options = options or H264
        if turn:
            stream.set_display_rotation(turn)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[:, number : number + 64]), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def plain(path: Path) -> torch.Tensor:
    """What PyAV hands out from the first packet to the last, uint8 [T, 3, H, W]; what is damaged is passed over."""
    frames: list[av.VideoFrame] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            try:
                frames += packet.decode()
            except av.FFmpegError:
                continue
    return torch.from_numpy(np.stack([f.to_ndarray(format="rgb24") for f in frames])).permute(0, 3, 1, 2)


def agrees(video: Video, truth: torch.Tensor, undefined: int = -1) -> None:
    """Whether every frame is the same in order, in reverse, with a stride, and at random.

    `undefined`: a frame of which only a part is there; decoders fill the rest with what lies in memory.
    """
    assert video.frames == len(truth) == len(video.seconds)
    draw = np.random.default_rng(1).permutation(video.frames).tolist()
    for order in (range(video.frames), range(video.frames - 1, -1, -1), range(0, video.frames, 7), draw):
        for number in order:
            assert torch.equal(video.read([number])[0], truth[number]) or number == undefined, number


@pytest.mark.parametrize("kind", KINDS)
def test_any_container_gives_the_frames_of_plain_decoding(tmp_path: Path, kind: str) -> None:
    codec, options = KINDS[kind]
    path = write(tmp_path / kind, codec, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # all of them are healthy
        video = open_video(path)
    assert video.missing == 0
    agrees(video, plain(path))


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_video_is_turned_as_players_turn_it(tmp_path: Path, turn: int) -> None:
    path = write(tmp_path / "a.mp4", turn=turn)
    with open_video(path) as video:
        assert video.size == ((64, 48) if turn % 180 else (48, 64))
        truth = torch.rot90(plain(path), turn // 90, (2, 3))  # counterclockwise, as FFmpeg's matrices say
        agrees(video, truth)
    with open_video(path, size=(32, 16)) as small:
        assert small.read([3]).shape == (1, 3, 32, 16)


def test_a_recording_that_begins_between_key_frames(tmp_path: Path) -> None:
    with av.open(str(write(tmp_path / "whole.mkv"))) as whole, av.open(str(tmp_path / "a.mkv"), "w") as late:
        stream = whole.streams.video[0]
        copy = late.add_stream_from_template(stream)
        for packet in [p for p in whole.demux(stream) if p.size][5:]:
            packet.stream = copy
            late.mux(packet)
    truth = plain(tmp_path / "a.mkv")
    with pytest.warns(UserWarning, match="its first 7 frames cannot be decoded") as warned:
        video = open_video(tmp_path / "a.mkv")
    assert f"the {len(truth)} frames that are there are read" in str(warned[0].message)
    assert video.missing == 65 - len(truth) > 0
    agrees(video, truth)


@pytest.mark.parametrize("suffix", ["avi", "mkv", "flv", "mp4"])
def test_a_shortened_file_is_read_as_far_as_it_goes_and_counted(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "videos").mkdir()
    path = write(tmp_path / "videos" / f"a.{suffix}")
    if suffix == "mp4":  # the index before the pictures
        with av.open(str(path)) as given, av.open(str(path) + ".mp4", "w", options={"movflags": "faststart"}) as first:
            copy = first.add_stream_from_template(given.streams.video[0])
            for packet in given.demux(video=0):
                if packet.size:
                    packet.stream = copy
                    first.mux(packet)
        Path(str(path) + ".mp4").replace(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.warns(UserWarning, match=r"cut short: about \d\d more frames") as warned:
        video = open_video(path)
    agrees(video, plain(path), undefined=video.frames - 1)
    assert abs(video.frames + video.missing - 70) <= 4
    assert str(path) in str(warned[0].message)
    found = inspect(open_layout("folder", str(tmp_path / "videos")), False)
    assert found.counts["all missing frames"] == video.missing
    assert any("cut short" in fault for fault in found.faults)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_seconds_are_those_of_the_time_stamps(tmp_path: Path, suffix: str) -> None:
    times = [40 * n if n < 50 else 2000 + 200 * (n - 50) for n in range(70)]
    with open_video(write(tmp_path / f"a.{suffix}", times=times)) as video:
        assert video.seconds == pytest.approx(np.array(times) / 1000)
        assert video.fps == pytest.approx(69 / 5.8)


def test_videos_too_large_to_decode_are_refused_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4", frames=2)
    monkeypatch.setenv("TVAU_MAX_PIXELS", "3000")
    with pytest.raises(DataError, match=r"a\.mp4: its pictures are 48x64 .* more than 3000 pixels"):
        open_video(path)


def test_frames_that_do_not_come_are_named_and_the_picture_before_them_stays(tmp_path: Path) -> None:
    """The time stamps of an mp4 promise what only decoding shows to be lost; windows can be read all the same."""
    (tmp_path / "videos").mkdir()
    path = write(tmp_path / "videos" / "a.mp4", frames=40, preset="ultrafast", bf="0")
    with av.open(str(path)) as given:
        packets = [packet for packet in given.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for packet in packets[36:]:
        assert packet.pos is not None
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(content)
    truth = plain(path)
    assert len(truth) == 36
    with open_video(path) as video:
        with pytest.warns(UserWarning, match=r"4 of its 40 frames cannot be decoded, frame 36"):
            read = video.read(range(30, 40))
        assert torch.equal(read[:6], truth[30:])
        assert all(torch.equal(late, truth[35]) for late in read[6:])
        assert torch.equal(video.read([3])[0], truth[3])
        assert sum(1 for _ in video) == video.frames == len(video.seconds) == 40
        assert video.missing == 4
    found = inspect(open_layout("folder", str(tmp_path / "videos")), False)
    assert found.counts["all missing frames"] == 4


def test_pictures_of_an_unknown_kind_are_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", frames=4)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(DataError, match=r"a\.mp4: there is no video stream in it, only unknown video"):
        open_video(path)
