"""The words of the shell: from a function's signature to its flags and its help, and the nearest of what was mistyped.

`--num-frames` and `--num_frames` are the same; a list is as many words as follow; a flag alone says yes.
"""

import argparse
import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, get_args

from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentParser

from tvau.errors import OptionError


class Parser(ArgumentParser):
    """A parser that takes flags in full, and whose errors are one sentence that names the nearest flag."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **options)

    def format_help(self, *args: Any, **options: Any) -> str:
        """Help under the name that was typed."""
        return super().format_help(*args, **options).replace(" [options]", "", 1)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises OptionError."""
        shown = (action for action in self._actions if action.help != argparse.SUPPRESS)
        known = [flag for action in shown for flag in action.option_strings]
        raise OptionError(f"{said(message, known)} (see {self.prog.replace(' [options]', '')} --help)") from ex


def said(message: str, known: Iterable[str]) -> str:
    """A parser's message, with the nearest of the known flags where one is not known."""
    if match := re.search(r"unrecognized arguments: (\S+)", message, re.I):
        return f"{match[1]} is not known here{nearest(match[1].partition('=')[0], known)}"
    return message


def nearest(word: str, known: Iterable[str]) -> str:
    """What may have been meant, as the end of a sentence; empty where nothing is near."""
    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def run(function: Callable[..., Any], words: Sequence[str], prog: str) -> Any:
    """Calls a command with the words behind its name.

    A command that takes `*words` reads them itself; its docstring is its help. Of any other the parameters without a
    default are positional, and the others flags.

    Raises:
        OptionError: a word that the command does not know, or a value that it cannot take.
    """
    signature = inspect.signature(function, eval_str=True)
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in signature.parameters.values()):
        if {"-h", "--help"} & {*words}:
            print(inspect.getdoc(function))
            return None
        return function(*words)
    parser = parser_of(function, signature, prog)
    sizes = {f"--{name}" for name, parameter in signature.parameters.items() if tuple[int, int] in kinds(parameter)}
    given = [
        flag + sign + sized(value) if flag in sizes else sized(word) if before in sizes else word
        for before, word in zip(("", *words), words, strict=False)
        for flag, sign, value in [word.partition("=")]
    ]
    return function(**parser.instantiate(parser.parse_args(given)).as_dict())


def kinds(parameter: inspect.Parameter) -> tuple[Any, ...]:
    """The type of a parameter, and those of which it is a union."""
    return parameter.annotation, *get_args(parameter.annotation)


def sized(text: str) -> str:
    """96x160 as [96,160]; anything else as it is."""
    return re.sub(r"^(\d+)x(\d+)$", r"[\1,\2]", text)


def parser_of(function: Callable[..., Any], signature: inspect.Signature, prog: str) -> Parser:
    """The parser of a command: types and defaults from its signature, words from its docstring."""
    docs = parse_docstring(inspect.getdoc(function) or "")
    about = {name.strip(): each.description for each in docs.params for name in each.arg_name.split(",")}
    parser = Parser(prog=prog, description="\n\n".join(filter(None, (docs.short_description, docs.long_description))))
    for name, parameter in signature.parameters.items():
        needed = parameter.default is parameter.empty
        options: dict[str, Any] = {"type": parameter.annotation, "help": about.get(name)}
        if list[str] in kinds(parameter):
            options |= {"type": str, "nargs": "+"} | ({} if needed else {"action": "extend"})
        elif parameter.annotation is bool:
            options |= {"nargs": "?", "const": True}
        if needed:
            parser.add_argument(name, **options)
        else:
            parser.add_argument(f"--{name.replace('_', '-')}", default=parameter.default, **options)
            if "_" in name:  # as Lightning writes its flags
                options["help"] = argparse.SUPPRESS
                parser.add_argument(f"--{name}", default=parameter.default, **options)
    return parser
