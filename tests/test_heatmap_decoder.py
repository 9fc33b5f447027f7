"""AHD against equations 3 to 8, written as plain loops."""

from math import log

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, linear, normalize

from tiny import close
from tvau.errors import OptionError
from tvau.heatmap_decoder import RELATIVE, AnomalyHeatmapDecoder, enlarge, heatmap, initial_weight, pool_text

BLOCKS = (1, 4)
B, T, DV, D, H, W = 2, 3, 6, 8, 2, 5


@pytest.fixture
def decoder() -> AnomalyHeatmapDecoder:
    """Random, with weights w_i that differ."""
    torch.manual_seed(0)
    decoder = AnomalyHeatmapDecoder(DV, D, BLOCKS)
    for i in BLOCKS:
        nn.init.constant_(decoder.log_weights[str(i)], log(i) / RELATIVE)
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
            maps[b, t, c, y, x] += i * cosine  # eq. 6
    given = decoder(hidden, text)
    close(given.similar, maps)
    close(given.logit, maps[:, :, 1] - maps[:, :, 0])
    abnormal = maps[:, :, 1].exp() / (maps[:, :, 0].exp() + maps[:, :, 1].exp())  # eq. 7, 8
    close(heatmap(given.logit, T, H, W), abnormal)


@pytest.mark.parametrize("steps", [1, 2, 40])
def test_with_time_the_first_layer_sees_mean_and_step_before(steps: int) -> None:
    """By loops, for a clip of one step, a short one and a long window."""
    torch.manual_seed(0)
    decoder, width, text = AnomalyHeatmapDecoder(DV, D, [4], width=5, context="time"), 5, torch.randn(2, D)
    hidden = torch.randn(B, steps, DV, H, W)
    norm, first, _, last = decoder.projections["4"].children()
    assert isinstance(first, nn.Linear)
    assert first.weight.shape == (3 * width, DV)
    maps = torch.zeros(B, steps, 2, H, W)
    for b, y, x in torch.cartesian_prod(*map(torch.arange, (B, H, W))).tolist():
        tokens = [norm(hidden[b, t, :, y, x]) for t in range(steps)]
        parts = [linear(token, first.weight, first.bias) for token in tokens]
        p, q, r = ([own[k * width : (k + 1) * width] for own in parts] for k in range(3))
        for t in range(steps):
            inner = p[t] + q[t] - sum(q) / steps + r[t] - r[max(t - 1, 0)]
            projected = last(gelu(inner))
            maps[b, t, :, y, x] = torch.stack([projected @ own / (projected.norm() * own.norm()) for own in text])
    given = decoder({4: hidden}, text)
    close(given.similar, maps)
    close(given.logit, maps[:, :, 1] - maps[:, :, 0])


def test_a_still_clip_says_nothing_of_time() -> None:
    decoder, text = AnomalyHeatmapDecoder(DV, D, [4], context="time"), torch.randn(2, D)
    still = torch.randn(B, 1, DV, H, W).expand(-1, T, -1, -1, -1)
    close(decoder({4: still}, text).logit[:, 1:], decoder({4: still[:, :1]}, text).logit.expand(-1, T - 1, -1, -1))


def test_the_difference_of_nearly_equal_texts_does_not_cancel() -> None:
    torch.manual_seed(0)
    decoder = AnomalyHeatmapDecoder(DV, D, BLOCKS)
    decoder.scale(1e4)
    hidden, text = {i: torch.randn(B, T, DV, H, W) for i in BLOCKS}, torch.randn(1, D) + 1e-5 * torch.randn(2, D)
    logit = decoder(hidden, text).logit
    normal, abnormal = normalize(text.double(), dim=-1)
    exact = torch.zeros_like(logit).double()
    for i, project in decoder.double().projections.items():
        exact += 1e4 * normalize(project(hidden[int(i)].movedim(2, -1).double()), dim=-1) @ (abnormal - normal)
    assert (logit - exact).abs().max() < 1e-2 * exact.abs().max()


