"""`make demo BACKBONE=...` from end to end, on a thin checkpoint with the real tokenizer and template of Qwen2-VL.

The Makefile is the real one, at a tiny scale. Its `tvau` hands each command to one process that has imported everything
before and forks: ten commands would otherwise spend a minute on imports.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from real import REAL, needs_real

SERVER = """
import os, socket, sys, traceback
import lightning, peft, sklearn, tvau.cli, tvau.data, tvau.tasks, tvau.viz.report, tvau.world  # once
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print("ready", flush=True)
while True:
    client, _ = server.accept()
    _, ends, *_ = socket.recv_fds(client, 1, 2)
    words = client.recv(65536).decode().split("\\0")
    child = os.fork()
    if not child:
        os.dup2(ends[0], 1), os.dup2(ends[1], 2)
        os.chdir(words[0])
        sys.argv = ["tvau", *words[1:]]
        try:
            tvau.cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            if code and stop.code is not code:
                print(stop.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    for end in ends:
        os.close(end)
    client.send(bytes([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]))
"""
CLIENT = """#!{python} -SE
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
socket.send_fds(server, [b"."], [1, 2])
server.send("\\0".join([os.getcwd(), *sys.argv[1:]]).encode())
sys.exit(server.recv(1)[0])
"""


@pytest.fixture
def place(tmp_path: Path, root: Path) -> Iterator[Path]:
    """A checkout in which `make` finds a `tvau` that answers at once."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "configs", "backbones"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "src").mkdir()
    tool = tmp_path / ".venv" / "bin" / "tvau"
    tool.parent.mkdir(parents=True)
    tool.write_text(CLIENT.format(python=sys.executable, path=str(tmp_path / "socket")))
    tool.chmod(0o755)
    (tmp_path / ".venv" / ".ready").touch()
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path / "socket")], stdout=subprocess.PIPE,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield tmp_path
    finally:
        server.kill()
        server.wait()


@needs_real
def test_the_demo_runs_on_another_lvlm(place: Path) -> None:
    REAL["qwen2_vl"].write(place / "lvlms" / "thin.1")  # a name with a dot
    clip = "data/demo_thin.1/Scene*/*.mp4"
    ran = subprocess.run(
        ["make", "demo", "BACKBONE=lvlms/thin.1/", "SCALE=0.003", "SIZE=[56,84]", "FIT=--trainer.max_steps=1"],
        cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    runs = place / "runs" / "demo_thin.1"
    assert {path.parent.name for path in runs.glob("*/test.json")} == {"heatmap", "dialog", "dialog_lora"}
    told = json.loads((runs / "dialog" / "test.json").read_text())
    assert "tvau" in told
    assert (runs / "report.html").is_file()
    assert list(runs.glob("predict/*/index.html"))
    assert list(place.glob(clip))
    config = yaml.safe_load((runs / "configs" / "dialog.yaml").read_text())
    assert config["model"]["init_args"]["backbone"]["init_args"]["size"] == [56, 84]
    assert config["data"]["init_args"]["batch_size"] * config["trainer"]["accumulate_grad_batches"] == 8
    assert not (place / "runs" / "demo").exists()
