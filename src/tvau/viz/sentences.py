"""The results of a run in three sentences: how good the maps are, how good the words, and where least is gained."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tvau.viz.report import Results

OURS = "T-VAU"


class Gain(NamedTuple):
    """One score of one split beside the best that something simpler gets."""

    what: str
    split: str
    ours: float
    simple: float
    name: str  # of what is simpler


def sentences(results: Results) -> list[str]:
    """A few sentences; what a run did not measure is left out.

    Args:
        results: {method: {split: {"frame": {...}, "text": {...}}}}, ours under "T-VAU".
    """
    ours = results.get(OURS, {})
    others = {method: splits for method, splits in results.items() if method != OURS}
    maps, words = list(_maps(ours, others)), list(_words(ours, others))
    told = [_told("Frames are ranked by the maps with an AUC of", maps), _told("Yes or No is right in", words)]
    if gains := [*maps, *words]:
        least = min(gains, key=lambda gain: gain.ours - gain.simple)
        by = least.ours - least.simple
        how = f"{by:.2f} above" if by > 0 else f"{-by:.2f} below" if by < 0 else "no better than"
        told.append(f"Least is gained on {least.split} in {least.what}: {how} {least.name}.")
    shares = {split: scores.get("foreign", 0) for split, scores in ours.items()}
    if foreign := [f"{share:.0%} of {split}" for split, share in shares.items() if share > 0.1]:
        told.append(f"Far from all that the model was trained on: {', '.join(foreign)}.")
    return [sentence for sentence in told if sentence]


def _told(begin: str, gains: list[Gain]) -> str:
    parts = [f"{gain.ours:.2f} on {gain.split} ({gain.name}: {gain.simple:.2f})" for gain in gains]
    return f"{begin} {', '.join(parts)}." if parts else ""


def _maps(ours: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[Gain]:
    for split, scores in ours.items():
        own = scores.get("frame", {}).get("micro_auc")
        beside = {m: s[split]["frame"]["micro_auc"] for m, s in others.items() if s.get(split, {}).get("frame")}
        beside["chance"] = 0.5
        if own is not None:
            name = max(beside, key=lambda method: beside[method])
            yield Gain("frame AUC", split, own, beside[name], name)


def _words(ours: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[Gain]:
    for split in ours:
        judged, *rest = (s.get(split, {}).get("text", {}).get("judgement", {}) for s in (ours, *others.values()))
        beside = {m: own["yes_no"] for m, own in zip(others, rest, strict=True) if "yes_no" in own}
        if "yes_no" in judged.get("floor", {}):
            beside["a constant answer"] = judged["floor"]["yes_no"]
        if "yes_no" in judged and beside:
            name = max(beside, key=lambda method: beside[method])
            yield Gain("Yes or No", split, judged["yes_no"], beside[name], name)
