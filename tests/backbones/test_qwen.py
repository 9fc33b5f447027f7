"""What only Qwen-VL have: merge blocks over several clips, positions in time, and questions packed behind one video."""

from pathlib import Path

import pytest
import torch

from contract import FPS, ROUNDING
from families import FAMILIES, write
from tiny import DIALOG, close, turn, video
from tvau.backbones import Inputs, Qwen2VL, Qwen25VL
from tvau.backbones.tokens import IGNORE
from tvau.nano.packing import pack


@pytest.fixture(scope="module")
def lvlm(tmp_path_factory: pytest.TempPathFactory) -> Qwen25VL:
    return Qwen25VL(str(write(FAMILIES["qwen2_5_vl"], tmp_path_factory.mktemp("qwen"))), blocks=[1, 2])


@pytest.fixture(scope="module")
def elder(tmp_path_factory: pytest.TempPathFactory) -> Qwen2VL:
    return Qwen2VL(str(write(FAMILIES["qwen2_vl"], tmp_path_factory.mktemp("qwen"))), blocks=[1, 2])


def ask(lvlm: Qwen2VL, clips: torch.Tensor, fps: float = FPS) -> Inputs:
    return lvlm.prepare(clips, [[turn("?")]] * len(clips), 0, [fps] * len(clips))


def test_clips_of_one_batch_do_not_mix(lvlm: Qwen25VL) -> None:
    clips = video(2, 4, (64, 96))
    both = lvlm.encode(ask(lvlm, clips)).hidden
    for i in range(2):
        alone = lvlm.encode(ask(lvlm, clips[i : i + 1])).hidden
        for block in lvlm.blocks:
            close(both[block][i], alone[block][0])


def test_time_steps_follow_the_frame_rate(lvlm: Qwen25VL) -> None:
    slow, fast = (ask(lvlm, video(1, 4, (64, 96)), fps)["position_ids"] for fps in (0.5, 10.0))
    assert slow[0].max() > fast[0].max()  # seconds pass between two pairs of frames


@pytest.mark.parametrize("frames", [4, 24])
def test_text_follows_the_videos_last_position(lvlm: Qwen25VL, elder: Qwen2VL, frames: int) -> None:
    """Reference: the rule of the Qwen2-VL and Qwen2.5-VL reports, written out by hand for one clip."""
    size, fps = (32, 48), 1.0  # 2x3 visual tokens a time step
    for model, interval in ((elder, 1), (lvlm, 3 * 2 / fps)):  # ids a time step; tokens_per_second is 3 in the tiny one
        inputs = ask(model, video(1, frames, size), fps)
        positions, ids = inputs["position_ids"][:, 0], inputs["input_ids"][0]
        visual = (ids == model.lm.config.video_token_id).nonzero()[:, 0]
        begin, end = int(visual[0]), int(visual[-1]) + 1
        assert positions[:, :begin].tolist() == [list(range(begin))] * 3
        steps = torch.arange(frames // 2).repeat_interleave(6)
        rows, columns = torch.arange(2).repeat_interleave(3).repeat(frames // 2), torch.arange(3).repeat(frames)
        expected = torch.stack([(steps * interval).long(), rows, columns]) + begin
        assert torch.equal(positions[:, begin:end], expected)
        after = int(expected.max()) + 1 + torch.arange(len(ids) - end)
        assert torch.equal(positions[:, end:], after.expand(3, -1))


@torch.no_grad()
def test_cached_turns_equal_a_full_run_behind_a_long_video(lvlm: Qwen25VL) -> None:
    clips = video(1, 24, (32, 48))
    inputs = lvlm.prepare(clips, [[turn("Is there any anomaly?")]], 0, [1.0])
    vision = lvlm.encode(inputs)
    dialog = lvlm.start(inputs, vision)
    for word in lvlm.tokens.answer("Yes."):
        lvlm.feed(dialog, torch.tensor([[word]]), torch.tensor([[1]]))
    lvlm.ask(dialog, ["Where?"])
    whole = lvlm.prepare(clips, [[turn("Is there any anomaly?", "Yes."), turn("Where?")]], 0, [1.0])
    torch.testing.assert_close(dialog.logits, lvlm(whole, vision)[:, -1], rtol=0, atol=ROUNDING)


@torch.no_grad()
def test_packed_turns_do_not_see_each_other(lvlm: Qwen25VL) -> None:
    clips = video(2, 4, (32, 48))
    dialogs = [[*DIALOG, turn("How many people are in the video?", "two.")], DIALOG[1:]]

    def said(inputs: Inputs) -> torch.Tensor:
        logits = lvlm(inputs, lvlm.encode(inputs))
        return logits[:, :-1][inputs["labels"][:, 1:] != IGNORE]

    single = [
        said(lvlm.prepare(clips[i : i + 1], [[own]], 0, [FPS])) for i, turns in enumerate(dialogs) for own in turns
    ]
    close(said(pack(lvlm, clips, dialogs, [FPS] * 2)), torch.cat(single))


def test_the_tiny_checkpoint_of_other_tests_loads(checkpoint: Path) -> None:
    assert Qwen25VL(str(checkpoint), blocks=[1, 6]).depth == 6
