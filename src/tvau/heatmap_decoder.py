"""Anomaly Heatmap Decoder (AHD), section 3.2.1 of the paper."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tvau.errors import OptionError


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


class AnomalyHeatmapDecoder(nn.Module):
    """Similarity of hidden states of several vision blocks with a normal and an abnormal text feature.

    Args:
        vision_size: width Dv of the hidden states.
        hidden_size: width D of the text features.
        blocks: the blocks that are read, by their 1-based numbers (eq. 4).
        width: hidden width of each block's projection MLP; None: `vision_size`.
        weight: initial value of each w_i of eq. 6, of which the paper says nothing; see `initial_weight`.
    """

    def __init__(
        self, vision_size: int, hidden_size: int, blocks: Sequence[int], width: int | None = None, weight: float = 1.0
    ) -> None:
        super().__init__()
        width = width or vision_size
        self.projections = nn.ModuleDict(
            {
                str(i): nn.Sequential(
                    nn.LayerNorm(vision_size), nn.Linear(vision_size, width), nn.GELU(), nn.Linear(width, hidden_size)
                )
                for i in blocks
            }
        )
        self.weights = nn.ParameterDict({str(i): nn.Parameter(torch.tensor(weight)) for i in blocks})

    def similarities(self, hidden: dict[int, Tensor], text: Tensor) -> dict[int, Tensor]:
        """h_c^i of eq. 5 for every block: {i: [B, T', 2, H', W']}, each in [-1, 1]."""
        text = normalize(text, dim=-1)  # [2, D]: normal, abnormal
        similar = {}
        for i, project in self.projections.items():
            projected = project(hidden[int(i)].movedim(2, -1))  # [B, T', H', W', D]
            norm = torch.linalg.vector_norm(projected, dim=-1, keepdim=True).clamp(min=1e-12)
            similar[int(i)] = (projected @ text.T / norm).movedim(-1, 2)  # no normed copy of D numbers a patch
        return similar

    def forward(self, hidden: dict[int, Tensor], text: Tensor) -> Tensor:
        """Fused similarity maps H_c (eq. 6).

        Args:
            hidden: {i: [B, T', Dv, H', W']}.
            text: [2, D], the normal and the abnormal text feature (eq. 3).

        Returns:
            [B, T', 2, H', W'].
        """
        similar = self.similarities(hidden, text)
        return torch.stack([self.weights[str(i)] * h for i, h in similar.items()]).sum(0)


def heatmap(maps: Tensor) -> Tensor:
    """Softmax over the two classes, abnormal channel (eq. 7-8): [B, T', 2, H', W'] -> [B, T', H', W'] in [0, 1]."""
    return maps.softmax(2)[:, :, 1]
