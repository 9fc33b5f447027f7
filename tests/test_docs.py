"""What README and docs say is there: files and rooms that they name, commands and code that they show."""

import argparse
import ast
import inspect
import re
import runpy
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from test_ranks import RANKS
from tvau import __version__
from tvau.cli import COMMANDS, main
from tvau.shell import parser_of

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACES = (ROOT, ROOT / "src" / "tvau")  # a page may speak of a file from either


def page(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=page)
def test_files_that_a_page_names_exist(path: Path) -> None:
    named = set(re.findall(r"(?<![\w/.*{])[\w-]+/[\w./-]+\.(?:py|yaml|ipynb)\b", path.read_text()))
    assert {name for name in named if not any((place / name).exists() for place in PLACES)} == set()


@pytest.mark.parametrize("path", PAGES, ids=page)
def test_links_of_a_page_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]*)?\)", path.read_text())
    assert {link for link in links if not (path.parent / link).exists()} == set()


@cache
def defined(path: Path) -> set[str]:
    """What a file defines: functions, constants, classes, and their methods as `Class.method`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{own.name}" for own in node.body if isinstance(own, ast.FunctionDef)}
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


@pytest.mark.parametrize("path", PAGES, ids=page)
def test_code_that_a_page_names_is_there(path: Path) -> None:
    """`name` in `file.py`, also several names; and `Class.method` of any class of ours."""
    text, every = path.read_text(), set().union(*map(defined, (ROOT / "src").rglob("*.py")))
    absent = set()
    for names, file in re.findall(r"((?:`\w+`(?:, | and )?)+) (?:in|of) `([\w/]+\.py)`", text):
        there = next(place / file for place in PLACES[::-1] if (place / file).exists())
        absent |= {f"{name} in {file}" for name in re.findall(r"`(\w+)`", names) if name not in defined(there)}
    methods = re.findall(r"`(([A-Z]\w+)\.[a-z_]\w*)`", text)
    absent |= {method for method, owner in methods if owner in every and method not in every}
    assert absent == set()


# ---- commands ----


class Parsed(Exception):
    """The words fit the parser; nothing has been done."""


def commands(text: str) -> Iterator[str]:
    """Every command line of a page's blocks of code and of the README's table, without its comment."""
    for block in re.findall(r"^``` *\n(.*?)^```", text, re.M | re.S):
        yield from (re.sub(r"\s+#.*", "", line).strip() for line in block.replace("\\\n", " ").splitlines())
    yield from re.findall(r"^\|[^|`]*\| `(tvau [^`]+)`", text, re.M)


SHOWN = sorted({line for path in PAGES for line in commands(path.read_text())})


def shown(begin: str) -> list[str]:
    return [line for line in SHOWN if line.startswith(begin)]


@pytest.mark.parametrize("line", shown("tvau "))
def test_a_command_that_a_page_shows_is_understood(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(line)[1:]
    if words == ["--help"]:
        return
    name = " ".join(words[: 1 + (words[0] == "data")])
    assert name in COMMANDS
    last = name.split()[-1]
    command = getattr(import_module(f"tvau.commands.{last}"), last)
    signature = inspect.signature(command, eval_str=True)
    if any(each.kind is each.VAR_POSITIONAL for each in signature.parameters.values()):  # LightningCLI's
        with pytest.raises(SystemExit) as stop:
            main([*words, "--print_config"])
        assert not stop.value.code
        assert "trainer:" in capsys.readouterr().out
    else:
        parser_of(command, signature, line).parse_args(words[len(name.split()) :])


@pytest.mark.parametrize("line", shown("make"))
def test_a_target_that_a_page_shows_is_there(line: str) -> None:
    assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("line", shown("python benchmarks/"))
def test_a_benchmark_that_a_page_shows_is_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def stop(*args: Any, **options: Any) -> None:
        parse(*args, **options)
        raise Parsed

    monkeypatch.setattr("sys.argv", shlex.split(line)[1:])
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(Parsed):
        runpy.run_path(str(ROOT / shlex.split(line)[1]), run_name="__main__")


def test_commands_are_found() -> None:
    page = "```\ntvau a \\\n  --b  # c\nmake d\n```\n| e | `tvau f` |\n"
    assert list(commands(page)) == ["tvau a    --b", "make d", "tvau f"]
    assert min(len(shown(begin)) for begin in ("tvau ", "make", "python benchmarks/")) > 3


# ---- code ----


def test_the_code_of_the_readme_runs(
    tmp_path: Path, video: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, again = (
        re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.M | re.S)
        for name in ("README.md", "docs/use/index.md")
    )
    assert code == again
    assert len(code) == 1
    monkeypatch.chdir(tmp_path)
    video(tmp_path / "street.mp4", frames=16)
    with pytest.warns(UserWarning, match="far from all that the model was trained on"):
        exec(code[0], {})
    assert re.search(r"^\[.*\]\n\[[\d. ]+\] \(3, 96, 160\)\n(Yes|No)\b", capsys.readouterr().out)
    assert (tmp_path / "out" / "index.html").is_file()


def test_the_citation_names_this_release() -> None:
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


# ---- the house ----


def test_the_rooms_are_told_as_they_are() -> None:
    page = (ROOT / "docs" / "extend" / "index.md").read_text()
    rows = {int(rank): rooms for rank, rooms in re.findall(r"^\| (\d+) \| ([^|]+) \|", page, re.M)}
    told = {
        name.rstrip("/").removesuffix(".py"): rank for rank in rows for name in re.findall(r"`([\w./]+)`", rows[rank])
    }
    assert told == RANKS
