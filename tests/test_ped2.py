"""benchmarks/ped2.py on a tiny Ped2: what is asked for, in one table, nothing done twice."""

import json
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import lightning
import numpy as np
import pytest
import torch
from PIL import Image

import miniatures
from test_package import load
from tiny import PRESET, stage_one
from tvau.backbones import Qwen25VL
from tvau.data.ucsd import ped2_folds

COUNT, SIZE = 8, (32, 64)


@pytest.fixture(scope="module")
def ped2(root: Path) -> ModuleType:
    sys.modules["ped2"] = load(root / "benchmarks" / "ped2.py")  # dataclasses look for their module there
    return sys.modules["ped2"]


def write(root: Path) -> None:
    """All clips that the folds name: 8 frames, in the test clips a bright square that moves, masked from frame 2 on."""
    square = miniatures.masks(COUNT, range(2, COUNT), SIZE)
    for name in sorted({name for fold in ped2_folds() for side in fold.values() for name in side}):
        test = name.startswith("Test")
        folder = root / "UCSDped2" / name[:-3] / name
        for picture, to in ((200 * square * test + 30, folder), *([(255 * square, Path(f"{folder}_gt"))] * test)):
            to.mkdir(parents=True)
            for frame in range(COUNT):
                Image.fromarray(picture[frame].astype(np.uint8)).save(to / f"{frame + 1:03d}.png")


@pytest.mark.filterwarnings("ignore")
def test_one_command_makes_the_table(
    ped2: ModuleType,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / "data")
    (tmp_path / "tiny.yaml").write_text(PRESET.format(checkpoint=checkpoint, blocks=[1, 2]))
    # of another block than the preset's: a decoder reads its own
    stored = torch.load(stage_one(Qwen25VL(str(checkpoint), blocks=[2]), tmp_path / "seed5.ckpt"))
    torch.save({**stored, "pytorch-lightning_version": lightning.__version__, "epoch": 1}, tmp_path / "seed5.ckpt")
    words = [
        "ped2.py", "--seeds", "5", "--folds", "2", "--conditions", "synthetic", "both", "--root=data", "--out=out",
        "--synthetic=seed{seed}.ckpt", "--backbone=tiny.yaml", "--cache=cache", "--set", "data.frames=4",
        "data.size=[32,64]", "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1",
        "trainer.limit_train_batches=1",
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", list(words))
    ped2.main()
    shown = capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "table.json").read_text())
    for condition in ("synthetic", "both"):
        (seed,) = written["results"][condition]
        assert seed["tvau"]["frame"]["videos"] == 2
        assert seed["tvau"]["frame"]["frames"] == 2 * COUNT
        assert seed["tvau"]["region"]["tracks"] == 2
        assert [*seed["tvau"]["rules"]] == ["fold0"]
        settings = (tmp_path / "out" / condition / "seed5" / "fold2" / "settings.json").read_text()
        assert "--model.every=2" in settings  # as the config has it, whatever the synthetic decoder saw
    assert "T-VAU, synthetic, then Ped2" in shown
    assert "| median difference" in shown
    assert "| squared difference" in shown
    assert "published: AED-SSMTL" in shown
    with Image.open(tmp_path / "out" / "cases.jpg") as picture:
        assert picture.size == (4 * 64 + 3 * 4, 2 * 32 + 4)  # frame, outline, two conditions; two clips
    monkeypatch.setattr("sys.argv", list(words))
    with mock.patch.object(ped2, "tvau", side_effect=AssertionError("done twice")):
        ped2.main()
        before = json.loads((tmp_path / "out" / "table.json").read_text())
        assert before == written
        monkeypatch.setattr("sys.argv", [*words, "model.learning_rate=1"])
        with pytest.raises(AssertionError, match="done twice"):
            ped2.main()  # other settings are another run
    monkeypatch.setattr("sys.argv", [*words, "--seeds", "6"])
    with pytest.raises(ped2.CheckpointError, match=r"seed6\.ckpt: no such checkpoint"):
        ped2.main()
