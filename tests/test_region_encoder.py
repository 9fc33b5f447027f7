"""RAE: what it sees (eq. 9), its pools (eq. 11, 12), the number and order of its prompts (eq. 13)."""

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from tiny import close
from tvau.region_encoder import RegionAwareAnomalyEncoder, View

VIEWS = get_args(View)
B, T, D, H, W = 2, 4, 16, 6, 9


def maps(seed: int = 0) -> Tensor:
    return torch.randn(B, T, 2, H, W, generator=torch.Generator().manual_seed(seed))


def encoder(view: View = "difference", **options: int) -> RegionAwareAnomalyEncoder:
    torch.manual_seed(0)
    return RegionAwareAnomalyEncoder(D, view, **{"channels": 8, **options})


@pytest.mark.parametrize("view", VIEWS)
def test_prompts_are_as_many_as_equation_13_says(view: View) -> None:
    made = encoder(view)
    assert made.prompts(T) == (T - 1) * (10 + 9 + 1)
    assert made(maps()).shape == (B, made.prompts(T), D)
    assert encoder(view, base=3)(maps()).shape == (B, (T - 1) * 13, D)


def test_pools_and_order_are_those_of_the_equations() -> None:
    made = RegionAwareAnomalyEncoder(hidden_size=2, channels=8, base=4, scale=3.0)
    made.convolutions, made.region, made.overall = nn.Identity(), nn.Identity(), nn.Identity()  # type: ignore[assignment]
    given = maps()
    rows = []
    for t in range(1, T):
        change = given[:, t] - given[:, t - 1]  # eq. 9
        rows.append(made.base.expand(B, -1, -1))
        for r, (y, x) in enumerate((y, x) for y in range(3) for x in range(3)):
            region = change[:, :, y * H // 3 : (y + 1) * H // 3, x * W // 3 : (x + 1) * W // 3]
            rows.append((region.mean((2, 3)) + made.place[r])[:, None])  # eq. 11
        rows.append(change.mean((2, 3))[:, None])  # eq. 12
    close(made(given), 3 * torch.cat(rows, 1))  # eq. 13


def test_the_papers_view_sees_changes_only() -> None:
    still = [maps(seed)[:, :1].expand(-1, T, -1, -1, -1) for seed in (1, 2)]
    made = encoder("difference")
    assert torch.equal(made(still[0]), made(still[1]))
    assert not torch.allclose(made(maps()), made(still[0]), atol=1e-2)


@pytest.mark.parametrize("view", ["map", "difference+map"])
def test_the_other_views_see_what_stays(view: View) -> None:
    still = [maps(seed)[:, :1].expand(-1, T, -1, -1, -1) for seed in (1, 2)]
    made = encoder(view)
    assert not torch.allclose(made(still[0]), made(still[1]), atol=1e-2)


@pytest.mark.parametrize("view", VIEWS)
def test_every_part_learns_and_gradients_reach_the_maps(view: View) -> None:
    made, given = encoder(view), maps().requires_grad_()
    prompts = made(given)
    (prompts * torch.randn(prompts.shape)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())
    assert given.grad is not None
    first = 1 if view == "map" else 0  # the later map of each pair, or both
    assert (given.grad[:, first:].flatten(2).abs().sum(2) > 0).all()


def test_prompts_start_on_the_scale_of_token_embeddings() -> None:
    prompts = RegionAwareAnomalyEncoder(64, scale=0.02)(maps())
    assert 0.01 < prompts.square().mean().sqrt() < 0.04
