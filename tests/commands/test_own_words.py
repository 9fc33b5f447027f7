"""Own words in the place of the trained prompts, in the shell and in Python."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch.nn import Identity

import tvau
from tiny import stage_one
from tvau.backbones import Qwen25VL
from tvau.commands.predict import translated
from tvau.errors import OptionError
from tvau.model import text_features
from tvau.prompts import nested
from tvau.tasks import HeatmapTask, OwnWords

CLIMBS = "a person climbing a fence"


@pytest.fixture(scope="module")
def trained(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Qwen25VL, Path]:
    backbone = Qwen25VL(str(checkpoint), blocks=[1, 2])
    return backbone, stage_one(backbone, tmp_path_factory.mktemp("own") / "stage1.ckpt")


def test_the_shell_hands_phrases_on_behind_the_writer() -> None:
    said = translated(["v.mp4", "--abnormal", CLIMBS, "--normal=walking", "--abnormal", "a kite", "--out", "here"])
    at = said.index("--trainer.callbacks+=tvau.tasks.OwnWords")
    assert said[at + 1 :] == [
        f'--trainer.callbacks.abnormal=["{CLIMBS}", "a kite"]', '--trainer.callbacks.normal=["walking"]'
    ]  # fmt: skip
    assert said.index("--trainer.callbacks.folder=here") < at
    assert not any("OwnWords" in word for word in translated(["v.mp4"]))


def test_python_takes_phrases_and_what_is_not_given_stays(trained: tuple[Qwen25VL, Path]) -> None:
    backbone, path = trained
    plain, own = tvau.load(path, backbone), tvau.load(path, backbone, abnormal=[CLIMBS])
    assert own is not plain
    assert tvau.load(path, backbone, abnormal=[CLIMBS]) is own
    expected = text_features(backbone, {"normal": ["x"], "abnormal": nested((CLIMBS,))})
    torch.testing.assert_close(own.tvau.text[1], expected[1])
    assert torch.equal(own.tvau.text[0], plain.tvau.text[0])
    assert not torch.equal(own.tvau.text[1], plain.tvau.text[1])
    with pytest.raises(OptionError, match="empty phrase"):
        own.tvau.words([" "])


def test_phrases_take_their_place_once_a_checkpoint_is_read(trained: tuple[Qwen25VL, Path]) -> None:
    task = HeatmapTask(trained[0])
    OwnWords(normal=[CLIMBS]).setup(cast(Any, None), task, "predict")
    state = torch.load(trained[1], weights_only=True)["state_dict"]
    task.model.backbone.mute()
    task.load_state_dict(state, strict=False)
    assert isinstance(cast(Any, task.model.backbone).lm.get_decoder(), Identity)  # still out of the way
    task.model.backbone.mute(False)
    torch.testing.assert_close(
        task.model.text[0], text_features(trained[0], {"normal": nested((CLIMBS,)), "abnormal": ["x"]})[0]
    )
    assert torch.equal(task.model.text[1], state["model.text"][1])


def test_a_model_without_a_decoder_reads_no_words(trained: tuple[Qwen25VL, Path]) -> None:
    with pytest.raises(OptionError, match="has none"):
        tvau.model.TVAU(trained[0]).words([CLIMBS])
