"""RAE: what it sees (eq. 9), its pools (eq. 11, 12), the number and order of its prompts (eq. 13)."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, cast, get_args

import pytest
import torch
from torch import Tensor, nn

from tiny import close
from tvau.errors import OptionError
from tvau.region_encoder import PARTS, Part, RegionAwareAnomalyEncoder, Standardize, View, pooled

VIEWS = get_args(View)
KINDS: dict[Part, slice] = {
    "base": slice(0, 10),
    "region": slice(10, 19),
    "global": slice(19, 20),
}  # of a step's prompts
SOME: list[Sequence[Part]] = [some for n in (1, 2) for some in combinations(KINDS, n)]
B, T, D, H, W = 2, 4, 16, 6, 9


def maps(seed: int = 0) -> Tensor:
    return torch.randn(B, T, 2, H, W, generator=torch.Generator().manual_seed(seed))


def encoder(view: View = "difference", **options: Any) -> RegionAwareAnomalyEncoder:
    torch.manual_seed(0)
    return RegionAwareAnomalyEncoder(D, view, **{"channels": 8, **options})


def settled(made: RegionAwareAnomalyEncoder, steps: int = 4) -> RegionAwareAnomalyEncoder:
    """The same, after a few steps that only its statistics followed."""
    for seed in range(steps):
        made(maps(seed))
        made.follow()
    return made


def test_a_clip_of_one_time_step_has_no_prompts() -> None:
    assert encoder()(maps()[:, :1]).shape == (B, encoder().prompts(1), D) == (B, 0, D)


@pytest.mark.parametrize("view", VIEWS)
def test_prompts_are_as_many_as_equation_13_says(view: View) -> None:
    made = encoder(view)
    assert made.prompts(T) == (T - 1) * (10 + 9 + 1)
    assert made(maps()).shape == (B, made.prompts(T), D)
    assert encoder(view, base=3)(maps()).shape == (B, (T - 1) * 13, D)


def test_pools_and_order_are_those_of_the_equations() -> None:
    made = RegionAwareAnomalyEncoder(hidden_size=2, channels=8, base=4, scale=3.0, of="similarity")
    made.convolutions, made.region, made.overall = nn.Identity(), nn.Identity(), nn.Identity()  # type: ignore[assignment]
    assert made.base is not None
    assert made.place is not None
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
    made = settled(encoder("difference"))
    assert torch.equal(made(still[0]), made(still[1]))
    assert not torch.allclose(made(maps()), made(still[0]), atol=1e-2)


@pytest.mark.parametrize("view", ["map", "difference+map"])
def test_the_other_views_see_what_stays(view: View) -> None:
    still = [maps(seed)[:, :1].expand(-1, T, -1, -1, -1) for seed in (1, 2)]
    made = settled(encoder(view))
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


@pytest.mark.parametrize("parts", SOME, ids="+".join)
def test_without_some_kinds_the_others_are_what_they_were(parts: Sequence[Part]) -> None:
    whole, made = encoder(), encoder(parts=parts)
    missing, unknown = made.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    assert bool(unknown) == (len(parts) < len(KINDS))
    rows = whole(maps()).unflatten(1, (T - 1, 20))
    expected = torch.cat([rows[:, :, place] for kind, place in KINDS.items() if kind in parts], 2).flatten(1, 2)
    assert made.prompts(T) == expected.shape[1]
    close(made(maps()), expected)


@pytest.mark.parametrize("parts", SOME, ids="+".join)
def test_what_is_left_out_has_no_weights_and_the_rest_learns(parts: Sequence[Part]) -> None:
    made = encoder(parts=parts)
    names = {name.split(".")[0] for name, _ in made.named_parameters()}
    of_kind = {"base": {"base"}, "region": {"region", "place", "convolutions"}, "global": {"overall", "convolutions"}}
    assert names == {"scale"}.union(*(of_kind[part] for part in parts))
    prompts = made(maps())
    (prompts * torch.randn(prompts.shape)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


@pytest.mark.parametrize("parts", [tuple(KINDS), ("base",), ("base", "global"), ("region",)], ids="+".join)
def test_base_prompts_once_stand_in_front_and_the_rest_is_what_it_was(parts: Sequence[Part]) -> None:
    whole, made = encoder(parts=parts), encoder(parts=parts, base_once=True)
    made.load_state_dict(whole.state_dict())
    rows = whole(maps()).unflatten(1, (T - 1, -1))
    base = 10 if "base" in parts else 0
    expected = torch.cat([rows[:, 0, :base], rows[:, :, base:].flatten(1, 2)], 1)
    assert made.prompts(T) == expected.shape[1]
    close(made(maps()), expected)


@pytest.mark.parametrize(("pool", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (9, [3])])
def test_pooled_steps_share_the_prompts_of_their_mean(pool: int, sizes: list[int]) -> None:
    made = RegionAwareAnomalyEncoder(hidden_size=2, channels=8, of="similarity", parts=["global"], pool=pool)
    made.convolutions, made.overall = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    changes = maps().diff(dim=1).split(sizes, 1)
    assert made.prompts(T) == len(sizes)
    close(made(maps()), torch.stack([some.mean((1, 3, 4)) for some in changes], 1))


def test_all_kinds_of_prompts_are_pooled_and_learn() -> None:
    made = encoder(pool=2)
    assert made.prompts(T) == made(maps()).shape[1] == 2 * 20
    assert encoder(pool=2, base_once=True).prompts(T) == 10 + 2 * 10
    (made(maps()) * torch.randn(B, 40, D)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())
    with pytest.raises(OptionError, match="pool 0: expected how many steps"):
        encoder(pool=0)


def test_the_order_of_the_kinds_is_the_papers() -> None:
    assert torch.equal(encoder(parts=["global", "base"])(maps()), encoder(parts=["base", "global"])(maps()))


@pytest.mark.parametrize("options", [{"parts": []}, {"parts": ["base"], "base": 0}])
def test_at_least_one_prompt_must_stay(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="leave no anomaly prompt: keep one of base, region, global"):
        encoder(**options)


def test_channels_are_standardized_by_the_steps_before() -> None:
    torch.manual_seed(0)
    seen = torch.randn(40, 3, 5, 4) * torch.tensor([1.0, 4.0, 9.0]).view(3, 1, 1) + 2
    made = Standardize(3, settle=0, momentum=1 / 40)
    assert torch.allclose(made(seen[:1]), seen[:1], atol=1e-4)  # nothing is known yet
    made.seen.clear()
    for clip in seen[:, None]:  # one clip a step
        made(clip)
        made.follow()
    close(made.mean, seen.mean((0, 2, 3)))
    result = made.eval()(seen)
    close(result.mean((0, 2, 3)), torch.zeros(3))
    assert torch.allclose(result.std((0, 2, 3)), torch.ones(3), atol=0.05)


def test_a_step_of_many_clips_is_followed_as_one_of_each() -> None:
    torch.manual_seed(0)
    made = [Standardize(3), Standardize(3)]
    for _ in range(8):
        clips = torch.randn(6, 3, 5, 4) * torch.tensor([1.0, 4.0, 9.0]).view(3, 1, 1) + 2
        whole = made[0](clips)
        close(torch.cat([made[1](clip) for clip in clips.split([1, 3, 2])]), whole)  # three batches of unequal size
        for one in made:
            one.follow()
    close(made[1].mean, made[0].mean)
    close(made[1].variance, made[0].variance)
    assert made[0].batches == made[1].batches == 8
    made[0].follow()  # nothing seen, nothing changed
    assert made[0].batches == 8


def test_what_came_before_the_layers_had_settled_is_forgotten() -> None:
    made = encoder(of="similarity")
    for given in (1000 * maps(1), maps(), maps(), maps()):
        made(given)
        made.follow()
    made.eval()
    seen = maps().diff(dim=1).flatten(0, 1)
    for convolve, standardize, bend in cast(Iterable[nn.Sequential], made.convolutions):
        seen = convolve(seen)
        assert isinstance(standardize, Standardize)
        close(seen.mean((0, 2, 3)), standardize.mean)
        close(seen.var((0, 2, 3), correction=0), standardize.variance)
        seen = bend(standardize(seen))


def test_autocast_does_not_reach_the_encoder() -> None:
    made = encoder().eval()
    with torch.autocast("cpu", torch.bfloat16):
        given = made(maps().bfloat16())
    assert torch.equal(given, made(maps().bfloat16().float()))


def test_a_clip_that_changes_more_gives_other_prompts() -> None:
    made = settled(encoder(), 20).eval()
    faint, strong = made(0.1 * maps(30)), made(maps(30))
    assert (faint - strong).square().mean().sqrt() > 0.1 * strong.square().mean().sqrt()
    assert torch.equal(made(maps(30)), strong)  # outside training nothing moves


def test_few_changed_patches_are_seen_after_a_few_steps() -> None:
    """The share of the prompts' size by which a small target makes them differ from those of an empty clip."""
    torch.manual_seed(0)
    clips = 0.05 * torch.randn(8, 8, 2, 12, 20)
    for clip in range(0, 8, 2):  # two patches of 240 are abnormal, and move
        for t in range(8):
            clips[clip, t, 1, 5:6, 2 * t : 2 * t + 2] += 8
    made = RegionAwareAnomalyEncoder(64, parts=["region", "global"])
    for _ in range(4):
        made(clips)
        made.follow()
    prompts = made(clips).unflatten(1, (7, 10))
    differ = (prompts[::2] - prompts[1::2]).square().mean().sqrt() / prompts.square().mean().sqrt()
    assert differ > 0.2


