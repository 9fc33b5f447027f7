"""Dialogs as JSON lines with which other tools train: those of ShareGPT (LLaMA-Factory) and of ms-swift."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tvau.data.state import state
from tvau.data.video import open_video
from tvau.errors import OptionError
from tvau.exports.prediction import Prediction, save
from tvau.files import whole
from tvau.types import Turn
from tvau.viz.mp4 import Mp4

TOKEN = "<video>"  # where the video stands in the first question


class Conversation(NamedTuple):
    """A dialog about a part of a video."""

    video: str  # path
    first: int  # frame, 0-based
    last: int  # frame, inclusive
    turns: Sequence[Turn]
    fps: float | None = None  # frames a second of a folder of frames; None: as `write_conversations` is told


def sharegpt(said: Conversation) -> dict[str, Any]:
    """As LLaMA-Factory's "sharegpt" with the columns conversations and videos."""
    turns = [
        {"from": who, "value": text}
        for at, turn in enumerate(said.turns)
        for who, text in (("human", _asked(turn, at)), ("gpt", turn["answer"]))
    ]
    return {"conversations": turns, "videos": [said.video], "frames": [said.first, said.last]}


def swift(said: Conversation) -> dict[str, Any]:
    """As ms-swift's standard: messages and videos."""
    turns = [
        {"role": who, "content": text}
        for at, turn in enumerate(said.turns)
        for who, text in (("user", _asked(turn, at)), ("assistant", turn["answer"]))
    ]
    return {"messages": turns, "videos": [said.video], "frames": [said.first, said.last]}


FORMS = {"sharegpt": sharegpt, "swift": swift}


def _asked(turn: Turn, at: int) -> str:
    return f"{TOKEN}{turn['question']}" if at == 0 else turn["question"]


def write_conversations(
    said: Iterable[Conversation], form: str, out: Path, clips: bool = False, fps: float | None = None
) -> Path:
    """Writes one dialog a line.

    Args:
        said: dialogs with a turn at least; others are left out.
        form: a key of `FORMS`.
        out: the file.
        clips: write the frames of each dialog as a video of their own into a folder beside `out`, since other tools
            read videos from their beginning to their end. Without, `videos` names the whole video, and `frames` says
            which of it.
        fps: frames a second of folders of frames, which do not say it.

    Raises:
        OptionError: no such form.
        DataError: a video that cannot be read (with clips).
    """
    if form not in FORMS:
        raise OptionError(f"dialogs are written as {' or '.join(FORMS)}, not {form!r}")
    lines = []
    for each in said:
        if each.turns:
            named = _cut(each, out.with_suffix(""), each.fps or fps) if clips else each
            lines.append(json.dumps(FORMS[form](named), ensure_ascii=False) + "\n")
    return save(out, "".join(lines))


def _cut(said: Conversation, folder: Path, fps: float | None) -> Conversation:
    """A conversation about a clip that is written into a folder; one of the same video and rate stays."""
    source = Path(said.video).absolute()  # videos of several folders may bear one name
    whose = hashlib.sha256(f"{source} {state(source)} {fps}".encode()).hexdigest()[:8]
    path = folder / f"{source.stem}_{whose}_{said.first:06d}_{said.last:06d}.mp4"
    count = said.last - said.first + 1
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (
            open_video(Path(said.video), fps=fps) as video, whole(path) as temporary,
            Mp4(temporary, video.size, video.fps) as clip,
        ):  # fmt: skip
            for frame in range(said.first, said.last + 1):  # one at a time: a window may be long
                picture = video.read([frame])[0].permute(1, 2, 0).numpy()
                clip.add(picture, float(video.seconds[frame] - video.seconds[said.first]))
    return Conversation(str(path), 0, count - 1, said.turns)


def _spoken(predictions: Sequence[Prediction]) -> Iterable[Conversation]:
    for each in predictions:
        for window in each.windows:
            first, last = window["frames"]
            yield Conversation(each.video, first, last, window["turns"], each.fps)


def to_sharegpt(predictions: Sequence[Prediction], out: Path, clips: bool = False) -> list[Path]:
    """One dialog a window and line, for LLaMA-Factory and others; see `write_conversations`."""
    return [write_conversations(_spoken(predictions), "sharegpt", out, clips)]


def to_swift(predictions: Sequence[Prediction], out: Path, clips: bool = False) -> list[Path]:
    """One dialog a window and line, for ms-swift; see `write_conversations`."""
    return [write_conversations(_spoken(predictions), "swift", out, clips)]
