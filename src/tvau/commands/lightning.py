"""LightningCLI as fit, validate, test and predict use it; every Trainer flag, logger, strategy and callback works."""

import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from tvau.backbones.preset import stated
from tvau.errors import CheckpointError, OptionError
from tvau.shell import Parser
from tvau.shipped import found
from tvau.tasks.checkpoints import made_of, read_checkpoint

QUIET = (  # a user can do nothing about them
    r".*module\(s\) in eval mode",  # a frozen LVLM stays in evaluation mode on purpose
    r"It is recommended to use `self.log\('validation",  # scores are of all processes already
    r"The ``compute`` method of metric",  # of many processes one may see no clip of a split
    r"(?s).*skip_none", r".*treespec",  # Lightning's own code
    r"LightningCLI's args parameter",  # the words are the shell's own
    r"Your `IterableDataset`", r"The number of training batches", r"The dirpath has changed",  # as is meant
    r"Be aware that when using `ckpt_path`",  # a prediction needs no callbacks of the training
)  # fmt: skip


class ArgumentParser(LightningArgumentParser, Parser):
    """Lightning's, with our errors."""

    def parse_args(self, args: Any = None, *more: Any, **options: Any) -> Any:
        """As it is; a null two levels deep (`--model.backbone.cache=null`) comes here from jsonargparse as "None"."""
        words = None if args is None else [re.sub(r"^(--[\w.]+)=None$", r"\1=null", word) for word in args]
        return super().parse_args(words, *more, **options)


class Config(ActionConfigFile):
    """`--config`: a file, or a shipped one by its name in the repository, wherever tvau runs."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Reads it into `cfg`."""
        super().__call__(parser, cfg, found(values), option_string)


class CommandLine(LightningCLI):
    """LightningCLI with short flags for what is asked for most."""

    def init_parser(self, **options: Any) -> LightningArgumentParser:
        """A parser that knows the shipped configs."""
        parser = self.parser_class(**options)
        parser.add_argument("-c", "--config", action=Config, help="a YAML file; of several the later overrules")
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds our own flags; `before_instantiate_classes` hands them on."""
        parser.add_argument("--backbone", type=str, help="another LVLM: a preset's file, a checkpoint folder, a hub id")
        parser.add_argument("--questions", type=str, nargs="+", help="asked instead of the usual dialog")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Reads the words and sets what our own flags stand for."""
        super().parse_arguments(parser, args)
        given = self.config[self.config.subcommand]
        if given.backbone:
            given.model.init_args.backbone = stated(given.backbone)
        if given.ckpt_path == "best" and self.config.subcommand != "fit":
            raise OptionError(
                "--ckpt_path best is known in a fit alone; name the file, as in runs/demo/dialog/best.ckpt"
            )
        if given.ckpt_path not in (None, "best", "last", "hpc") and not given.ckpt_path.startswith("registry"):
            said = {word.partition("=")[0].rpartition(".")[2] for word in args if word.startswith("--model.")}
            checkpoint = read_checkpoint(given.ckpt_path)
            if self.config.subcommand == "fit" and "optimizer_states" not in checkpoint:
                raise CheckpointError(f"{given.ckpt_path}: weights alone; a fit goes on from a last.ckpt")
            read = (checkpoint.get("backbone") or {}).get("blocks")
            if read and "blocks" not in said and "init_args" in (given.model.init_args.get("backbone") or {}):
                given.model.init_args.backbone.init_args.blocks = read  # a preset names those of an untrained decoder
            for name, value in made_of(checkpoint, given.ckpt_path).items():
                own = given.model.init_args.get(name)
                if name == "heatmap" and own and self.config.subcommand == "fit" and Path(own).is_file():
                    continue  # stage 1's own has what a training needs beside it: the decoders that left clips out
                if name in given.model.init_args and name not in said:  # over what a config says, not over the words
                    given.model.init_args[name] = value
        if self.config.subcommand != "fit" and not any(word.startswith("--trainer.logger") for word in args):
            given.trainer.logger = (
                False  # results are files of their own; only `fit` logs, unless a logger is asked for
            )
        if given.questions:
            given.model.init_args.questions = given.questions

    def before_fit(self) -> None:
        """Says what is trained, in place of Lightning's table of parts."""
        sizes = [(weight.numel(), weight.requires_grad) for weight in self.model.parameters()]
        trained, every = sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes)
        self.trainer.print(f"{type(self.model).__name__}: {trained:,} of {every:,} parameters are trained")


def run(command: str, words: Sequence[str]) -> LightningCLI:
    """One command of LightningCLI, with the words behind its name; `--help-all` is its own help."""
    for message in QUIET:
        warnings.filterwarnings("ignore", message)
    adverts = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    adverts.addFilter(lambda record: "Tip:" not in record.getMessage())
    if command == "predict":  # its own lines say what counts; which devices there are is no news
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
    return CommandLine(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        args=[command, *("--help" if word == "--help-all" else word for word in words)],
        save_config_kwargs={"overwrite": True},
        trainer_defaults={"enable_model_summary": False},
        parser_class=ArgumentParser,
        parser_kwargs={"prog": "tvau"},
    )
