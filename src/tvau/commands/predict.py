"""`tvau predict`: short words for LightningCLI's."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tvau.errors import OptionError
from tvau.shell import said, sized
from tvau.shipped import MODEL, found

CONFIG = "configs/synthetic/predict.yaml"
SHORT = {
    "--ckpt": "--ckpt_path", "--stride": "--data.stride", "--frames": "--data.frames", "--hop": "--data.hop",
    "--size": "--data.size", "--fps": "--data.fps", "--limit": "--data.limit", "--on-broken": "--data.on_broken",
    "--batch-size": "--data.batch_size", "--workers": "--data.num_workers", "--most": "--model.most",
    "--out": "--trainer.callbacks.folder", "--overwrite": "--trainer.callbacks.overwrite",
    "--boxes": "--trainer.callbacks.boxes", "--abnormal": "--abnormal", "--normal": "--normal",
    "--normal-video": "--normal-video",
}  # fmt: skip
LONG = ("--backbone", "--questions", "--server", "--config", "-c", "--ckpt_path", "--seed_everything", "--help-all",
        "--print_config")  # fmt: skip
ALONE = {"--overwrite": "true", "--boxes": "true", "--help-all": None, "--print_config": None}  # without a value


class Words(argparse.ArgumentParser):
    """The short flags under Lightning's names; what has a dot is Lightning's own, and taken with the word behind it."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        lightnings = sorted(flag for flag in flags if "." in flag)
        self.add_argument("videos", nargs="*")
        for flag, name in [*SHORT.items(), *((long, long) for long in (*LONG, *lightnings))]:
            spelled = {flag, f"--{flag[2:].replace('-', '_')}"} if flag in SHORT else {flag}
            options: dict[str, Any] = {"dest": {"-c": "--config"}.get(name, name)}
            if flag in ALONE:
                options |= {"action": "store_const", "const": ALONE[flag]}
            elif flag in ("--abnormal", "--normal", "--normal-video"):
                options["action"] = "append"
            elif flag == "--questions":
                options["nargs"] = "+"
            elif flag == "--size":
                options["type"] = _size
            self.add_argument(*spelled, **options)

    def error(self, message: str) -> NoReturn:
        """Raises OptionError."""
        raise OptionError(f"{said(message, [*SHORT, *LONG])} (see tvau predict --help)")