@torch.no_grad()
def test_autocast_does_not_reach_the_decoder(decoder: AnomalyHeatmapDecoder, hidden: dict[int, Tensor]) -> None:
    text = torch.randn(1, D) + 0.02 * torch.randn(2, D)
    assert normalize(text, dim=-1).prod(0).sum() > 0.999
    plain = decoder(hidden, text)
    with torch.autocast("cpu", torch.bfloat16):
        given = decoder(hidden, text)
    assert torch.equal(given.similar, plain.similar)
    assert torch.equal(given.logit, plain.logit)


def test_the_logit_is_enlarged_and_not_the_score() -> None:
    logit = torch.tensor([-20.0, 20.0]).view(1, 1, 1, 2)  # an edge between two patches
    close(heatmap(logit, 1, 1, 8)[0, 0, 0], torch.tensor([-20, -20, -15, -5, 5, 15, 20, 20]).sigmoid())


def test_time_steps_cover_their_frames_evenly() -> None:
    maps = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1)
    frames = enlarge(maps, 4, 2, 3)
    assert frames.shape == (1, 4, 2, 3)
    close(frames[0, :, 0, 0], torch.tensor([0.0, 0.25, 0.75, 1.0]))


@pytest.mark.parametrize("size", [(4, 24, 40), (8, 18, 31), (5, 7, 4)])
def test_enlarged_maps_and_their_gradients_are_those_of_interpolate(size: tuple[int, int, int]) -> None:
    maps, toward = torch.randn(2, 4, 6, 10, requires_grad=True), torch.randn(2, *size)
    with torch.autocast("cpu", torch.bfloat16):
        given = enlarge(maps, *size)
    expected = interpolate(maps[:, None], size, mode="trilinear", align_corners=False)[:, 0]
    close(given, expected)
    close(*(torch.autograd.grad((large * toward).sum(), maps)[0] for large in (given, expected)))


def test_places_stay_where_they_are() -> None:
    maps = torch.zeros(1, 1, 3, 4)
    maps[0, 0, 2, 1] = 1
    frames = enlarge(maps, 2, 24, 32)
    assert divmod(int(frames[0, 0].argmax()), 32) in [(y, x) for y in range(16, 24) for x in range(8, 16)]


def test_similarities_are_cosines(decoder: AnomalyHeatmapDecoder, hidden: dict[int, Tensor]) -> None:
    similar = decoder.similarities(hidden, 100 * torch.randn(2, D))
    assert set(similar) == set(BLOCKS)
    assert all(h.shape == (B, T, 3, H, W) and h[:, :, :2].abs().max() <= 1 + 1e-6 for h in similar.values())


def test_equal_texts_leave_the_heatmap_undecided(decoder: AnomalyHeatmapDecoder, hidden: dict[int, Tensor]) -> None:
    text = torch.randn(1, D).expand(2, D)
    close(heatmap(decoder(hidden, text).logit, T, H, W), torch.full((B, T, H, W), 0.5))


def test_every_part_learns(decoder: AnomalyHeatmapDecoder, hidden: dict[int, Tensor]) -> None:
    decoder(hidden, torch.randn(2, D)).logit.sigmoid().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.parameters())


def test_no_patch_leaves_the_reach() -> None:
    torch.manual_seed(0)
    text = torch.tensor([[3.0, 0.5], [1.0, 0.0]])  # normed: (0.986, 0.164) and (1, 0)
    weight = initial_weight(text, blocks=2, reach=30.0)
    decoder = AnomalyHeatmapDecoder(DV, 2, BLOCKS)
    decoder.scale(weight)
    assert decoder({i: torch.randn(1, 8, DV, 8, 8) for i in BLOCKS}, text).logit.abs().max() <= 30.0 + 1e-3
    along = torch.nn.functional.normalize(text, dim=-1).diff(dim=0)[0]  # a patch that lies along the difference
    assert 2 * weight * torch.linalg.vector_norm(along).item() == pytest.approx(30.0)


def test_texts_that_do_not_differ_are_refused() -> None:
    with pytest.raises(OptionError, match="same text feature"):
        initial_weight(torch.ones(2, D), blocks=2, reach=30.0)


def test_weights_start_as_told() -> None:
    decoder = AnomalyHeatmapDecoder(DV, D, BLOCKS, width=3)
    decoder.scale(7.0)
    assert [w.item() for w in decoder.weights.values()] == pytest.approx([7.0, 7.0])