def test_the_heatmap_is_the_softmax_of_the_maps() -> None:
    of_heatmap, of_maps, given = encoder(), encoder(of="similarity"), maps()
    close(of_heatmap(given), of_maps(given.softmax(2)))  # eq. 7 before eq. 9
    assert not torch.allclose(of_heatmap(given), of_maps(given), atol=1e-2)
    close(of_heatmap(given + 5), of_heatmap(given))  # what both classes share is no evidence


def test_evidence_of_the_whole_clip_stands_in_front() -> None:
    paper, made = encoder(), encoder(parts=[*PARTS, "peak", "track"])
    made.load_state_dict(paper.state_dict(), strict=False)
    assert made.prompts(T) == 4 + paper.prompts(T)
    close(made(maps())[:, 4:], paper(maps()))
    alone = encoder(parts=["peak", "track"])
    assert alone.prompts(T) == alone.prompts(2) == 4
    hot = torch.zeros(1, T, 2, H, W)
    hot[:, :, 1] -= 5
    moved = hot.clone()
    for t in range(T):
        hot[0, t, 1, 1, t], moved[0, t, 1, 4, t] = 5, 5
    one, other = alone(hot)[0], alone(moved)[0]
    close(one[0], other[0])  # as high
    assert not torch.allclose(one[1:], other[1:], atol=1e-3)  # elsewhere
    (one * torch.randn(one.shape)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in alone.parameters())


