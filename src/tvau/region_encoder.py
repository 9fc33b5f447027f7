"""Region-aware Anomaly Encoder (RAE), section 3.2.2 of the paper."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import adaptive_avg_pool2d

from tvau.errors import OptionError
from tvau.judge import peak
from tvau.track import track

REGIONS = 3  # a 3x3 grid
View = Literal["difference", "map", "difference+map"]
Of = Literal["heatmap", "similarity"]
Part = Literal["base", "region", "global", "peak", "track", "step", "tokens"]
PARTS: tuple[Part, ...] = ("base", "region", "global")  # the paper's
ONCE: dict[Part, int] = {"peak": 1, "track": 3}  # prompts of a clip
NUMBERS: dict[Part, int] = {"peak": 1, "track": 6, "step": 3}  # that such prompts are made of


class Standardize(nn.Module):
    """Channels less their running mean, over their running standard deviation: [N, C, ...] -> the same shape.

    As batch normalization of a trained network, in training too: the statistics are those of the optimizer steps
    before, so that a batch may be a single clip, and a step may take its clips one by one or in several processes.
    Normalizing each clip by itself would hide what counts, whether its maps change much or hardly; without any
    normalization the few patches of a target would vanish in the means of eq. 11 and 12.

    In training it counts what passes; `follow`, once a step, takes that into the statistics. The first steps leave
    nothing behind, until such layers before this one have found their statistics; then they are a plain mean over
    steps, at last a moving one.

    Args:
        channels: C.
        settle: number of steps that leave nothing behind.
        momentum: weight of the newest step, at least.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, channels: int, settle: int = 3, momentum: float = 0.05) -> None:
        super().__init__()
        self.settle, self.momentum = settle, momentum
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("batches", torch.zeros(()))
        self.seen: list[Tensor] = []  # [3, C] of each batch since the last step: count, mean, variance

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel():
            rows = x.detach().movedim(1, 0).flatten(1)  # [C, all the rest]
            variance, mean = torch.var_mean(rows, 1, correction=0)
            self.seen.append(torch.stack([torch.full_like(mean, rows.shape[1]), mean, variance]))
        shape = (-1, *[1] * (x.ndim - 2))
        return (x - self.mean.view(shape)) * (self.variance.view(shape) + 1e-5).rsqrt()

    @torch.no_grad()
    def follow(self) -> None:
        """Takes what all processes have seen since the last call into the statistics; each of them has to call."""
        seen = torch.stack(self.seen or [torch.zeros(3, *self.mean.shape).to(self.mean)])
        self.seen.clear()
        count, mean, variance = seen.unbind(1)  # each [batches, C]
        total = _summed(count.sum(0))
        if not total.any():
            return
        self.batches += 1
        share = (1 / (self.batches - self.settle).clamp(min=1)).clamp(min=self.momentum)
        own = _summed((count * mean).sum(0)) / total
        self.mean.lerp_(own, share)
        self.variance.lerp_(_summed((count * (variance + (mean - self.mean).square())).sum(0)) / total, share)


