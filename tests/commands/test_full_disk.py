"""Where nothing can be written, a command says so in one sentence and leaves nothing half-written."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def full() -> None:
    """A limit on the size of files stands for a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@pytest.mark.parametrize("workers", [1, 2])
def test_synth_on_a_full_disk(tmp_path: Path, workers: int) -> None:
    words = ["synth", str(tmp_path / "world"), "--scale=0.01", f"--workers={workers}"]
    done = subprocess.run(
        [sys.executable, "-m", "tvau.cli", *words], capture_output=True, text=True, preexec_fn=full, timeout=200
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("tvau: ")
    assert "File too large" in done.stderr
    assert [path for path in tmp_path.rglob(".*.*") if path.is_file()] == []


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for words in (["synth", str(tmp_path / "file" / "world")], ["nano", str(tmp_path / "file" / "lvlm")]):
        done = subprocess.run([sys.executable, "-m", "tvau.cli", *words], capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("tvau: ")
        assert "Traceback" not in done.stderr
