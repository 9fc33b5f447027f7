"""`tvau score`: the scores of anybody's files, without a model."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvau.errors import DataError
from tvau.files import whole
from tvau.metrics.files import read_detections, read_series, read_track_boxes, video_files
from tvau.metrics.frame import frame_summary, smooth
from tvau.metrics.intervals import SAMPLES
from tvau.metrics.region import ALPHA, BETA, Detections, Tracks, match
from tvau.metrics.region_scores import summary
from tvau.viz.curves import draw_curves, take_curves
from tvau.viz.report import score_table


def score(
    tracks: str | None = None,
    detections: str | None = None,
    num_frames: int | None = None,
    frames: str | None = None,
    labels: str | None = None,
    alpha: float = ALPHA,
    beta: float = BETA,
    smoothing: float = 0.0,
    bootstrap: int = SAMPLES,
    plot: str | None = None,
) -> None:
    """Scores files in the field's text formats: RBDC and TBDC of boxes, AUC and average precision of frames.

    JSON goes to standard output, the table to standard error. Boxes need `--tracks` and `--detections`, and the number
    of frames of ALL test videos: by `--num-frames`, or by `--labels`, which then also allow intervals. Frames need
    `--frames` and `--labels`.

    Args:
        tracks: folder with a file a video, lines `track_id,frame,x1,y1,x2,y2`; a video without a file is normal.
        detections: folder with a file a video of the same name, lines `frame,x1,y1,x2,y2,score`; may be empty.
        num_frames: of all test videos together, normal ones too.
        frames: scores of frames in [0, 1]: a folder with a file a video (a number a line, or .npy), or a JSON file.
        labels: 0 or 1 for each frame of every test video, in the same ways.
        alpha: share of its boxes from which a track is found.
        beta: IoU from which a detection finds a box.
        smoothing: width in frames of the Gaussian over frame scores; choose it on validation videos.
        bootstrap: resamplings of the videos behind the 95 % intervals; 0: none.
        plot: picture of the curves to write (.png, .pdf or .svg).
    """
    truth = None if labels is None else read_series(Path(labels), "labels")
    if (tracks is None) != (detections is None):
        raise DataError("boxes need both --tracks and --detections.")
    if frames is not None and truth is None:
        raise DataError("--frames needs --labels: 0 or 1 for each frame of every test video.")
    if tracks is None and frames is None:
        raise DataError("nothing to score; give --tracks and --detections, or --frames and --labels.")
    parts: dict[str, Any] = {}
    if frames is not None and truth is not None:
        parts["frame"] = _frames(read_series(Path(frames), "scores"), truth, frames, smoothing, bootstrap)
    if tracks is not None and detections is not None:
        lengths = None if truth is None else {name: len(values) for name, values in truth.items()}
        parts["region"] = _regions(Path(tracks), Path(detections), num_frames, lengths, (alpha, beta), bootstrap)
        parts["region"] |= {"alpha": alpha, "beta": beta}
    results = {Path(detections or frames or "").stem: {"all": parts}}
    curves = take_curves(results)
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
) -> dict[str, Any]:
    if scores.keys() != truth.keys():
        one = sorted(scores.keys() ^ truth.keys())[0]
        raise DataError(f"{source}: scores of {len(scores)} videos and labels of {len(truth)}; {one!r} is in one of "
                        "them only. Give both for the same videos.")  # fmt: skip
    for name, values in scores.items():
        if len(values) != len(truth[name]):
            raise DataError(f"{source}: {len(values)} scores of {name}, but {len(truth[name])} labels.")
    return frame_summary([(smooth(scores[name], smoothing), truth[name] > 0) for name in sorted(scores)], bootstrap)


def _regions(
    tracks: Path,
    detections: Path,
    num_frames: int | None,
    lengths: dict[str, int] | None,
    shares: tuple[float, float],
    bootstrap: int,
) -> dict[str, Any]:
    true, found = video_files(tracks), video_files(detections)
    names = sorted(true.keys() | found.keys() if lengths is None else lengths)
    if not true.keys() & found.keys():
        example = next(iter(true.values())).name
        raise DataError(f"{detections}: none of its {len(found)} files is called like a track file, such as {example}; "
                        "expected the same name for the same video.")  # fmt: skip
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
    video, track, frame = boxes[:, :3].astype(np.int64).T
    matches = match(
        Detections(said[:, 0].astype(np.int64), said[:, 1].astype(np.int64), said[:, 2:6], said[:, 6]),
        Tracks(video, track, frame, boxes[:, 3:]),
        *shares,
    )
    # without labels nobody knows which video has how many frames, so none can be drawn
    counts = np.full(len(names), total / len(names)) if lengths is None else np.array(ends, float)
    return {**summary(matches, counts, total, 0 if lengths is None else bootstrap), "detections": len(said)}
