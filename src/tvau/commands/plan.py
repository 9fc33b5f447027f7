"""`tvau plan`: the demo's configs for another LVLM, as they fit a card."""

from pathlib import Path
from typing import Any

from tvau.shipped import found, path

STAGES = {"heatmap": "heatmap", "dialog": "dialog", "dialog_lora": "dialog"}  # config, and the stage that it is of


def plan(
    backbone: str,
    memory: float | None = None,
    out: str | None = None,
    world: str = "data/demo",
    size: tuple[int, int] | None = None,
) -> None:
    """Says how an LVLM can be trained on a card: clips at a time, precision, checkpointing, frame size.

    With `out` it also writes what `make demo BACKBONE=...` runs: the synthetic configs for this LVLM.

    Args:
        backbone: a preset's name or file, a checkpoint folder, or a hub id.
        memory: of the card, GB; null: of this machine's.
        out: folder for configs and runs.
        world: where the synthetic data set is, or will be.
        size: height and width of frames; null: the preset's, or what suits the tower.
    """
    import torch
    import yaml

    from tvau.backbones.preset import stated
    from tvau.files import whole
    from tvau.proposal import STEP, WORLD, propose

    name = backbone if Path(backbone).exists() or not path(f"backbones/{backbone}.yaml").is_file() else (
        f"backbones/{backbone}.yaml"
    )  # fmt: skip
    made = stated(name)
    preset: dict[str, Any] = made.init_args.as_dict()
    gpu = memory is not None or torch.cuda.is_available()
    proposal = propose(preset, _config(preset["checkpoint"]), _memory() if memory is None else memory * 1e9, gpu, size)
    height, width = proposal.size
    print(f"{name}: frames of {height}x{width}, {proposal.dtype}"
          f"{f', {proposal.bits}-bit language model' if proposal.bits else ''}"
          f"{', gradient checkpointing' if proposal.checkpointing else ''}; stage 1 with {proposal.heatmap} clips at a "
          f"time, stage 2 with {proposal.dialog}, {STEP} a step")  # fmt: skip
    if out is None:
        return
    lvlm = {"class_path": made.class_path, "init_args": {**preset, **proposal.backbone(), "size": list(proposal.size)}}
    folder = Path(out) / "configs"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"backbone.yaml": yaml.safe_dump(lvlm, sort_keys=False)}
    for config, stage in STAGES.items():
        text = Path(found(f"configs/synthetic/{config}.yaml")).read_text(encoding="utf-8")
        told = yaml.safe_load(text.replace("runs/demo", out).replace("data/demo", world))
        real = yaml.safe_load(Path(found(f"configs/ubnormal/{stage}.yaml")).read_text(encoding="utf-8"))
        clips = getattr(proposal, stage)
        told["trainer"] |= {"accumulate_grad_batches": STEP // clips, "precision": "bf16-mixed" if gpu else "32-true"}
        as_real = {k: v for k, v in real["model"]["init_args"].items() if k in ("learning_rate", "view")}
        told["model"]["init_args"] |= {"backbone": lvlm, **as_real}  # the demo's own values are nano's
        told["data"]["init_args"] |= {"batch_size": clips, "size": None}
        texts[f"{config}.yaml"] = yaml.safe_dump(told, sort_keys=False)
    drawn = WORLD if height == width else proposal.size  # a square tower gets whole pictures, made narrow
    texts["synth.txt"] = f"--size [{drawn[0]},{drawn[1]}]\n"
    texts["predict.txt"] = f"--backbone {folder / 'backbone.yaml'} --size source\n"
    for file, text in texts.items():
        with whole(folder / file) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _config(checkpoint: str) -> Any:
    """The configuration of a checkpoint, from what is published where that is known."""
    from tvau.backbones.checkpoint import read_config
    from tvau.costs import for_published, published

    known = published(found("backbones")).get(checkpoint)
    return for_published(known["config"]) if known else read_config(found(checkpoint), {})


def _memory() -> float:
    """Bytes of this machine's card, or half of its own memory where it has none."""
    import os

    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2
