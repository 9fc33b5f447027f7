"""Which packet of a video file each frame comes from, so that any frame can be found again.

Containers do not agree on what their time stamps mean, and some have none. So packets are numbered in the order of the
file, and that number travels through the decoder in place of the time: it says of each frame that comes out which
packet it was, in any container, in order and after a seek. Frame n is the n-th frame that the decoder hands out.

Well-formed files of the containers in `TIMED` say by their time stamps what the decoder will do: their packets are
walked over and the first frames are decoded to see that it holds. Of all others every frame is decoded once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

# What is named so and cannot be read is a broken video; of other files FFmpeg is asked.
VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".dav", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".ogv", ".ts", ".vob", ".webm", ".wmv",
})  # fmt: skip
STILL = frozenset({"image2", "tty"})  # formats of single pictures, and of text
TIMED = frozenset({"mov", "matroska", "flv", "mpegts"})  # one packet a frame, with the time at which it is shown
EXACT = frozenset({"h264", "hevc", "av1", "vp9", "mjpeg"})  # one frame out of each packet
STATED = frozenset({"matroska", "flv", "asf"})  # their header says how long the whole file is
DEPENDENT = frozenset({"gif", "apng"})  # packets that are called key frames paint over what is there
REORDERED = 32  # a packet is shown at most so many packets from where it lies; else the clock was set back
HEAD = 3  # frames that are decoded to see that a file does what its time stamps say
VARIES = 0.01  # relative; where the mean rate is farther from the rate in the header, the rate varies
TOLERANCE = 2.5  # frames; a header's length may be so much longer than its frames
MISSING = np.iinfo(np.int64).min  # a time that a packet lacks

Frames = Iterator[tuple[int, av.VideoFrame]]  # with the number of the packet that each comes from
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Packets:
    """The packets of a video stream in the order of the file: [P] each, times in units of the stream's clock."""

    pts: Ints
    dts: Ints
    pos: Ints
    size: Ints
    key: NDArray[np.bool_]
    left_out: NDArray[np.bool_]  # by an edit list: decoded, never shown
    damaged: bool  # the file says so of one of them, or cannot be read to its end
    end: float  # seconds; where the last packet of any stream ends

    def mark(self, number: int) -> tuple[int, int, int, int]:
        """What tells a packet from the others."""
        return int(self.pts[number]), int(self.dts[number]), int(self.pos[number]), int(self.size[number])


@dataclass(frozen=True)
class Index:
    """Where the frames of a video are. Frames and packets are numbered from 0."""

    packets: Packets
    sources: Ints  # [frames], the packet of each frame
    numbers: Ints  # [P], the frame of each packet, -1 where none comes out
    keys: Ints  # frames where decoding can begin, rising
    distinct: bool  # each frame has a packet of its own; else frames are only found by counting from the first

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.sources)

    def starts(self, number: int) -> Iterator[int]:
        """Frames from which to decode in order to reach a frame: the last key frame, then farther and farther back."""
        at, step = int(np.searchsorted(self.keys, number, "right")) - 1, 1
        while at >= 0 and self.keys[at] > 0:
            yield int(self.keys[at])
            at, step = at - step, step * 2
        yield 0

    def number(self, source: int, following: int) -> int:
        """The frame that a packet showed, -1 for none; `following` is what it is where frames have to be counted."""
        if not self.distinct:
            return following
        return int(self.numbers[source]) if 0 <= source < len(self.numbers) else -1

    def times(self, base: float) -> NDArray[np.float64] | None:
        """Seconds [frames] from the first frame, by the time stamps; None where they are missing or do not rise."""
        shown, decoded = self.packets.pts[self.sources], np.sort(self.packets.dts[self.sources])
        for stamps in (shown, decoded):  # an avi knows only when to decode, which is as far apart
            if (stamps != MISSING).all() and (np.diff(stamps) > 0).all():
                return (stamps - stamps[0]) * base
        return None


