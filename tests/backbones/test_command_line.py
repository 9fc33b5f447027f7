"""Both stages for one step through the command line with each family, picked by the checkpoint's flag alone."""

import json
import warnings
from pathlib import Path

import pytest
import torch

from families import FAMILIES, write
from tiny import Demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"), checkpoint, root / "configs" / "synthetic")


@pytest.mark.parametrize("family", FAMILIES)
def test_both_stages_take_a_step(demo: Demo, family: str) -> None:
    folder, run = write(FAMILIES[family], demo.folder / family), demo.folder / "runs" / family
    height, width = FAMILIES[family].size
    short = [
        f"--backbone={folder}", "--data.root=world", "--data.frames=4",
        f"--data.size=[{height},{width}]", "--data.batch_size=1", "--data.num_workers=0", "--trainer.max_steps=1",
        "--trainer.limit_val_batches=0", "--trainer.num_sanity_val_steps=0", "--trainer.logger=false",
        "--trainer.precision=32-true", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
    ]  # fmt: skip
    both = [f"--model.heatmap={run}/heatmap/last.ckpt", "--model.view=difference"]
    for config, more in (("heatmap", []), ("dialog", both)):
        callback = {
            "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
            "init_args": {"dirpath": f"{run}/{config}", "save_last": True, "save_top_k": 0},
        }
        shipped = f"--config={demo.configs / config}.yaml"
        demo.main("fit", shipped, *short, f"--trainer.callbacks={json.dumps([callback])}", *more)
    state = torch.load(run / "dialog" / "last.ckpt", weights_only=True)
    assert state["backbone"]["name"].startswith(f"{family}:")
    trained = {key.split(".")[1] for key in state["state_dict"]}
    assert trained == {"text", "decoder", "encoder", "backbone", "familiarity", "judge"}
    assert all("lora_" in key for key in state["state_dict"] if key.startswith("model.backbone."))
    moved = [v.abs().sum() > 0 for k, v in state["state_dict"].items() if "lora_B" in k]
    assert moved
    assert all(moved)


@pytest.mark.parametrize(
    ("flag", "advice"),
    [
        ("--trainer.precision=bf16-mixed", "--trainer.precision 32-true"),
        ("--model.backbone.dtype=bfloat16", "dtype: float32"),
    ],
)
@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_16_bits_that_are_only_emulated_are_told(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, capability: str, flag: str, advice: str
) -> None:
    monkeypatch.setattr("tvau.backbones.huggingface.get_cpu_capability", lambda: capability)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        demo.main(
            "fit", f"--config={demo.configs / 'heatmap'}.yaml", "--data.root=world", "--trainer.fast_dev_run=true",
            "--data.frames=4", "--data.batch_size=1", "--data.num_workers=0", flag,
        )  # fmt: skip
    found = {str(w.message) for w in told if "only emulates bfloat16" in str(w.message)}
    assert len(found) == (capability == "AVX2")
    assert all(advice in message for message in found)


def test_a_backbone_in_one_word_replaces_the_whole(demo: Demo, tmp_path: Path) -> None:
    folder = write(FAMILIES["smolvlm"], tmp_path / "other")
    preset = tmp_path / "preset.yaml"
    preset.write_text(f"class_path: tvau.backbones.load\ninit_args: {{checkpoint: {folder}, blocks: [2]}}\n")
    for word, blocks in ((folder, None), (preset, (2,))):
        cli = demo.main(
            "fit",
            f"--config={demo.configs / 'heatmap'}.yaml",
            f"--backbone={word}",
            "--data.root=world",
            "--trainer.fast_dev_run=true",
            "--data.frames=4",
            "--data.batch_size=1",
            "--data.num_workers=0",
            "--data.size=[64,64]",
        )
        backbone = cli.model.model.backbone
        assert backbone.name.startswith("smolvlm:")
        assert blocks in (None, tuple(backbone.blocks))


@pytest.mark.parametrize(
    ("word", "message"),
    [("--backbone={}/llava", "llava model: expected one of qwen2_vl"),
     ("--backbone={}/absent", "neither a checkpoint folder nor a hub id"),
     ("--model.backbone.blocks=[1,9]", "expected numbers from 1 to 6"),
     ("--model.backbone.options.trust_remote_code=true", "trust_remote_code is not allowed"),
     ("--data.frames=3", "clips of 3 frames"), ("--model.backbone.size=[20,20]", "multiples of 16")],
)  # fmt: skip
def test_bad_input_ends_in_one_line(demo: Demo, tmp_path: Path, word: str, message: str) -> None:
    (tmp_path / "llava").mkdir()
    (tmp_path / "llava" / "config.json").write_text('{"model_type": "llava"}')
    word = word.format(tmp_path)
    preset = [] if "--backbone" in word else [f"--model.backbone={demo.preset}"]
    with pytest.raises(SystemExit) as stop:
        demo.main("fit", f"--config={demo.configs / 'heatmap'}.yaml", *preset, "--data.root=world",
                  "--data.num_workers=0", "--data.batch_size=1", word)  # fmt: skip
    assert str(stop.value.code).startswith("tvau: ")
    assert message in str(stop.value.code)
