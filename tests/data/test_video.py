"""Exact frames, from every kind of source; and what broken sources say."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tvau.data import video as video_module
from tvau.data import videofile
from tvau.data.video import Reader, open_video
from tvau.errors import DataError
from writers import write_frames, write_video

Write = Callable[..., Path]


def decode_all(path: Path) -> torch.Tensor:
    """Every frame at full size, by PyAV alone, packet by packet: uint8 [T, 3, H, W]. What is damaged is passed over."""
    frames: list[av.VideoFrame] = []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            with suppress(av.FFmpegError):
                frames += packet.decode()
    return torch.from_numpy(np.stack([frame.to_ndarray(format="rgb24") for frame in frames])).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("gop", "bframes"), [(250, "3"), (8, "3"), (8, "0"), (1, "0")])
@pytest.mark.parametrize("open_gop", ["0", "1"])
def test_any_order_gives_the_frames_of_plain_decoding(
    tmp_path: Path, video: Write, gop: int, bframes: str, open_gop: str
) -> None:
    path = video(tmp_path / "a.mp4", gop=gop, bf=bframes, **{"x264-params": f"open-gop={open_gop}"})
    truth = decode_all(path)
    with open_video(path) as opened:
        assert (opened.frames, opened.fps, opened.size) == (40, 25.0, (48, 64))
        for indices in ([39], [0, 1, 2], [17, 23], [18, 19, 20], [5], [39, 0, 39, 8], range(0, 40, 3)):
            assert torch.equal(opened.read(indices), truth[list(indices)]), indices


def test_frame_numbers_are_those_drawn_into_the_pictures(tmp_path: Path, video: Write) -> None:
    with open_video(video(tmp_path / "a.mp4"), size=(12, 16)) as opened:
        read = opened.read([30, 3, 4, 22])
    assert read.shape == (4, 3, 12, 16)
    levels = read[:, 1, 8:].float().mean((-1, -2))
    assert ((levels - 16) / 5).round().tolist() == [30, 3, 4, 22]


def test_avi_without_display_times(tmp_path: Path, video: Write) -> None:
    path = video(tmp_path / "a.avi")
    with open_video(path) as opened:
        assert opened.frames == 40
        assert torch.equal(opened.read([21, 4]), decode_all(path)[[21, 4]])


def test_frames_are_counted_by_decoding_where_packets_carry_no_time(tmp_path: Path, video: Write) -> None:
    path = video(tmp_path / "a.h264")  # a raw stream has no container that could tell
    with open_video(path) as opened:
        assert opened.frames == 40
        assert torch.equal(opened.read([21, 22, 4]), decode_all(path)[[21, 22, 4]])


def test_overlapping_windows_decode_every_frame_once(
    tmp_path: Path, video: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, decoded = video(tmp_path / "a.mp4", gop=8), []
    original = videofile.decode

    def counted(*args: Any) -> Iterator[tuple[int, av.VideoFrame]]:
        for source, frame in original(*args):
            decoded.append(source)
            yield source, frame

    with open_video(path) as opened:
        monkeypatch.setattr(videofile, "decode", counted)
        opened.read([39])
        decoded.clear()
        for start in range(0, 33, 4):
            opened.read(range(start, start + 8))
    assert sorted(decoded) == list(range(40))


def test_size_averages_areas(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    board = np.indices((40, 40)).sum(0) % 2 * 200  # single pixels, which skipping or subsampling would keep
    Image.fromarray(board.astype(np.uint8)).save(folder / "1.png")
    with open_video(folder, size=(10, 10)) as opened:
        assert opened.size == (40, 40)
        assert opened.shape == (10, 10)
        assert torch.equal(opened.read([0]), torch.full((1, 3, 10, 10), 100, dtype=torch.uint8))


def test_frame_folder_is_sorted_by_number_and_ignores_other_files(tmp_path: Path, frame_folder: Write) -> None:
    folder = frame_folder(tmp_path / "a", [1, 2, 10, 100], name="frame{}.png")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "._frame1.png").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    with open_video(folder, fps=10) as opened:
        assert (opened.frames, opened.fps, opened.size) == (4, 10, (24, 32))
        read = opened.read([0, 1, 2, 3])
    assert read.shape == (4, 3, 24, 32)
    assert read[:, :, 0, 0].tolist() == [[1] * 3, [2] * 3, [10] * 3, [100] * 3]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp"])
def test_frame_folder_formats(tmp_path: Path, frame_folder: Write, suffix: str) -> None:
    with open_video(frame_folder(tmp_path / "a", [7, 90], name="{:03d}." + suffix)) as opened:
        assert (opened.read([1])[0, :, 3, 3] - 90).abs().max() <= 1


def test_a_video_can_be_read_on_after_a_wrong_number(tmp_path: Path, video: Write) -> None:
    path = video(tmp_path / "a.mp4")
    with open_video(path) as opened:
        for wrong in ([40], [-1], []):
            with pytest.raises(DataError, match=r"it has 40, 0\.\.39"):
                opened.read(wrong)
        assert torch.equal(opened.read([9]), decode_all(path)[[9]])


def test_reader_keeps_the_last_video_open_and_survives_pickling(
    tmp_path: Path, video: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [video(tmp_path / "a.mp4"), video(tmp_path / "b.mp4", frames=20)]
    opens: list[Path] = []
    original = video_module.open_video

    def counted(path: Path, *rest: Any) -> video_module.Video:
        opens.append(path)
        return original(path, *rest)

    monkeypatch.setattr(video_module, "open_video", counted)
    reader = Reader((12, 16))
    for path in [paths[0], paths[0], paths[1], paths[1]]:
        assert reader.open(path).read([3]).shape == (1, 3, 12, 16)
    assert opens == paths
    copy = pickle.loads(pickle.dumps(reader))
    assert torch.equal(copy.open(paths[1]).read([5]), reader.open(paths[1]).read([5]))


@pytest.mark.parametrize(
    "names",
    [
        [f"frame_{n}_t{n / 25:.2f}" for n in (1, 2, 25, 100)],
        [f"{n / 25:.2f}" for n in (1, 24, 25, 51)],
        ["clip2_000", "clip2_001", "clip10_000"],
        ["9_cam1", "10_cam1", "11_cam1"],
        ["9_320x240", "10_320x240", "100_320x240"],
    ],
)
def test_all_numbers_of_a_name_order_frames(tmp_path: Path, names: list[str], frame_folder: Write) -> None:
    folder = frame_folder(tmp_path / "a", [])
    for at, name in enumerate(names):
        Image.fromarray(np.full((24, 32), at, np.uint8)).save(folder / f"{name}.png")
    with open_video(folder) as opened:
        assert opened.read(range(len(names)))[:, 0, 0, 0].tolist() == list(range(len(names)))


def test_what_is_no_frame_is_left_out_and_named(tmp_path: Path, frame_folder: Write) -> None:
    folder = frame_folder(tmp_path / "a", range(9, 12), name="frame{}.jpg")
    for name in ("frame9.png", "frame10.png", "background.jpg", "frame10(1).jpg"):
        Image.new("L", (32, 24)).save(folder / name)
    with pytest.warns(UserWarning, match="left out") as warned:
        opened = open_video(folder)
    assert isinstance(opened, video_module.FrameFolder)
    assert [file.name for file in opened._files] == ["frame9.jpg", "frame10.jpg", "frame10(1).jpg", "frame11.jpg"]
    said = "\n".join(str(warning.message) for warning in warned)
    for fault in (
        "frame10.png, frame9.png: left out, no .jpg",
        "background.jpg: left out",
        "frame10(1).jpg: the number",
    ):
        assert fault in said


def test_pictures_too_large_to_decode_are_refused_before(
    tmp_path: Path, frame_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = frame_folder(tmp_path / "a", [])
    for side in (12_000, 70_000):
        Image.new("1", (side, 12_000)).save(folder / "1.png")
        with pytest.raises(DataError, match=rf"1\.png: its pictures are 12000x{side} .* TVAU_MAX_PIXELS"):
            open_video(folder)
    frame_folder(tmp_path / "b", [1])
    monkeypatch.setenv("TVAU_MAX_PIXELS", "767")
    with pytest.raises(DataError, match="more than 767 pixels"):
        open_video(tmp_path / "b")
    monkeypatch.setenv("TVAU_MAX_PIXELS", "768")
    open_video(tmp_path / "b")


# ---- bad input ----


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.mp4: no such file or folder"):
        open_video(tmp_path / "nothing.mp4")


def test_a_picture_that_is_a_line_is_none(tmp_path: Path) -> None:
    write_frames(tmp_path / "line", [0, 1], size=(1, 32))
    with pytest.raises(DataError, match="line: pictures of 32x1; expected 2x2 pixels or more"):
        open_video(tmp_path / "line")


@pytest.mark.parametrize("content", [b"", b"these are words, no video"])
def test_not_a_video(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.mp4: (the file is empty|cannot be opened as a video)"):
        open_video(tmp_path / "a.mp4")


def test_truncated_before_its_index(tmp_path: Path, video: Write) -> None:
    path = video(tmp_path / "a.mp4", index_first=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"a\.mp4: cannot be opened .* truncated"):
        open_video(path)


def test_truncated_after_its_index(tmp_path: Path, video: Write) -> None:
    path = video(tmp_path / "a.mp4", crf="1")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    with pytest.warns(UserWarning, match=r"a\.mp4: it was cut short: about \d\d more frames") as warned:
        opened = open_video(path)
    assert opened.frames + opened.missing == 40
    assert f"the {opened.frames} frames that are there" in str(warned[0].message)
    assert torch.equal(opened.read(range(opened.frames)), decode_all(path))


def test_damaged_in_the_middle(tmp_path: Path, video: Write) -> None:
    path = video(tmp_path / "a.mp4", gop=10, crf="1")
    with av.open(str(path)) as container:
        packet = next(p for at, p in enumerate(container.demux(video=0)) if at == 20)
    with path.open("r+b") as file:
        file.seek(packet.pos or 0)
        file.write(b"\xff" * packet.size)
    with open_video(path) as opened:
        opened.read(range(10))
        with pytest.warns(UserWarning, match=r"a\.mp4: \d+ of its 40 frames cannot be decoded"):
            opened.read(range(10, 30))
        whole = decode_all(path)
        assert opened.missing == 40 - len(whole) > 0
        assert torch.equal(opened.read(range(30, 40)), whole[-10:])  # what is whole can still be read


def test_no_video_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(DataError, match=r"a\.mp4: there is no video stream in it, only audio"):
        open_video(path)


def test_bad_frame_folders(tmp_path: Path, frame_folder: Write) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: there is no frame in this folder; expected image files"):
        open_video(tmp_path / "empty")

    folder = frame_folder(tmp_path / "a", range(4))
    (folder / "2.png").write_bytes(b"")
    opened = open_video(folder)
    with pytest.raises(DataError, match=r"2\.png: the frame is empty \(0 bytes\)"):
        opened.read([1, 2])
    (folder / "2.png").write_bytes(b"words")
    with pytest.raises(DataError, match=r"2\.png: the frame is not an image"):
        opened.read([1, 2])
    Image.new("L", (30, 24)).save(folder / "2.png")
    with pytest.raises(DataError, match=r"2\.png: the frame is 24x30 .* 0\.png is 24x32"):
        opened.read([1, 2])
    (folder / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png: the frame cannot be read"):
        opened.read([1, 2])


# ---- real videos ----


def test_real_videos(real_data: Path) -> None:
    path = real_data / "clips" / "normal_scene_6_scenario_5.mp4"
    indices = [3, 40, 249, 250, 252, 300]
    truth = {}
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in indices:
                truth[number] = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
            if number == indices[-1]:
                break
    with open_video(path) as opened:
        assert (opened.frames, opened.fps, opened.size) == (451, 30.0, (720, 1280))
        assert torch.equal(opened.read(indices[::-1]), torch.stack([truth[i] for i in indices[::-1]]))


def test_real_frame_folder(real_data: Path) -> None:
    with open_video(real_data / "ucsd_ped2/UCSDped2/Test/Test001", size=(96, 160)) as opened:
        assert (opened.frames, opened.size) == (180, (240, 360))
        read = opened.read([0, 179])
    assert torch.equal(read[:, 0], read[:, 2])  # gray as RGB


def test_a_video_is_walked_through_as_it_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "walk.mp4", frames=20)
    with open_video(path) as video:
        expected = video.read(range(20)).permute(0, 2, 3, 1).numpy()
        assert all((np.asarray(a) == b).all() for a, b in zip(video, expected, strict=True))
