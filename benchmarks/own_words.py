"""Does naming a kind find it? `python benchmarks/own_words.py notebooks/model --root data/demo`

A trained decoder of stage 1 (or what stage 2 holds of it) looks at the test videos under four sets of words for what is
abnormal: those of the training; the kind that is looked for, named, beside those of the training; the named kind alone;
and another kind of the same split, named alone, as a control. For each kind the frame AUC of its abnormal frames
against all frames of the split's normal videos, no smoothing. The words for what is normal stay.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional import auroc

from tvau.backbones import Qwen25VL
from tvau.data import UBnormal
from tvau.heatmap_decoder import pool_text
from tvau.metrics.frame import frame_scores
from tvau.model import TVAU
from tvau.prompts import ABNORMAL, nested
from tvau.tasks.checkpoints import load_decoder, read_checkpoint
from tvau.world.kinds import KINDS

WAYS = ("trained", "added", "alone", "another")


def phrase(kind: str) -> str:
    """ "a person falling"; a kind in the words of the built-in prompts."""
    about = KINDS[kind]
    article = "" if about.noun in ("smoke", "fire") else "a "
    return f"{article}{about.noun} {about.action}"


@torch.no_grad()
def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="with a heatmap decoder")
    parser.add_argument("--root", type=Path, default=Path("data/demo"))
    parser.add_argument("--splits", nargs="+", default=["test"])
    args = parser.parse_args()
    kinds = {
        name: about["kind"] for name, about in json.loads((args.root / "world.json").read_text())["videos"].items()
    }
    blocks = read_checkpoint(args.checkpoint)["backbone"]["blocks"]
    backbone = Qwen25VL("backbones/nano", dtype="float32", attention="sdpa", blocks=blocks).eval()
    decoder, trained, _ = load_decoder(args.checkpoint, backbone)
    model = TVAU(backbone, decoder, text=trained).eval()

    def texts(named: list[str]) -> Tensor:
        return torch.stack([trained[0], pool_text(*backbone.encode_text(nested(tuple(named)))).float()])

    data = UBnormal(root=str(args.root), batch_size=8, num_workers=1, test_splits=args.splits)
    data.setup("test")
    print("| split | kind | frames | " + " | ".join(WAYS) + " |\n|---|---|--:|" + "--:|" * len(WAYS))
    for split, loader in zip(args.splits, data.test_dataloader(), strict=True):
        batches = list(loader)
        found = sorted({kind for batch in batches for name in batch["name"] if (kind := kinds[name])})
        words = {("trained", ""): trained}
        for kind in found:
            words["added", kind] = texts([*ABNORMAL, phrase(kind)])
            words["alone", kind] = texts([phrase(kind)])
        seen = {  # which of these words each column of a kind's row shows
            kind: (("trained", ""), ("added", kind), ("alone", kind), ("alone", found[(at + 1) % len(found)]))
            for at, kind in enumerate(found)
        }
        scores: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
        labels: dict[str, list[Tensor]] = defaultdict(list)
        for batch in batches:
            hidden = backbone.encode({"video": batch["video"]}).hidden  # one pass for all words
            for key, text in words.items():
                scores[key].append(frame_scores(model.enlarge(decoder(hidden, text), batch)))
            for kind in found:  # 1: this kind's abnormal frames, 0: frames of normal videos, -1: neither
                for name, shown in zip(batch["name"], batch["labels"], strict=True):
                    other = torch.full_like(shown, kinds[name] is not None).long()
                    labels[kind].append(2 * shown.long() - 1 if kinds[name] == kind else -other)
        means: dict[str, list[float]] = defaultdict(list)
        for kind in found:
            truth = torch.cat(labels[kind])
            for way, key in zip(WAYS, seen[kind], strict=True):
                score = torch.cat(scores[key]).flatten()
                means[way].append(float(cast(Tensor, auroc(score[truth >= 0], truth[truth >= 0], task="binary"))))
            row = " | ".join(f"{means[way][-1]:.3f}" for way in WAYS)
            print(f"| {split} | {kind} | {int((truth == 1).sum())} | {row} |")
        print(f"| {split} | mean | | " + " | ".join(f"{fmean(means[way]):.3f}" for way in WAYS) + " |")
        change = np.array(means["alone"]) - np.array(means["trained"])
        print(f"\nnamed alone: better in {int((change > 0).sum())} of {len(change)} kinds of {split}\n")


if __name__ == "__main__":
    main()
