"""AHD against equations 3 to 8, written as plain loops."""

import pytest
import torch
from torch import Tensor, nn

from tiny import close
from tvau.errors import OptionError
from tvau.heatmap_decoder import AnomalyHeatmapDecoder, heatmap, initial_weight, pool_text

BLOCKS = (1, 4)
B, T, DV, D, H, W = 2, 3, 6, 8, 2, 5


@pytest.fixture
def decoder() -> AnomalyHeatmapDecoder:
    """Random, with weights w_i that differ."""
    torch.manual_seed(0)
    decoder = AnomalyHeatmapDecoder(DV, D, BLOCKS)
    for i, weight in zip(BLOCKS, decoder.weights.values(), strict=True):
        nn.init.constant_(weight, i)
    return decoder


@pytest.fixture
def hidden() -> dict[int, Tensor]:
    return {i: torch.randn(B, T, DV, H, W) for i in BLOCKS}


def test_text_features_are_means_over_tokens_without_padding() -> None:
    tokens = torch.tensor([[[1.0, 2.0], [9.0, 9.0]], [[3.0, 4.0], [5.0, 6.0]]])
    mask = torch.tensor([[1, 0], [1, 1]])
    assert pool_text(tokens, mask).tolist() == [3.0, 4.0]


def test_maps_are_those_of_the_equations(decoder: AnomalyHeatmapDecoder, hidden: dict[int, Tensor]) -> None:
    text = torch.randn(2, D)
    maps = torch.zeros(B, T, 2, H, W)
    for i in BLOCKS:
        for b, t, c, y, x in torch.cartesian_prod(*map(torch.arange, (B, T, 2, H, W))).tolist():
            projected = decoder.projections[str(i)](hidden[i][b, t, :, y, x])
            cosine = projected @ text[c] / (projected.norm() * text[c].norm())  # eq. 5
            maps[b, t, c, y, x] += decoder.weights[str(i)] * cosine  # eq. 6
    close(decoder(hidden, text), maps)
    abnormal = maps[:, :, 1].exp() / (maps[:, :, 0].exp() + maps[:, :, 1].exp())  # eq. 7, 8
    close(heatmap(maps), abnormal)


def test_similarities_are_cosines(decoder: AnomalyHeatmapDecoder, hidden: dict[int, Tensor]) -> None:
    similar = decoder.similarities(hidden, 100 * torch.randn(2, D))
    assert set(similar) == set(BLOCKS)
    assert all(h.shape == (B, T, 2, H, W) and h.abs().max() <= 1 + 1e-6 for h in similar.values())


def test_equal_texts_leave_the_heatmap_undecided(decoder: AnomalyHeatmapDecoder, hidden: dict[int, Tensor]) -> None:
    text = torch.randn(1, D).expand(2, D)
    close(heatmap(decoder(hidden, text)), torch.full((B, T, H, W), 0.5))


def test_every_part_learns(decoder: AnomalyHeatmapDecoder, hidden: dict[int, Tensor]) -> None:
    heatmap(decoder(hidden, torch.randn(2, D))).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.parameters())


def test_no_patch_leaves_the_reach() -> None:
    torch.manual_seed(0)
    text = torch.tensor([[3.0, 0.5], [1.0, 0.0]])  # normed: (0.986, 0.164) and (1, 0)
    weight = initial_weight(text, blocks=2, reach=30.0)
    decoder = AnomalyHeatmapDecoder(DV, 2, BLOCKS, weight=weight)
    maps = decoder({i: torch.randn(1, 8, DV, 8, 8) for i in BLOCKS}, text)
    logits = (maps[:, :, 1] - maps[:, :, 0]).abs()
    assert logits.max() <= 30.0 + 1e-3
    along = torch.nn.functional.normalize(text, dim=-1).diff(dim=0)[0]  # a patch that lies along the difference
    assert 2 * weight * torch.linalg.vector_norm(along).item() == pytest.approx(30.0)


def test_texts_that_do_not_differ_are_refused() -> None:
    with pytest.raises(OptionError, match="same text feature"):
        initial_weight(torch.ones(2, D), blocks=2, reach=30.0)


def test_weights_start_as_told() -> None:
    decoder = AnomalyHeatmapDecoder(DV, D, BLOCKS, width=3, weight=7.0)
    assert [w.item() for w in decoder.weights.values()] == [7.0, 7.0]
