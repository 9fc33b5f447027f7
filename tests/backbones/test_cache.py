"""Vision passes on disk: what is read is what was handed on, and nothing is taken for something else."""

from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor

from tiny import turn, video
from tvau.backbones import Inputs, Qwen25VL, VisionPass, load
from tvau.backbones.cache import VisionCache
from tvau.errors import BackboneError


def lvlm(checkpoint: Path, folder: Path, blocks: tuple[int, ...] = (1, 2), **options: object) -> Qwen25VL:
    return Qwen25VL(str(checkpoint), blocks=blocks, cache=str(folder), **options)  # type: ignore[arg-type]


def ask(backbone: Qwen25VL, clips: Tensor, question: str = "Is there any anomaly?") -> Inputs:
    return backbone.prepare(clips, [[turn(question)]] * len(clips), 0, [5.0] * len(clips))


def computed(backbone: Qwen25VL, inputs: Inputs) -> tuple[VisionPass, int]:
    """The pass, and how many of its clips went through the tower."""
    with mock.patch.object(backbone, "features", wraps=backbone.features) as tower:
        seen = backbone.encode(inputs)
    return seen, sum(len(call.args[0]["video"]) for call in tower.call_args_list)


def equal(given: VisionPass, expected: VisionPass) -> bool:
    return given.hidden.keys() == expected.hidden.keys() and all(
        torch.equal(given.hidden[k], kept(expected.hidden[k])) for k in given.hidden
    ) and all(torch.equal(own, kept(other)) for own, other in zip(
        given.output["pooler_output"], expected.output["pooler_output"], strict=True
    ))  # fmt: skip


def kept(full: Tensor) -> Tensor:
    """What the cache makes of numbers; once more makes no difference."""
    return full.half().float() if full.dtype == torch.float32 else full


@torch.no_grad()
def test_only_clips_that_are_not_kept_are_computed(checkpoint: Path, tmp_path: Path) -> None:
    backbone, clips = lvlm(checkpoint, tmp_path), video(3)
    first, count = computed(backbone, ask(backbone, clips[:2]))
    assert count == 2
    again, count = computed(backbone, ask(backbone, clips[[1, 2, 0]], "And now?"))  # the words do not matter
    assert count == 1
    assert torch.equal(again.hidden[2][[2, 0]], first.hidden[2])
    assert torch.equal(again.output["pooler_output"][2], first.output["pooler_output"][0])
    alone = Qwen25VL(str(checkpoint), blocks=[1, 2])
    assert torch.equal(again.hidden[2][1:2], kept(alone.encode(ask(alone, clips[2:])).hidden[2]))
    other, count = computed(lvlm(checkpoint, tmp_path), ask(backbone, clips[[1, 2, 0]]))  # as another process
    assert count == 0
    assert equal(other, again)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".safetensors"]


@torch.no_grad()
def test_blocks_are_added_and_chosen(checkpoint: Path, tmp_path: Path) -> None:
    clips = video(2)
    for blocks, expected in (((1, 2), 2), ((2,), 0), ((2, 4), 2), ((1, 4), 0)):
        backbone = lvlm(checkpoint, tmp_path, blocks)
        seen, count = computed(backbone, ask(backbone, clips))
        assert count == expected
        plain = Qwen25VL(str(checkpoint), blocks=blocks)
        assert equal(seen, plain.encode(ask(plain, clips)))


@torch.no_grad()
def test_other_weights_settings_and_precision_are_kept_apart(checkpoint: Path, tmp_path: Path) -> None:
    clips = video(1)
    for options in ({}, {"random_weights": 1}, {"random_weights": 2}, {"attention": "eager"}, {"dtype": "bfloat16"}):
        backbone = lvlm(checkpoint, tmp_path, **options)
        assert computed(backbone, ask(backbone, clips))[1] == 1
    again = lvlm(checkpoint, tmp_path, random_weights=2)
    assert computed(again, ask(again, clips))[1] == 0  # a seed draws the same weights
    with torch.autocast("cpu", torch.bfloat16):
        assert computed(again, ask(again, clips))[1] == 1
    assert computed(again, ask(again, clips[..., :16]))[1] == 1


@torch.no_grad()
def test_numbers_too_large_for_sixteen_bits_are_kept_too(checkpoint: Path, tmp_path: Path) -> None:
    backbone = Qwen25VL(str(checkpoint), blocks=[1, 2])
    cache, inputs = VisionCache(str(tmp_path), backbone.lm, ""), ask(backbone, video(1))

    def large(given: Inputs) -> VisionPass:
        seen = backbone.encode(given)
        seen.hidden[1] *= 1e5 / seen.hidden[1].abs().max()
        return seen

    first = cache.encode(backbone.lm, inputs, (1, 2), large)
    again = cache.encode(backbone.lm, inputs, (1, 2), mock.Mock(side_effect=AssertionError("it is kept")))
    assert torch.equal(again.hidden[1], first.hidden[1])
    assert float(again.hidden[1].abs().max()) == pytest.approx(1e5, rel=0.004)
    tensors = [*again.hidden.values(), *again.output["pooler_output"]]
    assert {own.dtype for own in tensors} == {torch.float32}
    (path,) = tmp_path.rglob("*.safetensors")
    assert path.stat().st_size < 2 * sum(own.numel() for own in tensors) + 2000


@torch.no_grad()
def test_a_damaged_file_is_made_anew(checkpoint: Path, tmp_path: Path) -> None:
    backbone = lvlm(checkpoint, tmp_path)
    inputs = ask(backbone, video(1))
    expected = backbone.encode(inputs)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    seen, count = computed(backbone, inputs)
    assert count == 1
    assert equal(seen, expected)
    assert computed(backbone, inputs)[1] == 0


def test_a_tower_in_training_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    backbone = lvlm(checkpoint, tmp_path)
    inputs = ask(backbone, video(1))
    backbone.add_lora(2, 4)  # leaves the tower alone
    assert not backbone.encode(inputs).hidden[1].requires_grad
    backbone.unfreeze()
    with pytest.raises(BackboneError, match="is being trained, so its passes change; leave `cache` out"):
        backbone.encode(inputs)


def test_a_folder_that_cannot_be_written(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    backbone = load(str(checkpoint), blocks=[1], cache=str(tmp_path / "file"))
    assert isinstance(backbone, Qwen25VL)
    with pytest.raises(BackboneError, match="could not be written"):
        backbone.encode(ask(backbone, video(1)))
