"""A memory of normal tokens: heatmaps for who has normal video and nothing else.

After PatchCore (Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022): how far is each token of
the frozen tower from the nearest of a bank of normal ones, which a greedy choice of centres has thinned out. Different
from it: the tower is the LVLM's own, a token also knows how much it changes from one time step to the next, and the
distance is not reweighted by the density of the bank.

The memory stands where a heatmap decoder does. Its logit is the logarithm of the distance, scaled so that 0, a score of
0.5, is where an alarm begins: on normal video that stayed out of the bank, as often as the user will bear. Video of any
length gives a threshold for any rate: beyond what was seen, the highest levels of windows are taken to go on as an
exponential tail (peaks over a threshold, Pickands, Annals of Statistics 1975, with shape 0).
"""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, inf, log

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, layer_norm

from tvau.heatmap_decoder import Maps, enlarge
from tvau.metrics.frame import SHARE

USUAL_SCORE = 0.02  # of a usual token: the median of those that stayed out of the bank
STEEP = log(1 / USUAL_SCORE - 1)
CHANGE = 5.0  # weight of how much a token changes beside its normed numbers, which are of size 1
LEAST_CHANGE = 1e-4
PEAKS = 1024  # highest levels of windows that are kept
TAIL = 0.1  # share of the windows on which the tail is fitted
LEAST = 8  # windows for that; of fewer nobody can tell how it falls
CHUNK = 4096  # tokens whose distances are in memory at a time
PROJECTED = 64  # width of the random projection on which tokens are chosen
STEPS = 30  # of a bisection


class Memory(nn.Module):
    """Distance of tokens from normal ones, as maps.

    Args:
        vision_size: width Dv of the tower's blocks.
        blocks: those that are compared, side by side, by their 1-based numbers.
        size: tokens in the bank.
    """

    bank: Tensor
    usual: Tensor
    alarm: Tensor
    peaks: Tensor
    windows: Tensor
    seconds: Tensor

    def __init__(self, vision_size: int, blocks: Sequence[int], size: int) -> None:
        super().__init__()
        self.blocks = tuple(blocks)
        self.register_buffer("bank", torch.zeros(size, (vision_size + 1) * len(self.blocks)))
        self.register_buffer("usual", torch.tensor(-inf))  # log distance of a usual token; nothing is known yet
        self.register_buffer("alarm", torch.tensor(0.0))  # log distance where an alarm begins
        self.register_buffer("peaks", torch.full((PEAKS,), -inf))  # levels of windows that stayed out, highest first
        self.register_buffer("windows", torch.tensor(0.0, dtype=torch.float64))  # how many there were
        self.register_buffer("seconds", torch.tensor(0.0, dtype=torch.float64))  # of video that they cover

    @property
    def known(self) -> bool:
        """Whether it remembers anything."""
        return bool(self.usual > -inf)

    def forward(self, hidden: Mapping[int, Tensor], text: Tensor | None = None) -> Maps:
        """The maps of a pass, {block: [B, T', Dv, H', W']}; the text is not read."""
        logit = self.logit(self.distance(hidden))
        return Maps(torch.stack([-logit / 2, logit / 2], 2), logit)

    def logit(self, distance: Tensor) -> Tensor:
        """From log distances: that of `USUAL_SCORE` where they are usual, 0 where an alarm begins."""
        return STEEP * (distance - self.alarm) / (self.alarm - self.usual).clamp(min=1e-6)

    def tokens(self, hidden: Mapping[int, Tensor]) -> Tensor:
        """What is compared, [B, T', H', W', d]: blocks side by side, normed, with how much each changes in time.

        The change is the logarithm of the mean square of the difference to the time step before; the first step takes
        the second's. All of it is averaged over 3x3 neighbours.
        """
        parts = []
        for k in self.blocks:
            block = hidden[k].movedim(2, -1).float()
            block = layer_norm(block, block.shape[-1:])
            change = block.diff(dim=1).square().mean(-1, keepdim=True)
            change = torch.cat([change[:, :1], change], 1) if len(change[0]) else torch.zeros_like(block[..., :1])
            parts += [averaged(block), CHANGE * (averaged(change) + LEAST_CHANGE).log()]
        return torch.cat(parts, -1)

    def distance(self, hidden: Mapping[int, Tensor]) -> Tensor:
        """Logarithm of the distance of each token from the bank, [B, T', H', W']."""
        tokens = self.tokens(hidden)
        return nearest(tokens.flatten(0, 3), self.bank).clamp(min=1e-6).log().view(tokens.shape[:4])

    @torch.no_grad()
    def learn(self, tokens: Tensor) -> None:
        """Takes tokens [n, d] into the bank beside those that it holds; where they are too few, some stand twice."""
        every = torch.cat([self.bank, tokens]) if self.known else tokens
        few = thinned(every, min(len(self.bank), len(every)))
        self.bank.copy_(few[torch.arange(len(self.bank)) % len(few)])

    @torch.no_grad()
    def calibrate(self, distances: Iterable[Tensor], frames: int, size: tuple[int, int], seconds: float,
                  per_hour: float) -> None:  # fmt: skip
        """Sets where alarms begin, by normal windows that stayed out of the bank, beside those that it saw before.

        Args:
            distances: log distances [B, T', H', W'] of windows.
            frames, size: T and (H, W) of the heatmaps.
            seconds: of video that all these windows cover.
            per_hour: false alarms that may come of an hour.
        """
        distances = list(distances)
        count, known = sum(map(len, distances)), float(self.windows)
        usual = torch.cat([own.flatten() for own in distances]).median()
        before = self.usual if self.known else usual
        self.usual.copy_(torch.lerp(before, usual, count / (count + known)))  # of all windows alike
        levels = torch.cat([self.level(own, frames, size) for own in distances])
        self.peaks.copy_(torch.cat([self.peaks, levels]).sort(descending=True).values[:PEAKS])
        self.windows += count
        self.seconds += seconds
        self.set_alarm(per_hour)

    def level(self, distance: Tensor, frames: int, size: tuple[int, int]) -> Tensor:
        """The level for each window [B, T', H', W'] at which its highest frame would score exactly 0.5: [B]."""
        pixels = enlarge(distance, frames, *size).flatten(2)
        highest = pixels.topk(max(int(pixels.shape[-1] * SHARE), 1)).values - self.usual  # what the frame score reads
        low, high = torch.full_like(highest[:, 0, 0], 1e-3), highest.amax((1, 2)).clamp(min=1e-3)
        for _ in range(STEPS):
            middle = (low + high) / 2
            scores = (STEEP * (highest / middle[:, None, None] - 1)).sigmoid().mean(-1).amax(-1)
            low, high = torch.where(scores > 0.5, middle, low), torch.where(scores > 0.5, high, middle)
        return self.usual + high

    def set_alarm(self, per_hour: float) -> None:
        """Lets alarms begin where windows of normal video reach the level `per_hour` times an hour, as far as known."""
        windows = float(self.windows)
        share = per_hour * float(self.seconds) / 3600 / windows  # of the windows that may give an alarm
        self.alarm.copy_(beyond(self.peaks[: min(PEAKS, int(windows))], windows, share))


