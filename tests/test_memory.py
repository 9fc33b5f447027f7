"""The memory of normal tokens: its parts against plain references, and what its calibration promises."""

from math import dist, inf

import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from tiny import close
from tvau.heatmap_decoder import heatmap
from tvau.memory import Memory, averaged, beyond, nearest, thinned
from tvau.metrics.frame import frame_scores

DRAW = torch.Generator().manual_seed(0)


def test_distances_are_those_of_a_librarys_search() -> None:
    tokens, bank = torch.randn(5000, 6, generator=DRAW), torch.randn(40, 6, generator=DRAW)
    expected, _ = NearestNeighbors(n_neighbors=1).fit(bank.numpy()).kneighbors(tokens.numpy())
    close(nearest(tokens, bank), torch.from_numpy(expected[:, 0]).float())


def test_the_bank_is_thinned_out_from_far_to_near() -> None:
    # 5 clusters far apart: the first 5 choices take one of each, in whatever projection
    centres = 100 * torch.randn(5, 3, generator=DRAW)
    tokens = (centres[:, None] + torch.randn(5, 20, 3, generator=DRAW) / 100).flatten(0, 1)
    torch.manual_seed(1)
    chosen = thinned(tokens, 5)
    owners = {min(range(5), key=lambda i: dist(token, centres[i].tolist())) for token in chosen.tolist()}
    assert owners == set(range(5))
    most = thinned(tokens, 99).tolist()
    assert len({tuple(token) for token in most}) == 99  # each once
    assert {tuple(token) for token in most} < {tuple(token) for token in tokens.tolist()}


def test_neighbours_are_averaged_within_the_picture() -> None:
    features = torch.randn(1, 2, 3, 4, 5, generator=DRAW)
    given = averaged(features)
    for t, y, x in ((0, 0, 0), (1, 1, 2), (1, 2, 3)):
        own = features[0, t, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        close(given[0, t, y, x], own.flatten(0, 1).mean(0))


def windows(count: int, seed: int) -> torch.Tensor:
    """Log distances [count, 2, 4, 8] of normal windows."""
    return torch.randn(count, 2, 4, 8, generator=torch.Generator().manual_seed(seed)) * 0.3


def test_a_window_scores_a_half_at_its_own_level() -> None:
    memory, own = Memory(3, [1], 8), windows(6, 0)
    memory.usual.fill_(float(own.median()))
    for window, level in zip(own, memory.level(own, 4, (32, 64)), strict=True):
        memory.alarm.copy_(level)
        scores = frame_scores(heatmap(memory.logit(window[None]), 4, 32, 64))
        close(scores.max(), torch.tensor(0.5))


@pytest.mark.parametrize("per_hour", [60.0, 2.0])
def test_alarms_come_as_often_as_they_may(per_hour: float) -> None:
    """On other normal video of the same kind; the second rate is below one in all that stayed out, so extrapolated."""
    memory, seconds = Memory(3, [1], 8), 3.0
    memory.calibrate(windows(500, 1).split(50), 4, (32, 64), 500 * seconds, per_hour)
    alarms = (memory.level(windows(5_000, 2), 4, (32, 64)) >= memory.alarm).sum()
    assert 0.4 * per_hour < alarms / (5_000 * seconds / 3600) < 2.5 * per_hour


def test_a_tail_goes_on_as_it_began() -> None:
    torch.manual_seed(0)
    values = torch.distributions.Exponential(2.0).sample((100_000,)).sort(descending=True).values
    for share in (1e-3, 1e-4, 1e-6):  # the last lies beyond all that was seen
        expected = -torch.tensor(share).log() / 2
        torch.testing.assert_close(beyond(values[:1024], 100_000, share), expected, rtol=0.1, atol=0)


def test_what_is_added_lies_beside_what_was_known() -> None:
    memory = Memory(3, [1], 8)
    assert not memory.known
    old, new = torch.eye(4) * 10, -torch.eye(4) * 10
    memory.learn(old)  # fewer than it holds
    memory.calibrate([windows(40, 3)], 4, (32, 64), 100.0, 1.0)
    before = memory.peaks.clone()
    memory.learn(new)
    close(nearest(torch.cat([old, new]), memory.bank), torch.zeros(8))
    memory.calibrate([windows(60, 4) - 1], 4, (32, 64), 200.0, 1.0)
    assert (float(memory.windows), float(memory.seconds)) == (100, 300)
    assert memory.peaks[0] == before[0]  # the highest levels stay known
    assert (memory.peaks > -inf).sum() == 100
    assert -1 < memory.usual < 0


def test_a_token_knows_how_much_it_changes() -> None:
    memory = Memory(16, [1], 8)
    hidden = torch.randn(1, 1, 16, 4, 5, generator=DRAW).repeat(1, 3, 1, 1, 1)
    still = memory.tokens({1: hidden})
    hidden[0, 2, :, :, :2] = torch.randn(16, 4, 2, generator=DRAW)
    moved = memory.tokens({1: hidden})
    assert still.shape == (1, 3, 4, 5, 17)
    rise = (moved - still)[0, ..., -1]
    assert rise[:2].abs().max() == 0  # what comes later is not known before
    assert rise[2, :, :3].min() > 20  # with the neighbours
    assert rise[2, :, 3:].abs().max() == 0
    assert memory.tokens({1: hidden[:, :1]}).isfinite().all()  # a clip of one step
