"""Words of the shell: flags, lists, help, and the nearest of what was mistyped."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from tvau.cli import COMMANDS, main
from tvau.errors import OptionError
from tvau.metrics import intervals, region
from tvau.shell import run

LOOK = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from tvau.cli import main
found = {}
for words in json.loads(sys.argv[1]):
    out, code = io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(out):
        try:
            main(words)
        except SystemExit as stop:
            code = stop.code
    heavy = [name for name in ("torch", "lightning", "transformers") if name in sys.modules]
    found[" ".join(words)] = [code, out.getvalue(), heavy]
print(json.dumps(found))
"""
WRONG = {
    "snyth": "there is no command 'snyth'; did you mean synth?",
    "data chek": "there is no command 'data chek'; did you mean data check?",
    "synth --sclae 2 x": "--sclae is not known here; did you mean --scale? (see tvau synth --help)",
    "synth": "the following arguments are required: root",
    "compare": "the following arguments are required: runs",
    "synth x --set bench": "Expected a typing.Literal['demo', 'benchmark', 'benchmark_more']. Got value: bench",
}


def test_lists_may_come_in_parts_and_sizes_as_they_are_spoken() -> None:
    def command(names: list[str], more: list[str] | None = None, size: tuple[int, int] | None = None) -> Any:
        """Returns what it was given."""
        return names, more, size

    assert run(command, ["a", "b"], "t") == (["a", "b"], None, None)
    assert run(command, ["a", "--more", "b", "c", "--more=d", "--size", "96x160"], "t")[1:] == (
        ["b", "c", "d"], (96, 160),
    )  # fmt: skip
    assert run(command, ["4x4", "--size=[3,4]"], "t") == (["4x4"], None, (3, 4))
    assert run(command, ["a", "--size=3x4"], "t")[2] == (3, 4)


@pytest.fixture(scope="module")
def looked() -> dict[str, list[Any]]:
    """What help, version and typing errors say, and what heavy packages have been imported until then."""
    words = [[], ["--help"], ["--version"], ["data"], *(line.split() for line in WRONG)]
    words += [[*name.split(), "--help"] for name in COMMANDS]
    said = subprocess.run([sys.executable, "-c", LOOK, json.dumps(words)], capture_output=True, text=True, check=True)
    return json.loads(said.stdout)


def test_help_version_and_typing_errors_import_nothing_heavy(looked: dict[str, list[Any]]) -> None:
    assert {words: heavy for words, (_, _, heavy) in looked.items() if heavy} == {}


def test_help_lists_every_command_and_each_says_its_name(looked: dict[str, list[Any]]) -> None:
    code, text, _ = looked["--help"]
    assert code == 0
    for name, line in COMMANDS.items():
        assert f"  {name}" in text
        assert line in text
        assert looked[f"{name} --help"][1].startswith(f"usage: tvau {name} ")
    assert looked["--version"][1].startswith("tvau 0.")
    assert "data page" in looked["data"][1]


@pytest.mark.parametrize("words", WRONG)
def test_a_typing_error_names_the_nearest(looked: dict[str, list[Any]], words: str) -> None:
    assert str(looked[words][0]).startswith("tvau: ")
    assert WRONG[words] in looked[words][0]


def test_lightnings_parsers_name_the_nearest_too(root: Path) -> None:
    config = f"--config={root / 'configs' / 'synthetic' / 'heatmap.yaml'}"
    with pytest.raises(SystemExit, match=r"did you mean --trainer\.max_epochs\? \(see tvau fit --help\)"):
        main(["fit", config, "--trainer.max_epoch=3"])


@pytest.mark.parametrize("command", ["fit", "validate", "test"])  # predict has flags of its own, and tests of them
def test_every_flag_of_a_short_help_is_one(
    looked: dict[str, list[Any]], root: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"N": "1", "X": "0.5", "PATH": "x", "FILE": "x", "FOLDER": "x", "LVLM": "x", "TEXT": "x"}
    lines = [line.split() for line in looked[f"{command} --help"][1].splitlines() if line.startswith("  --")]
    given = {words[0]: values[words[1]] for words in lines if len(words) > 1 and words[1] in values}
    assert len(given) > 3
    given["--config"] = str(root / "configs" / "synthetic" / "dialog.yaml")
    with pytest.raises(SystemExit) as stop:
        main([command, *(f"{flag}={value}" for flag, value in given.items()), "--print_config"])
    assert not stop.value.code
    assert "class_path: tvau.tasks.DialogTask" in capsys.readouterr().out


def test_defaults_that_stand_in_two_places_agree() -> None:
    from inspect import signature

    from tvau.commands.score import score

    stated = {name: parameter.default for name, parameter in signature(score).parameters.items()}
    assert (stated["alpha"], stated["beta"], stated["bootstrap"]) == (region.ALPHA, region.BETA, intervals.SAMPLES)


def example(
    folder: str, more: list[str], num_frames: int = 3, kind: Literal["a", "b"] = "a", settings: list[str] | None = None,
    size: tuple[int, int] | None = None, balance: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Gives back what it was given."""
    return locals()


@pytest.mark.parametrize(
    ("words", "changed"),
    [("f x y", {"more": ["x", "y"]}), ("f x --num-frames 4", {"num_frames": 4}),
     ("f x --num_frames=4", {"num_frames": 4}),
     ("f x --settings a=1 b={c:2}", {"settings": ["a=1", "b={c:2}"]}), ("f x --size [3,4]", {"size": (3, 4)}),
     ("f x --balance false --kind b", {"balance": False, "kind": "b"}), ("f x --balance", {"balance": True})],
)  # fmt: skip
def test_words_become_arguments(words: str, changed: dict[str, Any]) -> None:
    default = {"folder": "f", "more": ["x"], "num_frames": 3, "kind": "a", "settings": None, "size": None}
    assert run(example, words.split(), "tvau example") == {**default, "balance": True, **changed}


@pytest.mark.parametrize("words", ["f", "f x --num-frames y", "f x --kind c", "f x --num-frame 4"])
def test_wrong_words_are_one_sentence(words: str) -> None:
    with pytest.raises(OptionError, match=r"\(see tvau example --help\)"):
        run(example, words.split(), "tvau example")
