"""Heatmaps over pictures, key frames side by side, and curves.

Everything returns arrays or figures and keeps no state; figures are drawn without a display.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tvau.errors import DataError
from tvau.viz.marks import Image, outline

TRUTH = (255, 72, 200)  # colour of true contours: a magenta, which viridis does not hold
HEAT = "#31688e"  # of curves of ours
COLOURS = "viridis"  # as in the paper's figures: it grows lighter with the score, also in gray and to the colour-blind
OPACITY = 0.75  # of the highest score
QUIET = 0.1  # scores up to here leave the picture as it is
MARKED = 0.5  # what has this score or more is outlined
GUTTER = 4  # pixels between pictures side by side


@cache
def _heat_tables() -> tuple[NDArray[np.float32], Image]:
    """For each of 256 scores: how much of the heat is seen, in [0, 1], and its colour, uint8 [256, 3]."""
    score = np.linspace(0, 1, 256)
    alpha = OPACITY * np.clip((score - QUIET) / (1 - QUIET), 0, 1) ** 0.7
    return alpha.astype(np.float32), (matplotlib.colormaps[COLOURS](score)[:, :3] * 255).astype(np.uint8)


def heat(picture: Image, heatmap: NDArray[np.floating], marked: float | None = MARKED) -> Image:
    """A heatmap laid over a picture: nothing where the score is low, violet, green, yellow and less transparent as it
    rises, with an outline around what is `marked`.

    Colours and transparency are found at the size of the heatmap and enlarged, which costs a tenth of the other order.

    Args:
        picture: uint8 [H, W, 3], RGB.
        heatmap: float [h, w] in [0, 1], of any size; enlarged bilinearly.
        marked: score from which on the outline holds it; None: no outline.

    Returns:
        uint8 [H, W, 3].

    Raises:
        DataError: other shapes or dtypes, or scores that are not finite.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or heatmap.ndim != 2:
        raise DataError(f"picture {picture.dtype} {picture.shape} and heatmap {heatmap.shape}; expected uint8 "
                        "[H, W, 3] and float [h, w].")  # fmt: skip
    if not np.isfinite(heatmap).all():
        raise DataError(f"{int((~np.isfinite(heatmap)).sum())} scores of the heatmap are NaN or infinite.")
    mixed = np.array(picture, order="C")  # a copy
    lay(mixed, heatmap, marked)
    return mixed


def lay(picture: Image, heatmap: NDArray[np.floating], marked: float | None = MARKED) -> None:
    """As `heat`, of parts that are known to be right, onto a contiguous picture itself."""
    height, width = picture.shape[:2]
    index = (np.clip(heatmap, 0, 1) * 255 + 0.5).astype(np.uint8)
    shown, colours = (table[index] for table in _heat_tables())
    alpha = cv2.resize(shown, (width, height), interpolation=cv2.INTER_LINEAR)
    hot = [np.flatnonzero(alpha.any(axis)) for axis in (1, 0)]
    if not len(hot[0]):  # most of most frames is quiet
        return
    part = tuple(slice(at[0], at[-1] + 1) for at in hot)
    heat = cv2.resize(colours, (width, height), interpolation=cv2.INTER_LINEAR)
    picture[part] = cv2.blendLinear(picture[part], heat[part], 1 - alpha[part], alpha[part])
    if marked is not None and index.max() >= marked * 255:
        from_here = _heat_tables()[0][round(marked * 255)]  # 0 for a score so low that its heat is not shown
        inside = alpha[part] >= max(from_here, np.finfo(np.float32).tiny)
        outline(picture, inside, (int(hot[1][0]), int(hot[0][0])))


def contour(picture: Image, mask: NDArray[np.bool_]) -> Image:
    """The outline of a mask [h, w] on a picture [H, W, 3]."""
    height, width = picture.shape[:2]
    large = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    thickness = max(1, round(height / 150))
    return np.asarray(cv2.drawContours(np.ascontiguousarray(picture).copy(), outlines, -1, TRUTH, thickness))


def beside(pictures: Sequence[Image], axis: int = 1) -> Image:
    """Pictures of equal size in a row (axis 1) or a column (axis 0), with a white line between them."""
    shape = list(pictures[0].shape)
    shape[axis] = GUTTER
    line = np.full(shape, 255, np.uint8)
    parts = [part for picture in pictures for part in (line, picture)][1:]
    return np.concatenate(parts, axis=axis)


