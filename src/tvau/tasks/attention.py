"""A baseline without training: attention heads of the language model that look at what is asked about."""

from math import log
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from tvau.backbones import VideoLVLM
from tvau.data.module import VideoDataModule
from tvau.errors import BackboneError, DataError
from tvau.heatmap_decoder import heatmap
from tvau.language import JUDGEMENT
from tvau.metrics.intervals import SAMPLES
from tvau.model import TVAU
from tvau.tasks.unfitted import UnfittedTask
from tvau.types import Batch, Turn, having, select

MEDIAN_SCORE = 0.02  # of a normal token


class AttentionTask(UnfittedTask):
    """Where a few heads look while the LVLM answers whether there is any anomaly.

    After Kang et al., Your Large Vision-Language Model Only Needs a Few Attention Heads for Visual Grounding (CVPR
    2025): most heads look anywhere, a few at what the question is about. Different from it: the heads are chosen by
    masks, those whose attention ranks the visual tokens of the validation clips best (AUROC; a token that a mask
    touches is abnormal), and what is looked at is the attention of the answer's first token. The mean over the heads,
    in multiples of an even attention to all tokens, becomes scores by its median and 99 % quantile over the normal
    tokens, see `scaled`.

    Args:
        backbone: the LVLM, frozen.
        heads: how many are chosen, of all layers.
        clips: of the validation that they are chosen by, at most; half of them abnormal.
        question: that is asked about each clip.
        bootstrap, merl: see `MapTask`.
    """

    reads = True

    def __init__(
        self,
        backbone: VideoLVLM,
        heads: int = 3,
        clips: int = 64,
        question: str = JUDGEMENT,
        bootstrap: int = SAMPLES,
        merl: bool = False,
    ) -> None:
        super().__init__("attention heads", baselines=(), bootstrap=bootstrap, merl=merl)
        self.save_hyperparameters(ignore=["backbone"])
        self.model, self.heads, self.clips, self.question = TVAU(backbone), heads, clips, question
        self.chosen_heads: list[int] = []
        self.median, self.high = 0.0, 0.0

    def learn(self, data: VideoDataModule) -> None:
        """Chooses the heads, and the scale of their scores. Raises DataError without masks in the validation."""
        looks, truths = [], []
        left = dict.fromkeys((True, False), self.clips // 2)  # abnormal and normal; some lists begin with one kind
        for batch in self.moved(data.val_dataloader(shared=False)):
            rows = []
            for row in having(batch, "mask"):
                if left[kind := bool(batch["mask"][row].any())]:
                    rows.append(row)
                    left[kind] -= 1
            if rows:
                look = self.look(select(batch, rows))  # [b, heads, T', h, w]
                grid = (look.shape[2], look.shape[3], look.shape[4])
                share = adaptive_avg_pool3d(select(batch, rows)["mask"].float()[:, None], grid)
                looks.append(look.movedim(1, 0).flatten(1).cpu())
                truths.append(share.flatten().cpu() > 0)
            if not any(left.values()):
                break
        truth = torch.cat(truths).numpy() if truths else np.empty(0, bool)
        if not truth.any() or truth.all():
            raise DataError("attention heads are chosen by masks: the validation split needs clips that have some")
        every = torch.cat(looks, 1).numpy()  # [heads, tokens]
        worth = [roc_auc_score(truth, own) for own in every]
        self.chosen_heads = np.argsort(worth)[::-1][: self.heads].tolist()
        normal = every[self.chosen_heads].mean(0)[~truth]
        self.median, self.high = np.quantile(normal, [0.5, 0.99]).tolist()

    @torch.no_grad()
    def look(self, batch: Batch) -> Tensor:
        """Attention of the answer's first token to the visual tokens, in multiples of an even one.

        Of all heads of all layers, [B, layers x heads, T', h, w].

        Raises:
            BackboneError: a language model that does not give its attention, or visual tokens that lie in no raster.
        """
        lvlm: Any = self.model.backbone
        turns = [[Turn(task="judgement", question=self.question, answer="")] for _ in batch["name"]]
        seen = self.model.look(batch, turns)
        dialog = lvlm.start(seen.inputs, seen.vision)
        language = lvlm.lm.get_decoder()
        before = language.config._attn_implementation
        language.set_attn_implementation("eager")  # the others never form the weights; for one token they cost nothing
        try:
            output = lvlm.lm(
                input_ids=dialog.logits.argmax(-1, keepdim=True), past_key_values=dialog.cache, output_attentions=True,
                attention_mask=torch.cat([dialog.mask, dialog.mask.new_ones(len(dialog.mask), 1)], 1),
                position_ids=dialog.position + 1,
            )  # fmt: skip
        finally:
            language.set_attn_implementation(before)
        layers = [own for own in output.attentions or () if own is not None]
        if not layers:
            raise BackboneError(f"{lvlm.name} does not give its attention, so no head of it can be looked at")
        places = seen.inputs["input_ids"] == lvlm.tokens.placeholder
        weights = torch.cat([own[:, :, -1, : places.shape[1]] for own in layers], 1).float()  # [B, heads, L]
        tokens = torch.stack([own[:, place] for own, place in zip(weights, places, strict=True)])
        return (tokens * tokens.shape[-1]).unflatten(-1, self.raster(batch, tokens.shape[-1]))

    def raster(self, batch: Batch, tokens: int) -> tuple[int, int, int]:
        """(T', h, w) of a clip's visual tokens, of which several patches of the tower become one."""
        steps, height, width = self.model.backbone.grid(batch["video"].shape[1], *batch["video"].shape[-2:])
        joined = round((steps * height * width / tokens) ** 0.5)
        grid = (steps, height // max(joined, 1), width // max(joined, 1))
        if grid[0] * grid[1] * grid[2] != tokens:
            raise BackboneError(f"{tokens} visual tokens of {steps}x{height}x{width} patches lie in no raster")
        return grid

    def heatmaps(self, batch: Batch) -> Tensor:
        """The chosen heads' attention as scores, at the size of the frames [B, T, H, W]."""
        logit = scaled(self.look(batch)[:, self.chosen_heads].mean(1), self.median, self.high)
        return heatmap(logit, batch["video"].shape[1], *batch["video"].shape[-2:])


def scaled(look: Tensor, median: float, high: float) -> Tensor:
    """Attention -> logits of scores in (0, 1), a logistic curve over its logarithm that rises strictly.

    It goes through `MEDIAN_SCORE` at the median and through 0.5 at the 99 % quantile (`high`) of normal tokens.
    """
    high = max(high, 1e-12)
    steep = log(1 / MEDIAN_SCORE - 1) / max(log(high / max(median, 1e-12)), 1e-6)
    return steep * (look.clamp(min=1e-12) / high).log()
