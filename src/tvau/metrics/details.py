"""Scores a video and a track: where a method finds something, and where it does not."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvau.metrics.curves import Levels, areas
from tvau.metrics.frame import Video
from tvau.metrics.region import Detections, Matches, Tracks


def frame_details(videos: Mapping[str, Video]) -> dict[str, dict[str, Any]]:
    """{video: frames, abnormal_frames and, with normal and abnormal ones, auroc and average_precision}."""
    found = {}
    for name, (scores, labels) in videos.items():
        both = 0 < labels.sum() < len(labels)
        exact = areas(*Levels.of(scores, labels).counts()) if both else {}
        named = {key: value for key, value in exact.items() if not key.endswith("_error")}
        found[name] = {"frames": len(labels), "abnormal_frames": int(labels.sum()), **named}
    return found


def region_details(
    names: Sequence[str], detections: Detections, tracks: Tracks, matches: Matches, total: int,
    lengths: NDArray[np.float64] | None,
) -> dict[str, Any]:  # fmt: skip
    """What was found of each video and of each track.

    Args:
        names: of the videos, by their number.
        detections, tracks, matches: of all videos, see `tvau.metrics.region.match`.
        total: frames of all videos.
        lengths: frames of each video [V]; None where unknown.

    Returns:
        videos {name: boxes, tracks, detections, false detections and, where its length is known, rbdc and tbdc}, and
        tracks [{video, track, boxes, first, last, found_from, fpr}]: the score from which the track is found, and how
        many false detections a frame there are then; null: never.
    """
    keys, row = np.unique(np.stack([tracks.video, tracks.track], 1), axis=0, return_inverse=True)
    curve = matches.curve(total)
    of_tracks = []
    for at, (video, track) in enumerate(keys.tolist()):
        frames, score = tracks.frame[row.ravel() == at], float(matches.tracks[at])
        level = int(np.searchsorted(-curve.thresholds, -score))
        found = {"found_from": score, "fpr": float(curve.fpr[level])} if np.isfinite(score) else {}
        of_tracks.append({
            "video": names[video], "track": track, "boxes": len(frames), "first": int(frames.min()),
            "last": int(frames.max()), "found_from": None, "fpr": None, **found,
        })  # fmt: skip
    of_videos = {}
    for at, name in enumerate(names):
        own: dict[str, Any] = {
            "boxes": int((tracks.video == at).sum()), "tracks": int((keys[:, 0] == at).sum()),
            "detections": int((detections.video == at).sum()), "false": int((matches.false_video == at).sum()),
        }  # fmt: skip
        of_videos[name] = own
        if lengths is not None and own["boxes"]:
            alone = matches.curve(float(lengths[at]), (np.arange(len(names)) == at).astype(float))
            of_videos[name] = {"frames": int(lengths[at]), "rbdc": alone.rbdc, "tbdc": alone.tbdc, **own}
    return {"videos": of_videos, "tracks": of_tracks}
