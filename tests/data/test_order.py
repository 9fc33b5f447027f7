"""The order of training clips: by seed and epoch alone, shared out over processes, without what is done."""

from typing import Any

import pytest

from tvau.data.order import EpochSampler

SHARES = [0.3, 0.1, 0.1, 0.1, 0.1, 0.3, 0.5]


def order(epoch: int, done: int = 0, ranks: int = 1, rank: int = 0, seed: int = 3, **options: Any) -> list[int]:
    return list(EpochSampler(7, 2, lambda: (epoch, done), seed, ranks=ranks, rank=rank, **options))


@pytest.mark.parametrize("options", [{"shuffle": True}, {"shares": SHARES}, {}])
def test_what_is_done_is_left_out_and_nothing_else_changes(options: dict[str, Any]) -> None:
    for epoch in range(3):
        assert order(epoch, 2, **options) == order(epoch, **options)[4:]
        assert len(order(epoch, **options)) == 7


@pytest.mark.parametrize("options", [{"shuffle": True}, {"shares": SHARES}])
def test_every_epoch_and_seed_has_its_own_order(options: dict[str, Any]) -> None:
    orders = [order(epoch, seed=seed, **options) for epoch in range(4) for seed in range(4)]
    assert len({tuple(each) for each in orders}) == 16
    assert order(2, **options) == order(2, **options)


def test_every_clip_comes_once_an_epoch() -> None:
    assert sorted(order(1, shuffle=True)) == list(range(7))
    assert order(1) == list(range(7))


def test_processes_share_what_one_would_see_step_by_step() -> None:
    alone, (first, second) = order(1, shuffle=True), (order(1, ranks=2, rank=rank, shuffle=True) for rank in (0, 1))
    assert [x for pair in zip(first, second, strict=True) for x in pair] == [*alone, alone[0]]
    assert order(1, 1, 2, 1, shuffle=True) == second[2:]
