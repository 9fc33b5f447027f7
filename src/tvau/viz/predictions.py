"""The files of a prediction: a video with the heatmap over it, tables of scores and boxes, the dialog, and a page.

The source is read once more, frame by frame, and memory does not grow with its length.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.data.following import Follower
from tvau.data.video import Video, open_video
from tvau.errors import DataError
from tvau.events import Event, find
from tvau.familiarity import FOREIGN
from tvau.metrics.boxes import MapRule, boxes, scaled
from tvau.metrics.events import step_of
from tvau.viz.marks import Image, frame_boxes
from tvau.viz.mp4 import Mp4
from tvau.viz.overlay import lay
from tvau.viz.sheet import Moment, Sheet
from tvau.viz.strip import Strip
from tvau.viz.told import Dialog, clock, marked, merged, verdicts, write_words

BOX = ("frame", "x1", "y1", "x2", "y2", "score")
POINTS = 1000  # of the curve on the page, at most
Map = NDArray[np.floating]  # [h, w] in [0, 1]


class Evidence(NamedTuple):
    """What was seen in a video.

    Attributes:
        frames: int64 [N], the sampled frames, 0-based, rising.
        scores: float [N] in [0, 1].
        maps: the same frames' numbers and heatmaps, in order; read once. None: there are scores alone.
        rule: how boxes and events are read from the heatmaps, as in the test.
        events: finds the events from the seconds of all frames; None: they come from the scores alone.
        size: (height, width) of the heatmaps, of which the events' boxes are.
    """

    frames: NDArray[np.int64]
    scores: NDArray[np.floating]
    maps: Iterable[tuple[int, Map]] | None
    rule: MapRule = MapRule()
    events: Callable[[NDArray[np.float64]], list[Event]] | None = None
    size: tuple[int, int] = (1, 1)


def write_prediction(
    folder: Path,
    source: Path | Video,
    dialogs: Sequence[Dialog],
    evidence: Evidence | None = None,
    fps: float | None = None,
    progress: Callable[[Video], Iterable[Image]] = iter,
    strange: Sequence[float] = (),
    marks: bool = False,
    untrained: str = "",
) -> dict[str, Any]:
    """Write index.html, summary.json, dialog.json, dialog.txt and, of what was seen, overlay, scores and detections.

    `events.png` shows the key frames of the events, where there are any.

    Args:
        folder: of this video alone, empty; see `tvau.files.whole_folder`.
        source: the video file or frame folder that was looked at, or the video itself, open, in its own size.
        dialogs: one for each window, in order.
        evidence: None: the model has no heatmaps.
        fps: frames a second of a frame folder, which does not say it itself.
        progress: goes through the frames of the source and shows how far it is.
        strange: how far each window is from the clips of the training, see `tvau.familiarity`; empty: not known.
        marks: draw boxes with the numbers of their targets into the overlay.
        untrained: what looked and answered where nothing was trained, in words.

    Returns:
        The content of summary.json.

    Raises:
        DataError: sizes that do not agree, frames that are not rising or not in the source, a source that is broken.
        OSError: the folder cannot be written to.
    """
    with open_video(source, fps=fps) if isinstance(source, Path) else nullcontext(source) as video:
        source = video.path
        seconds = video.seconds
        length = round(float(seconds[-1]) + (step_of(seconds) or 1 / video.fps), 3)
        summary: dict[str, Any] = {"video": source.name, "frames": video.frames, "seconds": length}
        summary |= {"path": str(source.absolute())} if source.exists() else {}  # pictures in memory have none
        summary |= {"size": list(video.size), "windows": sum("about" not in dialog for dialog in dialogs)}
        curve: list[list[float]] = []
        if evidence is not None:
            _check(evidence, source, video.frames)
            scores = np.interp(np.arange(video.frames), evidence.frames, evidence.scores)
            write_scores(folder / "scores.csv", evidence.frames, scores, seconds, evidence.rule.probability(scores))
            events = None if evidence.events is None else evidence.events(seconds)
            summary |= seen(scores, seconds, evidence.rule, events)
            if events is not None:
                told = [{**event.told(evidence.size, video.size), **evidence.rule.told(event.peak)} for event in events]
                _dump(folder / "events.json", told)
            if evidence.maps is not None:
                _write_pictures(folder, video, evidence, scores, summary["events"], progress, marks)
            curve = _thinned(seconds, scores)
    timed: list[Dialog] = [{**d, "seconds": [round(float(seconds[i]), 3) for i in d["frames"]]} for d in dialogs]
    if strange:
        summary |= {"strange": round(float(np.median(strange)), 3), "foreign": bool(np.median(strange) > FOREIGN)}
    if untrained:
        summary["untrained"] = untrained
    summary |= {"said": verdicts(dialogs), "dialog": merged(timed)}
    _dump(folder / "dialog.json", {"video": source.name, "windows": timed})
    _dump(folder / "summary.json", summary)
    write_words(folder, summary, curve)
    return summary


def _check(evidence: Evidence, source: Path, total: int) -> None:
    frames, scores = evidence.frames, evidence.scores
    if not len(frames) == len(scores) > 0:
        raise DataError(f"{source}: {len(frames)} frames, {len(scores)} scores; expected N of each, 1 or more.")
    if (np.diff(frames) <= 0).any() or frames[0] < 0 or frames[-1] >= total:
        raise DataError(f"{source}: sampled frames {frames[:3]}..{frames[-1]}; expected rising numbers from 0 to "
                        f"{total - 1}, each once.")  # fmt: skip
    if not (np.isfinite(scores).all() and scores.min() >= 0 and scores.max() <= 1):
        raise DataError(f"{source}: scores are not all finite and in [0, 1]; give probabilities.")


def write_scores(
    path: Path,
    sampled: NDArray[np.int64],
    scores: NDArray[np.floating],
    seconds: NDArray[np.floating],
    probabilities: NDArray[np.floating] | None = None,
) -> None:
    """One row for each source frame: frame, seconds, score, whether the model saw that frame, and its probability.

    Scores between sampled frames are interpolated linearly; before the first and after the last they stay.
    """
    known = set(sampled.tolist())
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "seconds", "score", "sampled", *["probability"] * (probabilities is not None)])
        for frame, (time, score) in enumerate(zip(seconds, scores, strict=True)):
            sure = [] if probabilities is None else [f"{probabilities[frame]:.6f}"]
            writer.writerow([frame, f"{time:.3f}", f"{score:.6f}", int(frame in known), *sure])


def every_frame(maps: Iterable[tuple[int, Map]], total: int) -> Iterator[Map]:
    """The heatmap of each of `total` frames, linear between sampled ones, constant before the first and after the last.

    Raises:
        DataError: a heatmap that is not finite and in [0, 1].
    """
    at, before = -1, None
    for frame, heatmap in maps:
        if not (np.isfinite(heatmap).all() and heatmap.min() >= 0 and heatmap.max() <= 1):
            raise DataError(f"the heatmap of frame {frame} is not finite and in [0, 1]; give probabilities.")
        for between in range(at + 1, frame + 1):
            share = (between - at) / (frame - at)
            yield heatmap if before is None else (1 - share) * before + share * heatmap
        at, before = frame, heatmap
    for _ in range(at + 1, total if before is not None else 0):
        yield before  # type: ignore[misc]


def _write_pictures(
    folder: Path,
    video: Video,
    evidence: Evidence,
    scores: NDArray[np.floating],
    events: Sequence[dict[str, Any]],
    progress: Callable[[Video], Iterable[Image]],
    marks: bool,
) -> None:
    """overlay.mp4, every frame of the source under its heatmap, events.png, and detections.txt, boxes of every frame.

    `heatmap.mp4` holds the heatmaps alone: black is 0, white is 1.
    Boxes are in pixels of the source, inclusive, one a line under a header; `tvau score` reads them. Those that
    are `marked` have numbers, on the sheet and, with `marks`, in the overlay.
    """
    seconds, (height, _), level = video.seconds, video.size, marked(evidence.rule.events)
    strip = Strip(scores, [(first, last) for first, last in (event["frames"] for event in events)], video.size)
    sheet, follow = Sheet([(_moment(event), event["highest"]) for event in events]), Follower()
    size = (height - height % 2 + strip.height, video.size[1])
    maps = every_frame(evidence.maps or (), video.frames)
    with ExitStack() as opened:
        file = opened.enter_context((folder / "detections.txt").open("w"))
        overlay = opened.enter_context(Mp4(folder / "overlay.mp4", size, video.fps))
        plain: Mp4 | None = None
        file.write(",".join(BOX) + "\n")
        for frame, (picture, heatmap) in enumerate(zip(progress(video), maps, strict=True)):
            found = scaled(boxes(heatmap, evidence.rule), heatmap.shape, video.size)
            for *corners, score in found:
                file.write(f"{frame},{','.join(f'{corner:.1f}' for corner in corners)},{score:.6f}\n")
            text = f"{clock(seconds[frame], True)}   frame {frame}   score {scores[frame]:.2f}"
            image = np.concatenate([picture[: height - height % 2], strip.at(frame, text)])
            view = image[: height - height % 2]
            lay(view, heatmap, level)
            strong = found[found[:, 4] >= level]
            numbers = follow(frame, strong).tolist()
            sheet.add(frame, view, strong, numbers)
            if marks:
                frame_boxes(view, strong, numbers)
            overlay.add(image, float(seconds[frame]))
            plain = plain or opened.enter_context(Mp4(folder / "heatmap.mp4", heatmap.shape, video.fps))
            plain.add(np.repeat(np.round(heatmap * 255).astype(np.uint8)[..., None], 3, 2), float(seconds[frame]))
    if (key_frames := sheet.image()) is not None:
        cv2.imwrite(str(folder / "events.png"), cv2.cvtColor(key_frames, cv2.COLOR_RGB2BGR))


def _moment(event: dict[str, Any]) -> Moment:
    """An event with its title on the sheet."""
    (first, last), times = event["frames"], dict.fromkeys(clock(second, True) for second in event["seconds"])
    return Moment(first, last, event["key"], f"{' - '.join(times)}   peak {event['highest']:.2f}")


def seen(
    scores: NDArray[np.floating],
    seconds: NDArray[np.floating],
    rule: MapRule,
    found: Sequence[Event] | None = None,
) -> dict[str, Any]:
    """The highest score of a video, and its events with the rule by which they were found, see `tvau.events`."""
    top = int(scores.argmax())
    events = [
        {"frames": [event.start, event.end], "seconds": [round(second, 3) for second in event.seconds],
         "highest": round(event.peak, 6), **rule.told(event.peak), "key": event.key}
        for event in (find(scores, np.arange(len(scores)), seconds, None, rule.events) if found is None else found)
    ]  # fmt: skip
    highest = {"score": round(float(scores[top]), 6), **rule.told(float(scores[top])), "frame": top,
               "seconds": round(float(seconds[top]), 3)}  # fmt: skip
    return {"highest": highest, "events": events, "rule": rule.events.stored()}


def _thinned(seconds: NDArray[np.floating], scores: NDArray[np.floating]) -> list[list[float]]:
    """At most `POINTS` of a curve [(seconds, score)], the highest of each of as many equal parts."""
    parts = np.array_split(np.arange(len(scores)), min(POINTS, len(scores)))
    tops = [int(part[scores[part].argmax()]) for part in parts]
    return [[round(float(seconds[i]), 3), round(float(scores[i]), 4)] for i in tops]


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
