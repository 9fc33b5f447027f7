"""Which of a test's clips are shown: by a rule, so that neither the best nor the worst are picked by eye."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from sklearn.metrics import average_precision_score

from tvau.language import slots
from tvau.metrics.text import yes_no
from tvau.viz.report import Case

OPEN_SET = ("test", "test_novel", "open_set", "novel")  # UBnormal's test split and those of the synthetic world
MARKED = 0.5  # a pixel of this score is marked
NEAR = 0.05  # of the picture's width; so near to the target the hottest point still lies on it
RULE = (
    "Chosen by rule, not by eye: a clip of a known kind that is found and described, one of a kind that training never "
    "saw that is found, and a miss; then of each split an abnormal and a normal clip. Each is the median of all clips "
    "of its sort that the test kept: abnormal ones are ranked by the average precision of their pixels, normal ones by "
    "their highest score. Found: the hottest point of the clip is marked and lies on the target. Described: the "
    "answers say yes, and name the right class and action. A miss is not found, or denied."
)


def choose(cases: Sequence[Case], open_set: Sequence[str] = OPEN_SET) -> list[Case]:
    """The cases to show, each with its `why`, by `RULE`. A sort of which there is none is left out.

    Args:
        cases: of a test; those without masks are left out.
        open_set: splits whose kinds training never saw.
    """
    shown: dict[int, Case] = {}
    for why, case in _medians([case for case in cases if case.mask is not None], open_set):
        shown.setdefault(id(case), replace(case, why=why))
    return list(shown.values())


def found(case: Case) -> bool:
    """The hottest point of the clip is marked, and lies on the target."""
    at = np.unravel_index(case.heatmaps.argmax(), case.heatmaps.shape)
    mask = _mask(case)[at[0]].astype(np.uint8)
    width = 2 * round(NEAR * mask.shape[1]) + 1
    near = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    scale = np.divide(mask.shape, case.heatmaps.shape[1:])
    y, x = ((np.array(at[1:]) + 0.5) * scale).astype(int)
    return bool(case.heatmaps[at] >= MARKED and near[y, x])


def described(case: Case) -> bool:
    """The answers say yes, and name class and action wherever the reference names them, and as it does."""
    turns = [(answer, slots(reference)) for _, answer, reference in case.turns if reference]
    wanted = [(slots(answer).get(k), true[k]) for answer, true in turns for k in ("class", "action") if k in true]
    return bool(turns) and not denied(case) and all(said == true for said, true in wanted)


def denied(case: Case) -> bool:
    """The first answer is not a yes."""
    return bool(case.turns) and yes_no(case.turns[0][1]) != "yes"


def verdict(case: Case) -> str:
    """What became of a clip, in words."""
    if not _mask(case).any():
        marked, said = case.heatmaps.max() >= MARKED, not denied(case)
        return ("rightly left alone", "false alarm of the map", "false alarm of the words", "false alarm")[
            marked + 2 * said
        ]
    words = "described" if described(case) else "denied" if denied(case) else "described wrongly"
    return (
        f"{'found' if found(case) else 'not found'}, {words}" if case.turns else "found" if found(case) else "not found"
    )


def precision(case: Case) -> float:
    """Average precision of an abnormal clip's pixels."""
    mask = _mask(case)
    maps = [cv2.resize(np.asarray(h, np.float32), mask.shape[:0:-1]) for h in case.heatmaps]
    return float(average_precision_score(mask.ravel(), np.stack(maps).ravel()))


def highest(case: Case) -> float:
    """Highest frame score of a clip."""
    return float(case.scores.max())


def _mask(case: Case) -> np.ndarray:
    return np.zeros(case.pictures.shape[:3], bool) if case.mask is None else case.mask


def _medians(cases: Sequence[Case], open_set: Sequence[str]) -> Iterator[tuple[str, Case]]:
    abnormal = [case for case in cases if _mask(case).any()]
    known = [case for case in abnormal if case.split not in open_set]
    never = [case for case in abnormal if case.split in open_set]
    good = [case for case in known if found(case) and described(case)]
    yield from _median(f"a known kind, median of {len(good)} of {len(known)}", good, precision)
    good = [case for case in never if found(case)]
    yield from _median(f"a kind that training never saw, median of {len(good)} of {len(never)}", good, precision)
    bad = [case for case in abnormal if not found(case) or denied(case)]
    yield from _median(f"a miss, median of {len(bad)} of {len(abnormal)}", bad, precision)
    for split in dict.fromkeys(case.split for case in cases):
        kinds: list[tuple[str, Callable[[Case], float]]] = [("abnormal", precision), ("normal", highest)]
        for kind, rank in kinds:
            own = [case for case in cases if case.split == split and _mask(case).any() == (kind == "abnormal")]
            yield from _median(f"the median of {len(own)} {kind} clips of {split}", own, rank)


def _median(why: str, cases: Sequence[Case], rank: Callable[[Case], float]) -> Iterator[tuple[str, Case]]:
    """The median case with its reason and what became of it; nothing of none."""
    if cases:
        case = sorted(cases, key=rank)[(len(cases) - 1) // 2]
        yield f"{verdict(case)}: {why}", case
