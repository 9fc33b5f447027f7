"""Dense auxiliary losses of nano's pretraining: what every visual token should know about the object it shows.

A small language model learns words long before it learns places. The labels come from the synthetic world's id maps;
nothing here is used after pretraining.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, one_hot, smooth_l1_loss

from tvau.backbones.base import Inputs
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.language import ACTIONS, CELLS, COLOURS, DIRECTIONS, NOUNS
from tvau.nano.packing import pack
from tvau.types import Batch, Turn, clip_rates
from tvau.world import ZONES

# columns of Batch["objects"] and their numbers of classes
ATTRIBUTES = {
    "noun": len(NOUNS) + 1, "action": len(ACTIONS), "colour": len(COLOURS), "trousers": len(COLOURS),
    "ground": len(ZONES),
    "start": len(CELLS), "end": len(CELLS), "direction": len(DIRECTIONS) + 1,
}  # fmt: skip
BACKGROUND = len(NOUNS)
SEEN = ("noun", "action", "colour", "trousers", "ground")  # visible in one pair of frames
MOTION = ("start", "end", "direction")  # needs several time steps: asked of the language model's layers only


class DenseLoss(nn.Module):
    """Linear heads on the tower's last block, on the visual tokens, and on early layers of the language model.

    Another head points: after the last of these layers, every token from which a word of the answer is told must say
    by a dot product which visual tokens show the object that is asked about.

    Args:
        vision_size, hidden_size: widths Dv and D.
        block: the tower block that is read.
        layers: layers of the language model whose visual tokens are read (1 = after the first layer).
        grid: rows and columns of visual tokens.
        times: most time steps T' of a clip.
        least: share of a cell that an object must cover to own it.
    """

    def __init__(
        self, vision_size: int, hidden_size: int, block: int, layers: Sequence[int] = (1, 2),
        grid: tuple[int, int] = (6, 10), times: int = 8, least: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.block, self.layers, self.least = block, tuple(layers), least
        self.grid = (times, *grid)
        seen = sum(ATTRIBUTES[a] for a in SEEN) + 2  # and the displacement within the pair
        motion = sum(ATTRIBUTES[a] for a in MOTION) + sum(self.grid)  # and the token's own time, row and column
        self.patch = nn.Linear(vision_size, seen)
        self.token = nn.Linear(hidden_size, seen)
        self.layer = nn.ModuleDict({str(k): nn.Linear(hidden_size, seen + motion) for k in self.layers})
        self.asks, self.shows = nn.Linear(hidden_size, 64), nn.Linear(hidden_size, 64)

    def objects(self, batch: Batch) -> Tensor:
        """[B, T' h w], True where a visual token shows an object."""
        return cell_labels(batch, batch["video"].shape[1] // 2, self.grid[1:], self.least)[0].flatten(1) > 0

    def tower(self, batch: Batch, hidden: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """Losses on the tower's block [B, T', Dv, H', W'] and on the visual tokens [B, T', h, w, D]."""
        _, *fine = cell_labels(batch, hidden.shape[1], hidden.shape[-2:], self.least)
        _, *coarse = cell_labels(batch, tokens.shape[1], tokens.shape[2:4], self.least)
        return {
            "patch": _seen_loss(self.patch(hidden.movedim(2, -1)), *fine),
            "token": _seen_loss(self.token(tokens), *coarse),
        }

    def language(self, batch: Batch, states: dict[int, Tensor], visual: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses on layers of the language model.

        Args:
            batch: with `ids` and `objects`.
            states: [B, L, D] after each of the layers.
            visual: [B, L], where the visual tokens are.
            labels: [B, L], as `HuggingFaceLVLM.prepare` and `pack` give them.
        """
        times = batch["video"].shape[1] // 2
        shape = (len(visual), times, *self.grid[1:])
        ident, attributes, shift = cell_labels(batch, times, shape[2:], self.least)
        size = sum(ATTRIBUTES[a] for a in SEEN) + 2
        losses = {}
        for k in self.layers:
            out = self.layer[str(k)](states[k][visual].reshape(*shape, -1))
            seen = _seen_loss(out[..., :size], attributes, shift)
            losses[f"layer{k}"] = (seen + self._place_loss(out[..., size:], attributes)) / 2
        last = states[self.layers[-1]]
        losses["points"] = self._pointing_loss(batch, last, last[visual].reshape(*shape, -1), ident, labels)
        return losses

    def _pointing_loss(self, batch: Batch, states: Tensor, shown: Tensor, ident: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy between the pointing's share of visual tokens and those of the object that is asked about."""
        learned = labels[:, 1:] >= 0  # at position i, the word at i + 1 is told
        fresh = learned & ~torch.nn.functional.pad(learned[:, :-1], (1, 0))
        turn = (fresh.cumsum(1) - 1).clamp(min=0)
        most = max(len(own) for own in batch["turns"])
        about = [[t.get("about", 0) for t in own] + [0] * (most - len(own)) for own in batch["turns"]]
        asked = torch.tensor(about, device=labels.device).gather(1, turn)  # [B, L - 1], the id each position is about
        cells = ident.flatten(1)
        right = (cells[:, None] == asked[..., None]) & (asked > 0)[..., None]  # [B, L - 1, T' h w]
        keep = learned & right.any(-1)
        scores = self.asks(states[:, :-1]) @ self.shows(shown.flatten(1, 3)).transpose(1, 2) / 8
        scores = scores[keep].float()
        if not len(scores):
            return states.sum() * 0
        return (scores.logsumexp(-1) - scores.masked_fill(~right[keep], -torch.inf).logsumexp(-1)).mean()

    def _place_loss(self, out: Tensor, attributes: Tensor) -> Tensor:
        """The token's own time, row and column, and the start, end and direction of its object."""
        sizes = [ATTRIBUTES[a] for a in MOTION]
        *parts, time, row, column = out.split([*sizes, *self.grid], dim=-1)
        names = list(ATTRIBUTES)
        losses = [_entropy(o, attributes[..., names.index(a)]) for o, a in zip(parts, MOTION, strict=True)]
        for i, own in enumerate((time, row, column)):
            place = torch.arange(out.shape[i + 1], device=out.device).view(*[-1 if j == i else 1 for j in range(3)])
            losses.append(_entropy(own, place.expand(out.shape[:4])))
        return torch.stack(losses).mean()


def cell_labels(batch: Batch, times: int, grid: Sequence[int], least: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:
    """Id, attributes and displacement of the object in each cell of a grid [h, w] over T' time steps.

    An object owns a cell where it covers most of all objects, and at least the share `least` of it.
    Shapes [B, T', h, w] (0 none), [B, T', h, w, A] (-1 unknown; columns as ATTRIBUTES) and [B, T', h, w, 2].
    """
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
    ident = torch.where(owner.values >= least, owner.indices + 1, 0) if owner else share[:, :, 0].long() * 0
    clips = torch.arange(size, device=ids.device)[:, None, None, None]
    attributes = batch["objects"][clips, ident].clone()
    attributes[..., 0].masked_fill_(ident == 0, BACKGROUND)
    steps = torch.arange(times, device=ids.device)[None, :, None, None]
    return ident, attributes, shift[clips, steps, ident]


def _entropy(out: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy over the known labels; rare ones weigh more, by the root of their share."""
    known = labels >= 0
    if not known.any():
        return out.sum() * 0
    weight = labels[known].bincount(minlength=out.shape[-1]).clamp(min=1).to(out.dtype).rsqrt()
    return cross_entropy(out[known], labels[known], weight=weight)


def _seen_loss(out: Tensor, attributes: Tensor, shift: Tensor) -> Tensor:
    *parts, moved = out.split([*[ATTRIBUTES[a] for a in SEEN], 2], dim=-1)
    losses = [_entropy(part, attributes[..., i]) for i, part in enumerate(parts)]
    owned = attributes[..., 0] != BACKGROUND
    # displacements are a few hundredths of the picture: scaled to about one
    losses.append(smooth_l1_loss(moved[owned], shift[owned] * 20) if owned.any() else out.sum() * 0)
    return torch.stack(losses).mean()


class Pretraining(nn.Module):
    """Loss of nano's pretraining: many questions behind one visual prefix, and the dense losses.

    Args:
        backbone: the LVLM in training.
        weight: of the dense losses beside the answers' cross entropy.
        packed: share of batches whose turns do not see each other; in the rest they form one dialog.
        reveal: steps between which the background comes into the words' view, token by token; before the first of them
            words see nothing but objects, so that they learn what the tokens mean before they learn where to look.
    """

    def __init__(
        self,
        backbone: HuggingFaceLVLM,
        weight: float,
        packed: float,
        reveal: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.dense = DenseLoss(backbone.vision_size, backbone.hidden_size, backbone.blocks[-1])
        self.weight, self.packed, self.reveal = weight, packed, reveal
        self.placeholder: int = backbone.lm.config.video_token_id

    def forward(self, backbone: HuggingFaceLVLM, batch: Batch, step: int) -> dict[str, Tensor]:
        """Losses by name; "loss" is their weighted sum."""
        turns, rates = batch["turns"], clip_rates(batch)
        asked = any(turns)
        if not asked:
            inputs = backbone.prepare(batch["video"], [[Turn(task="", question="?", answer="")]] * len(turns), 0, rates)
        elif step % 100 < 100 * self.packed or step < self.reveal[1]:
            inputs = pack(backbone, batch["video"], turns, rates)
            self._hide(inputs, batch, step)
        else:
            inputs = backbone.prepare(batch["video"], turns, 0, rates)
        vision = backbone.encode(inputs)
        losses = {}
        if asked:
            states = backbone.hidden_states(inputs, vision, every=True)
            losses["answers"] = backbone.answer_loss(states[-1], inputs["labels"])
            visual = inputs["input_ids"] == self.placeholder
            losses |= self.dense.language(batch, dict(enumerate(states)), visual, inputs["labels"])
        hidden, tokens = vision.hidden[self.dense.block], vision.output["pooler_output"]
        tokens = torch.cat(list(tokens)) if isinstance(tokens, (tuple, list)) else tokens
        losses |= self.dense.tower(batch, hidden, tokens.reshape(*hidden.shape[:2], *self.dense.grid[1:], -1))
        losses["loss"] = sum(
            (v if k == "answers" else self.weight * v for k, v in losses.items()), start=inputs["labels"].new_zeros(())
        )
        return losses

    def _hide(self, inputs: Inputs, batch: Batch, step: int) -> None:
        """Takes background tokens out of the words' view, in the mask of packed inputs."""
        first, last = self.reveal
        if step >= last:
            return
        share = max(step - first, 0) / (last - first)
        shown = self.dense.objects(batch)  # [B, T' h w]
        shown = shown | (torch.rand(shown.shape, device=shown.device) < share)
        visual = inputs["input_ids"] == self.placeholder
        hidden = torch.zeros_like(visual).masked_scatter(visual, ~shown)  # [B, L]
        inputs["attention_mask"] = inputs["attention_mask"] & ~(hidden[:, None, None, :] & ~visual[:, None, :, None])
