"""The README's picture: `python benchmarks/cases.py runs/demo/dialog/cases docs/demo.webp`.

An animation of clips that the test kept, each with the heatmap over the moving picture, the true outline, the score so
far, and beside it what was asked, said and true. Which clips is decided by `tvau.viz.choose`: one of a known kind that
is found and described, one of a kind that training never saw and that is found, and one miss, each the median of its
sort. What is shown is printed too.
"""

import argparse
import io
import textwrap
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from matplotlib.font_manager import FontProperties, findfont
from PIL import Image, ImageDraw, ImageFont

from tvau.errors import DataError
from tvau.files import whole
from tvau.viz.cases import load_cases
from tvau.viz.choose import choose
from tvau.viz.overlay import contour, heat
from tvau.viz.report import Case

WIDTH, PANEL, HEAD, CURVE = (
    480,
    420,
    34,
    46,
)  # pixels: the picture, the words beside it, the line above, the curve below
PAUSE = 6  # a clip's last frame stays this much longer than the others
PAPER, INK, SOFT, HEAT, TRUTH = "#ffffff", "#1c2226", "#6a777e", "#1f7a76", "#b0187e"
LEAST, STEP = 20, 6  # of the quality of WebP


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib, so that the picture is the same everywhere."""
    return ImageFont.truetype(findfont(FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")), size)


def frames(case: Case) -> list[Image.Image]:
    """The clip, frame by frame, with its words."""
    height = round(case.pictures.shape[1] * WIDTH / case.pictures.shape[2])
    page = Image.new("RGB", (WIDTH + PANEL, HEAD + height + CURVE), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((10, 8), case.why, INK, font(14, bold=True))
    draw.text((WIDTH + PANEL - 10, 10), "violet to yellow: the model; magenta: the truth", SOFT, font(11), anchor="ra")
    y = HEAD
    for turn in case.turns:
        lines = list(words(*turn))
        if y + sum(size + 5 for _, _, size in lines) > page.height:
            break  # a later turn that has no room
        for line, colour, size in lines:
            draw.text((WIDTH + 16, y), line, colour, font(size))
            y += size + 5
        y += 10
    shown = []
    for at, (picture, heatmap) in enumerate(zip(case.pictures, case.heatmaps, strict=True)):
        large = heat(np.asarray(cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_CUBIC)), heatmap)
        marked = large if case.mask is None else contour(large, case.mask[at])
        frame = page.copy()
        frame.paste(Image.fromarray(marked), (0, HEAD))
        curve(ImageDraw.Draw(frame), case, at, HEAD + height)
        shown.append(frame)
    return shown


def words(question: str, answer: str, reference: str) -> Iterator[tuple[str, str, int]]:
    """Lines of a turn, each with its colour and size; the truth is told where the answer is not word for word right."""
    told = [(question, SOFT, 12), (answer, INK, 14)]
    told += [(f"true: {reference}", TRUTH, 12)] if reference and answer != reference else []
    for text, colour, size in told:
        yield from ((line, colour, size) for line in textwrap.wrap(text, 58 if size == 12 else 50))


def curve(draw: ImageDraw.ImageDraw, case: Case, at: int, top: int) -> None:
    """The score up to a frame, over the true interval."""
    step = WIDTH / len(case.scores)
    for i, abnormal in enumerate(case.mask.any((1, 2)) if case.mask is not None else []):
        if abnormal:
            draw.rectangle((i * step, top + 4, (i + 1) * step, top + CURVE - 4), "#d3f0f6")
    points = [((i + 0.5) * step, top + CURVE - 6 - (CURVE - 12) * float(s)) for i, s in enumerate(case.scores)]
    draw.line(points[: at + 1] if at else [points[0], points[0]], HEAT, 3)
    x, y = points[at]
    draw.ellipse((x - 4, y - 4, x + 4, y + 4), HEAT)
    draw.text(
        (x + 8, min(y - 6, top + CURVE - 16)) if at < len(points) - 2 else (x - 60, top + 4),
        f"{case.scores[at]:.2f}",
        HEAT,
        font(12),
    )


def animation(clips: list[list[Image.Image]], most: int) -> bytes:
    """An endless WebP of at most so many bytes, in the best quality that fits."""
    pictures = [frame for clip in clips for frame in clip]
    times = [200 * (PAUSE if frame is clip[-1] else 1) for clip in clips for frame in clip]
    for quality in range(80, LEAST, -STEP):
        file = io.BytesIO()
        options = {"duration": times, "loop": 0, "quality": quality, "minimize_size": True}
        pictures[0].save(file, "webp", save_all=True, append_images=pictures[1:], **options)
        if file.tell() <= most:
            return file.getvalue()
    raise DataError(
        f"the animation takes {file.tell()} bytes at quality {quality}, more than {most}: give fewer --clips"
    )


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, help="folder of cases that `tvau test` left")
    parser.add_argument("picture", type=Path, help="file to write, .webp")
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--most", type=int, default=380_000, help="bytes")
    args = parser.parse_args()
    chosen = choose(load_cases(args.cases))[: args.clips]
    if not chosen:
        raise SystemExit(f"{args.cases}: no cases with masks; run `tvau test` first")
    with whole(args.picture) as temporary:
        temporary.write_bytes(animation([frames(case) for case in chosen], args.most))
    for case in chosen:
        print(f"\n{case.why}\n{case.name} ({case.split})")
        for question, answer, reference in case.turns:
            print(f"  {question}\n    said: {answer}\n    true: {reference}")


if __name__ == "__main__":
    main()
