"""Checkpoints: small, bound to their backbone, read without executing anything."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import batch, close, stage_one, store
from tvau.backbones import Qwen25VL
from tvau.errors import CheckpointError
from tvau.metrics.boxes import MapRule
from tvau.model import TVAU
from tvau.tasks import DialogTask, HeatmapTask
from tvau.tasks.checkpoints import load_decoder
from tvau.tasks.dialog import load


@pytest.fixture(scope="module")
def frozen(checkpoint: Path) -> Qwen25VL:
    """For tests that add no LoRA."""
    return Qwen25VL(str(checkpoint), blocks=[1, 2])


@pytest.fixture
def fresh(checkpoint: Path) -> Qwen25VL:
    return Qwen25VL(str(checkpoint), blocks=[1, 2])


@pytest.fixture(scope="module")
def first(frozen: Qwen25VL, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of stage 1."""
    return stage_one(frozen, tmp_path_factory.mktemp("stage1") / "last.ckpt")


def test_the_decoder_comes_back_as_it_was(frozen: Qwen25VL, first: Path) -> None:
    decoder, text, options = load_decoder(str(first), frozen)
    state = torch.load(first, weights_only=True)["state_dict"]
    assert torch.equal(text, state["model.text"])
    others = {key for key in state if not key.startswith("model.decoder.")}
    assert others == {"model.text", *(f"model.familiarity.{part}" for part in ("mean", "inverse", "usual"))}
    assert {f"model.decoder.{k}" for k in decoder.state_dict()} == set(state) - others
    assert all(torch.equal(v, state[f"model.decoder.{k}"]) for k, v in decoder.state_dict().items())
    assert options == {"width": None, "context": None}


def test_options_of_the_decoder_travel_with_it(frozen: Qwen25VL, tmp_path: Path) -> None:
    store(HeatmapTask(frozen, width=24), tmp_path / "wide.ckpt")
    decoder, _, options = load_decoder(str(tmp_path / "wide.ckpt"), frozen)
    assert options == {"width": 24, "context": None}
    assert decoder.projections["1"][1].out_features == 24  # type: ignore[index]


def test_stage_one_goes_on_from_a_checkpoint(frozen: Qwen25VL, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = HeatmapTask(frozen, width=24)
    other.rules = {"tvau": MapRule(0.2)}
    store(other, tmp_path / "other.ckpt")
    task = HeatmapTask(frozen, start=str(tmp_path / "other.ckpt"))
    assert task.decoder_options == {"width": 24, "context": None}
    given, expected = task.model.decoder.state_dict(), other.model.decoder.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(given[k], v) for k, v in expected.items())
    assert all(weights.requires_grad for weights in task.model.decoder.parameters())  # type: ignore[union-attr]
    assert task.rules == {}  # chosen on the new data