def walk(container: InputContainer, stream: VideoStream) -> Packets:
    """Read the packets of a file to its end without decoding them."""
    rows: list[tuple[int, int, int, int]] = []
    flags: list[tuple[bool, bool]] = []
    damaged, end = False, 0.0
    try:
        for packet in container.demux():
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.size and packet.stream_index == stream.index:
                rows.append(_mark(packet))
                flags.append((packet.is_keyframe, packet.is_discard))
                damaged |= packet.is_corrupt
    except av.FFmpegError:
        damaged = True
    table = np.array(rows, np.int64).reshape(-1, 4)
    key, left_out = np.array(flags, bool).reshape(-1, 2).T
    return Packets(table[:, 0], table[:, 1], table[:, 2], table[:, 3], key, left_out, damaged, end)


def by_time(container: InputContainer, stream: VideoStream, packets: Packets) -> Index | None:
    """The index that time stamps give, or None where they cannot be relied on."""
    shown = np.flatnonzero(~packets.left_out)
    stamps = packets.pts[shown]
    if (
        not TIMED & names(container)
        or stream.codec_context.codec.canonical_name not in EXACT
        or packets.damaged
        or len(shown) == 0
        or not packets.key[0]
        or (stamps == MISSING).any()
    ):
        return None
    order = np.argsort(stamps, kind="stable")
    if (np.diff(stamps[order]) == 0).any() or np.abs(order - np.arange(len(order))).max() > REORDERED:
        return None
    return _index(packets, shown[order])


def by_decoding(packets: Packets, sources: Sequence[int], seekable: bool) -> Index:
    """The index of what the decoder hands out: `sources` are the packets of all frames, in order."""
    index = _index(packets, np.array(sources, np.int64))
    return index if seekable and index.distinct else unsought(index)


def unsought(index: Index) -> Index:
    """An index whose frames are always reached from the first one."""
    return replace(index, keys=index.keys[:0])


def _index(packets: Packets, sources: Ints) -> Index:
    numbers = np.full(len(packets.pts), -1, np.int64)
    known = (sources >= 0) & (sources < len(numbers))
    numbers[sources[known]] = np.flatnonzero(known)
    distinct = bool(known.all()) and len(np.unique(sources)) == len(sources)
    marks = np.stack([packets.pts, packets.dts, packets.pos, packets.size], 1)
    keys = np.flatnonzero(packets.key)
    _, first, counts = np.unique(marks[keys], axis=0, return_index=True, return_counts=True)
    keys = keys[np.sort(first[counts == 1])]  # a packet that looks like another one cannot be found again
    return Index(packets, sources, numbers, np.unique(numbers[keys][numbers[keys] >= 0]), distinct)


def decode(stream: VideoStream, packets: Iterable[Packet], number: int = 0, errors: list[str] | None = None) -> Frames:
    """(packet, frame) of all that packets show; `number` is that of the first packet.

    What cannot be decoded is noted in `errors` and passed over. A function of its own, so that a video is no reference
    cycle and lets go of file and threads where it is dropped.
    """
    errors = [] if errors is None else errors
    try:
        for packet in packets:
            if not packet.size:
                continue  # a frame that an avi repeats, or the end
            packet.pts = packet.dts = number
            number += 1
            try:
                shown = stream.decode(packet)
            except av.FFmpegError as error:
                errors.append(str(error))
                continue
            for frame in shown:
                yield -1 if frame.pts is None else frame.pts, frame
    except av.FFmpegError as error:  # the file cannot be read on
        errors.append(str(error))
    try:
        for frame in stream.decode(None):
            yield -1 if frame.pts is None else frame.pts, frame
    except av.FFmpegError as error:
        errors.append(str(error))


