"""`tvau plan`: how an LVLM is trained on a card, set against what follows from the sizes of Qwen2.5-VL 7B by hand.

Its 8.29 billion weights are 16.6 GB of bfloat16, with those of the language model's layers in 4 bits 7.3 GB. In stage 2
AHD, RAE and LoRA take 1.6 GB, a clip of 2,577 tokens 16.4 GB of activations, 1.2 GB of them with checkpointing. 80 % of
a card may be filled.
"""

import subprocess
from pathlib import Path

import pytest
import torch
import yaml

from tvau.cli import main

LARGE = "qwen2_5_vl_7b"


@pytest.mark.parametrize(
    ("memory", "expected"),
    [(80, "bfloat16; stage 1 with 8 clips at a time, stage 2 with 2, 8 a step"),  # 64 >= 16.6 + 1.6 + 2 x 16.4
     (44, "bfloat16; stage 1 with 8 clips at a time, stage 2 with 1, 8 a step"),  # 35.2 >= 16.6 + 1.6 + 16.4
     (26, "bfloat16, gradient checkpointing; stage 1 with 8 clips at a time, stage 2 with 2, 8 a step"),  # 20.8
     (24, "bfloat16, 4-bit language model, gradient checkpointing; stage 1 with 8 clips at a time, stage 2 with 8, "
          "8 a step"),  # 19.2 < 16.6 + 1.6 + 1.2
     (13, "bfloat16, 4-bit language model, gradient checkpointing; stage 1 with 2 clips at a time, stage 2 with 1, "
          "8 a step")],  # 10.4 >= 7.3 + 1.6 + 1.2
)  # fmt: skip
def test_what_fits_a_card(memory: float, expected: str, root: Path, monkeypatch: pytest.MonkeyPatch,
                          capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.chdir(root)
    main(["plan", LARGE, f"--memory={memory}"])
    assert capsys.readouterr().out == f"backbones/{LARGE}.yaml: frames of 336x588, {expected}\n"


def test_a_card_that_is_too_small_is_told_how_large_it_would_have_to_be(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit, match=r"336x588 pixels needs about 13 GB, this machine has 10: choose a smaller"):
        main(["plan", LARGE, "--memory=10"])


def test_the_configs_are_those_of_the_plan(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    main(["plan", LARGE, "--memory=26", f"--out={tmp_path}", "--size=[168,280]", "--world=data/other"])
    made = {name: yaml.safe_load((tmp_path / "configs" / f"{name}.yaml").read_text()) for name in ("heatmap", "dialog")}
    for stage, clips in (("heatmap", 8), ("dialog", 4)):  # 16.6 + 1.6 + 4 x 0.5 for 980 tokens less than 20.8
        config = made[stage]
        lvlm = config["model"]["init_args"]["backbone"]["init_args"]
        assert (lvlm["dtype"], lvlm["bits"], lvlm["gradient_checkpointing"]) == ("bfloat16", None, True)
        assert lvlm["size"] == [168, 280]
        assert config["data"]["init_args"]["batch_size"] == clips
        assert config["trainer"]["accumulate_grad_batches"] * clips == 8
        assert config["data"]["init_args"]["root"] == "data/other"
    assert made["dialog"]["model"]["init_args"]["view"] == "difference"  # to go without prompts is nano's
    assert (tmp_path / "configs" / "synth.txt").read_text() == "--size [168,280]\n"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a card is planned for in its own precision")
def test_without_a_card_weights_are_whole(root: Path, monkeypatch: pytest.MonkeyPatch,
                                          capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.chdir(root)
    main(["plan", "nano"])
    assert ", float32; stage 1 with 8 clips at a time, stage 2 with 8, 8 a step" in capsys.readouterr().out


def test_the_demo_plans_for_the_memory_that_it_is_told(root: Path) -> None:
    command = ["make", "-n", "demo", f"BACKBONE={LARGE}", "MEMORY=24", "SIZE=[336,588]"]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert f"tvau plan {LARGE} --out runs/demo_{LARGE} --world data/demo_{LARGE} --memory 24 --size [336,588]" in said
