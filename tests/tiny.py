"""A tiny random LVLM, clips for it and a miniature world: what tests of many rooms build."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import lightning
import torch
from torch import Tensor

from tvau.backbones import Qwen25VL, VideoLVLM
from tvau.cli import main
from tvau.nano import blueprint
from tvau.tasks import HeatmapTask
from tvau.tasks.base import Task
from tvau.types import Batch, Turn
from tvau.world import SPLITS, write

FRAMES, SIZE = 4, (32, 64)  # of a clip; two time steps of 4x8 patches, 2x4 visual tokens
WORLD_SIZE = (64, 96)  # of the miniature world's videos
PRESET = "class_path: tvau.backbones.Qwen25VL\ninit_args: {{checkpoint: {checkpoint}, blocks: {blocks}}}\n"


def write_checkpoint(folder: Path) -> Path:
    """A Qwen2.5-VL with two layers of width 64 and nano's tower, random, but with weights large enough to matter."""
    blueprint.create(folder, layers=2, width=64, heads=2)
    lm = Qwen25VL(str(folder), blocks=[1], random_weights=True).lm
    torch.manual_seed(0)
    for weights in lm.parameters():
        if weights.ndim > 1:  # the library's own start is so small that neither position nor attention would show
            weights.data.normal_(0, weights[0].numel() ** -0.5)
    lm.save_pretrained(folder)
    return folder


def video(clips: int = 1, frames: int = FRAMES, size: tuple[int, int] = SIZE, seed: int = 0) -> Tensor:
    """Random frames, uint8 [B, T, 3, H, W]."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(256, (clips, frames, 3, *size), generator=draw, dtype=torch.uint8)


def turn(question: str, answer: str = "", task: str = "judgement") -> Turn:
    """One turn of a dialog."""
    return {"task": task, "question": question, "answer": answer}


DIALOG = [turn("Is there any anomaly in the video?", "No, there is no anomaly."), turn("Where?", "center.", "target")]


def batch(clips: int = 1, turns: Sequence[Turn] = DIALOG, seed: int = 0) -> Batch:
    """Clips with one dialog; the upper left quarter of the last two frames is abnormal."""
    mask = torch.zeros(clips, FRAMES, *SIZE, dtype=torch.bool)
    mask[:, FRAMES // 2 :, : SIZE[0] // 2, : SIZE[1] // 2] = True
    return {
        "video": video(clips, seed=seed), "frames": torch.arange(FRAMES).repeat(clips, 1), "fps": [5.0] * clips,
        "name": [f"{'ab' * (i % 2)}normal_scene_1_scenario_{i}" for i in range(clips)],
        "turns": [list(turns)] * clips, "mask": mask, "labels": mask.flatten(2).any(2),
    }  # fmt: skip


def store(task: Task, path: Path) -> Path:
    """A checkpoint of a task as it stands."""
    checkpoint = {
        "state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams),
        "pytorch-lightning_version": lightning.__version__,
    }  # fmt: skip
    task.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)
    return path


def stage_one(backbone: VideoLVLM, path: Path, folds: int = 0) -> Path:
    """A checkpoint of an untrained stage 1; decoders that left clips out differ from its own."""
    task = HeatmapTask(backbone, folds=folds)
    for weights in task.fold_decoders.parameters():
        weights.data.add_(0.05 * torch.randn_like(weights))
    task.read()
    return store(task, path)


def close(given: Tensor, expected: Tensor) -> None:
    """Asserts equality up to rounding in single precision."""
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


class Demo:
    """A folder with a miniature world, a backbone preset and runs, in which commands are given as a user gives them."""

    def __init__(self, folder: Path, checkpoint: Path, configs: Path, videos: int = 2) -> None:
        self.folder, self.configs = folder, configs
        self.preset = folder / "tiny.yaml"
        self.preset.write_text(PRESET.format(checkpoint=checkpoint, blocks=[1, 2]))
        write(folder / "world", dict.fromkeys(SPLITS, videos), seed=3, size=WORLD_SIZE, progress=False)

    def __call__(self, command: str, config: str, *more: str, preset: Path | None = None) -> Any:
        """One of Lightning's commands with a shipped config, everything in it made small."""
        data = ["--data.size=[32,64]", "--data.num_workers=0", "--data.batch_size=2"]
        if config != "predict":
            data += ["--data.root=world", "--data.test_splits=[test,test_novel]"]
        if command == "fit":
            more = ("--trainer.max_steps=2", *more)
        return self.main(
            command, f"--config={self.configs / config}.yaml", f"--model.backbone={preset or self.preset}", *data,
            "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", *more,
        )  # fmt: skip

    def main(self, *args: str) -> Any:
        """Any command, as if typed in the folder."""
        with contextlib.chdir(self.folder), mock.patch("sys.argv", ["tvau"]):
            return main(args)
