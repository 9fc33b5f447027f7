"""Files that appear whole or not at all."""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from hashlib import sha256
from pathlib import Path

from tvau.errors import OptionError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, with its ending, that becomes `path` when the block ends without an error."""
    temporary = path.with_name(f".{path.stem}.{maker(os.getpid())}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def clear(path: Path) -> None:
    """Removes what `whole` left beside `path` where a process of this machine was killed; see `sweep`."""
    for left in path.parent.glob(f".{escape(path.stem)}.*{escape(path.suffix)}"):
        if _dead(left.name.removeprefix(f".{path.stem}.").removesuffix(path.suffix)):
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
    temporary, old = (path.with_name(f"{MARK}{path.name}.{maker(os.getpid())}{end}") for end in ("", ".old"))
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
    """Clears what `whole_folder` left in a folder where a process of this machine was killed.

    What a living one makes stays, and what comes from another machine or container: whether that is still being made
    cannot be seen from here.
    """
    for left in sorted(folder.glob(f"{MARK}*")):
        name, _, made_by = left.name.removeprefix(MARK).removesuffix(".old").rpartition(".")
        if name and _dead(made_by):
            if left.suffix == ".old":
                _put_back(left, folder / name)
            shutil.rmtree(left, ignore_errors=True)


def _put_back(old: Path, path: Path) -> None:
    """The earlier folder takes its place again, unless there is a new one."""
    if old.is_dir() and not path.exists():
        os.replace(old, path)
    shutil.rmtree(old, ignore_errors=True)


def maker(process: int) -> str:
    """How the names of what a process makes end: its number, behind that of the machine or container it is one of."""
    known = [platform.node()]
    with suppress(OSError):  # elsewhere than on Linux the name has to do
        known += [str(Path("/proc/self/ns/pid").readlink()), Path("/etc/machine-id").read_text()]
    return f"{sha256(' '.join(known).encode()).hexdigest()[:8]}-{process}"


def _dead(made_by: str) -> bool:
    """Whether that is a process of this machine, see `maker`, that is no more."""
    process = made_by.rpartition("-")[2]
    if not process.isdecimal() or made_by != maker(int(process)):
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        pass
    return False
