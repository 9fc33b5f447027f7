"""`tvau predict`: short words for LightningCLI's."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvau.errors import OptionError
from tvau.shell import nearest
from tvau.shipped import LVLM, MODEL, found

CONFIG = "configs/synthetic/predict.yaml"
SHORT = {
    "--ckpt": "--ckpt_path", "--stride": "--data.stride", "--frames": "--data.frames", "--hop": "--data.hop",
    "--size": "--data.size", "--fps": "--data.fps", "--limit": "--data.limit", "--on-broken": "--data.on_broken",
    "--batch-size": "--data.batch_size", "--workers": "--data.num_workers", "--most": "--model.most",
    "--out": "--trainer.callbacks.folder", "--overwrite": "--trainer.callbacks.overwrite",
}  # fmt: skip
LONG = ("--backbone", "--questions", "--config", "-c", "--seed_everything", "--help-all", "--print_config")
ALONE = ("--overwrite", "--help-all", "--print_config")  # flags that need no value


def predict(*words: str) -> Any:
    """usage: tvau predict VIDEO ... [options]

    Heatmaps, scores, events and a dialog for each video: video files, folders of frames, or folders that hold either.
    Begin with index.html in a video's folder of results.

      --out FOLDER             for the results, a folder a video (predictions)
      --overwrite              do videos again that were done by the same model and options
      --ckpt FILE              a checkpoint of stage 2, or of stage 1: heatmaps only (the one that comes with tvau)
      --backbone LVLM          the LVLM it belongs to: a preset of backbones/, a checkpoint folder, or a hub id (nano)
      --questions TEXT ...     asked instead of the usual dialog
      --most N                 tokens an answer has at most (48)
      --stride N               look at every Nth frame (1)
      --frames N               frames of a window (16)
      --hop N                  sampled frames between the starts of windows (--frames: they do not overlap)
      --size HxW               to which frames are made small before they are looked at; "source": not (96x160)
      --fps X                  frames a second of frame folders, which do not say it (25)
      --on-broken fail|skip    what a video does that cannot be read: end the run, or be named and left out (fail)
      --limit N                at most so many videos, evenly spaced over the folder (all)
      --batch-size N           windows at a time (4)
      --workers N              processes that read video (1)

    Lightning's flags work too (--trainer.devices 2, --trainer.precision bf16-mixed), and --help-all lists them.
    --config FILE replaces the settings behind all this, those of configs/synthetic/predict.yaml.
    """
    from tvau.commands.lightning import run

    return run("predict", translated(words))


def translated(words: Sequence[str]) -> list[str]:
    """The words as LightningCLI takes them.

    Raises:
        OptionError: no video, a flag that nobody knows, a value that is missing, an LVLM without a checkpoint.
    """
    videos, flags = split(words)
    if "--help-all" in flags:
        return ["--help"]
    own = not {"--config", "-c"} & {*flags}  # else all settings are somebody's own
    if own and not videos and "--data.videos" not in flags:
        raise OptionError("name one video or more, or a folder of them (see tvau predict --help)")
    out = ["--config", found(CONFIG)] if own else []
    if videos:
        flags = {"--data.videos": [json.dumps(videos)], **flags}
    if "--data.size" in flags:
        flags["--data.size"] = [_size(*flags["--data.size"])]
    if own:
        _choose_model(flags)
    if "--trainer.callbacks.folder" in flags:
        flags.setdefault("--trainer.default_root_dir", flags["--trainer.callbacks.folder"])
    for name, values in flags.items():
        out += [name, *values] if name == "--questions" or not values else [f"{name}={values[0]}"]
    return out


def split(words: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The videos, and the words of each flag by its long name: one, of `--questions` all that follow."""
    videos: list[str] = []
    flags: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or Path(word).exists():
            videos.append(word)
            continue
        given, sign, value = word.partition("=")
        short = given if given in SHORT or given in LONG else given.replace("_", "-")
        name = SHORT.get(short, given)
        if name == given and given not in LONG and "." not in given and given not in SHORT.values():
            raise OptionError(f"{given} is not known here{nearest(given, [*SHORT, *LONG])} (see tvau predict --help)")
        values = [value] if sign else []
        while not sign and short not in ALONE and rest and not rest[0].startswith("--"):
            values.append(rest.pop(0))
            if name != "--questions":
                break
        if not values and short not in ALONE:
            raise OptionError(f"{given} needs a value (see tvau predict --help)")
        flags[name] = values or (["true"] if name == SHORT["--overwrite"] else [])
    return videos, flags


def _choose_model(flags: dict[str, list[str]]) -> None:
    """The model that comes with tvau where none is named; a checkpoint of stage 1 becomes a task without words."""
    if "--ckpt_path" not in flags:
        if other := {"--backbone", "--model.backbone"} & {*flags}:
            raise OptionError(
                f"{min(other)} needs --ckpt, a checkpoint that was trained with it: the model that comes with tvau "
                f"belongs to {LVLM}"
            )
        print(f"the model that comes with tvau: {MODEL}, which knows the synthetic world only (--ckpt FILE: another)",
              file=sys.stderr)  # fmt: skip
        flags["--ckpt_path"] = [found(MODEL)]
    path = flags["--ckpt_path"][0]
    if Path(path).is_file():
        from tvau.tasks.checkpoints import read_checkpoint

        if "heatmap" not in read_checkpoint(path).get("options", {}):
            if asked := {"--questions", "--model.most"} & {*flags}:
                raise OptionError(f"{path} is of stage 1 and speaks no words: leave {min(asked)} out")
            flags["--model"] = ["tvau.tasks.HeatmapTask"]


def _size(text: str) -> str:
    """96x160 as [96,160], source as null; anything else as it is."""
    height, sign, width = text.partition("x")
    return "null" if text == "source" else f"[{height},{width}]" if sign else text
