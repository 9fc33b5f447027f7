"""The command line: LightningCLI's fit, validate, test and predict, and a few commands beside them."""

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jsonargparse import auto_cli
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI

from tvau import nano
from tvau.errors import TvauError


def synth(root: str, seed: int = 0, workers: int = 2, scale: float = 1.0) -> None:
    """Writes a synthetic data set in UBnormal's layout.

    Args:
        root: where to; a data set that is partly there is completed.
        seed: the same seed gives the same annotations.
        workers: processes that draw.
        scale: 1: the size of the demo; 2: twice as many videos.
    """
    raise NotImplementedError


COMMANDS = {"synth": synth, "nano": nano.create}


def main(args: Sequence[str] | None = None) -> Any:
    """Runs one command; `args` are those of the shell where None. Returns the LightningCLI, if it was one of its."""
    args = list(sys.argv[1:] if args is None else args)
    try:
        if args and args[0] in COMMANDS:
            return auto_cli(COMMANDS[args[0]], args=args[1:], as_positional=True)
        torch.set_float32_matmul_precision("high")
        return LightningCLI(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=["--" + args[0][2:].replace("questions", "model.questions") if a == "--questions" else a for a in args],
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"parser_mode": "omegaconf" if False else "yaml"},
        )
    except TvauError as error:
        sys.exit(f"tvau: {error}")


if __name__ == "__main__":
    warnings.simplefilter("default")
    main()
