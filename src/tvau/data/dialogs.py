"""`dialogs.jsonl`: what is said about the clips of a data set, one JSON object a line and turn.

    {"video": "abnormal_scene_1_scenario_3", "frames": [0, 31], "target": 2, "task": "target",
     "question": "Describe the features of the anomaly.", "answer": "A person is running.", "provenance": "geometry"}

`frames` are the first and the last frame of the clip (0-based, inclusive), `target` the object id that the turn is
about (null: the whole clip), `provenance` where the answer comes from. Turns of the same video and frames are one
dialog, in the order of the file.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from sys import intern

from tvau.errors import DataError, shown
from tvau.files import whole
from tvau.types import Turn

TASKS = ("judgement", "target", "motion", "trajectory", "environment")
_KEYS = ("video", "frames", "target", "task", "question", "answer", "provenance")


@dataclass(frozen=True, slots=True)
class DialogTurn:
    """One line of the file: a turn, the object it is about and where its answer comes from."""

    task: str
    question: str
    answer: str
    target: int | None = None  # object id, as in the id maps
    provenance: str = ""

    @property
    def turn(self) -> Turn:
        """What a sample carries of it."""
        return {"task": self.task, "question": self.question, "answer": self.answer}


@dataclass(frozen=True, slots=True)
class Dialog:
    """All turns about one clip."""

    video: str
    first: int  # frame, 0-based
    last: int  # frame, inclusive
    turns: tuple[DialogTurn, ...]


def read_dialogs(path: Path, known: Collection[str] | None = None) -> list[Dialog]:
    """The dialogs of a file, in the order in which their first turns stand there.

    Args:
        path: a `dialogs.jsonl`.
        known: names of the videos of the data set; None accepts any.

    Raises:
        DataError: no such file, or a line that is not a turn or names a video that is not `known`; says which line.
    """
    grouped: dict[tuple[str, int, int], list[DialogTurn]] = {}
    try:
        with path.open("rb") as lines:  # one line at a time: files of a million turns are large
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    key, turn = _parse(line)
                except ValueError as error:
                    raise DataError(f"{path}, line {number}: {error}") from error
                if known is not None and key[0] not in known:
                    raise DataError(
                        f"{path}, line {number}: the video {shown(key[0])} is not in the data set's lists "
                        f"({len(known)} videos); the dialogs belong to another data set, or the name is misspelt."
                    )
                if turn in (turns := grouped.setdefault(key, [])):
                    raise DataError(f"{path}, line {number}: the same turn stands there twice; take one of them away.")
                turns.append(turn)
    except OSError as error:
        raise DataError(f"{path}: the dialogs cannot be read ({error.strerror}).") from error
    return [Dialog(*key, tuple(grouped.pop(key))) for key in [*grouped]]


def write_dialogs(path: Path, dialogs: Iterable[Dialog]) -> None:
    """Write dialogs so that `read_dialogs` gives them back; the file appears whole or not at all."""
    lines = [
        {
            "video": dialog.video,
            "frames": [dialog.first, dialog.last],
            "target": turn.target,
            "task": turn.task,
            "question": turn.question,
            "answer": turn.answer,
            "provenance": turn.provenance,
        }
        for dialog in dialogs
        for turn in dialog.turns
    ]
    with whole(path) as draft:
        draft.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def _parse(line: bytes) -> tuple[tuple[str, int, int], DialogTurn]:
    """(video, first frame, last frame) and turn of one line; ValueError says what is wrong with it."""
    try:
        turn = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a JSON object in UTF-8 ({error}).") from error
    if not isinstance(turn, dict) or (absent := [key for key in _KEYS if key not in turn]):
        missing = f"; missing: {', '.join(absent)}" if isinstance(turn, dict) else ""
        raise ValueError(f"expected an object with the keys {', '.join(_KEYS)}{missing}.")
    for key in ("video", "task", "question", "answer", "provenance"):
        if not isinstance(turn[key], str) or (not turn[key].strip() and key != "provenance"):
            raise ValueError(f"{key!r} has to be a text that is not empty, not {shown(turn[key])}.")
    if turn["task"] not in TASKS:
        raise ValueError(f"'task' has to be one of {', '.join(TASKS)}, not {shown(turn['task'])}.")
    frames, target = turn["frames"], turn["target"]
    if not (isinstance(frames, list) and len(frames) == 2 and all(map(_is_count, frames)) and frames[0] <= frames[1]):
        raise ValueError(f"'frames' has to be [first, last], 0-based and inclusive, not {shown(frames)}.")
    if not (target is None or _is_count(target)):
        raise ValueError(f"'target' has to be an object id or null, not {shown(target)}.")
    # the same words come again and again: each is kept once
    task, question, answer, source = (intern(turn[key]) for key in ("task", "question", "answer", "provenance"))
    return (intern(turn["video"]), frames[0], frames[1]), DialogTurn(task, question, answer, target, source)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
