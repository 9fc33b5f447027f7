"""How far videos are from a model's training: `python benchmarks/familiar.py FOLDER ... [--ckpt FILE] [--stride N]`.

For each folder of videos (or video) the distance of its windows, 1 where the farthest of a hundred validation clips
would be, and the share of its videos that are called foreign, as `tvau predict` calls them. The default is the model
that comes with tvau.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import median

import torch

from tvau.backbones import load as load_lvlm
from tvau.data import VideoFolder
from tvau.familiarity import FOREIGN
from tvau.shipped import MODEL, path
from tvau.tasks.dialog import load


@torch.no_grad()
def main() -> None:
    """Prints a line a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="of videos or frame folders, or single ones")
    parser.add_argument("--ckpt", default=str(path(MODEL)), help="a checkpoint of stage 2 of nano")
    parser.add_argument("--stride", type=int, default=1, help="look at every Nth frame")
    parser.add_argument("--limit", type=int, help="at most so many videos of a folder, evenly spaced")
    args = parser.parse_args()
    model = load(args.ckpt, load_lvlm(str(path("backbones/nano")), blocks=[6]))
    print("| videos | windows | nearest | median | farthest | videos called foreign |\n|---|--:|--:|--:|--:|--:|")
    for folder in args.folders:
        data = VideoFolder(folder, stride=args.stride, limit=args.limit, batch_size=1, num_workers=0)
        data.setup("predict")
        found: dict[str, list[float]] = defaultdict(list)
        for batch in data.predict_dataloader():
            strange = model.glance(batch).strange
            if strange is None:
                raise SystemExit(f"{args.ckpt} knows nothing of its training clips: train it with tvau 0.2 or later")
            found[batch["name"][0]] += strange.tolist()
        windows = sorted(one for own in found.values() for one in own)
        foreign = sum(median(own) > FOREIGN for own in found.values())
        print(f"| {Path(folder).name} | {len(windows)} | {windows[0]:.2f} | {median(windows):.2f} | {windows[-1]:.2f}"
              f" | {foreign} of {len(found)} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
