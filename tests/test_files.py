"""Files and folders appear whole or not at all, also where the process that makes them is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tvau.errors import OptionError
from tvau.files import MARK, clear, sweep, whole, whole_folder


def test_a_file_that_was_whole_stays_when_writing_it_again_fails(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path: Path) -> None:
    for word in ("first", "second"):
        with whole_folder(tmp_path / "v0", "first") as folder:
            (folder / word).touch()
            assert (tmp_path / "v0" / "second").exists() is False
    assert listed(tmp_path) == ["v0", "v0/second"]


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "large" / "v0").mkdir(parents=True)
    (tmp_path / "v0").symlink_to(tmp_path / "large" / "v0")
    with whole_folder(tmp_path / "v0", None) as folder:
        (folder / "new").touch()
    assert (tmp_path / "v0").is_symlink()
    assert listed(tmp_path) == ["large", "large/v0", "large/v0/new", "v0"]


@pytest.mark.parametrize("known_by", ["summary.json", None])
def test_what_was_not_made_here_is_not_replaced(tmp_path: Path, known_by: str | None) -> None:
    (tmp_path / "cam1").mkdir()
    (tmp_path / "cam1" / "000.jpg").touch()
    (tmp_path / "file").touch()
    for name in ("cam1", "file"):
        with pytest.raises(OptionError, match=f"{name} holds other files, which would be lost"):
            whole_folder(tmp_path / name, known_by).__enter__()
    assert listed(tmp_path) == ["cam1", "cam1/000.jpg", "file"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "v0", "first") as folder:
        (folder / "first").touch()

    def interrupted() -> None:
        with whole_folder(tmp_path / "v0", "first") as folder:
            (folder / "second").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert listed(tmp_path) == ["v0", "v0/first"]


@pytest.mark.parametrize("moved", [False, True], ids=["while writing", "between the two renames"])
def test_leftovers_of_the_dead_are_cleared_and_those_of_the_living_stay(tmp_path: Path, moved: bool) -> None:
    code = """
        import os, signal, sys
        from pathlib import Path
        from tvau import files
        replace = os.replace
        def once(*paths):
            replace(*paths)
            os.kill(os.getpid(), signal.SIGKILL)
        files.os.replace = once
        (Path(sys.argv[1]) / "v0").mkdir()
        (Path(sys.argv[1]) / "v0" / "first").touch()
        with files.whole_folder(Path(sys.argv[1]) / "v0", "first") as folder:
            (folder / "second").touch()
            if not int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
    """
    code = "\n".join(line[8:] for line in code.splitlines())
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path), str(int(moved))]).returncode == -9
    assert ("v0/first" in listed(tmp_path)) is not moved
    with whole_folder(tmp_path / "v1", None) as living:
        sweep(tmp_path)
        assert listed(tmp_path) == sorted([living.name, "v0", "v0/first"])


def test_what_a_killed_process_left_of_a_file_is_cleared(tmp_path: Path) -> None:
    code = """
        import os, signal, sys
        from pathlib import Path
        from tvau.files import whole
        with whole(Path(sys.argv[1]) / "last.ckpt") as temporary:
            temporary.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    code = "\n".join(line[8:] for line in code.splitlines())
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    assert len(listed(tmp_path)) == 1
    path = tmp_path / "last.ckpt"
    with whole(path) as living:
        living.touch()
        clear(path)
        assert listed(tmp_path) == [living.name]


def test_what_another_machine_makes_stays(tmp_path: Path) -> None:
    """Its processes cannot be asked whether they live: the numbers of this machine's say nothing about them."""
    code = """
        import os, platform, signal, sys
        from pathlib import Path
        from tvau import files
        platform.node = lambda: "another"
        folder = Path(sys.argv[1])
        with files.whole_folder(folder / "v0", None) as made, files.whole(folder / "last.ckpt") as temporary:
            (made / "scores.csv").touch()
            temporary.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    code = "\n".join(line[8:] for line in code.splitlines())
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    assert process.wait() == -9
    (tmp_path / f"{MARK}v1.{process.pid}").mkdir()  # of a tvau whose names did not say by which machine
    theirs = listed(tmp_path)
    assert len(theirs) == 4
    sweep(tmp_path)
    clear(tmp_path / "last.ckpt")
    assert listed(tmp_path) == theirs
