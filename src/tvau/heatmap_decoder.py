"""Anomaly Heatmap Decoder (AHD), section 3.2.1 of the paper."""

from collections.abc import Sequence
from math import log
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from tvau.errors import OptionError

RELATIVE = 10.0  # how much faster than its parameter a layer weight learns, in the log

Context = Literal["time"]


class Maps(NamedTuple):
    """What the decoder makes of a clip."""

    similar: Tensor  # H_c of eq. 6 for both classes [B, T', 2, H', W']
    logit: Tensor  # of eq. 7's softmax, abnormal less normal [B, T', H', W']


def pool_text(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over the prompts and tokens of one class (eq. 3): [N_c, L, D], mask [N_c, L] -> [D]; padding is left out."""
    return tokens[mask.bool()].mean(0)


def initial_weight(text: Tensor, blocks: int, reach: float) -> float:
    """Value of each w_i of eq. 6 with which the two fused maps can lie at most `reach` apart.

    The features of two mean-pooled texts are nearly the same direction (cosine 0.97 for nano's prompts), and the two
    similarities of a patch differ by no more than the distance of the normed features, 0.24 there. That distance and
    the number of blocks would otherwise set the temperature of eq. 7's softmax; this way it is the same for every
    LVLM, every choice of prompts and of blocks.

    Args:
        text: [2, D], the normal and the abnormal text feature.
        blocks: their number.
        reach: largest difference of the two maps, the logit of the heatmap.

    Raises:
        OptionError: the two texts have the same feature.
    """
    normal, abnormal = normalize(text.detach().float(), dim=-1)
    distance = float(torch.linalg.vector_norm(abnormal - normal))
    if distance < 1e-6:
        raise OptionError("the normal and the abnormal prompts have the same text feature: give texts that differ")
    return reach / (blocks * distance)


class InTime(nn.Linear):
    """A linear layer that also sees how a token differs from the clip's mean and from the time step before. Ours.

    With P, Q, R = three linear maps of the tokens: P + (Q - its mean over the clip) + (R - R of the step before), each
    at the token's own place. The mean presumes a camera that stands still. A clip of one step has no difference.

    Args:
        size: width of a token.
        width: width of the result.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__(size, 3 * width)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T', H', W', size] -> [B, T', H', W', width]."""
        own, from_mean, from_last = super().forward(tokens).chunk(3, -1)
        change = from_last.diff(dim=1, prepend=from_last[:, :1])
        return own + (from_mean - from_mean.mean(1, keepdim=True)) + change


def cosines(project: nn.Sequential, states: Tensor, directions: Tensor) -> Tensor:
    """Products of normed projections with directions, the last linear map of the projection folded into both factors.

    With p = W g + b, d p is (d W) g + d b, and |p|^2 is g (W'W) g + 2 (W'b) g + b'b. So no patch is ever a vector of D
    numbers: for the 7B's tower (1280) and language model (3584) that is half the work and half the memory.

    Args:
        project: its last part is linear.
        states: [..., Dv].
        directions: [n, D].

    Returns:
        [..., n].
    """
    last = cast(nn.Linear, project[-1])
    inner, weight, bias = project[:-1](states), last.weight, last.bias  # [..., width], [D, width], [D]
    square = (inner * (inner @ (weight.T @ weight) + 2 * (bias @ weight))).sum(-1, keepdim=True) + bias.square().sum()
    return (inner @ (directions @ weight).T + directions @ bias) * square.clamp(min=1e-24).rsqrt()


class AnomalyHeatmapDecoder(nn.Module):
    """Similarity of hidden states of several vision blocks with a normal and an abnormal text feature.

    It computes in float32 whatever autocast says: the two maps lie so close together that the eight bits of bfloat16
    would leave a few steps between them.

    Args:
        vision_size: width Dv of the hidden states.
        hidden_size: width D of the text features.
        blocks: the blocks that are read, by their 1-based numbers (eq. 4).
        width: hidden width of each block's projection MLP; None: `vision_size`.
        context: what the first layer of each projection sees; None: a token alone, as in the paper; "time": see
            `InTime`.
    """

    def __init__(
        self, vision_size: int, hidden_size: int, blocks: Sequence[int], width: int | None = None,
        context: Context | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        width = width or vision_size
        first = nn.Linear if context is None else InTime
        self.projections = nn.ModuleDict(
            {
                str(i): nn.Sequential(
                    nn.LayerNorm(vision_size), first(vision_size, width), nn.GELU(), nn.Linear(width, hidden_size)
                )
                for i in blocks
            }
        )
        # AdamW moves a number by about its learning rate a step, which a weight of 40 would not notice. As logarithms
        # the weights move by a share of themselves, 2 % a step at a rate of 0.002, and stay positive.
        self.log_weights = nn.ParameterDict({str(i): nn.Parameter(torch.tensor(0.0)) for i in blocks})

    @torch.no_grad()
    def scale(self, weight: float) -> None:
        """Sets every w_i of eq. 6; at first each is 1. See `initial_weight`; the paper says nothing of it."""
        for number in self.log_weights.values():
            number.fill_(log(weight) / RELATIVE)

    @property
    def weights(self) -> dict[int, Tensor]:
        """w_i of eq. 6."""
        return {int(i): torch.exp(RELATIVE * number) for i, number in self.log_weights.items()}

    def similarities(self, hidden: dict[int, Tensor], text: Tensor) -> dict[int, Tensor]:
        """h_c^i of eq. 5 for every block, each in [-1, 1], and behind both classes their difference.

        The difference is one product with that of the two normed texts. Subtracted afterwards, two nearly equal numbers
        would cancel.

        Returns:
            {i: [B, T', 3, H', W']}: normal, abnormal, abnormal less normal.
        """
        normal, abnormal = normalize(text, dim=-1)
        directions = torch.stack([normal, abnormal, abnormal - normal])  # [3, D]
        return {
            int(i): cosines(cast(nn.Sequential, project), hidden[int(i)].movedim(2, -1).float(), directions).movedim(
                -1, 2
            )
            for i, project in self.projections.items()
        }

    def forward(self, hidden: dict[int, Tensor], text: Tensor) -> Maps:
        """Fused similarity maps H_c (eq. 6) and their difference.

        Args:
            hidden: {i: [B, T', Dv, H', W']}.
            text: [2, D], the normal and the abnormal text feature (eq. 3).
        """
        with torch.autocast(text.device.type, enabled=False):
            similar, weights = self.similarities(hidden, text.float()), self.weights
            fused = torch.stack([weights[i] * h for i, h in similar.items()]).sum(0)
        return Maps(fused[:, :, :2], fused[:, :, 2])


def enlarge(maps: Tensor, frames: int, height: int, width: int) -> Tensor:
    """[B, T', H', W'] -> [B, T, H, W], trilinear; every time step covers its T / T' frames evenly.

    Linear along each axis, so a product with a small matrix for each: `interpolate` of five axes has a backward that
    takes ten times as long on a CPU and is not the same twice on CUDA.
    """
    with torch.autocast(maps.device.type, enabled=False):
        wide = maps @ _stretch(maps, 3, width).T
        high = _stretch(maps, 2, height) @ wide
        return (_stretch(maps, 1, frames) @ high.flatten(2)).unflatten(2, (height, width))


def _stretch(maps: Tensor, axis: int, size: int) -> Tensor:
    """[size, n], the linear map that brings the n cells of an axis to `size`."""
    cells = torch.eye(maps.shape[axis], dtype=maps.dtype, device=maps.device)
    return interpolate(cells[None], size, mode="linear", align_corners=False)[0].T


def heatmap(logit: Tensor, frames: int, height: int, width: int) -> Tensor:
    """The heatmap at the size of the frames: [B, T', H', W'] -> [B, T, H, W] in [0, 1], the only definition of it.

    The abnormal channel of a softmax over two classes is the sigmoid of their difference (eq. 7-8). That difference is
    enlarged first: it is what the loss is of, and it has an edge between two patches where their probabilities would
    have a ramp.
    """
    return enlarge(logit, frames, height, width).sigmoid()