def seek(container: InputContainer, stream: VideoStream, index: Index, source: int) -> Iterator[Packet] | None:
    """The packets of a file from a given one on; None where the container does not find it.

    Containers search by the time of decoding or of showing, some in units of their own, and some land too late.
    """
    mark = index.packets.mark(source)
    times = [time for time in mark[:2] if time != MISSING]
    second = int(1 / stream.time_base) if stream.time_base else 1
    for target in [*times, *(min(times) - back * second for back in (1, 10))] if times else []:
        try:
            container.seek(target, stream=stream, backward=True)
            packets = iter(container.demux(stream))
            for packet in packets:
                if packet.size and _mark(packet) == mark:
                    return chain([packet], packets)
                if packet.dts is not None and packet.dts > mark[1] != MISSING:
                    break
        except av.FFmpegError:
            continue
    return None


def timed(stream: VideoStream, index: Index, otherwise: float) -> tuple[NDArray[np.float64], float]:
    """Seconds [frames] from the first frame on, and frames a second: by time stamps, or else by the rate."""
    rate = float(stream.average_rate or stream.guessed_rate or otherwise)
    seconds = index.times(float(stream.time_base or 0))
    if seconds is None:
        return np.arange(index.frames) / rate, rate
    if len(seconds) > 1:
        mean = (len(seconds) - 1) / float(seconds[-1])
        if abs(mean / rate - 1) > VARIES:
            rate = mean
    return seconds, rate


def shortfalls(path: Path, container: InputContainer, stream: VideoStream, index: Index) -> tuple[list[str], int]:
    """What a file says it had and does not have: in words, and how many frames that is."""
    length = path.stat().st_size
    packets, said = index.packets, []
    unshown = (index.numbers < 0) & ~packets.left_out
    first = int(index.sources[0])
    if index.distinct:
        times = packets.pts[: first + REORDERED]
        before = (times < packets.pts[first]) if (times != MISSING).all() else np.arange(len(times)) < first
        late = int((before & unshown[: len(times)]).sum())
    else:
        late = 0
    if late:
        said.append(f"its first {late} frames cannot be decoded (it begins between two key frames)")
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    cut = 0
    if "mov" in names(container):
        cut = sum(entry.pos + entry.size > length for entry in stream.index_entries)
    elif "avi" in names(container):
        cut = max(stream.frames - len(packets.pts), 0) if length < _riff(path) else 0
    elif names(container) & STATED and container.duration and rate:
        left = container.duration / av.time_base - packets.end
        cut = round(left * rate) if left * rate > TOLERANCE else 0
    if cut:
        said.append(f"it was cut short: about {cut} more frames belong to it by its header")
    return said, late + cut


def _riff(path: Path) -> int:
    """Bytes that an avi says it has."""
    with path.open("rb") as file:
        return int.from_bytes(file.read(8)[4:], "little") + 8


def open_container(path: Path) -> InputContainer:
    """Open a file of this machine, whatever its name looks like; what it refers to elsewhere is not fetched."""
    return av.open(str(path.absolute()), options={"protocol_whitelist": "file"})


def is_video(file: Path) -> bool:
    """Whether a file is a video: by its suffix, or else because FFmpeg finds moving pictures in it."""
    if file.suffix.lower() in VIDEO_SUFFIXES:
        return True
    try:
        with open_container(file) as container:
            still = any(name.endswith("_pipe") or name in STILL for name in names(container))
            stream = None if still else moving(container)
            return stream is not None and bool(stream.width) and not stream.disposition & Disposition.attached_pic
    except (av.FFmpegError, OSError, ValueError):
        return False


def moving(container: InputContainer) -> VideoStream | None:
    """The first stream of moving pictures, rather than an album's cover; None where there is no decoder for any."""
    streams = [stream for stream in container.streams.video if stream.codec_context]
    return min(streams, key=lambda stream: bool(stream.disposition & Disposition.attached_pic), default=None)


def names(container: InputContainer) -> set[str]:
    """The names of a container's format."""
    return set(container.format.name.split(","))


def _mark(packet: Packet) -> tuple[int, int, int, int]:
    pts, dts, pos = (MISSING if value is None else value for value in (packet.pts, packet.dts, packet.pos))
    return pts, dts, pos, packet.size
