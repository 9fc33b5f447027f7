"""The command line: LightningCLI's fit, validate, test and predict, and a few commands beside them."""

import argparse
import json
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from jsonargparse import auto_cli
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI

from tvau.commands.annotate import annotate
from tvau.commands.backbones import backbones
from tvau.commands.check import check
from tvau.commands.compare import compare
from tvau.commands.page import page
from tvau.commands.report import report
from tvau.commands.score import score
from tvau.commands.synth import synth
from tvau.commands.table import table
from tvau.errors import TvauError
from tvau.nano.blueprint import create
from tvau.tasks.base import read_checkpoint

COMMANDS: dict[str, Any] = {  # a dictionary is a command with commands of its own
    "synth": synth,
    "nano": create,
    "report": report,
    "backbones": backbones,
    "data": {"check": check, "page": page},
    "annotate": annotate,
    "score": score,
    "compare": compare,
    "table": table,
}


def main(args: Sequence[str] | None = None) -> Any:
    """Runs one command; `args` are those of the shell where None. Returns the LightningCLI to who gave `args`."""
    words = _spelled_out(sys.argv[1:] if args is None else args)
    # LightningCLI warns where it is given words while the shell gave some too
    sys.argv[1:] = words if args is None else sys.argv[1:]
    # a frozen LVLM stays in evaluation mode on purpose, and of many processes one may see no clip of a split; the other
    # two speak of Lightning's own code
    quiet = (r".*module\(s\) in eval mode", r"The ``compute`` method of metric", r"(?s).*skip_none", r".*treespec")
    for message in quiet:
        warnings.filterwarnings("ignore", message)
    try:
        if words and words[0] in COMMANDS:
            return auto_cli(COMMANDS[words[0]], args=_plain(words), as_positional=True)
        _check_checkpoint(words)
        cli = LightningCLI(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=None if args is None else words,
            save_config_kwargs={"overwrite": True},
        )
        return None if args is None else cli  # what the console script returns becomes the exit status
    except Exception as error:
        ours: BaseException | None = error
        while ours is not None and not isinstance(ours, TvauError):  # the parser wraps what a constructor raises
            ours = ours.__cause__
        if ours is None:
            raise
        # a loader's worker puts its traceback in front of the message
        sys.exit("tvau: " + re.split(r"tvau\.errors\.\w+: ", str(ours))[-1].strip())


def _spelled_out(words: Sequence[str]) -> list[str]:
    """Flags as LightningCLI knows them; only `fit` logs, unless a logger is asked for.

    A checkpoint given alone replaces the config's whole backbone: its adapter, blocks and precision were those of
    another LVLM. After a preset (`--model.backbone=...`) it is one more argument of that preset.
    """
    words = ["--model.questions" if word == "--questions" else word for word in words]
    logs = any(word.startswith("--trainer.logger") for word in words)
    if words[:1] in (["validate"], ["test"], ["predict"]) and not logs:
        words.append("--trainer.logger=false")  # results are files of their own; the training's CSV log would be wiped
    flag = "--model.backbone.checkpoint"
    if any(word.split("=")[0] == "--model.backbone" for word in words):
        return words
    for at, word in enumerate(words):
        if word.split("=")[0] == flag:
            own = word == flag  # the value is a word of its own
            checkpoint = words[at + 1 : at + 2] if own else [word.partition("=")[2]]
            arguments = dict.fromkeys(("blocks", "size"), None) | {"checkpoint": "".join(checkpoint), "dtype": "auto"}
            backbone = {"class_path": "tvau.backbones.load", "init_args": arguments}
            return [*words[:at], f"--model.backbone={json.dumps(backbone)}", *words[at + 1 + own :]]
    return words


def _plain(words: Sequence[str]) -> list[str]:
    """The arguments of a command of ours as its parser takes them: --num-frames as --num_frames, several as a list."""
    named = [word.partition("=") if word.startswith("--") else ("", "", word) for word in words[1:]]
    args = [f"--{name[2:].replace('-', '_')}{sign}{value}" if name else value for name, sign, value in named]
    if words[0] == "compare":
        at = next((i for i, word in enumerate(args) if word.startswith("-")), len(args))
        args = [json.dumps(args[:at]), *args[at:]] if at else args
    if "--set" in args:
        at = args.index("--set") + 1
        end = next((i for i, word in enumerate(args) if i >= at and word.startswith("--")), len(args))
        args = [*args[:at], json.dumps(args[at:end]), *args[end:]]
    return args


def _check_checkpoint(words: Sequence[str]) -> None:
    """Raises CheckpointError where `--ckpt_path` names a file that is no checkpoint, before Lightning opens it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--ckpt_path", default="last")
    path = parser.parse_known_args(words)[0].ckpt_path
    if path not in ("best", "last", "hpc", "null") and not path.startswith("registry"):
        read_checkpoint(path)


if __name__ == "__main__":
    main()
