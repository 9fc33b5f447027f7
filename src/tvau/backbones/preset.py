"""A backbone in one word: a preset's file, a checkpoint's folder, or a hub id."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from tvau.backbones.base import VideoLVLM
from tvau.errors import BackboneError
from tvau.shipped import found


def stated(backbone: str) -> Namespace:
    """What stands for it in a config: `class_path` and `init_args`.

    Raises:
        BackboneError: a file that is no preset.
    """
    backbone = found(backbone)
    if Path(backbone).suffix != ".yaml":  # read as the checkpoint describes itself
        arguments: dict[str, Any] = {"checkpoint": backbone, "blocks": None, "size": None, "dtype": "auto"}
        return Namespace(class_path="tvau.backbones.load", init_args=Namespace(**arguments))
    try:
        return _parser().parse_args([f"--backbone={backbone}"]).backbone
    except Exception as error:
        raise BackboneError(f"{backbone}: expected a preset as in backbones/ ({error})") from error


def load_preset(backbone: str, blocks: Sequence[int] | None = None) -> VideoLVLM:
    """The LVLM itself, with other blocks where they are named. Raises BackboneError for no preset or no checkpoint."""
    made = stated(backbone)
    if blocks is not None:
        made.init_args.blocks = list(blocks)
    return _parser().instantiate(Namespace(backbone=made)).backbone


def _parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--backbone", type=VideoLVLM, sub_configs=True)
    return parser