def predict(*words: str) -> Any:
    """usage: tvau predict VIDEO ... [options]

    Heatmaps, scores, events and a dialog for each video: video files, folders of frames, or folders that hold either.
    Begin with index.html in a video's folder of results.

      --out FOLDER             for the results, a folder a video (predictions)
      --overwrite              do videos again that were done by the same model and options
      --ckpt PATH              a model's folder or checkpoint; of stage 1: heatmaps only (the one that comes with tvau)
      --backbone LVLM          the LVLM it belongs to: a preset, a checkpoint folder or a hub id (the one it names);
                               without --ckpt that LVLM as it comes, untrained: answers, and a score for each window
      --normal-video PATH      normal video, file or folder, may be given again: heatmaps for an untrained LVLM
      --server URL             an OpenAI-like server speaks for the LVLM, see docs/use/serving.md
      --questions TEXT ...     asked instead of the usual dialog
      --most N                 tokens an answer has at most (48)
      --abnormal TEXT          own words for what is abnormal, may be given again (those of the training)
      --normal TEXT            own words for what is normal, may be given again (those of the training)
      --boxes                  draws boxes with the numbers of their targets into the overlay
      --stride N               look at every Nth frame (1)
      --frames N               frames of a window (16)
      --hop N                  sampled frames between the starts of windows (--frames: they do not overlap)
      --size HxW               to which frames are made small before they are looked at; "source": not (96x160)
      --fps X                  frames a second of frame folders, which do not say it (25)
      --on-broken fail|skip    what a video does that cannot be read: end the run, or be named and left out (fail)
      --limit N                at most so many videos, evenly spaced over the folder (all)
      --batch-size N           windows at a time (4)
      --workers N              processes that read video (1)

    A model that tvau learn made brings the stride, frames and size of its learning, where none are given here.

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
    flags = vars(Words(words).parse_intermixed_args(list(words)))
    if "--help-all" in flags:
        return ["--help"]
    if videos := flags.pop("videos", []):
        flags["--data.videos"] = json.dumps(videos)
    own = "--config" not in flags  # else all settings are somebody's own
    if own and "--data.videos" not in flags:
        raise OptionError("name one video or more, or a folder of them (see tvau predict --help)")
    if own:
        _choose_model(flags)
    if "--trainer.callbacks.folder" in flags:
        flags.setdefault("--trainer.default_root_dir", flags["--trainer.callbacks.folder"])
    phrases = {f"--trainer.callbacks.{side}": flags.pop(f"--{side}", None) for side in ("abnormal", "normal")}
    out = ["--config", found(CONFIG)] if own else []
    server, normal = flags.pop("--server", None), flags.pop("--normal-video", None)
    if normal is not None and "--ckpt_path" in flags:
        raise OptionError("--normal-video gives heatmaps to an LVLM as it comes: name it by --backbone, and no --ckpt")
    for name, value in flags.items():
        out += [name, *value] if isinstance(value, list) else [name if value is None else f"{name}={value}"]
    if any(phrases.values()):  # behind all that is said of the other callback
        out.append("--trainer.callbacks+=tvau.tasks.OwnWords")
        out += [f"{name}={json.dumps(own)}" for name, own in phrases.items() if own]
    if normal is not None:
        out += ["--trainer.callbacks+=tvau.tasks.NormalVideo", f"--trainer.callbacks.videos={json.dumps(normal)}"]
    if server is not None:  # behind the flags of the callback before it
        out += ["--trainer.callbacks+=tvau.tasks.Serve", f"--trainer.callbacks.server={server}"]
    return out


def _choose_model(flags: dict[str, Any]) -> None:
    """The model that comes with tvau where none is named, or the bare LVLM; the task of a checkpoint and its LVLM.

    A memory of normal video is asked with the view that it learned: in any other all is unlike what it knows.
    """
    if "--ckpt_path" not in flags:
        if {"--backbone", "--model.backbone"} & {*flags}:
            if {"--abnormal", "--normal"} & {*flags}:
                raise OptionError("--abnormal and --normal are read by a trained decoder: name a model by --ckpt")
            print("UNTRAINED: no --ckpt, so the LVLM answers as it comes", file=sys.stderr)
            flags.setdefault("--model.lora_rank", "0")
            return
        print(f"the model that comes with tvau: {MODEL}, which knows the synthetic world only (--ckpt FILE: another)",
              file=sys.stderr)  # fmt: skip
        flags["--ckpt_path"] = found(MODEL)
    path = flags["--ckpt_path"]
    if Path(path).exists():
        from tvau.tasks.checkpoints import lvlm_of, read_checkpoint

        stored = read_checkpoint(path)
        if not {"--backbone", "--model.backbone"} & {*flags} and (made := lvlm_of(stored, path)):
            made = {**made, "blocks": stored["backbone"]["blocks"]}
            flags["--model.backbone"] = json.dumps({"class_path": "tvau.backbones.load", "init_args": made})
        if "heatmap" not in stored.get("options", {}):
            if asked := {"--questions", "--model.most"} & {*flags}:
                raise OptionError(f"{path} speaks no words: leave {min(asked)} out")
            flags["--model"] = f"tvau.tasks.{stored.get('task') or 'HeatmapTask'}"
        view = (stored.get("data") or {}) if stored.get("task") == "NeighbourTask" else {}
        for name in ("stride", "frames", "size"):
            if name in view and not {f"--data.{name}", f"--data.init_args.{name}"} & {*flags}:
                flags[f"--data.{name}"] = json.dumps(view[name])


def _size(text: str) -> str:
    """96x160 as [96,160], source as null; anything else as it is."""
    return "null" if text == "source" else sized(text)
