"""A tiny random LVLM, clips for it and a miniature world: what tests of many rooms build."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tvau import nano
from tvau.backbones import Qwen25VL, VideoLVLM
from tvau.tasks import HeatmapTask
from tvau.types import Batch, Turn

FRAMES, SIZE = 4, (32, 64)  # of a clip; two time steps of 4x8 patches, 2x4 visual tokens
WORLD_SIZE = (64, 96)  # of the miniature world's videos


def write_checkpoint(folder: Path) -> Path:
    """A Qwen2.5-VL with two layers of width 64 and nano's tower, random, but with weights large enough to matter."""
    nano.create(folder, layers=2, width=64, heads=2)
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
        "turns": [list(turns)] * clips, "mask": mask,
    }  # fmt: skip


def stage_one(backbone: VideoLVLM, path: Path) -> Path:
    """A checkpoint of an untrained stage 1."""
    task = HeatmapTask(backbone)
    checkpoint = {"state_dict": task.state_dict()}
    task.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)
    return path


def close(given: Tensor, expected: Tensor) -> None:
    """Asserts equality up to rounding in single precision."""
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)
