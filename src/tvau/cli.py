"""The command line: wiring. A command is a file of its name in `tvau.commands`, imported when it is asked for."""

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from tvau import __version__
from tvau.errors import OptionError, TvauError
from tvau.shell import nearest, run
from tvau.signals import stoppable

COMMANDS = {
    "demo": "see something within a minute: freshly drawn videos and what the shipped model says of them",
    "predict": "heatmaps, scores, events and a dialog for your videos",
    "chat": "talk about a video in the terminal",
    "watch": "alerts, key frames and clips of a camera or stream, while it runs",
    "ui": "talk about a video in the browser",
    "learn": "learn what is normal from normal video alone: a model without labels or training",
    "fit": "train stage 1, stage 2 or a baseline",
    "validate": "measure a checkpoint on the validation videos",
    "test": "measure a checkpoint on the test videos",
    "synth": "draw a synthetic data set",
    "data check": "say what a data set holds, what is missing and what does not fit together",
    "data page": "show example dialogs of a data set on a page with pictures",
    "annotate": "make dialogs from a data set's masks or tracks",
    "export": "results of predict as COCO, MOT, CVAT, Label Studio, FiftyOne, or dialogs to train with",
    "score": "score anybody's boxes or frame scores, without a model",
    "report": "gather the results of a folder of runs on a page with pictures",
    "compare": "set several runs or seeds side by side",
    "table": "fit and test every line of a table with several seeds",
    "merge": "write the tuned LVLM as a folder that plain transformers loads",
    "backbones": "list the LVLMs and what each costs in memory and tokens",
    "plan": "say how an LVLM can be trained on a card, and write the demo's configs for it",
    "nano": "write the blueprint of the embedded LVLM",
}


def main(args: Sequence[str] | None = None) -> Any:
    """Runs one command; `args` are those of the shell where None. Returns what the command does to who gave `args`."""
    words = list(sys.argv[1:] if args is None else args)
    try:
        with stoppable(TvauError, OSError):
            result = _answer(words)
            return None if args is None else result  # what the console script returns becomes the exit status
    except BrokenPipeError:  # who reads our output has seen enough
        sys.stdout = None
        sys.exit(141)
    except Exception as error:
        sys.exit(f"tvau: {_sentence(error)}")


def _answer(words: list[str]) -> Any:
    """The result of a command, of the first two words where they name one."""
    group = words[:1] == ["data"]
    name, rest = " ".join(words[: 1 + group]), words[1 + group :]
    if name in COMMANDS:
        name_of_file = name.split()[-1]
        return run(getattr(import_module(f"tvau.commands.{name_of_file}"), name_of_file), rest, f"tvau {name}")
    if name in ("-V", "--version"):
        return print(f"tvau {__version__}")
    if name not in ("", "-h", "--help", "data", "data -h", "data --help"):
        raise OptionError(f"there is no command {name!r}{nearest(name, COMMANDS)} (see tvau --help)")
    lines = {each: line for each, line in COMMANDS.items() if each.startswith("data " if group else "")}
    print("usage: tvau COMMAND ...\n\nText-guided fine-grained video anomaly understanding.\n")
    print("\n".join(f"  {each:12}{line}" for each, line in lines.items()))
    return print("\ntvau COMMAND --help says more; tvau --version names the release.")


def _sentence(error: BaseException) -> str:
    """What an error of ours, or of the disk, says in one sentence; any other is raised again."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TvauError):  # the parser wraps what a constructor raises
        cause = cause.__cause__
    if cause is not None:  # a loader's worker puts its traceback in front of the message
        return re.split(r"tvau\.errors\.\w+: ", str(cause))[-1].strip()
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    raise error


if __name__ == "__main__":
    main()
