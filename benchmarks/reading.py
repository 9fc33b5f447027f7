"""Does the language model read the anomaly prompts? `python benchmarks/reading.py runs/tables/dialog/tvau/0/last.ckpt`

Clips with dialogs are judged three times by a trained stage 2: with their own prompts, with those of the next clip of
the split, and with their own prompts and no picture. For each the AUC of the leaning to Yes against the reference, and
how far the leaning goes when the prompts are another clip's, in standard deviations of the leaning. One that reads the
picture alone, as long as there is one, leans as before.
"""

import argparse
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torchmetrics.functional import auroc

from tvau.backbones import Qwen25VL
from tvau.backbones.speaking import Speaker
from tvau.data import UBnormal
from tvau.errors import OptionError
from tvau.model import Evidence
from tvau.tasks.checkpoints import read_checkpoint
from tvau.tasks.dialog import load
from tvau.types import Turn
from tvau.verdict import yes_no

COLUMNS = ("own prompts", "another clip's", "no picture", "moved")


def lean(lvlm: Speaker, seen: Evidence, prompts: Tensor, blind: bool = False) -> Tensor:
    """The leaning to Yes [B] of clips that were seen, with given prompts; `blind`: no visual token is seen."""
    inputs = lvlm.tokens.unseen(seen.inputs) if blind else seen.inputs
    return lvlm.lean(lvlm.start(inputs, seen.vision, prompts))


@torch.no_grad()
def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", help="of stage 2, with anomaly prompts")
    parser.add_argument("--root", type=Path, default=Path("data/benchmark"))
    parser.add_argument("--splits", nargs="+", default=["validation", "validation_open"])
    parser.add_argument("--backbone", default="backbones/nano", help="folder of the LVLM")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 160), help="height and width of the clips")
    args = parser.parse_args()
    print(f"| checkpoint | split | clips | {' | '.join(COLUMNS)} |\n|---|---|--:|{'--:|' * len(COLUMNS)}")
    for checkpoint in args.checkpoints:
        blocks = read_checkpoint(checkpoint)["backbone"]["blocks"]
        lvlm = Qwen25VL(args.backbone, dtype="float32", attention="sdpa", blocks=blocks)
        model = load(checkpoint, lvlm)
        if model.encoder is None:
            raise OptionError(f"{checkpoint} gives its language model no anomaly prompts")
        data = UBnormal(
            str(args.root), clips="dialogs", size=tuple(args.size), batch_size=8, num_workers=1, test_splits=args.splits
        )
        data.setup("test")
        for split, loader in zip(args.splits, data.test_dataloader(), strict=True):
            seen, said = [], list[str]()
            for batch in loader:
                seen.append(
                    model.look(
                        batch, [[Turn(task="", question=turns[0]["question"], answer="")] for turns in batch["turns"]]
                    )
                )
                said += [turns[0]["answer"] for turns in batch["turns"]]
            own = [cast(Tensor, each.prompts) for each in seen]
            others = torch.cat(own).roll(-1, 0).split([len(prompts) for prompts in own])
            leans = torch.stack(
                [
                    torch.cat([lean(lvlm, *each, blind) for each in zip(seen, shown, strict=True)])
                    for shown, blind in ((own, False), (others, False), (own, True))
                ]
            )
            truth = torch.tensor([yes_no(answer) == "yes" for answer in said]).long()
            figures = [float(cast(Tensor, auroc(row, truth, task="binary"))) for row in leans]
            moved = float((leans[0] - leans[1]).abs().mean() / leans[0].std())
            cells = " | ".join([*(f"{figure:.3f}" for figure in figures), f"{moved:.2g}"])
            print(f"| {checkpoint} | {split} | {len(truth)} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
