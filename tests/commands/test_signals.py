"""Commands that are told to stop: status 128 + signal, children gone, no tracebacks, nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from tqdm import tqdm

from tvau.errors import DataError, TvauError
from tvau.signals import stoppable

TRAINING = """
import os, signal, sys, time
from pathlib import Path
def stop(number, frame):
    time.sleep(0.3)
    Path("saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
Path("pid").write_text(str(os.getpid()))
time.sleep(600)
"""


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    """Waits until something is so; a machine that takes so long is broken."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def children(pid: int) -> list[int]:
    """Processes that this one has begun, and those that they have begun."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(own): int(parent) for own, parent in map(str.split, listed.splitlines())}
    found = [own for own, parent in parents.items() if parent == pid]
    return [*found, *(each for own in found for each in children(own))]


@contextmanager
def command(folder: Path, *args: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A command of tvau in a process group of its own, as a shell starts it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tvau.cli", *args], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True, **options,
    )  # type: ignore[call-overload]  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_synth_leaves_nobody_and_nothing_half_made(tmp_path: Path, number: signal.Signals) -> None:
    with command(tmp_path, "synth", "world", "--workers=2") as synth:
        wait_for(lambda: list(tmp_path.glob("world/.parts/*.json")) or synth.poll() is not None)
        begun = children(synth.pid)
        assert len(begun) >= 2
        if number == signal.SIGINT:  # a terminal sends it to all
            os.killpg(synth.pid, number)
        else:
            synth.send_signal(number)
        said = synth.communicate(timeout=120)[1]
        assert synth.returncode == 128 + number
        assert "Traceback" not in said
        assert f"stopped by {number.name}" in said
        wait_for(lambda: not any(map(alive, begun)), 10)
    hidden = [path for path in tmp_path.rglob(".*") if path.is_file()]
    assert hidden == []


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    folder = tmp_path / "claims"
    folder.mkdir()
    stated = {"title": "t", "columns": {"AUC": "frame.micro_auc"}, "rows": {"one": {"line": "one"}}}
    (folder / "table.yaml").write_text(yaml.safe_dump(stated))
    for name in ("base", "one"):
        (folder / f"{name}.yaml").write_text("{}\n")
    return folder


def table_with(training: str) -> list[str]:
    """`tvau table` whose fits are this program."""
    return ["-c", "import sys, subprocess; from unittest import mock; from tvau.cli import main\n"
                  "class Popen(subprocess.Popen):\n"
                  f"    def __init__(self, c, **o): super().__init__([sys.executable, '-c', {training!r}], **o)\n"
                  "with mock.patch('subprocess.Popen', Popen): main()"]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_table_leaves_no_training_that_another_deletes(
    plan: Path, tmp_path: Path, number: signal.Signals
) -> None:
    words = [sys.executable, *table_with(TRAINING), "table", str(plan), "--seeds=0", "--out=out"]
    run, pid = tmp_path / "out" / "claims" / "one" / "0", tmp_path / "pid"
    table = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: pid.is_file() and pid.read_text())
    training = int(pid.read_text())
    (run / "half").touch()
    table.send_signal(number)
    said = table.communicate(timeout=120)[1]
    if number != signal.SIGKILL:
        assert table.returncode == 128 + number
        assert "Traceback" not in said
        assert not alive(training)
        assert (tmp_path / "saved").is_file()  # it was asked, not killed
        return
    assert alive(training)
    second = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "is in the hands of another process" in second.stderr
    assert (run / "half").is_file()
    os.kill(training, signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_of_which_a_library_makes_another_error_ends_a_command_like_any(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """tqdm, interrupted on its way to its lock, lets go of a lock that it does not have."""
    assert tqdm.get_lock()
    monkeypatch.setattr(tqdm, "get_lock", lambda: signal.raise_signal(number))
    tqdm._lock = None if not hasattr(tqdm, "_lock") else tqdm._lock
    with pytest.raises(SystemExit) as end, stoppable():
        tqdm.write("a line")
    assert isinstance(end.value.__cause__, RuntimeError)
    assert end.value.code == 128 + number
    assert f"stopped by {number.name}" in capsys.readouterr().err


def test_what_could_not_be_saved_after_an_interruption_is_told() -> None:
    def fit() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            raise DataError("no space")

    with pytest.raises(DataError, match="no space"), stoppable(TvauError):
        fit()