def beyond(peaks: Tensor, count: float, share: float) -> Tensor:
    """The level above which this share of `count` values lies, of which `peaks` are the highest, in falling order.

    The highest tenth is taken as an exponential tail: its mean excess over its lowest says how fast it falls. Fewer
    than `LEAST` values are all taken, and a single one is itself the level: neither says anything about a rate.
    """
    used = min(max(ceil(TAIL * count), LEAST), len(peaks))
    start = peaks[used - 1]
    excess = (peaks[:used] - start).sum() / max(used - 1, 1)
    return start + excess * log(max(used / count / share, 1))


def averaged(features: Tensor) -> Tensor:
    """Mean over the 3x3 neighbours of each place: [B, T', H', W', d] -> the same."""
    rows = features.flatten(0, 1).movedim(-1, 1)  # [B T', d, H', W']
    return avg_pool2d(rows, 3, 1, 1, count_include_pad=False).movedim(1, -1).view(features.shape)


def thinned(tokens: Tensor, size: int) -> Tensor:
    """Greedy choice of `size` tokens, each the farthest from those before it, by distances in a random projection.

    tokens [n, d], n >= size -> [size, d].
    """
    if size == len(tokens):
        return tokens
    flat = tokens @ torch.randn(tokens.shape[1], PROJECTED).to(tokens)
    squares = flat.square().sum(1)
    chosen = [int(torch.randint(len(tokens), ()))]
    distance = torch.full_like(squares, inf)
    while len(chosen) < size:
        last = chosen[-1]
        distance = distance.minimum(squares - 2 * (flat @ flat[last]) + squares[last])
        distance[last] = -inf  # rounding must not choose it again
        chosen.append(int(distance.argmax()))
    return tokens[chosen]


def nearest(tokens: Tensor, bank: Tensor) -> Tensor:
    """Euclidean distance of each token [n, d] to the nearest of the bank [m, d]: [n]."""
    return torch.cat([torch.cdist(part, bank).amin(1) for part in tokens.split(CHUNK)])
