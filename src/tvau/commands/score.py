"""`tvau score`: the scores of anybody's files, without a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tvau.errors import DataError
from tvau.files import whole

if TYPE_CHECKING:
    from tvau.metrics.region import Detections, Tracks

Alarm = tuple[int, int, float]  # first and last frame, and the second from which it is known
FEW = 5  # frames with detections, of which nothing can be said


def score(
    tracks: str | None = None,
    detections: str | None = None,
    num_frames: int | None = None,
    frames: str | None = None,
    labels: str | None = None,
    events: str | None = None,
    rule: str | None = None,
    fps: float = 25.0,
    alpha: float = 0.1,
    beta: float = 0.1,
    smoothing: float = 0.0,
    bootstrap: int = 1000,
    plot: str | None = None,
    details: bool = False,
) -> None:
    """Scores files in the field's text formats: RBDC and TBDC of boxes, AUC and average precision of frames,
    and events.

    JSON goes to standard output, table and notes to standard error. Boxes need `--tracks` and `--detections`, and the
    number of frames of ALL test videos: by `--num-frames`, or by `--labels`, which then also allow intervals. Frames
    need `--frames` and `--labels`. Events need `--labels` and either `--events` or `--frames` with `--rule`.

    Args:
        tracks: folder with a file a video, lines `track_id,frame,x1,y1,x2,y2`; a video without a file is normal.
            Ramachandra's files, Test001_gt.txt, are read, too.
        detections: folder with a file a video of the same name, lines `frame,x1,y1,x2,y2,score`; a file may be empty.
            Or the folder that `tvau predict` made.
        num_frames: of all test videos together, normal ones too.
        frames: scores of frames: a folder with a file a video (a number a line, or .npy), a JSON file, the folder that
            `tvau predict` made, or one .npy of the frames of all videos, which follow one another in the order of their
            names. Scores outside [0, 1] have no padded macro AUC.
        labels: 0 or 1 for each frame of every test video, in the same ways.
        events: folder with a file a video, lines `first,last`, frames from 0, both in the event; a file may be empty,
            and a video without a file has none. Or the folder that `tvau predict` made.
        rule: by which events are read from `--frames`: on,off,shortest,gap, such as 0.6,0.4,0.5,1 (scores, seconds).
        fps: frames a second of all videos, by which delays and false alarms an hour are counted.
        alpha: share of its boxes from which a track is found.
        beta: IoU from which a detection finds a box.
        smoothing: width in frames of the Gaussian over frame scores; choose it on validation videos.
        bootstrap: resamplings of the videos behind the 95 % intervals; 0: none.
        plot: picture of the curves to write (.png, .pdf or .svg).
        details: also the results of each video and of each track, in the JSON.
    """
    from tvau.data.tracks import is_notice
    from tvau.metrics.files import WHOLE, read_series, split
    from tvau.metrics.intervals import take_samples
    from tvau.viz.curves import draw_curves, take_curves
    from tvau.viz.report import score_table

    for folder in filter(None, (tracks, detections, frames, labels, events)):
        if Path(folder).is_dir() and (notices := [path.name for path in Path(folder).iterdir() if is_notice(path)]):
            _note(f"left out of {folder}: {', '.join(sorted(notices))}")
    truth = None if labels is None else read_series(Path(labels), "labels")
    if frames is not None and truth is None:
        raise DataError("--frames needs --labels: 0 or 1 for each frame of every test video.")
    said = None if frames is None else read_series(Path(frames), "scores")
    if truth is not None and said is not None:
        if WHOLE in truth and WHOLE not in said:
            truth = split(truth[WHOLE], {name: len(values) for name, values in said.items()}, str(labels))
        elif WHOLE in said and WHOLE not in truth:
            said = split(said[WHOLE], {name: len(values) for name, values in truth.items()}, str(frames))
    if (tracks is None) != (detections is None):
        raise DataError("boxes need both --tracks and --detections.")
    if (events is not None and truth is None) or (rule is not None and said is None) or (events and rule):
        raise DataError("events need --labels and one of two: --events, or --rule and --frames.")
    if tracks is None and frames is None and events is None:
        raise DataError("nothing to score; give --tracks and --detections, --frames and --labels, or --events and "
                        "--labels.")  # fmt: skip
    parts: dict[str, Any] = {}
    if said is not None and truth is not None:
        parts["frame"] = _frames(said, truth, str(frames), smoothing, bootstrap, details)
    if truth is not None and (events is not None or rule is not None):
        given = _listed(Path(events), truth, fps) if events else _ruled(said or {}, str(rule), smoothing, fps)
        parts["events"] = _events(given, truth, fps, bootstrap)
    if tracks is not None and detections is not None:
        lengths = None if truth is None else {name: len(values) for name, values in truth.items()}
        if lengths is not None and WHOLE in lengths:  # how long each video is, nobody says
            num_frames, lengths = num_frames or lengths[WHOLE], None
        options = (alpha, beta), bootstrap, details
        parts["region"] = _regions(Path(tracks), Path(detections), num_frames, lengths, *options)
        parts["region"] |= {"alpha": alpha, "beta": beta}
    results = {Path(detections or frames or events or "").stem: {"all": parts}}
    curves = take_curves(results)
    take_samples(results)
    print(score_table(results), file=sys.stderr)
    print(json.dumps(parts, indent=2))
    if plot is not None:
        figure = draw_curves(curves, "all")
        if figure is None:
            raise DataError(f"{plot}: there is no curve to draw, as the truth holds one class only.")
        if Path(plot).suffix.lower() not in (".png", ".pdf", ".svg"):
            raise DataError(f"{plot}: expected a name that ends in .png, .pdf or .svg.")
        Path(plot).parent.mkdir(parents=True, exist_ok=True)
        with whole(Path(plot)) as temporary:
            figure.savefig(temporary, dpi=150)
        print(f"curves: {plot}", file=sys.stderr)


def _frames(
    scores: dict[str, NDArray[np.float64]],
    truth: dict[str, NDArray[np.float64]],
    source: str,
    smoothing: float,
    bootstrap: int,
    details: bool,
) -> dict[str, Any]:
    from tvau.metrics.details import frame_details
    from tvau.metrics.files import WHOLE
    from tvau.metrics.frame import frame_summary, smooth

    if scores.keys() != truth.keys():
        one = sorted(scores.keys() ^ truth.keys())[0]
        raise DataError(f"{source}: scores of {len(scores)} videos and labels of {len(truth)}; {one!r} is in one of "
                        "them only. Give both for the same videos.")  # fmt: skip
    for name, values in scores.items():
        if len(values) != len(truth[name]):
            raise DataError(f"{source}: {len(values)} scores of {name}, but {len(truth[name])} labels.")
    videos = {name: (smooth(scores[name], smoothing), truth[name] > 0) for name in sorted(scores)}
    result = frame_summary([*videos.values()], bootstrap)
    if WHOLE in scores:  # where one video ends and the next begins, nobody says
        return {key: value for key, value in result.items() if "macro" not in key and "videos" not in key}
    return result | ({"by_video": frame_details(videos)} if details else {})


def _listed(folder: Path, truth: dict[str, NDArray[np.float64]], fps: float) -> dict[str, list[Alarm]]:
    """The events of a folder, by video; each is known from its first frame on."""
    from tvau.metrics.files import SUMMARY, read_events, video_files

    files = video_files(folder, inside=SUMMARY)
    if foreign := sorted(files.keys() - truth.keys()):
        raise DataError(f"{folder}: {foreign[0]} is a video without labels ({len(foreign)} of them); give all.")
    return {
        name: [(first, last, first / fps) for first, last in read_events(file, len(truth[name]))]
        for name, file in files.items()
    }


def _ruled(scores: dict[str, NDArray[np.float64]], rule: str, smoothing: float, fps: float) -> dict[str, list[Alarm]]:
    """The events that a rule finds in scores, by video."""
    from tvau.metrics.events import EventRule, Recording, alarms
    from tvau.metrics.frame import smooth

    try:
        on, off, shortest, gap = map(float, rule.split(","))
    except ValueError as error:
        raise DataError(f"--rule {rule}: expected on,off,shortest,gap, such as 0.6,0.4,0.5,1.") from error
    read = EventRule(on, off, shortest, gap)
    return {
        name: alarms(Recording(np.arange(len(own)) / fps, smooth(own, smoothing), own > 0, fps), read)
        for name, own in scores.items()
    }


def _events(
    given: dict[str, list[Alarm]], truth: dict[str, NDArray[np.float64]], fps: float, bootstrap: int
) -> dict[str, Any]:
    from tvau.metrics.events import Recording, counts, event_summary, runs
    from tvau.metrics.files import WHOLE

    if WHOLE in truth:
        raise DataError("events need labels by video: one array does not say where a video ends.")
    if fps <= 0:
        raise DataError(f"--fps {fps:g}: expected frames a second, more than 0.")
    rows = []
    for name in sorted(truth):
        labels = truth[name] > 0
        video = Recording(np.arange(len(labels)) / fps, truth[name], labels, fps)
        rows.append(counts(runs(labels), given.get(name, []), video))
    return event_summary(np.array(rows), bootstrap)


def _regions(
    tracks: Path,
    detections: Path,
    num_frames: int | None,
    lengths: dict[str, int] | None,
    shares: tuple[float, float],
    bootstrap: int,
    details: bool,
) -> dict[str, Any]:
    from tvau.metrics.details import region_details
    from tvau.metrics.files import read_detections, read_track_boxes, video_files
    from tvau.metrics.region import Detections, Tracks, match
    from tvau.metrics.region_scores import summary

    true = {name.removesuffix("_gt"): path for name, path in video_files(tracks).items()}
    found = video_files(detections, inside="detections.txt")
    names = sorted(true.keys() | found.keys() if lengths is None else lengths)
    if not true.keys() & found.keys():
        _note(f"none of the {len(found)} videos of {detections} is one with tracks, such as {next(iter(true))}: all "
              "detections are false; the same video needs the same name")  # fmt: skip
    if foreign := sorted((true.keys() | found.keys()) - set(names)):
        raise DataError(
            f"{foreign[0]}: a video without labels ({len(foreign)} of them); give the labels of all videos."
        )
    if num_frames is None and lengths is None:
        raise DataError("give --num-frames, the frames of ALL test videos (ShanghaiTech 40791, UCSD Ped2 2010), or "
                        "--labels.")  # fmt: skip
    total = sum((lengths or {}).values()) if num_frames is None else num_frames
    if lengths is not None and total != sum(lengths.values()):
        raise DataError(
            f"--num-frames {total}, but the labels hold {sum(lengths.values())} frames; leave one of them out."
        )
    ends = [(lengths or {}).get(name, total) for name in names]

    def table(files: dict[str, Path], read: Any) -> NDArray[np.float64]:
        parts = [
            (i, read(files[name], end)) for i, (name, end) in enumerate(zip(names, ends, strict=True)) if name in files
        ]
        return np.concatenate([np.empty((0, 7)), *(np.c_[np.full(len(rows), i), rows] for i, rows in parts)])

    boxes, said = table(true, read_track_boxes), table(found, read_detections)
    if (seen := len(np.unique(np.concatenate([boxes[:, [0, 2]], said[:, :2]]), axis=0))) > total:
        raise DataError(f"--num-frames {total}, but {seen} frames have boxes; give the frames of ALL test videos.")
    video, track, frame = boxes[:, :3].astype(np.int64).T
    predicted = Detections(said[:, 0].astype(np.int64), said[:, 1].astype(np.int64), said[:, 2:6], said[:, 6])
    known = Tracks(video, track, frame, boxes[:, 3:])
    matches = match(predicted, known, *shares)
    if len(np.unique(boxes[:, :2], axis=0)) > len(np.unique(boxes[:, [0, 2]], axis=0)):
        _note(f"{tracks}: more tracks than frames; are track and frame swapped? Expected track_id,frame,x1,y1,x2,y2")
    covered = _coverage(predicted, known)
    # without labels nobody knows which video has how many frames, so none can be drawn
    counts = np.full(len(names), total / len(names)) if lengths is None else np.array(ends, float)
    result = summary(matches, counts, total, 0 if lengths is None else bootstrap)
    result |= {"detections": len(said), "true_frames": covered[0], "true_frames_with_detections": covered[1]}
    if details:
        of = region_details(names, predicted, known, matches, total, None if lengths is None else counts)
        result |= {"by_video": of["videos"], "by_track": of["tracks"]}
    return result


def _coverage(detections: Detections, tracks: Tracks) -> tuple[int, int]:
    """Frames with true boxes, and how many of them have a detection; says where only some frames seem looked at."""
    seen = np.unique(np.stack([detections.video, detections.frame], 1), axis=0)
    true = set(zip(tracks.video.tolist(), tracks.frame.tolist(), strict=True))
    covered = len(true & set(map(tuple, seen.tolist())))
    if covered < len(true):
        gaps = np.diff(seen, axis=0)
        step = int(np.gcd.reduce(gaps[gaps[:, 0] == 0, 1])) if len(seen) > FEW else 1
        more = f"; they lie in frames {step} apart: detect in all frames, or fill those between"
        _note(f"of the {len(true)} frames with true boxes only {covered} have detections; boxes of the others count as "
              f"missed{more if step > 1 else ''}")  # fmt: skip
    return len(true), covered


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
