"""`tvau merge`: what plain transformers loads says what the tuned LVLM says without anomaly prompts."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from tiny import DIALOG, stage_one, store, video
from tvau.backbones import Qwen25VL
from tvau.cli import main
from tvau.tasks import DialogTask


def test_plain_transformers_gives_the_same_logits(checkpoint: Path, tmp_path: Path) -> None:
    first = stage_one(Qwen25VL(str(checkpoint), blocks=[1, 2]), tmp_path / "first.ckpt")
    task = DialogTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), heatmap=str(first))
    draw = torch.Generator().manual_seed(0)
    for name, weight in task.model.backbone.named_parameters():
        if "lora_B" in name:  # it begins at zero, where nothing would be tuned
            weight.data = torch.randn(weight.shape, generator=draw) * 0.1
    store(task, tmp_path / "second.ckpt")
    main(["merge", str(tmp_path / "second.ckpt"), str(tmp_path / "merged")])

    task.eval()
    inputs = task.model.backbone.prepare(video(), [DIALOG], 0, [5.0])
    with torch.no_grad():
        own = task.model.backbone(inputs, task.model.backbone.encode(inputs))
        untuned = Qwen25VL(str(checkpoint), blocks=[1, 2])
        before = untuned(inputs, untuned.encode(inputs))
        plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged")
        names = ("input_ids", "attention_mask", "pixel_values_videos", "video_grid_thw", "second_per_grid_ts",
                 "mm_token_type_ids")  # fmt: skip
        logits = plain(**{name: inputs[name] for name in names if name in inputs}).logits
    torch.testing.assert_close(logits, own, rtol=1e-3, atol=1e-3)
    assert (before - own).abs().max() > 0.1
    AutoProcessor.from_pretrained(tmp_path / "merged")

    with pytest.raises(SystemExit, match="holds other files, which would be lost"):
        main(["merge", str(tmp_path / "second.ckpt"), str(tmp_path / "merged")])
    with pytest.raises(SystemExit, match="stage 1, which tunes no LVLM"):
        main(["merge", str(tmp_path / "first.ckpt"), str(tmp_path / "other")])
