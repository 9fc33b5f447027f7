"""What the metrics share: states that grow by rows, and the check of scores."""

from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from tvau.errors import DataError


def check_unit(scores: Tensor, what: str) -> None:
    """Scores must be finite and in [0, 1].

    Some libraries put scores outside [0, 1] through a sigmoid, and only in the batch where they occur: that mixes two
    scales without a word, so it stops here.

    Raises:
        DataError: where they are not.
    """
    if scores.numel() == 0:
        return
    finite = torch.isfinite(scores)
    if not finite.all():
        raise DataError(f"{what}: {int((~finite).sum())} of {scores.numel()} scores are NaN or infinite; expected "
                        "finite numbers in [0, 1]. Look for a diverged training or a broken checkpoint.")  # fmt: skip
    low, high = float(scores.min()), float(scores.max())
    if low < 0 or high > 1:
        raise DataError(f"{what}: scores from {low:.3g} to {high:.3g}; expected [0, 1]: probabilities, not logits.")


def video_key(name: str) -> int:
    """A name as an int64, equal in every process, so that it can be gathered with the scores."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


class RowMetric(Metric):
    """A metric whose states are rows that are concatenated over processes, also where a process saw none.

    torchmetrics replaces the empty list of a process without data by a 1-dimensional float tensor, which cannot be
    gathered with rows of another shape and dtype. Here it becomes an empty tensor of the right kind first.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._empty: dict[str, Tensor] = {}

    def add_rows(self, name: str, *shape: int, dtype: torch.dtype) -> None:
        """Declare a state of rows: tensors [n, *shape] of `dtype`, n free."""
        self.add_state(name, default=[], dist_reduce_fx="cat")
        self._empty[name] = torch.empty(0, *shape, dtype=dtype)

    def all_rows(self, name: str) -> Tensor:
        """All rows [n, *shape] of a state, on the CPU."""
        return dim_zero_cat([self._empty[name], *(part.cpu() for part in _parts(getattr(self, name)))])

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the rows of all processes (torchmetrics calls this before compute)."""
        for name, empty in self._empty.items():
            if isinstance(getattr(self, name), list) and not getattr(self, name):
                setattr(self, name, [empty.to(self.device)])
        super().sync(*args, **kwargs)


def _parts(state: list[Tensor] | Tensor) -> list[Tensor]:
    return state if isinstance(state, list) else [state]  # a list before the processes are gathered, a tensor after
