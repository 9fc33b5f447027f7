"""Dense auxiliary losses of nano's pretraining: what every visual token should know about the object it shows.

A small language model learns words long before it learns places. The labels come from the synthetic world's id maps;
nothing here is used after pretraining.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, one_hot, smooth_l1_loss

from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.backbones.packing import pack
from tvau.data.language import ACTIONS, CELLS, COLOURS, DIRECTIONS, NOUNS
from tvau.types import Batch, Turn, clip_rates

# columns of Batch["objects"] and their numbers of classes
ATTRIBUTES = {
    "noun": len(NOUNS) + 1, "action": len(ACTIONS), "colour": len(COLOURS), "trousers": len(COLOURS),
    "start": len(CELLS), "end": len(CELLS), "direction": len(DIRECTIONS) + 1,
}  # fmt: skip
BACKGROUND = len(NOUNS)
SEEN = ("noun", "action", "colour", "trousers")  # visible in one pair of frames
MOTION = ("start", "end", "direction")  # needs several time steps: asked of the language model's layers only


class DenseLoss(nn.Module):
    """Linear heads on the tower's last block, on the visual tokens, and on early layers of the language model.

    Args:
        vision_size, hidden_size: widths Dv and D.
        block: the tower block that is read.
        layers: layers of the language model whose visual tokens are read (1 = after the first layer).
        grid: rows and columns of visual tokens.
        least: share of a cell that an object must cover to own it.
    """

    def __init__(
        self, vision_size: int, hidden_size: int, block: int, layers: Sequence[int] = (1, 2),
        grid: tuple[int, int] = (6, 10), least: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.block, self.layers, self.grid, self.least = block, tuple(layers), grid, least
        seen = sum(ATTRIBUTES[a] for a in SEEN) + 2  # and the displacement within the pair
        motion = sum(ATTRIBUTES[a] for a in MOTION) + sum(grid)  # and the token's own row and column
        self.patch = nn.Linear(vision_size, seen)
        self.token = nn.Linear(hidden_size, seen)
        self.layer = nn.ModuleDict({str(k): nn.Linear(hidden_size, seen + motion) for k in self.layers})

    def forward(self, batch: Batch, hidden: Tensor, tokens: Tensor, layers: dict[int, Tensor]) -> dict[str, Tensor]:
        """Losses by site.

        Args:
            batch: with `ids` and `objects`.
            hidden: [B, T', Dv, H', W'] of the tower's block.
            tokens: visual tokens [B, T', h, w, D].
            layers: the same tokens after layers of the language model.
        """
        losses = {}
        fine = self._labels(batch, hidden.shape[1], hidden.shape[-2:])
        coarse = self._labels(batch, tokens.shape[1], tokens.shape[2:4])
        losses["patch"] = _seen_loss(self.patch(hidden.movedim(2, -1)), *fine)
        losses["token"] = _seen_loss(self.token(tokens), *coarse)
        for k, states in layers.items():
            out = self.layer[str(k)](states)
            size = sum(ATTRIBUTES[a] for a in SEEN) + 2
            losses[f"layer{k}"] = _seen_loss(out[..., :size], *coarse) + self._place_loss(out[..., size:], coarse[0])
        return losses

    def _labels(self, batch: Batch, times: int, grid: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Attributes [B, T', h, w, A] (-1 unknown) and displacement [B, T', h, w, 2] of the object in each cell."""
        ids = batch["ids"][..., ::2, ::2]  # half the resolution is enough to say whose a cell is
        size, _, height, width = ids.shape
        most = int(ids.max()) + 1
        flat = one_hot(ids.long(), most).movedim(-1, 2).float()  # [B, T, n, H, W]
        area = flat.sum((3, 4)).clamp(min=1)
        rows, columns = torch.arange(height).to(flat) / height, torch.arange(width).to(flat) / width
        place = torch.stack(
            [(flat.sum(3) * columns).sum(-1) / area, (flat.sum(4) * rows).sum(-1) / area], -1
        )  # [B, T, n, 2], centre of each object in picture sizes
        pairs = place.unflatten(1, (times, -1))
        visible = (flat.sum((3, 4)) > 0).unflatten(1, (times, -1)).all(2)
        shift = (pairs[:, :, -1] - pairs[:, :, 0]) * visible[..., None]  # [B, T', n, 2]
        kernel = (height // grid[0], width // grid[1])
        share = avg_pool2d(flat.flatten(0, 1), kernel).unflatten(0, (size, times, -1)).mean(2)  # [B, T', n, h, w]
        owner = share[:, :, 1:].max(2) if most > 1 else None
        ident = torch.where(owner.values >= self.least, owner.indices + 1, 0) if owner else share[:, :, 0].long() * 0
        clips = torch.arange(size, device=ids.device)[:, None, None, None]
        attributes = batch["objects"][clips, ident].clone()
        attributes[..., 0].masked_fill_(ident == 0, BACKGROUND)
        steps = torch.arange(times, device=ids.device)[None, :, None, None]
        return attributes, shift[clips, steps, ident]

    def _place_loss(self, out: Tensor, attributes: Tensor) -> Tensor:
        """The token's own row and column, and the start, end and direction of its object."""
        rows, columns = self.grid
        sizes = [ATTRIBUTES[a] for a in MOTION]
        *motion, row, column = out.split([*sizes, rows, columns], dim=-1)
        names = list(ATTRIBUTES)
        loss = sum(_entropy(o, attributes[..., names.index(a)]) for o, a in zip(motion, MOTION, strict=True))
        shape = (*out.shape[:2], rows, columns)
        y = torch.arange(rows, device=out.device)[:, None].expand(shape)
        x = torch.arange(columns, device=out.device).expand(shape)
        return loss + _entropy(row, y) + _entropy(column, x)


def _entropy(out: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    known = labels >= 0
    return cross_entropy(out[known], labels[known], weight=weight) if known.any() else out.sum() * 0


def _seen_loss(out: Tensor, attributes: Tensor, shift: Tensor) -> Tensor:
    *parts, moved = out.split([*[ATTRIBUTES[a] for a in SEEN], 2], dim=-1)
    weight = torch.ones(ATTRIBUTES["noun"], device=out.device)
    weight[BACKGROUND] = 0.3
    losses = [_entropy(part, attributes[..., i], weight if i == 0 else None) for i, part in enumerate(parts)]
    owned = attributes[..., 0] != BACKGROUND
    # displacements are a few hundredths of the picture: scaled to about one
    return sum(losses) + (smooth_l1_loss(moved[owned], shift[owned] * 20) if owned.any() else out.sum() * 0)


class Pretraining(nn.Module):
    """Loss of nano's pretraining: many questions behind one visual prefix, and the dense losses.

    Args:
        backbone: the LVLM in training.
        weight: of the dense losses beside the answers' cross entropy.
        packed: share of batches whose turns do not see each other; in the rest they form one dialog.
        tower_steps: after so many steps the tower is left as it is; from then on it costs a forward pass only.
    """

    def __init__(self, backbone: HuggingFaceLVLM, weight: float, packed: float, tower_steps: int) -> None:
        super().__init__()
        self.dense = DenseLoss(backbone.vision_size, backbone.hidden_size, backbone.blocks[-1])
        self.weight, self.packed, self.tower_steps = weight, packed, tower_steps

    def forward(self, backbone: HuggingFaceLVLM, batch: Batch, step: int) -> dict[str, Tensor]:
        """Losses by name; "loss" is their weighted sum."""
        turns, rates = batch["turns"], clip_rates(batch)
        asked = any(turns)
        if not asked:
            inputs = backbone.prepare(batch["video"], [[Turn(task="", question="?", answer="")]] * len(turns), 0, rates)
        elif step % 100 < 100 * self.packed:
            inputs = pack(backbone, batch["video"], turns, rates)
        else:
            inputs = backbone.prepare(batch["video"], turns, 0, rates)
        with torch.set_grad_enabled(step < self.tower_steps):
            vision = backbone.encode(inputs)
        hidden = vision.hidden[self.dense.block]
        size, times = hidden.shape[:2]
        shape = (size, times, *self.dense.grid, -1)
        tokens = vision.output["pooler_output"]
        tokens = (torch.cat(list(tokens)) if isinstance(tokens, (tuple, list)) else tokens).reshape(shape)
        layers, losses = {}, {}
        if asked:
            states = backbone.hidden_states(inputs, vision, every=True)
            losses["answers"] = backbone.answer_loss(states[-1], inputs["labels"])
            visual = inputs["input_ids"] == backbone.lm.config.video_token_id
            layers = {k: states[k][visual].reshape(shape) for k in self.dense.layers}
        losses |= self.dense(batch, hidden, tokens, layers)
        total = losses.get("answers", hidden.sum() * 0)
        losses["loss"] = total + self.weight * sum(v for k, v in losses.items() if k != "answers")
        return losses
