"""What a real card says of a 7B, unattended: `python benchmarks/gpu.py` runs part after part, each in its own process.

Qwen2.5-VL 7B with random bfloat16 weights: the ratios of `benchmarks/backbones.py` with each attention; seconds and
memory of predict and of a step of both stages, for one clip and for two, with and without gradient checkpointing, and
with a 4-bit language model; a fit of both stages on the synthetic world. A part that fails (no flash attention, no
memory) is named with its reason and ends nothing. What is done stays: a second call does what is missing or failed.

It leaves `gpu.json` (all numbers), `gpu.md` (tables) and `measured.json` in --out; the last, laid into a folder of
presets or given by --measured, is what `tvau backbones` shows beside its computed memory.

It has never run on a card. `--thin` runs all of it on a CPU with a model of 6 M parameters, which says that it runs.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from backbones import CLIPS, COMPUTED, NAMES, ROOT, Bench, drawn, measured

CLIP = {"7b": "preset", "thin": "thin"}
PRESET = {"7b": "qwen2_5_vl_7b", "thin": "thin"}
Row = dict[str, Any]


def ratios(args: argparse.Namespace, attention: str) -> Row:
    """The table of `benchmarks/backbones.py`."""
    return measured(Bench(args.size, CLIP[args.size], args.device, args.words, attention=attention), args.rounds)


def steps(args: argparse.Namespace, **options: Any) -> Row:
    """Seconds and memory of predict, stage 1 and stage 2; one that fails leaves the others."""
    bench, found = Bench(args.size, CLIP[args.size], args.device, args.words, **options), {}
    computed = bench.computed()
    for work, field in COMPUTED.items():
        try:
            bench.seconds(work)  # warm up
            seconds = sorted(bench.seconds(work) for _ in range(args.rounds))[args.rounds // 2]
            found[field] = {"seconds": seconds, "bytes": bench.peak(work), "computed": getattr(computed, field)}
        except (RuntimeError, torch.OutOfMemoryError) as error:
            found[field] = {"error": first_line(error)}
            torch.cuda.empty_cache()
    return found


def fit(args: argparse.Namespace) -> Row:
    """Both stages by the command line on a world that is drawn for it."""
    folder = (args.out / "fit").resolve()
    processor, config, dtype = drawn(args.size)
    processor.save_pretrained(folder / "lvlm")
    config.save_pretrained(folder / "lvlm")
    preset = {"checkpoint": str(folder / "lvlm"), "dtype": dtype, "random_weights": 0, "gradient_checkpointing": True}
    clip = CLIPS[CLIP[args.size]]
    preset |= {"size": list(clip[1:]), "frames": clip[0]}
    (folder / "lvlm.yaml").write_text(yaml.safe_dump({"class_path": "tvau.backbones.load", "init_args": preset}))
    tvau(folder, "synth", "data/demo", f"--scale={args.scale}")
    found: Row = {}
    for stage in ("heatmap", "dialog"):
        tvau(
            folder, "fit", f"--config={ROOT}/configs/synthetic/{stage}.yaml", "--backbone=lvlm.yaml",
            "--data.size=null", f"--data.frames={clip[0]}", "--data.batch_size=1", f"--trainer.max_steps={args.steps}",
            "--trainer.limit_val_batches=2", "--trainer.num_sanity_val_steps=0", "--trainer.callbacks+=tvau.tasks.Cost",
            f"--trainer.accelerator={'cpu' if args.device == 'cpu' else 'gpu'}", "--trainer.devices=1",
            "--trainer.enable_progress_bar=false",
        )  # fmt: skip
        found[stage] = json.loads((folder / f"runs/demo/{stage}/cost.json").read_text())
    return found


def tvau(folder: Path, *words: str) -> None:
    """One command in a folder."""
    subprocess.run([sys.executable, "-m", "tvau.cli", *words], cwd=folder, check=True)


PARTS: dict[str, tuple[Callable[..., Row], dict[str, Any]]] = {
    "sdpa": (ratios, {"attention": "sdpa"}),
    "flash": (ratios, {"attention": "flash_attention_2"}),
    **{
        f"{clips} clip{'s' * (clips > 1)}{', checkpointing' * keep}": (
            steps, {"clips": clips, "gradient_checkpointing": keep})
        for clips in (1, 2) for keep in (False, True)
    },
    "4 bits": (steps, {"bits": 4}),
    "4 bits, checkpointing": (steps, {"bits": 4, "gradient_checkpointing": True}),
    "fit": (fit, {}),
}  # fmt: skip


def first_line(error: BaseException) -> str:
    """What an error says."""
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def alone(args: argparse.Namespace, name: str) -> Row:
    """A part in a process of its own, at most --limit seconds."""
    part, start = args.out / "part.json", time.monotonic()
    part.unlink(missing_ok=True)
    words = [f"--{key}={getattr(args, key)}" for key in ("size", "device", "rounds", "words", "steps", "scale", "out")]
    with (args.out / "log.txt").open("ab") as log:
        log.write(f"==== {name}\n".encode())
        log.flush()
        try:
            code = subprocess.run(
                [sys.executable, __file__, *words, f"--part={name}"], stdout=log, stderr=log, timeout=args.limit
            ).returncode
        except subprocess.TimeoutExpired:
            code = f"none within {args.limit} s"
    row = json.loads(part.read_text()) if part.is_file() else {"error": f"exit status {code}, see log.txt"}
    part.unlink(missing_ok=True)
    return {"wall": time.monotonic() - start, **row}


def table(parts: Row) -> str:
    """The numbers of all parts in Markdown."""
    lines = ["| part | work | seconds | over the group's first | GB | computed GB |", "|---|---|--:|--:|--:|--:|"]
    for name, row in parts.items():
        if "error" in row:
            lines.append(f"| {name} | failed: {row['error']} | | | | |")
        for work, r in row.get("found", {}).items():
            if "error" in r:
                lines.append(f"| {name} | {work} failed: {r['error']} | | | | |")
                continue
            seconds, used = (
                r.get("seconds", r.get("fit_seconds")),
                r.get("bytes", r.get("fit_gpu", r.get("fit_memory"))),
            )
            cells = [
                f"{seconds:.2f}" if seconds else "",
                f"{r['over']:.3f}" if "over" in r else "",
                f"{used / 1e9:.2f}",
            ]
            cells += [f"{r['computed'] / 1e9:.2f}" if "computed" in r else ""]
            lines.append(f"| {name} | {NAMES.get(work, work)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def for_presets(args: argparse.Namespace, parts: Row, device: str) -> list[Row]:
    """What `tvau backbones` shows: peaks by preset and by what it was asked for."""
    rows = []
    for name, row in parts.items():
        work, options = PARTS[name]
        peaks = (
            {field: r["bytes"] for field, r in row.get("found", {}).items() if "bytes" in r} if work is steps else {}
        )
        if peaks:
            asked = {"clips": 1, "bits": None, "gradient_checkpointing": False} | options
            rows.append({"preset": PRESET[args.size], **asked, **peaks, "device": device})
    return rows


def main(words: Sequence[str] | None = None) -> None:
    """Runs the parts, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CLIP, default="7b")
    parser.add_argument("--thin", dest="size", action="store_const", const="thin", help="a trial on a CPU")
    parser.add_argument("--device", help="cuda, or cpu for thin")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--words", type=int, default=24, help="tokens of an answer")
    parser.add_argument("--steps", type=int, default=50, help="of each stage of the fit")
    parser.add_argument("--scale", type=float, default=0.2, help="of the synthetic world of the fit")
    parser.add_argument("--limit", type=float, default=3600, help="seconds that a part may take")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    args.device = args.device or ("cpu" if args.size == "thin" else "cuda")
    args.out.mkdir(parents=True, exist_ok=True)
    if args.part:
        work, options = PARTS[args.part]
        try:
            row = {"found": work(args, **options)}
        except Exception as error:  # whatever it is, the other parts go on
            row = {"error": first_line(error)}
        (args.out / "part.json").write_text(json.dumps(row))
        return
    device = "CPU" if args.device == "cpu" else torch.cuda.get_device_name()
    kept = args.out / "gpu.json"
    made_of = {"size": args.size, "device": device, "torch": torch.__version__}
    before = json.loads(kept.read_text()) if kept.is_file() else {}
    parts: Row = before["parts"] if before.items() >= made_of.items() else {}  # a trial on a CPU is none on a card
    for name in args.parts:
        if "found" not in parts.get(name, {}):
            parts[name] = alone(args, name)
            print(f"{name}: {parts[name].get('error', 'done')} ({parts[name]['wall']:.0f} s)", flush=True)
        kept.write_text(json.dumps({**made_of, "parts": parts}, indent=1))
        (args.out / "gpu.md").write_text(f"{args.size} on {device}, torch {torch.__version__}\n\n{table(parts)}\n")
        (args.out / "measured.json").write_text(json.dumps(for_presets(args, parts, device), indent=1))
    print((args.out / "gpu.md").read_text())


if __name__ == "__main__":
    main()
