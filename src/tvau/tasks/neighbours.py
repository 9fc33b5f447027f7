"""A one-class baseline on the same frozen features: how far is a token from every normal one of the training?"""

from collections.abc import Iterable, Sequence
from math import log
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, layer_norm

from tvau.backbones import VideoLVLM
from tvau.data.module import VideoDataModule
from tvau.errors import DataError
from tvau.heatmap_decoder import heatmap
from tvau.metrics.intervals import SAMPLES
from tvau.metrics.rows import video_key
from tvau.model import TVAU
from tvau.tasks.heatmap import Baseline, MapTask
from tvau.types import Batch, having, select

NEIGHBOURS = "nearest neighbours"
MEDIAN_SCORE = 0.02  # of a normal token, after scaling
CHUNK = 4096  # tokens whose distances are in memory at a time


class NeighbourTask(MapTask):
    """Distance of each token to its nearest neighbour in a bank of normal training tokens.

    After PatchCore (Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022): features of several
    blocks, averaged over 3x3 neighbours and set side by side, and a bank thinned out by the greedy choice of centres
    on a random projection. Different from it: the features are those of the LVLM's own tower, each block's normed by
    its own mean and variance; the distance is not reweighted by the density of the bank.

    There is nothing to fit: `test` runs over the training clips first, takes tokens of those that are labelled normal,
    and chooses its `MapRule` on the validation clips as stage 1 does. A fifth of the training videos stays out of the
    bank: by the median and the 99 % quantile of the distances of their tokens, distances are scaled to scores in (0, 1)
    that rise strictly with them, see `scale`. What is random follows the seed of the run.

    Args:
        backbone: the LVLM, frozen.
        bank: tokens in the bank.
        each: tokens that are taken from a training clip, at random.
        projected: width of the random projection on which the bank's tokens are chosen.
        baselines, bootstrap, merl: see `MapTask`.
    """

    def __init__(
        self,
        backbone: VideoLVLM,
        bank: int = 4096,
        each: int = 64,
        projected: int = 64,
        baselines: Sequence[Baseline] = (),
        bootstrap: int = SAMPLES,
        merl: bool = False,
    ) -> None:
        super().__init__(NEIGHBOURS, baselines, bootstrap, merl, learning_rate=0.0, weight_decay=0.0, warmup=0)
        self.save_hyperparameters(ignore=["backbone"])
        self.size, self.each, self.projected = bank, each, projected
        self.bank, self.median, self.high = torch.empty(0), 0.0, 0.0
        self.model = TVAU(backbone)

    def on_test_start(self) -> None:
        """Fills the bank from the training clips and chooses the rule on the validation clips."""
        data = cast(VideoDataModule, self.trainer.datamodule)  # type: ignore[attr-defined]
        data.setup("fit")
        own, held = self.gather(data.train_dataloader())
        self.bank = coreset(own, self.size, self.projected)
        self.median, self.high = nearest(held, self.bank).quantile(torch.tensor([0.5, 0.99]).to(held)).tolist()
        self.start_choice()
        for batch in data.val_dataloader():
            moved = self.trainer.strategy.batch_to_device(batch, self.device)
            self.watch(moved, self.heatmaps(moved))
        self.rules |= self.chosen()
        super().on_test_start()

    def gather(self, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
        """Tokens [n, d] of clips that are known to be normal: for the bank, and of videos that stay out of it."""
        kept: dict[str, list[Tensor]] = {}  # by video
        for batch in batches:
            normal = [row for row in having(batch, "labels") if not batch["labels"][row].any()]
            if not normal:
                continue
            moved = self.trainer.strategy.batch_to_device(select(batch, normal), self.device)
            for own, name in zip(self.tokens(moved).flatten(1, 3), moved["name"], strict=True):  # [T' H' W', d]
                kept.setdefault(name, []).append(own[torch.randperm(len(own))[: self.each].to(own.device)])
        names = sorted(kept, key=video_key)  # an order without meaning
        held = set(names[: -(-len(names) // 5)])
        parts = [[part for name in names if (name in held) == out for part in kept[name]] for out in (False, True)]
        if sum(map(len, parts[0])) < self.size:
            raise DataError(
                f"a bank of {self.size} tokens needs more normal training clips: got {len(parts[0])} beside those of "
                f"{len(held)} videos that set the scale, {self.each} tokens each. Lower `bank`, or raise `each`."
            )
        return torch.cat(parts[0]), torch.cat(parts[1])

    def tokens(self, batch: Batch) -> Tensor:
        """What a token is compared by: [B, T', H', W', d]."""
        hidden = self.model.backbone.encode({"video": batch["video"]}).hidden
        blocks = [block.movedim(2, -1).float() for block in hidden.values()]
        return torch.cat([average(layer_norm(block, block.shape[-1:])) for block in blocks], -1)

    def heatmaps(self, batch: Batch) -> Tensor:
        """Scaled distances at the size of the frames [B, T, H, W]."""
        tokens = self.tokens(batch)
        logit = scale(nearest(tokens.flatten(0, 3), self.bank), self.median, self.high).view(tokens.shape[:4])
        return heatmap(logit, batch["video"].shape[1], *batch["video"].shape[-2:])


def average(features: Tensor) -> Tensor:
    """Mean over the 3x3 neighbours of each place: [B, T', H', W', d] -> the same."""
    rows = features.flatten(0, 1).movedim(-1, 1)  # [B T', d, H', W']
    return avg_pool2d(rows, 3, 1, 1, count_include_pad=False).movedim(1, -1).view(features.shape)


def coreset(tokens: Tensor, size: int, projected: int) -> Tensor:
    """Greedy choice of `size` tokens, each the farthest from those before it, by distances in a random projection.

    tokens [n, d], n >= size -> [size, d].
    """
    flat = tokens @ torch.randn(tokens.shape[1], projected).to(tokens)
    chosen = [int(torch.randint(len(tokens), ()))]
    distance = torch.full(flat.shape[:1], torch.inf).to(flat)
    while len(chosen) < size:
        distance = distance.minimum((flat - flat[chosen[-1]]).square().sum(1))
        chosen.append(int(distance.argmax()))
    return tokens[chosen]


def nearest(tokens: Tensor, bank: Tensor) -> Tensor:
    """Euclidean distance of each token [n, d] to the nearest of the bank [m, d]: [n]."""
    return torch.cat([torch.cdist(part, bank).amin(1) for part in tokens.split(CHUNK)])


def scale(distance: Tensor, median: float, high: float) -> Tensor:
    """Distances -> logits of scores in (0, 1), which are a logistic curve over the logarithm of the distance.

    It goes through `MEDIAN_SCORE` at the median and 0.5 at the 99 % quantile (`high`) of normal tokens. It rises
    strictly, so no ranking changes; the spread between both makes the thresholds of `RuleChoice` meaningful.
    """
    steep = log(1 / MEDIAN_SCORE - 1) / max(log(max(high, 1e-12) / max(median, 1e-12)), 1e-6)
    return steep * (distance.clamp(min=1e-12) / max(high, 1e-12)).log()
