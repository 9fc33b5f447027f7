"""UCSD Ped2's official one-class protocol: the memory of normal tokens beside the difference baselines.

python benchmarks/one_class.py --seeds 0 1 2 --variants default bank_1024

No label is read but those of the test: the memory, its calibration and every rule for boxes come from the normal
training clips (`tvau.tasks.NeighbourTask`). Results: OUT/table.md and OUT/<variant>/seed<n>/test.json. Also told: the
time of the search in the bank over that of the tower, side by side in one run.
"""

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from ped2 import digest

from tvau.backbones.preset import load_preset
from tvau.cli import main as tvau
from tvau.commands.compare import gathered
from tvau.files import whole
from tvau.memory import Memory
from tvau.tasks.neighbours import NEIGHBOURS
from tvau.viz.report import Table, markdown, number

CONFIG = Path(__file__).parents[1] / "configs" / "ucsd_ped2" / "one_class.yaml"
COLUMNS = {
    "micro AUC": ("frame", "micro_auc"), "macro AUC": ("frame", "macro_auc_both"), "pixel AUROC": ("pixel", "auroc"),
    "pixel AP": ("pixel", "average_precision"), "RBDC": ("region", "rbdc"), "TBDC": ("region", "tbdc"),
}  # fmt: skip
VARIANTS = {
    "default": [], "bank_1024": ["bank=1024"], "bank_16384": ["bank=16384", "each=256"],
    "blocks_4_6": ["blocks=[4,6]"], "block_4": ["blocks=[4]"], "blocks_all": ["blocks=[1,2,4,6]"],
}  # fmt: skip


def run(args: argparse.Namespace, variant: str, seed: int) -> dict[str, Any]:
    """The scores of one line and seed, by method; a test that is done with these settings is not done again."""
    folder = args.out / variant / f"seed{seed}"
    words = [
        "test", f"--config={CONFIG}", f"--seed_everything={seed}", f"--data.root={args.root}",
        f"--trainer.default_root_dir={folder}", f"--model.backbone={args.backbone}", "--model.bootstrap=0",
        "--trainer.enable_progress_bar=false", *(f"--model.{option}" for option in VARIANTS[variant]),
        *(f"--{option}" for option in args.set),
    ]  # fmt: skip
    settings = json.dumps({"words": words, "digests": [digest(CONFIG), digest(Path(args.backbone))]}, indent=1)
    noted = folder / "settings.json"
    if not (folder / "test.json").is_file() or not noted.is_file() or noted.read_text() != settings:
        tvau([*words, *([f"--model.backbone.cache={args.cache}"] if args.cache else [])])
        noted.write_text(settings)
    return {method: splits["test"] for method, splits in json.loads((folder / "test.json").read_text()).items()}


def search_share(backbone: str, rounds: int = 5) -> float:
    """Seconds of the search in a bank of 4,096 tokens over those of the tower, the median of rounds side by side."""
    lvlm = load_preset(backbone)
    lvlm.mute()
    memory = Memory(lvlm.vision_size, lvlm.blocks[-1:], 4096)
    memory.bank.normal_()
    video, shares = torch.randint(256, (1, 16, 3, 160, 240), dtype=torch.uint8), []
    for _ in range(rounds):
        begun = perf_counter()
        with torch.no_grad():
            hidden = lvlm.encode({"video": video}).hidden
            seen = perf_counter()
            memory.distance(hidden)
        shares.append((perf_counter() - seen) / (seen - begun))
    return sorted(shares)[rounds // 2]


def main() -> None:
    """Runs what is not done and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=["default"], choices=[*VARIANTS])
    parser.add_argument("--root", default="../shared/data/ucsd_ped2", help="folder of UCSD Ped2")
    parser.add_argument("--out", type=Path, default=Path("runs/ped2/one_class"))
    parser.add_argument("--backbone", default="backbones/nano.yaml", help="preset of the LVLM")
    parser.add_argument("--cache", default="runs/ped2/cache", help="of vision passes, 3 GB with nano; '' for none")
    parser.add_argument("--set", nargs="*", default=[], help="options of tvau, such as data.size=[160,240]")
    args = parser.parse_args()
    sys.argv[1:] = []  # LightningCLI looks there, too
    results = {variant: [run(args, variant, seed) for seed in args.seeds] for variant in args.variants}
    lines = {f"memory, {variant}": gathered([seed[NEIGHBOURS] for seed in seeds]) for variant, seeds in results.items()}
    first = next(iter(results.values()))[0]
    lines |= {method: scores for method, scores in first.items() if method != NEIGHBOURS}
    body = tuple(
        (title, *(number(scores.get(part, {}).get(name)) for part, name in COLUMNS.values()))
        for title, scores in lines.items()
    )
    frame = first[NEIGHBOURS]["frame"]
    text = (
        f"{markdown(Table('UCSD Ped2, one class', ('method', *COLUMNS), body))}\n\n{frame['videos']} test clips, "
        f"{frame['frames']} frames ({frame['abnormal_frames']} abnormal); memory: mean and standard deviation over "
        f"seeds {args.seeds}. The search takes {search_share(args.backbone):.2f} of the tower's time.\n"
    )
    with whole(args.out / "table.md") as path:
        path.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
