"""`tvau data page`: a page of example dialogs with pictures, to look at before anything is trained on them."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tvau.types import Kind, Source

if TYPE_CHECKING:
    from tvau.data.dialogs import Dialog
    from tvau.data.images import Image
    from tvau.data.layout import Layout
    from tvau.data.traces import Trace

COLOURS = ((64, 224, 255), (255, 196, 0), (255, 96, 200), (120, 255, 120))  # of the targets, in order
STYLE = (
    "body{font:14px/1.4 sans-serif;max-width:1060px;margin:2em auto;padding:0 1em}"
    "section{border-top:1px solid #ccc;padding:.8em 0}img{width:100%}"
    "dt{font-weight:bold;margin-top:.3em}dd{margin:0 0 0 1em}small{color:#777}"
)


def page(
    kind: Kind, root: str, dialogs: str, out: str, count: int = 12, targets: Source = "auto",
    tracks: str | None = None, width: int = 340,
) -> None:  # fmt: skip
    """Writes a page of example dialogs, each with three frames, its targets' outlines and the ways they take.

    Args:
        kind: which data set.
        root: its folder.
        dialogs: file with its dialogs.
        out: html file to write.
        count: of dialogs; a quarter of them say no, evenly spaced over the file.
        targets: as given to `tvau annotate`.
        tracks: the folder of ShanghaiTech's track files, where it is not `testing/tracks`.
        width: of a picture, pixels.
    """
    from tvau.annotate.gather import save
    from tvau.data.dialogs import read_dialogs
    from tvau.data.kinds import open_layout

    layout = open_layout(kind, root, tracks)
    every = read_dialogs(Path(dialogs), layout.known())
    yes = [dialog for dialog in every if any(turn.target is not None for turn in dialog.turns)]
    no = [dialog for dialog in every if dialog not in yes]
    few = min(count // 4, len(no))
    chosen = [*_spread(yes, count - few), *_spread(no, few)]
    sections = [_section(layout, dialog, targets, width) for dialog in chosen]
    title = f"{len(sections)} of {len(every)} dialogs about {kind}"
    text = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><p>Evenly spaced over the file, not chosen. Frames: first, middle, last of the clip; outline "
        f"and way of each target in its colour, a dot where it is first seen.</p>{''.join(sections)}</html>\n"
    )
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save(Path(out), text)
    print(f"{title}: {out}")


def _spread(dialogs: Sequence[Dialog], count: int) -> list[Dialog]:
    from tvau.data.module import spaced

    return [dialogs[int(at)] for at in spaced([str(at) for at in range(len(dialogs))], count)]


def _section(layout: Layout, dialog: Dialog, targets: Source, width: int) -> str:
    """One dialog: pictures and turns."""
    from tvau.annotate.describe import target_mask
    from tvau.annotate.make import find_targets
    from tvau.data.images import resize
    from tvau.data.video import open_video

    truth = layout.truth(dialog.video)
    frames = [dialog.first, (dialog.first + dialog.last) // 2, dialog.last]
    ids = list(dict.fromkeys(turn.target for turn in dialog.turns if turn.target is not None))
    with open_video(layout.video(dialog.video), fps=layout.fps) as video:
        found = {trace.id: trace for trace in find_targets(layout, truth, dialog.video, video, targets)} if ids else {}
        traces = [part for id in ids if id in found and (part := found[id].within(dialog.first, dialog.last))]
        read = video.read(frames).permute(0, 2, 3, 1).numpy()
    pictures = []
    for frame, picture in zip(frames, read, strict=True):
        picture = np.ascontiguousarray(picture)
        for trace, colour in zip(traces, COLOURS * len(traces), strict=False):
            if frame in trace.frames:
                mask = target_mask(truth, trace, frame).astype(np.uint8)
                outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
                cv2.drawContours(picture, outlines, -1, colour, max(1, round(picture.shape[0] / 200)))
            _way(picture, trace, colour)
        height = round(picture.shape[0] * width / picture.shape[1])
        pictures.append(resize(picture, (height, width)))
    turns = "".join(
        f"<dt>{html.escape(turn.question)}</dt><dd>{html.escape(turn.answer)} <small>{html.escape(turn.task)}, "
        f"{html.escape(turn.provenance)}</small></dd>"
        for turn in dialog.turns
    )
    return (
        f"<section><h3>{html.escape(dialog.video)}, frames {dialog.first}..{dialog.last}</h3>"
        f"<img alt='' src='data:image/jpeg;base64,{_jpeg(np.concatenate(pictures, axis=1))}'><dl>{turns}</dl></section>"
    )


def _way(picture: Image, trace: Trace, colour: tuple[int, int, int]) -> None:
    """Draws the way of a target's centre, with a dot where it begins."""
    points = np.round(trace.centres * (picture.shape[1], picture.shape[0])).astype(np.int32)
    cv2.polylines(picture, [points.reshape(-1, 1, 2)], False, colour, max(1, round(picture.shape[0] / 300)))
    cv2.circle(picture, tuple(int(v) for v in points[0]), max(2, round(picture.shape[0] / 80)), colour, -1)


def _jpeg(picture: Image) -> str:
    data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 72])[1]
    return base64.b64encode(data.tobytes()).decode()
