"""Which kinds of anomaly stage 1 finds: `python benchmarks/kinds.py 'runs/bench/localization/ahd/{seed}/last.ckpt'`.

For each kind of some splits of the synthetic world, the frame AUC of its abnormal frames against the frames of all
normal videos of the split, and against the other frames of the same videos: mean over the seeds, no smoothing. A low
first figure with a high second one says that the normal videos hold something that looks worse. Beside them the
median area of the target in pixels of the frame that the LVLM sees. The normal videos of a split are the same for all
of its kinds, so the figures are not the split's AUC taken apart.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional import auroc

from tvau.backbones import Qwen25VL
from tvau.data import UBnormal
from tvau.model import TVAU
from tvau.tasks.checkpoints import load_decoder
from tvau.tasks.maps import frame_scores

Frames = dict[str, NDArray[np.float64]]  # of each video: score and abnormal area of its frames [N, 2]


@torch.no_grad()
def scored(model: TVAU, root: Path, splits: list[str]) -> dict[str, Frames]:
    """Runs the decoder over all windows of the splits."""
    data = UBnormal(root=str(root), batch_size=8, num_workers=1, test_splits=splits)
    data.setup("test")
    found: dict[str, Frames] = {}
    for split, loader in zip(splits, data.test_dataloader(), strict=True):
        rows = defaultdict(list)
        for batch in loader:
            scores = frame_scores(model.heatmaps(batch))
            areas = batch["mask"].flatten(2).sum(2)
            for name, score, area in zip(batch["name"], scores, areas, strict=True):
                rows[name].append(torch.stack([score, area.float()], 1).double().numpy())
        found[split] = {name: np.concatenate(parts) for name, parts in rows.items()}
    return found


def auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Share of pairs that are ordered rightly; nan where one side is empty."""
    if not len(positive) or not len(negative):
        return float("nan")
    labels = torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))]).long()
    return float(auroc(torch.from_numpy(np.concatenate([positive, negative])), labels, task="binary"))


def by_kind(frames: Frames, kinds: dict[str, str | None]) -> dict[str, tuple[float, ...]]:
    """Of each kind: its videos, its abnormal frames, their median area, and the two AUCs."""
    normal = np.concatenate([own[:, 0] for name, own in frames.items() if kinds[name] is None])
    result = {}
    for kind in sorted({kind for name in frames if (kind := kinds[name]) is not None}):
        own = [found for name, found in frames.items() if kinds[name] == kind]
        score, area = np.concatenate(own).T
        shown = score[area > 0]
        result[kind] = (
            len(own), len(shown), float(np.median(area[area > 0])), auc(shown, normal), auc(shown, score[area == 0])
        )  # fmt: skip
    return result


def spread(values: list[float]) -> str:
    """Mean ± standard deviation (n - 1)."""
    return f"{fmean(values):.2f} ± {stdev(values):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="of stage 1, with {seed}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--root", type=Path, default=Path("data/benchmark"))
    parser.add_argument("--splits", nargs="+", default=["in_distribution", "open_set", "novel"])
    args = parser.parse_args()
    videos = json.loads((args.root / "world.json").read_text())["videos"]
    kinds = {name: about["kind"] for name, about in videos.items()}
    backbone = Qwen25VL(
        "backbones/nano", dtype="float32", attention="sdpa", blocks=[1, 2, 4, 6], cache="runs/cache"
    )  # as in configs/tables
    tables: dict[str, list[dict[str, tuple[float, ...]]]] = defaultdict(list)
    for seed in args.seeds:
        decoder, text, _ = load_decoder(args.checkpoint.format(seed=seed), backbone)
        for split, frames in scored(TVAU(backbone, decoder, text=text).eval(), args.root, args.splits).items():
            tables[split].append(by_kind(frames, kinds))
    print("| split | kind | videos | abnormal frames | area | against normal videos | within its videos |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for split, seeds in tables.items():
        for kind in seeds[0]:
            count, shown, area = seeds[0][kind][:3]
            cells = " | ".join(spread([found[kind][at] for found in seeds]) for at in (3, 4))
            print(f"| {split} | {kind} | {count:.0f} | {shown:.0f} | {area:.0f} | {cells} |")


if __name__ == "__main__":
    main()