def key_frames(
    pictures: Image, heatmaps: NDArray[np.floating], mask: NDArray[np.bool_] | None, count: int = 3
) -> Image:
    """Evenly spaced frames of a clip below one another, each as: picture | truth (outline) | prediction (heat).

    Args:
        pictures: uint8 [T, H, W, 3], RGB.
        heatmaps: float [T, h, w] in [0, 1].
        mask: bool [T, H, W], True where abnormal; None leaves the middle column out.
        count: number of frames.

    Returns:
        uint8 [count * (H + gutter), 2 or 3 * (W + gutter), 3].
    """
    rows = []
    for t in key_indices(len(pictures), count):
        truth = [] if mask is None else [contour(pictures[t], mask[t])]
        rows.append(beside([pictures[t], *truth, heat(pictures[t], heatmaps[t])]))
    return beside(rows, axis=0)


def key_indices(length: int, count: int = 3) -> list[int]:
    """The middles of `count` equal parts of a clip: 0-based, rising, without repetition."""
    count = min(count, length)
    return [int((i + 0.5) * length / count) for i in range(count)]


def intervals(frames: NDArray[np.int64], labels: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Runs of abnormal frames as (from, to); a run reaches half way to the normal frames beside it."""
    edges = np.concatenate([frames[:1], (frames[1:] + frames[:-1]) / 2, frames[-1:]]).astype(float)
    steps = np.flatnonzero(np.diff(np.r_[0, labels.astype(int), 0]))
    return [(float(edges[a]), float(edges[b])) for a, b in steps.reshape(-1, 2)]


def score_curve(
    frames: NDArray[np.int64],
    scores: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.bool_] | None = None,
    size: tuple[float, float] = (7.0, 1.9),
) -> Figure:
    """Frame scores over frames, the true interval shaded.

    Args:
        frames: int64 [N], rising frame indices.
        scores: float [N] in [0, 1] of each method, by name; the first is drawn strongest.
        labels: bool [N], True where abnormal; None where unknown.
        size: inches.
    """
    figure = _figure(size)
    axes = figure.add_subplot()
    for start, end in [] if labels is None else intervals(frames, labels):
        axes.axvspan(start, end, color="#40c4dd", alpha=0.25, linewidth=0)
    for i, (name, values) in enumerate(scores.items()):
        (line,) = axes.plot(frames, values, label=name, marker="." if len(frames) < 40 else "")
        line.set(color=f"C{i}" if i else HEAT, linewidth=1.8 - 0.8 * (i > 0), linestyle="--" if i else "-")
    axes.set(xlim=(frames[0], max(frames[-1], frames[0] + 1)), ylim=(-0.05, 1.06), xlabel="frame", ylabel="score")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    if len(scores) > 1:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(scores), fontsize=8, frameon=False)
    return figure


def block_grid(picture: Image, maps: Mapping[str, NDArray[np.floating]]) -> Figure:
    """One frame and its map of each block, in one row and one colour range.

    Args:
        picture: uint8 [H, W, 3].
        maps: float [h, w] by name of the block, of any range (similarities, say).
    """
    height, width = picture.shape[:2]
    columns = len(maps) + 1
    figure = _figure((2.6 * columns + 0.6, 2.6 * height / width + 0.4))
    axes = figure.subplots(1, columns, squeeze=False)[0]
    axes[0].imshow(picture)
    axes[0].set_title("frame", fontsize=9)
    low = min(float(np.min(m)) for m in maps.values())
    high = max(float(np.max(m)) for m in maps.values())
    for axis, (name, values) in zip(axes[1:], maps.items(), strict=True):
        # The map keeps its own cells: what the block really resolves is part of what the picture shows.
        image = axis.imshow(values, cmap="magma", vmin=low, vmax=high, extent=(0, width, height, 0))
        axis.set_title(name, fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    figure.colorbar(image, ax=axes, fraction=0.046 / columns * 2, pad=0.01)
    return figure


def image_of(figure: Figure, dpi: int = 110) -> Image:
    """A figure as uint8 [H, W, 3]."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _figure(size: tuple[float, float]) -> Figure:
    return Figure(figsize=size, layout="constrained")