# ---- numbers and visual tokens of each map ----


def hot(y: int, x: int, logit: float = 8.0, cold: float = -6.0) -> Tensor:
    """Maps [1, T, 2, H, W] with one hot patch at the last time step."""
    made = torch.zeros(1, T, 2, H, W)
    made[:, :, 1] = cold
    made[0, -1, 1, y, x] = logit
    return made


def seen(seed: int = 0, times: int = T) -> Tensor:
    """Visual tokens [1, T, D, H / 2, W / 3], one for 2x3 patches."""
    return torch.randn(1, times, D, H // 2, W // 3, generator=torch.Generator().manual_seed(seed))


def test_numbers_of_each_map_say_how_high_it_rises_and_where() -> None:
    made = encoder(parts=["step"])
    assert made.prompts(T) == T
    given: list[Tensor] = []
    made.clip["step"].register_forward_pre_hook(lambda _, args: given.append(args[0]))
    prompts = made(hot(1, 2))
    assert prompts.shape == (1, T, D)
    assert given[0].shape == (T, 3)
    close(given[0][0, :1], torch.tensor([-6.0]))
    close(given[0][-1], torch.tensor([(8 - 3 * 6) / 4, 2.5 / W, 1.5 / H]))  # of the four highest patches
    moved, weaker = made(hot(4, 2)), made(hot(1, 2, 3.0))
    for other in (moved, weaker):
        close(other[:, :-1], prompts[:, :-1])
        assert not torch.allclose(other[:, -1], prompts[:, -1], atol=1e-3)
    (prompts * torch.randn(prompts.shape)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_the_pooled_token_is_that_of_the_hot_patch() -> None:
    tokens = seen()
    for y, x in ((0, 0), (1, 2), (4, 8)):
        made = pooled(hot(y, x, 20.0, -20.0), tokens)
        assert made.shape == (1, T, D)
        close(made[0, -1], tokens[0, -1, :, y // 2, x // 3])
        assert made[0, :-1].abs().max() < 1e-6
    two = hot(0, 0, 20.0, -20.0)
    two[0, -1, 1, 4, 8] = 20.0
    close(pooled(two, tokens)[0, -1], (tokens[0, -1, :, 0, 0] + tokens[0, -1, :, 2, 2]) / 2)
    close(pooled(hot(1, 2, 0.0, -20.0), tokens)[0, -1], tokens[0, -1, :, 0, 0] / 2)  # half sure
    odd = pooled(hot(5, 8, 20.0, -20.0), torch.randn(1, T, D, 4, 5))  # as where five patches become three tokens
    assert odd.isfinite().all()


def test_a_cold_map_says_the_same_whatever_the_picture() -> None:
    made = encoder(parts=["tokens"])
    assert made.prompts(T) == T
    cold = hot(0, 0, -20.0, -20.0)
    close(made(cold, seen(1)), made(cold, 5 * seen(2)))
    one, other = made(hot(0, 0), seen()), made(hot(4, 8), seen())
    close(one[:, :-1], other[:, :-1])
    assert (one[:, -1] - other[:, -1]).abs().max() > 0.1


def test_pooled_tokens_begin_as_visual_tokens_and_what_is_beside_them_learns() -> None:
    made, given = encoder(parts=["tokens"], scale=0.01), hot(1, 2, 20.0, -20.0).requires_grad_()
    prompts = made(given, 3 * seen())
    assert torch.allclose(prompts[0, -1], 3 * seen()[0, -1, :, 0, 0], atol=0.05)
    assert made.tokens is not None
    nn.init.normal_(cast(nn.Linear, made.tokens[-1]).weight)  # it starts at zero, which hides what lies before it
    prompts = made(given, seen())
    (prompts * torch.randn(prompts.shape)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_what_each_map_says_stands_beside_the_papers_prompts() -> None:
    paper, made = encoder(), encoder(parts=["step", *PARTS, "tokens"])
    made.load_state_dict(paper.state_dict(), strict=False)
    clips, tokens = maps()[:1], seen()
    prompts = made(clips, tokens)
    assert made.prompts(T) == prompts.shape[1] == paper.prompts(T) + 2 * T
    close(prompts[:, T:-T], paper(clips))
    close(prompts[:, -T:], pooled(clips, tokens) + made.tokens[-1].bias)  # type: ignore[index, operator]
