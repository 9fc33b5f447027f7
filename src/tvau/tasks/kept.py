"""The windows of a video that `tvau predict` has looked at, on disk as they come: a run that is stopped loses none.

out/.NAME.windows/made.json         by which model and options
out/.NAME.windows/maps              the decoder's maps, float32, one window behind the other
out/.NAME.windows/windows.jsonl     scores and words, a window a line
"""

import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np

from tvau.metrics.boxes import MapRule
from tvau.seen import Look, Seen
from tvau.types import Batch
from tvau.viz.told import Dialog

MADE, MAPS, WINDOWS = "made.json", "maps", "windows.jsonl"


def looked(folder: Path, made: dict[str, Any]) -> int:
    """How many windows of a video lie there that were made by the same model and options."""
    return len(_lines(folder)) if made_of(folder) == made else 0


class Kept:
    """The windows of one video as they come.

    Args:
        folder: where they lie, of this video alone; it goes with `remove`.
        made: by which model and options.
        count: so many windows that lie there are taken over, the others are cut off; 0: it begins anew.
        rule: see `Seen`.
        fps: frames a second of the source.

    Raises:
        OSError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, made: dict[str, Any], count: int, rule: MapRule | None, fps: float) -> None:
        self.folder, self.fps = folder, fps
        if not count:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / MADE).write_text(json.dumps(made))
        lines = _lines(folder)[:count]
        rows = [json.loads(line) for line in lines]
        looks = [Look(**row["look"]) for row in rows]
        self._maps, self._windows = (_cut(folder / name, size) for name, size in (
            (MAPS, sum(4 * int(np.prod(look.grid)) for look in looks if look.grid is not None)),
            (WINDOWS, sum(map(len, lines))),
        ))  # fmt: skip
        self.seen, self.dialogs = Seen(rule, self._maps), [cast(Dialog, row["dialog"]) for row in rows]
        for look in looks:
            self.seen.take(look)

    def add(self, batch: Batch, outputs: dict[str, Any], row: int) -> None:
        """One more window: a clip of a batch, and what `predict_step` gave of it."""
        frames = batch["frames"][row].tolist()
        dialog = Dialog(frames=[frames[0], frames[-1]], turns=outputs["turns"][row])
        if repeated := len(frames) - len(set(frames)):
            dialog["repeated"] = repeated
        numbers = {key: outputs[key] for key in ("logits", "scores", "strange")}
        look = self.seen.add(frames, batch["video"].shape[-2:], numbers, row)
        self.dialogs.append(dialog)
        line = json.dumps({"look": look._asdict(), "dialog": dialog})
        self._windows.write(line.encode() + b"\n")
        self._windows.flush()

    def close(self) -> None:
        """Lets go of the files."""
        self.seen.close()
        self._windows.close()

    def remove(self) -> None:
        """Takes them away: the video's results are written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def made_of(folder: Path) -> Any:
    """What the `made.json` of a folder says; None where there is none."""
    try:
        made = json.loads((folder / MADE).read_text(encoding="utf-8"))
        made["source"]["path"] = located(Path(made["source"]["path"]))  # earlier versions wrote it as it was typed
        return made
    except (OSError, ValueError, TypeError, KeyError):
        return None


def located(path: Path) -> str:
    """Where a video is, however its path was typed. A link to it keeps its name, which often is all that names it."""
    path = path.absolute()
    return str(path.parent.resolve() / path.name)


def _lines(folder: Path) -> list[bytes]:
    """The lines that are whole; one is written behind the maps of its window."""
    try:
        return [line for line in (folder / WINDOWS).read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    except OSError:
        return []


def _cut(path: Path, size: int) -> Any:
    """A file, open for reading and for writing behind its first `size` bytes, which stay."""
    path.touch()
    file = path.open("r+b")
    file.truncate(size)
    file.seek(size)
    return file
