"""Files that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path


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


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` that takes its place, and what it held, when the block ends without an error."""
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
