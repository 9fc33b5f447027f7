"""The synthetic world as a data set on disk, in UBnormal's layout, with the dialogs beside it."""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tvau.errors import DataError
from tvau.files import whole
from tvau.language import anomaly_turns
from tvau.signals import deaf, ignore
from tvau.world.facts import surroundings, targets, visible
from tvau.world.kinds import kinds_of
from tvau.world.plan import Plan, abnormal, plan
from tvau.world.render import Clip, render
from tvau.world.scenes import SCENES, scene
from tvau.world.splits import LISTS, SPLITS, TRIES, VERSION, Job, Split, jobs

WINDOW = 16  # frames a dialog is about
GROUPS = ("normal", "abnormal")
ENOUGH = 3  # frames in which an abnormal object must be visible for a dialog to say yes


def write(
    root: Path, videos: Mapping[str, int], seed: int, size: tuple[int, int] = (192, 320), frames: int = 32,
    fps: float = 5.0, workers: int = 1, progress: bool = True, splits: Mapping[str, Split] = SPLITS,
) -> None:  # fmt: skip
    """Make a data set under `root`: videos, id maps, tracks, lists, names, dialogs.jsonl and world.json.

    `videos` counts the videos of each of `splits`, half of them abnormal. Videos that are complete on disk are kept, so
    an interrupted run goes on where it stopped; the annotations' bytes do not depend on the number of workers.
    Raises DataError for a count of an unknown split, or where `root` holds a data set with other splits.
    """
    root = Path(root)
    todo = jobs(videos, seed, size, frames, fps, splits)
    ours = {f"{group}_{split.title}_video_names.txt" for split in splits.values() for group in GROUPS}
    others = sorted({path.name for path in (root / "scripts").glob("*_video_names.txt")} - ours)
    if others:
        raise DataError(
            f"{root}: it holds a data set with other splits ({', '.join(others)}); give an empty folder for this one."
        )
    (root / ".parts").mkdir(parents=True, exist_ok=True)
    waiting = [(root, job) for job in todo if _part(root, job) is None]
    bar = tqdm(total=len(todo), initial=len(todo) - len(waiting), desc="synthetic videos", disable=not progress)
    with bar:
        if workers > 1 and len(waiting) > 1:
            with ProcessPoolExecutor(min(workers, len(waiting)), get_context("spawn"), _begin) as pool:
                with deaf():
                    begun = [pool.submit(_make, item) for item in waiting]
                try:
                    for done in as_completed(begun):
                        done.result()
                        bar.update()
                except BaseException:  # the videos in hand are finished, no other is begun
                    pool.shutdown(cancel_futures=True)
                    raise
        else:
            for item in waiting:
                _make(item)
                bar.update()
    _index(root, todo, seed, splits)


def _begin() -> None:
    ignore()
    cv2.setNumThreads(1)


def _film(job: Job) -> tuple[Plan, Clip]:
    """Plan and render a video; an event that stays hidden is tried again with the next seed."""
    for attempt in range(TRIES):
        seed = job.seed + attempt
        script = plan(
            seed, job.scene, job.kind, job.crowd, job.frames, job.fps, subtle=job.subtle, conditions=job.conditions
        )
        clip = render(script, range(job.frames), job.size)
        tracks = {actor.ident: actor.track for actor in script.actors if actor.track is not None}
        if job.kind is None or any(visible(_slice(clip, *t), i).sum() >= ENOUGH for i, t in tracks.items()):
            break
    return script, clip


def _make(item: tuple[Path, Job]) -> None:
    """Make one video. Raises DataError where it cannot be written: PyAV's own error finds no way out of a worker."""
    try:
        _draw(*item)
    except OSError as error:
        raise DataError(f"{error.filename or item[0]}: {error.strerror}") from None


def _draw(root: Path, job: Job) -> None:
    """A video's files; its part file comes last and says that it is complete."""
    script, clip = _film(job)
    folder = root / f"Scene{job.scene}"
    notes = folder / f"{job.video}_annotations"
    notes.mkdir(parents=True, exist_ok=True)
    for frame, ids in enumerate(clip.ids):
        _save(notes / f"{job.video}_{frame:04d}_gt.png", cv2.imencode(".png", ids)[1].tobytes())
    tracks = [(a.ident, *a.track) for a in script.actors if a.track is not None]
    if job.kind is not None:
        _save(notes / f"{job.video}_tracks.txt", "".join(f"{i},{a},{b}\n" for i, a, b in tracks).encode())
    with whole(folder / f"{job.video}.mp4") as temporary:
        encode(temporary, clip.video, job.fps)
    part = {
        "job": _record(job),
        "names": {str(actor.ident): actor.noun for actor in script.actors},
        "world": {"split": job.split, "scene": job.scene, "place": scene(job.scene).place, "kind": job.kind,
                  "subtle": job.subtle, "light": script.light, "weather": script.weather, "seed": script.seed,
                  "tracks": tracks},
        "dialogs": [turn for first in range(0, job.frames, WINDOW) for turn in dialog(job.video, script, clip, first)],
    }  # fmt: skip
    _save(root / ".parts" / f"{job.video}.json", json.dumps(part).encode())


