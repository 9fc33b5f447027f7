"""Dialogs about the targets of one video, from its masks or tracks."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tvau.annotate import phrases
from tvau.annotate.consistency import faults
from tvau.annotate.describe import Describer, aggregate, isolated, look_at, target_mask
from tvau.annotate.known import attributes_of, category_of
from tvau.annotate.phrases import Description
from tvau.data.clips import spread, windows
from tvau.data.images import Image
from tvau.data.layout import Layout
from tvau.data.linking import mask_traces
from tvau.data.masks import IdMaps, Truth
from tvau.data.stacks import MatStack
from tvau.data.traces import Trace, box_traces, id_traces, relative_speed
from tvau.data.video import Video, open_video
from tvau.errors import DataError
from tvau.types import Source

ENOUGH = 3  # frames in which a target has to be visible in a window, so that the window says yes


@dataclass(frozen=True)
class Settings:
    """What decides about the dialogs of one video; a part made with other settings is made anew."""

    frames: int = 16
    stride: int = 1
    hop: int | None = None
    targets: Source = "auto"
    look: int = 5
    seed: int = 0
    describer: str = "none"
    lvlm: str = ""  # the describer's weights and the options by which it is read
    attributes: str = ""
    data: str = ""  # which data set, and its folder
    tracks: str = ""
    size: str = ""  # of the pictures for the describer


def finished(path: Path, settings: Settings) -> dict[str, Any] | None:
    """What an earlier run with the same settings noted of a video; None where there is none."""
    try:
        part = json.loads(path.read_text(encoding="utf-8"))
        return dict(part) if part["settings"] == asdict(settings) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def annotate_video(
    layout: Layout, name: str, settings: Settings, describer: Describer | None = None,
    known: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:  # fmt: skip
    """The dialogs of one video and what was kept out of them.

    Raises:
        DataError: a video or its truth that cannot be read, or targets that are not there.
    """
    truth = layout.truth(name)
    rejected: list[dict[str, Any]] = []

    def reject(frames: Sequence[int], target: int | None, said: str, reason: str) -> None:
        rejected.append({"video": name, "frames": [*frames], "target": target, "said": said, "reason": reason})

    dialogs: list[dict[str, Any]] = []
    with open_video(layout.video(name), fps=layout.fps) as video:
        total = video.frames
        whole = (0, total - 1)
        if not truth.known or total < settings.frames:
            reject(whole, None, "", "no masks" if not truth.known else f"{total} frames, {settings.frames} are needed")
            return {"video": name, "dialogs": [], "rejected": rejected, "targets": []}
        labels = truth.labels(total)
        traces = find_targets(layout, truth, name, video, settings.targets)
        objects = _all_objects(layout, truth, name, video)
        # objects of id maps bear other numbers than targets from masks or tracks
        same = objects if objects is not None and all(trace.mapped for trace in traces) else traces
        traces = [_in_view(trace, same) for trace in traces]
        scene = _scene(describer, video) if describer else ""
        said = {}
        for trace in traces:
            description = _known(trace, known)
            if describer:
                summary = aggregate(
                    describer.describe(_pictures(video, truth, trace, settings.look)), f"describer {describer.name}"
                )
                for fault in summary.faults:
                    reject((trace.frames[0].item(), trace.frames[-1].item()), trace.id, str(summary.description), fault)
                description = description if summary.faults else summary.description
            said[trace.id] = description
    length = min(settings.frames * settings.stride, total)
    for frames in windows(total, length, 1, min((settings.hop or settings.frames) * settings.stride, length), name):
        first, last = frames[0], frames[-1]
        shown = spread(first, last, min(settings.frames, length))  # as the clip will be read
        seen = [
            part for trace in traces
            if (part := trace.within(first, last)) and np.isin(shown, part.frames).sum() >= min(ENOUGH, len(shown))
        ]  # fmt: skip
        abnormal = bool(labels[first : last + 1].any())
        if abnormal and not seen:
            reject((first, last), None, "", f"abnormal frames, but no target is visible in {ENOUGH} of them")
            continue
        seen = sorted(seen, key=lambda trace: -int(trace.areas.sum())) if abnormal else []
        others = [p for o in same if (p := o.within(first, last))]
        described = []
        for trace in seen:
            category = category_of(trace, known)
            ratio = relative_speed(trace, others)
            description = said[trace.id]
            wrong = faults(description, trace, category, ratio) if described_by(description) else []
            for fault in wrong:
                reject((first, last), trace.id, description.name, fault)
            described.append((Description(category, provenance="category") if wrong else description, trace, ratio))
        random = Random(f"{settings.seed}/{name}/{first}")
        visible = [o for o in objects or () if o.within(first, last)]
        around = scene or (phrases.surroundings([o.category for o in visible]) if objects is not None else "")
        turns = _turns(described, around, f"describer {settings.describer}" if scene else "category", random)
        if len({trace.id for _, trace, _ in described}) > 1:
            missing = {trace.id for _, trace, _ in described}
            missing -= {turn["target"] for turn in turns if turn["task"] != "judgement"}
            for id in sorted(missing):
                reject((first, last), id, "", "no words point at it alone; only the judgement speaks of it")
        dialogs.append({"frames": [first, last], "abnormal": abnormal, "turns": turns})
    if isinstance(truth, MatStack):
        truth.forget()
    return {"video": name, "dialogs": dialogs, "rejected": rejected, "targets": [_facts(t, known) for t in traces]}


def find_targets(layout: Layout, truth: Truth, name: str, video: Video, source: Source = "auto") -> list[Trace]:
    """The abnormal targets of a video. Raises DataError where what `source` asks for is not there."""
    boxes = layout.boxes(name) if source in ("auto", "tracks") else None
    if source in ("auto", "ids") and isinstance(truth, IdMaps):
        return id_traces(truth, video.size, video.frames, layout.categories(name))
    if boxes is not None:
        return box_traces(boxes, video.size, video.frames)
    if source in ("auto", "masks") and truth.pixels:
        return mask_traces(truth, truth.labels(video.frames), video.size)
    labels = truth.labels(video.frames)
    if not labels.any():
        return []
    wanted = "targets" if source == "auto" else source
    raise DataError(
        f"{layout.root}: {name} has abnormal frames, but no {wanted} that say where; choose another --targets, or of "
        "ShanghaiTech give --tracks"
    )


def _all_objects(layout: Layout, truth: Truth, name: str, video: Video) -> list[Trace] | None:
    """Everything that id maps show, normal or not; None where nobody knows."""
    if not isinstance(truth, IdMaps) or not truth.mapped:
        return None
    return id_traces(truth, video.size, video.frames, layout.categories(name), every=True)


def _in_view(trace: Trace, objects: Sequence[Trace]) -> Trace:
    """The trace with what its object did before and after it was abnormal: who is there already does not enter."""
    whole = next((other for other in objects if other.id == trace.id), trace)
    before, after = trace.frames[0] - whole.frames[0], whole.frames[-1] - trace.frames[-1]
    return replace(trace, earlier=bool(before >= ENOUGH), later=bool(after >= ENOUGH))


def described_by(description: Description) -> str:
    """Who is to blame for a description: a describer or a file; "" where it is only a category, or nothing."""
    return description.provenance if description.provenance != "category" else ""


def _known(trace: Trace, known: Sequence[dict[str, Any]]) -> Description:
    """What is known of a target without a describer."""
    attributes = attributes_of(trace, known)
    return attributes or Description(trace.category, provenance="category")


def _pictures(video: Video, truth: Truth, trace: Trace, count: int) -> list[Image]:
    """The target, isolated, in the frames in which a describer sees it."""
    frames = look_at(trace, count)
    read = video.read(frames).permute(0, 2, 3, 1).numpy()
    return [isolated(read[at], target_mask(truth, trace, frame)) for at, frame in enumerate(frames)]


def _scene(describer: Describer, video: Video) -> str:
    """A describer's sentence about the video's first frame; "" where it is none."""
    said = " ".join(describer.scene(video.read([0])[0].permute(1, 2, 0).numpy()).split())
    if not 3 <= len(said.split()) <= 60:
        return ""
    return said if said.endswith(".") else f"{said}."


def _turns(
    targets: Sequence[tuple[Description, Trace, float | None]], around: str, source: str, random: Random
) -> list[dict[str, Any]]:
    """The dialog of one window: judgement, each target's features, motion and trajectory, then the environment."""
    turns: list[dict[str, Any]] = []

    def turn(task: str, answer: str, provenance: str, target: int | None = None, it: str = "the anomaly") -> None:
        asked = phrases.question(task, random, it)
        turns.append({"target": target, "task": task, "question": asked, "answer": answer, "provenance": provenance})

    if not targets:
        turn("judgement", random.choice(phrases.NO), "geometry")
    else:
        main = targets[0]
        sources = sorted({known.provenance for known, _, _ in targets if known.object})
        turn("judgement", phrases.yes([(known, trace) for known, trace, _ in targets]),
             "+".join([*sources, "geometry"]), main[1].id)  # fmt: skip
        pointers = phrases.pointers([trace for _, trace, _ in targets])
        for (known, trace, ratio), it in zip(targets, pointers, strict=True):
            if not it:
                continue
            if answer := phrases.features(known):
                turn("target", answer, known.provenance, trace.id, it)
            turn("motion", phrases.motion(trace, ratio), "geometry", trace.id, it)
            turn("trajectory", phrases.trajectory(trace), "geometry", trace.id, it)
    if around:
        turn("environment", around, source)
    return turns


def _facts(trace: Trace, known: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A target in numbers, for the statistics."""
    return {
        "id": trace.id, "frames": [int(trace.frames[0]), int(trace.frames[-1])], "visible": len(trace.frames),
        "category": category_of(trace, known), "start": trace.start, "end": trace.end,
        "direction": trace.direction or "stays", "enters": trace.enters, "leaves": trace.leaves,
    }  # fmt: skip
