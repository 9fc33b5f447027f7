"""Which frames make up the clips of a video: pure arithmetic, no files."""

from collections.abc import Sequence

from tvau.errors import DataError


def windows(total: int, length: int, stride: int = 1, hop: int | None = None, name: str = "the video") -> list[range]:
    """Windows that together hold every sampled frame of a video (0, stride, 2 stride, ...), in order.

    Windows start at multiples of `hop` sampled frames; the last one is shifted back so that it ends with the last
    sampled frame. All of them therefore sample the same frames, and overlapping windows share what is decoded.

    Args:
        total: frames of the video.
        length: frames of a window.
        stride: distance between sampled frames, in frames of the video.
        hop: distance between the starts of windows, in sampled frames; None: `length`, no overlap.
        name: of the video, for errors.

    Raises:
        DataError: a video that is shorter than one window, or numbers that make no windows.
    """
    hop = length if hop is None else hop
    if length < 1 or stride < 1 or not 1 <= hop <= length:
        raise DataError(
            f"Windows of {length} frames, stride {stride}, hop {hop}: length and stride have to be at least 1, hop "
            "between 1 and the length, or frames would be left out."
        )
    sampled = range(0, total, stride)
    if len(sampled) < length:
        raise DataError(
            f"{name}: it has {total} frames, but a clip of {length} frames at stride {stride} needs "
            f"{(length - 1) * stride + 1}. Lower `frames` or `stride`, or leave this video out."
        )
    last = len(sampled) - length
    starts = [*range(0, last, hop), last]
    return [sampled[start : start + length] for start in starts]


def padded_windows(total: int, length: int, stride: int = 1, hop: int | None = None) -> list[Sequence[int]]:
    """As `windows`; a video that is shorter than a window gives one that repeats its last sampled frame."""
    sampled = range(0, total, stride) if stride > 0 else range(0)
    if 0 < len(sampled) < length:
        return [[*sampled, *[sampled[-1]] * (length - len(sampled))]]
    return [*windows(total, length, stride, hop)]


def window_around(middle: float, total: int, length: int, stride: int = 1) -> Sequence[int]:
    """The window of sampled frames (0, stride, 2 stride, ...) whose middle lies nearest to a frame of the video."""
    sampled = range(0, total, stride)
    if len(sampled) <= length:
        return padded_windows(total, length, stride)[0]
    start = min(max(round(middle / stride - (length - 1) / 2), 0), len(sampled) - length)
    return sampled[start : start + length]


def spread(first: int, last: int, length: int, name: str = "the video") -> list[int]:
    """`length` frames spread evenly over first..last (inclusive, 0-based): the first of each of as many equal parts.

    Raises:
        DataError: fewer frames there than asked for.
    """
    total = last - first + 1
    if total < length:
        raise DataError(
            f"{name}: frames {first}..{last} are {max(total, 0)} frames; a clip needs {length}. "
            "Lower `frames`, or leave this dialog out."
        )
    return [first + at * total // length for at in range(length)]
