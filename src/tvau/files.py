"""Files that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from tvau.errors import OptionError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, with its ending, that becomes `path` when the block ends without an error."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def clear(path: Path) -> None:
    """Removes what `whole` left beside `path` where a process was killed; what a living one writes stays."""
    for left in path.parent.glob(f".{escape(path.stem)}.*{escape(path.suffix)}"):
        process = left.name.removeprefix(f".{path.stem}.").removesuffix(path.suffix)
        if process.isdigit() and not _lives(int(process)):
            left.unlink(missing_ok=True)


MARK = ".tvau."  # begins the names of folders in the making


def replaceable(path: Path, known_by: str | None) -> None:
    """Whether a folder may be written in the place of what stands there.

    Args:
        path: the folder.
        known_by: a file that earlier results of the same kind hold; None: nothing is ever replaced.

    Raises:
        OptionError: it holds something else, which would be lost.
    """
    ours = known_by is not None and (path / known_by).is_file()
    if path.exists() and not ours and (not path.is_dir() or any(path.iterdir())):
        raise OptionError(f"{path} holds other files, which would be lost: name a folder that is new or empty")


@contextmanager
def whole_folder(path: Path, known_by: str | None) -> Iterator[Path]:
    """An empty folder beside `path` that takes its place when the block ends without an error; see `replaceable`."""
    path = path.resolve()  # what a link leads to is replaced, not the link
    replaceable(path, known_by)
    temporary, old = (path.with_name(f"{MARK}{path.name}.{os.getpid()}{end}") for end in ("", ".old"))
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if path.is_dir():
            os.replace(path, old)
        os.replace(temporary, path)
    finally:
        _put_back(old, path)
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Clears what `whole_folder` left in a folder where a process was killed; what a living one makes stays."""
    for left in sorted(folder.glob(f"{MARK}*")):
        name, _, process = left.name.removeprefix(MARK).removesuffix(".old").rpartition(".")
        if name and process.isdigit() and not _lives(int(process)):
            if left.suffix == ".old":
                _put_back(left, folder / name)
            shutil.rmtree(left, ignore_errors=True)


def _put_back(old: Path, path: Path) -> None:
    """The earlier folder takes its place again, unless there is a new one."""
    if old.is_dir() and not path.exists():
        os.replace(old, path)
    shutil.rmtree(old, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True
