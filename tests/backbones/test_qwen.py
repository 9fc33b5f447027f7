"""Qwen2.5-VL: the contract, and its tower's windows and rasters."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from contract import FPS, Contract
from tiny import close, turn, video
from tvau.backbones import Qwen25VL
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.errors import BackboneError


class TestQwen25VL(Contract):
    adapter = Qwen25VL
    size = (64, 96)  # 4x6 visual tokens in windows of 2x2: the tower works on them in another order

    @staticmethod
    def tower(lvlm: HuggingFaceLVLM) -> nn.Module:
        tower = lvlm.lm.model.visual
        assert isinstance(tower, nn.Module)
        return tower

    @torch.no_grad()
    @pytest.mark.parametrize(("t", "y", "x"), [(0, 0, 0), (0, 1, 6), (1, 6, 3), (1, 7, 11)])
    def test_hidden_states_lie_on_the_true_raster(self, checkpoint: Path, t: int, y: int, x: int) -> None:
        lvlm = Qwen25VL(str(checkpoint), blocks=[1, 2, 6])
        for block in lvlm.lm.model.visual.blocks:  # without attention a patch can change its own cell only
            block.attn.proj.weight.zero_()
            block.attn.proj.bias.zero_()
        clip = self.clips()
        other = clip.clone()
        other[:, 2 * t : 2 * t + 2, :, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] ^= 255
        one, two = (lvlm.encode(lvlm.prepare(v, [[turn("?")]], 0, [FPS])).hidden for v in (clip, other))
        for block in lvlm.blocks:
            changed = (one[block] != two[block]).any(2)[0]  # [T', H', W']
            assert changed.nonzero().tolist() == [[t, y, x]]

    def test_clips_of_one_batch_do_not_mix(self, lvlm: Qwen25VL) -> None:
        clips = self.clips(2)
        both = lvlm.encode(lvlm.prepare(clips, [[turn("?")]] * 2, 0, [FPS] * 2)).hidden
        for i in range(2):
            alone = lvlm.encode(lvlm.prepare(clips[i : i + 1], [[turn("?")]], 0, [FPS])).hidden
            for block in lvlm.blocks:
                close(both[block][i], alone[block][0])

    def test_time_steps_follow_the_frame_rate(self, lvlm: Qwen25VL) -> None:
        slow, fast = (lvlm.prepare(self.clips(), [[turn("?")]], 0, [fps])["position_ids"] for fps in (0.5, 10.0))
        assert slow[0].max() > fast[0].max()  # seconds pass between two pairs of frames

    @pytest.mark.parametrize(("frames", "height", "width", "message"), [
        (3, 32, 64, "clips of 3 frames"), (0, 32, 64, "clips of 0 frames"), (4, 40, 64, "for example"),
        (4, 32, 8, "multiples of 16"), (4, 0, 64, "multiples of 16"),
    ])  # fmt: skip
    def test_clips_that_the_tower_cannot_hold(
        self, lvlm: Qwen25VL, frames: int, height: int, width: int, message: str
    ) -> None:
        with pytest.raises(BackboneError, match=message):
            lvlm.grid(frames, height, width)
        if frames and height:
            with pytest.raises(BackboneError, match=message):
                lvlm.prepare(video(1, frames, (height, width)), [[turn("?")]], 0, [FPS])

    def test_a_folder_without_weights(self, checkpoint: Path, tmp_path: Path) -> None:
        folder = tmp_path / "no weights"
        shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("*.safetensors"))
        with pytest.raises(BackboneError, match="no weights could be loaded"):
            Qwen25VL(str(folder), blocks=[1])

    def test_damaged_weights(self, checkpoint: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(checkpoint, tmp_path / "damaged")
        (folder / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes()[:1000])
        with pytest.raises(BackboneError, match="no weights could be loaded"):
            Qwen25VL(str(folder), blocks=[1])

    def test_a_folder_without_tokenizer(self, checkpoint: Path, tmp_path: Path) -> None:
        shutil.copy(checkpoint / "config.json", tmp_path)
        with pytest.raises(BackboneError, match="processor"):
            Qwen25VL(str(tmp_path), blocks=[1])