def dialog(video: str, script: Plan, clip: Clip, first: int) -> list[dict[str, Any]]:
    """The turns about the window that begins at frame `first` of a whole clip.

    The target is the abnormal object with the largest visible area within its track; its facts are those of the frames
    of the track alone. Without an abnormal pixel the dialog says no; with some, but no object visible in ENOUGH frames,
    the window gets no dialog, since neither answer would be fair.
    """
    last = min(first + WINDOW, script.frames) - 1
    areas: dict[int, int] = {}
    unclear = False
    for actor in script.actors:
        span = abnormal(script, actor.ident)
        if span is None or span[0] > last or span[1] < first:
            continue
        part = _slice(clip, max(span[0], first), min(span[1], last))
        pixels = int(np.count_nonzero(part.ids == actor.ident))
        if visible(part, actor.ident).sum() >= ENOUGH:
            areas[actor.ident] = pixels
        unclear = unclear or pixels > 0
    if unclear and not areas:
        return []
    ident = max(areas, key=lambda i: areas[i]) if areas else None
    target = None
    if ident is not None:
        start, end = abnormal(script, ident) or (first, last)
        frames = range(max(start, first), min(end, last) + 1)
        target = dict(targets(script, _slice(clip, frames[0], frames[-1]), frames))[ident]
    around = surroundings(script, _slice(clip, first, last), range(first, last + 1))
    return [
        {"video": video, "frames": [first, last], "target": ident, **turn, "provenance": "synthetic"}
        for turn in anomaly_turns(target, around)
    ]


def _slice(clip: Clip, first: int, last: int) -> Clip:
    return Clip(clip.video[first : last + 1], clip.ids[first : last + 1], clip.fps)


def encode(path: Path, video: NDArray[np.uint8], fps: float) -> None:
    """Write frames uint8 [T, H, W, 3] as h264 in yuv420p, with one thread so that runs do not differ."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width, stream.pix_fmt = video.shape[1], video.shape[2], "yuv420p"
        stream.options = {"crf": "17", "preset": "veryfast", "threads": "1"}
        for image in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode(None))


def _record(job: Job) -> dict[str, Any]:
    """A job as its part file tells it; without a choice of conditions it reads as it did before there was one."""
    return {key: value for key, value in asdict(job).items() if value != ()}


def _part(root: Path, job: Job) -> dict[str, Any] | None:
    """What was noted when a video was made; None where it is missing, broken or of another job."""
    try:
        part = json.loads((root / ".parts" / f"{job.video}.json").read_text())
    except (OSError, ValueError):
        return None
    folder = root / f"Scene{job.scene}"
    complete = (folder / f"{job.video}.mp4").is_file() and all(
        (folder / f"{job.video}_annotations" / f"{job.video}_{frame:04d}_gt.png").is_file()
        for frame in range(job.frames)
    )
    return part if complete and part["job"] == json.loads(json.dumps(_record(job))) else None


def _index(root: Path, todo: Iterable[Job], seed: int, splits: Mapping[str, Split]) -> None:
    """Write the files that speak of all videos."""
    todo = list(todo)
    parts = {job.video: _part(root, job) or {} for job in todo}
    (root / "scripts").mkdir(exist_ok=True)
    lists: dict[str, list[str]] = {f"{group}_{split.title}": [] for split in splits.values() for group in GROUPS}
    for job in todo:
        lists[f"{'abnormal' if job.kind else 'normal'}_{splits[job.split].title}"].append(job.video)
    for name, listed in lists.items():
        _save(root / "scripts" / f"{name}_video_names.txt", "".join(f"{video}\n" for video in listed).encode())
    names_of = {video: part["names"] for video, part in parts.items()}
    _save(root / "scripts" / "object_names_per_video.json", json.dumps(names_of, indent=1).encode())
    lines = [json.dumps(turn) for part in parts.values() for turn in part["dialogs"]]
    _save(root / "dialogs.jsonl", "".join(f"{line}\n" for line in lines).encode())
    world = {
        "seed": seed,
        "version": VERSION,
        "lists": LISTS,
        "kinds": {split: kinds_of(split) for split in ("train", "validation", "test", "novel")},
        "scenes": SCENES,
        "videos": {video: part["world"] for video, part in parts.items()},
    }
    _save(root / "world.json", json.dumps(world, indent=1).encode())


def _save(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with whole(path) as temporary:
        temporary.write_bytes(data)
