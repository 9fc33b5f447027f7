"""Every target of the Makefile runs, with stand-ins for what takes long, and real parsers read every command of it."""

import inspect
import json
import re
import shlex
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from tvau.cli import COMMANDS, main
from tvau.data.kinds import open_layout
from tvau.shell import parser_of

LIGHTNING = ("fit", "validate", "test", "predict")
# each call is one write: `make demo` runs two commands beside each other
STANDIN = """#!/usr/bin/env bash
line=$(basename "$0"); for word; do printf -v word ' %q' "$word"; line+=$word; done; echo "$line" >> calls
"""
MAKEFILE = Path(__file__).parent.parent / "Makefile"
TARGETS = [name for line in re.findall(r"^\.PHONY: (.*)$", MAKEFILE.read_text(), re.M) for name in line.split()]


@pytest.fixture
def place(tmp_path: Path, root: Path) -> Path:
    """A folder where make finds an environment of stand-ins that write down how they are called."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path / name)
    for name in ("configs", "backbones", "benchmarks"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "src").mkdir()
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("tvau", "python", "pytest", "ruff", "mypy", "mkdocs"):
        (folder / name).write_text(STANDIN)
        (folder / name).chmod(0o755)
    (tmp_path / ".venv" / ".ready").touch()
    return tmp_path


def parse(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Reads a command as the real one would, and does nothing."""
    name = " ".join(words[:2]) if words[0] == "data" else words[0]
    assert name in COMMANDS
    rest = words[len(name.split()) :]
    if name in LIGHTNING:
        with pytest.raises(SystemExit) as stop:
            main([name, *rest, "--print_config"])
        assert not stop.value.code, stop.value.code
        assert "class_path: " in capsys.readouterr().out
    else:
        function = getattr(import_module(f"tvau.commands.{name.split()[-1]}"), name.split()[-1])
        signature = inspect.signature(function, eval_str=True)
        if all(parameter.kind is not parameter.VAR_POSITIONAL for parameter in signature.parameters.values()):
            parser_of(function, signature, f"tvau {name}").parse_args(rest)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_runs_and_its_commands_are_understood(
    place: Path, root: Path, target: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = subprocess.run(["make", target], cwd=place, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    calls = place / "calls"
    commands = [shlex.split(line) for line in calls.read_text().splitlines()] if calls.is_file() else []
    assert commands or target in ("help", "setup", "clean")
    monkeypatch.chdir(root)
    for tool, *words in commands:
        if tool == "tvau":
            parse(words, capsys)
        elif tool == "python" and words[0].endswith(".py"):
            assert Path(words[0]).is_file()


def test_the_benchmark_is_drawn_at_its_smallest_size(tmp_path: Path) -> None:
    """The first line of `make bench`."""
    main(["synth", str(tmp_path / "world"), "--set", "benchmark", "--scale", "0.001"])
    assert {"novel", "weather"} <= {json.loads(p.read_text())["job"]["split"] for p in tmp_path.glob("world/.parts/*")}
    assert len(open_layout("ubnormal", str(tmp_path / "world")).all_names()) > 10