def _summed(own: Tensor) -> Tensor:
    """The sum over all processes, so that all of them follow the same statistics."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(own)
    return own


class RegionAwareAnomalyEncoder(nn.Module):
    """Anomaly maps -> anomaly prompts: a base, nine regions and a global token for each step between two maps.

    Args:
        hidden_size: width D of the language model.
        view: what the convolutions see. "difference" is the paper's (eq. 9): somebody who lies still gives it almost
            nothing. "map" (the later map of each pair) and "difference+map" are ours.
        of: which maps those are; the paper calls two by one name. "heatmap" is the softmax of H_c over both classes
            (eq. 7), "similarity" H_c itself (eq. 6). Before the softmax the background trembles from step to step by as
            much as a target stands out; its differences and means drown the few patches of a target.
        channels: C_h of eq. 10.
        base: N_base of eq. 13.
        scale: root mean square of a prompt at the start; the language model's own token embeddings are the measure.
        parts: kinds of prompts; the three of PARTS are the paper's, fewer are an ablation. Their order is always that
            of eq. 13. The others are ours. Once in front of all steps stand "peak", how high the heatmap rises (one
            prompt), and "track", where its target's way begins, ends and leads (three), see `tvau.track`; then, for
            each map, "step", how high that one rises and where. Behind all steps stand, for each map, "tokens": the
            visual tokens of what is hot, see `pooled`, with a small MLP beside them that begins as a constant, so that
            the language model reads them as it reads the clip's own.
        base_once: the base prompts, which are the same at every step, stand once in front of all steps. Ours: it leaves
            N_base + 10(T' - 1) prompts of the paper's (N_base + 10)(T' - 1) for the language model to read.
        pool: so many steps, one after the other, share their prompts, which are those of the mean of their features;
            the last ones may be fewer. Ours; with 1, as in the paper, every step has its own.

    Raises:
        OptionError: `parts` and `base` leave no prompt, or `pool` no step.
    """

    def __init__(
        self,
        hidden_size: int,
        view: View = "difference",
        channels: int = 64,
        base: int = 10,
        scale: float = 1.0,
        parts: Sequence[Part] = PARTS,
        base_once: bool = False,
        of: Of = "heatmap",
        pool: int = 1,
    ) -> None:
        super().__init__()
        if pool < 1:
            raise OptionError(f"pool {pool}: expected how many steps share their prompts, 1 or more")
        self.view, self.of, self.pool = view, of, pool
        counts = {"base": base, "region": REGIONS**2, "global": 1}
        once: dict[Part, int] = {**ONCE, "base": base} if base_once else {**ONCE}
        self.once = sum(count for part, count in once.items() if part in parts)  # prompts of a clip
        self.every = sum(part in parts for part in ("step", "tokens"))  # of a map
        self.each = sum(count for part, count in counts.items() if part in parts and part not in once)  # of a step
        if not self.once + self.every + self.each:
            raise OptionError(
                f"parts {list(parts)} with base {base} leave no anomaly prompt: keep one of "
                f"{', '.join(get_args(Part))}, or set view to null for the LVLM alone"
            )
        self.scale = nn.Parameter(torch.tensor(scale))
        seeing = [part for part in ("region", "global") if part in parts]
        sizes = [4 if view == "difference+map" else 2, channels, channels, channels] if seeing else []
        self.convolutions = nn.Sequential(
            *[nn.Sequential(nn.Conv2d(a, b, 3, padding=1), Standardize(b), nn.GELU()) for a, b in pairwise(sizes)]
        )
        heads = {
            part: nn.Sequential(
                Standardize(channels), nn.Linear(channels, hidden_size), nn.GELU(),
                nn.Linear(hidden_size, hidden_size), nn.GELU(),
                nn.Linear(hidden_size, hidden_size), nn.LayerNorm(hidden_size),
            )
            for part in seeing
        }  # fmt: skip
        self.region, self.overall = heads.get("region"), heads.get("global")
        # which region a prompt speaks of
        self.place = nn.Parameter(torch.randn(REGIONS**2, hidden_size)) if "region" in parts else None
        self.base = nn.Parameter(torch.randn(base, hidden_size)) if "base" in parts else None
        self.base_once = base_once
        self.clip = nn.ModuleDict(
            {
                part: nn.Sequential(
                    Standardize(count), nn.Linear(count, channels), nn.GELU(),
                    nn.Linear(channels, (many := ONCE.get(part, 1)) * hidden_size),
                    nn.Unflatten(1, (many, hidden_size)), nn.LayerNorm(hidden_size),
                )
                for part, count in NUMBERS.items() if part in parts
            }
        )  # fmt: skip
        self.tokens = None
        if "tokens" in parts:
            last = nn.Linear(channels, hidden_size)
            nn.init.zeros_(last.weight)
            nn.init.normal_(last.bias)  # what is said where nothing is seen
            self.tokens = nn.Sequential(nn.Linear(hidden_size, channels), nn.GELU(), last)

    def prompts(self, times: int) -> int:
        """Number N of prompts for T' maps: (T' - 1)(N_base + 9 + 1), less what is left out or shared, and ours."""
        return self.once + times * self.every + -(-(times - 1) // self.pool) * self.each

    def follow(self) -> None:
        """Takes what was seen since the last call into the running statistics; once after each optimizer step."""
        for module in self.modules():
            if isinstance(module, Standardize):
                module.follow()

    def forward(self, maps: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Anomaly prompts P_An [B, N, D] (eq. 13) in float32.

        Args:
            maps: similarity maps H_c [B, T', 2, H', W'].
            tokens: the visual tokens where they lie on the picture [B, T', D, h, w]; the part "tokens" needs them.
        """
        with torch.autocast(maps.device.type, enabled=False):
            return torch.cat(self._prompts(maps.float(), tokens), 1)

    def _prompts(self, maps: Tensor, tokens: Tensor | None) -> list[Tensor]:
        seen = _numbers(maps) if self.clip else {}
        found = [encode(seen[part]).unflatten(0, (len(maps), -1)).flatten(1, 2) for part, encode in self.clip.items()]
        if self.base is not None and self.base_once:
            found.append(self.base.expand(len(maps), -1, -1))
        if self.each:
            found.append(self._steps(maps))
        found = [self.scale * own for own in found]
        if self.tokens is not None and tokens is not None:
            hot = pooled(maps, tokens.float())  # on the scale of visual tokens
            found.append(hot + self.scale * self.tokens(hot))
        return found

    def _steps(self, maps: Tensor) -> Tensor:
        """The prompts of the steps between two maps, one step (or pool of them) after the other [B, n each, D]."""
        maps = maps.softmax(2) if self.of == "heatmap" else maps
        later = maps[:, 1:]
        change = later - maps[:, :-1]  # eq. 9, [B, T'-1, 2, H', W']
        seen = {"difference": change, "map": later, "difference+map": torch.cat([change, later], 2)}[self.view]
        batch, steps = seen.shape[:2]
        features = self.convolutions(seen.flatten(0, 1))  # eq. 10, [B(T'-1), C_h, H', W']
        if self.pool > 1 and steps:
            pools = features.unflatten(0, (batch, steps)).split(self.pool, 1)
            steps, features = len(pools), torch.stack([some.mean(1) for some in pools], 1).flatten(0, 1)
        prompt = []  # eq. 13
        if self.base is not None and not self.base_once:
            prompt.append(self.base.expand(batch * steps, -1, -1))
        if self.region is not None and self.place is not None:
            grid = adaptive_avg_pool2d(features, REGIONS).flatten(2).mT.flatten(0, 1)  # [B(T'-1)9, C_h]
            prompt.append(self.region(grid).unflatten(0, (-1, REGIONS**2)) + self.place)  # eq. 11, [B(T'-1), 9, D]
        if self.overall is not None:
            prompt.append(self.overall(features.mean((2, 3)))[:, None])  # eq. 12, [B(T'-1), 1, D]
        of_each = torch.cat(prompt, 1)
        return of_each.reshape(batch, steps * self.each, of_each.shape[2])  # a clip of one time step has none


def pooled(maps: Tensor, tokens: Tensor) -> Tensor:
    """The visual tokens of what is hot, one for each map: their mean under the map, times how probable that is.

    A patch weighs by its odds of being abnormal, so that a few hot ones outweigh all that is cold. Where the map shows
    nothing, next to nothing is left of the picture.

    Args:
        maps: similarity maps H_c [B, T', 2, H', W'].
        tokens: [B, T', D, h, w]; one may stand for several patches.

    Returns:
        [B, T', D].
    """
    logit = maps[:, :, 1] - maps[:, :, 0]
    weight = logit.flatten(2).softmax(2).view_as(logit)
    weight = adaptive_avg_pool2d(weight, (tokens.shape[-2], tokens.shape[-1])).flatten(2)  # [B, T', h w]
    weight = weight / weight.sum(2, keepdim=True) * logit.flatten(2).amax(2, keepdim=True).sigmoid()
    return (tokens.flatten(3) @ weight[..., None])[..., 0]


@torch.no_grad()
def _numbers(maps: Tensor) -> dict[str, Tensor]:
    """What prompts are made of, of maps [B, T', 2, H', W'].

    Of each clip its peak [B, 1] and its track [B, 6], of each map its peak and the place of that [B T', 3].
    """
    logit = maps[:, :, 1] - maps[:, :, 0]
    single = logit.flatten(0, 1)[:, None]  # [B T', 1, H', W']
    ways = [track(own)[[0, -1], 1:] for own in logit.cpu().numpy()]  # each [2, 2]
    ends = np.array([(*first, *last, *(last - first)) for first, last in ways])
    places = np.array([track(own)[0, 1:] for own in single.cpu().numpy()])
    return {
        "peak": peak(logit)[:, None], "track": torch.from_numpy(ends).to(maps),
        "step": torch.cat([peak(single)[:, None], torch.from_numpy(places).to(maps)], 1),
    }  # fmt: skip