def test_a_trained_model_comes_back_whole(fresh: Qwen25VL, first: Path, checkpoint: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    task = DialogTask(fresh, heatmap=str(first), channels=8, lora_rank=2)
    for name, weights in task.named_parameters():
        if weights.requires_grad:
            weights.data += 0.1 * torch.randn_like(weights)
        assert weights.requires_grad == ("lora_" in name or ".encoder." in name)
    path = tmp_path / "last.ckpt"
    store(task, path)
    again = load(str(path), Qwen25VL(str(checkpoint), blocks=[1, 2]))
    assert isinstance(again, TVAU)
    with torch.no_grad():
        close(again(batch()), task.model.eval()(batch()))
        close(again.heatmaps(batch()), task.model.heatmaps(batch()))
    decoder, _, _ = load_decoder(str(path), fresh)  # a checkpoint of stage 2 holds the decoder too
    assert decoder.weights.keys() == {1, 2}


def test_without_a_decoder_there_is_nothing_to_take(fresh: Qwen25VL, checkpoint: Path, tmp_path: Path) -> None:
    store(DialogTask(fresh, lora_rank=2), tmp_path / "lora.ckpt")
    with pytest.raises(CheckpointError, match="holds no heatmap decoder"):
        load_decoder(str(tmp_path / "lora.ckpt"), fresh)


def test_a_checkpoint_of_stage_one_cannot_speak(frozen: Qwen25VL, first: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint of stage 2"):
        load(str(first), frozen)


def test_another_backbone_is_named(checkpoint: Path, first: Path) -> None:
    with pytest.raises(CheckpointError, match=r"blocks \[1, 2\] instead of \[3\]"):
        load_decoder(str(first), Qwen25VL(str(checkpoint), blocks=[3]))


def test_parts_that_differ_are_named(frozen: Qwen25VL, first: Path) -> None:
    stored = torch.load(first, weights_only=True)
    del stored["state_dict"]["model.decoder.log_weights.1"]
    with pytest.raises(CheckpointError, match=r"1 parts differ \(first: model.decoder.log_weights.1\)"):
        HeatmapTask(frozen).on_load_checkpoint(stored)


class Evil:
    """Leaves a file behind where its pickle is executed."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_a_pickle_is_never_executed(frozen: Qwen25VL, first: Path, tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "evil.ckpt"
    torch.save({**torch.load(first, weights_only=True), "extra": Evil(trace)}, path)
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_decoder(str(path), frozen)
    path.write_bytes(pickle.dumps(Evil(trace)))
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_decoder(str(path), frozen)
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", "half"])
def test_damaged_files(frozen: Qwen25VL, first: Path, tmp_path: Path, content: bytes | str) -> None:
    whole = first.read_bytes()
    (tmp_path / "damaged.ckpt").write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_decoder(str(tmp_path / "damaged.ckpt"), frozen)


@pytest.mark.parametrize("content", [[1, 2], {"weights": 1}, {"state_dict": {}}])
def test_files_of_other_programs(frozen: Qwen25VL, tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="no checkpoint of tvau"):
        load_decoder(str(tmp_path / "other.ckpt"), frozen)


def test_a_missing_file(frozen: Qwen25VL) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint; `tvau fit` makes them"):
        load_decoder("absent.ckpt", frozen)


def test_other_weights_of_the_same_shape_are_refused(
    frozen: Qwen25VL, checkpoint: Path, first: Path, tmp_path: Path
) -> None:
    half = Qwen25VL(str(checkpoint), blocks=[1, 2], dtype="bfloat16")
    load_decoder(str(first), half)  # the same ones, rounded
    other = Qwen25VL(str(checkpoint), blocks=[1, 2], random_weights=True)
    with pytest.raises(CheckpointError, match="with other weights"):
        load_decoder(str(first), other)
    old = torch.load(stage_one(frozen, tmp_path / "old.ckpt"), weights_only=True)
    del old["backbone"]["fingerprint"]
    with pytest.warns(UserWarning, match="does not say on which weights"):
        HeatmapTask(other).on_load_checkpoint(old)


def test_flipped_bytes_are_noticed(frozen: Qwen25VL, first: Path, tmp_path: Path) -> None:
    content = bytearray(first.read_bytes())
    for at in range(len(content) // 2, len(content) // 2 + 400):  # in the middle of the weights
        content[at] ^= 0x10
    (tmp_path / "flipped.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"the checksum of .* is wrong"):
        load_decoder(str(tmp_path / "flipped.ckpt"), frozen)


def test_every_task_has_an_adapter_of_its_own(fresh: Qwen25VL) -> None:
    first = DialogTask(fresh, lora_rank=2)
    for name, weights in first.named_parameters():
        if "lora_" in name:
            weights.data.fill_(1.0)
    told = first.model(batch()).item()
    second = DialogTask(fresh, lora_rank=4)
    lora = {name: weights for name, weights in second.named_parameters() if "lora_" in name}
    assert {weights.shape[0] for name, weights in lora.items() if "lora_A" in name} == {4}
    assert all(weights.requires_grad and not (weights == 1).all() for weights in lora.values())
    plain = DialogTask(fresh, lora_rank=0)
    assert not any("lora_" in name for name in plain.state_dict())
    assert plain.model(batch()).item() != told
