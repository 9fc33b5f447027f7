"""Scores of answers: how they are worded and what they say (slots, yes or no), with the floor of each.

BLEU and its kin reward boilerplate, so each score comes with its floor: what somebody gets who always gives one and the
same answer without looking at the video. Two tasks are no questions of a dialog: "track" sets what a trajectory answer
names against the true track, "heatmap" what the answers say against the model's own heatmap (`tvau.metrics.motion`).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from tvau.errors import DataError
from tvau.language import SLOTS, slots
from tvau.metrics.intervals import resampled
from tvau.metrics.rows import RowMetric
from tvau.metrics.wording import (
    bleu4,
    bleu_counts,
    bleu_of,
    is_exact,
    mean,
    meteor,
    rouge_l,
    sentence_bleu4,
    tokens,
)
from tvau.verdict import yes_no

YES_NO_TASKS = ("judgement", "heatmap")
FACTS = ("track", "heatmap")  # tasks whose references are facts, not wording
CONSTANTS = 10  # how many of the most frequent reference answers are tried as the constant answer of the floor
WORDING: dict[str, Callable[[str, str], float]] = {
    "bleu4_sentence": sentence_bleu4,
    "rouge_l": rouge_l,
    "meteor": meteor,
    "exact": is_exact,
}


class Column(NamedTuple):
    """A score of each answer, and which answers it counts for."""

    values: NDArray[np.float64]  # [N]
    counted: NDArray[np.float64]  # [N], 1 or 0

    def mean(self, weights: NDArray[np.float64]) -> float:
        """Weighted mean over the counted answers; NaN where there are none."""
        total = weights @ self.counted
        return float(weights @ (self.values * self.counted) / total) if total else float("nan")


class Ranked(NamedTuple):
    """How sure of a yes each answer was, whether yes is right, and which answers count."""

    sure: NDArray[np.float64]  # [N]
    right: NDArray[np.float64]  # [N], 1 or 0
    counted: NDArray[np.bool_]  # [N]

    def auc(self, weights: NDArray[np.float64]) -> float:
        """Area under the ROC curve, each answer counted `weights` times [N]; NaN where one of both words is missing."""
        kept = self.counted & (weights > 0)
        if len(np.unique(self.right[kept])) < 2:
            return float("nan")
        return float(roc_auc_score(self.right[kept], self.sure[kept], sample_weight=weights[kept]))


class Answers:
    """What is found out once about each answer to one task; every score is then a matter of adding up.

    Args:
        task: as in `Turn`, or one of FACTS.
        answers, references: N of each.
    """

    def __init__(self, task: str, answers: Sequence[str], references: Sequence[str]) -> None:
        pairs = list(zip(answers, references, strict=True))
        self.size = len(pairs)
        self.columns: dict[str, Column] = {}
        self.bleu: NDArray[np.int64] | None = None
        if task not in FACTS:
            self.bleu = np.array([bleu_counts(a, r) for a, r in pairs]).reshape(-1, 10)
            for name, score in WORDING.items():
                self._add(name, [(float(score(a, r)), True) for a, r in pairs])
        self.ranked: dict[str, Ranked] = {}
        self.slots = []
        if task != "environment":  # places and crowds are no slots: "a parking lot" would be read as an action
            read = [(slots(a), slots(r)) for a, r in pairs]
            self.slots = [slot for slot in SLOTS if any(slot in right for _, right in read)]
            for slot in self.slots:
                self._add(slot, [(said.get(slot) == right.get(slot), slot in right) for said, right in read])
        if task in YES_NO_TASKS:
            words = [(yes_no(a), yes_no(r)) for a, r in pairs]
            self._add("yes_no", [(said == right, bool(right)) for said, right in words])
            self._add("yes_no_read", [(bool(said), bool(right)) for said, right in words])
            for word in ("yes", "no"):
                self._add(f"_{word}", [(said == right, right == word) for said, right in words])

    def _add(self, name: str, rows: Sequence[tuple[float, bool]]) -> None:
        self.columns[name] = Column(*np.array(rows, float).reshape(-1, 2).T)

    def rank(self, sure: Sequence[Mapping[str, float]], references: Sequence[str]) -> None:
        """Notes how sure of a yes somebody was, by the names of the scores that come of it."""
        right = [yes_no(reference) for reference in references]
        names = sorted({name for own in sure for name in own})
        for name in names:
            rows = [(own.get(name, np.nan), word == "yes") for own, word in zip(sure, right, strict=True)]
            counted = [name in own and bool(word) for own, word in zip(sure, right, strict=True)]
            sure_of, yes = np.array(rows, float).reshape(-1, 2).T
            self.ranked[name] = Ranked(sure_of, yes, np.array(counted))

    def scores(self, weights: NDArray[np.float64]) -> dict[str, float]:
        """Every score, slots by their names, each answer counted `weights` times [N]; undefined ones are left out."""
        found = {} if self.bleu is None else {"bleu4": bleu_of(weights @ self.bleu)}
        found |= {name: column.mean(weights) for name, column in self.columns.items()}
        found |= {name: ranked.auc(weights) for name, ranked in self.ranked.items()}
        if "_yes" in found:
            found["yes_no_balanced"] = (found["_yes"] + found["_no"]) / 2
        return {name: value for name, value in found.items() if np.isfinite(value) and not name.startswith("_")}


def slot_scores(answers: Sequence[str], references: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Accuracy of each slot, and its floor: the share of the most frequent value.

    A slot counts where the reference names it; an answer that does not name it there is wrong.
    """
    scored = Answers("track", answers, references)
    scores = scored.scores(np.ones(scored.size))
    named = {slot: [r[slot] for r in map(slots, references) if slot in r] for slot in scored.slots}
    most = {slot: Counter(values).most_common(1)[0][1] / len(values) for slot, values in named.items()}
    return {slot: scores[slot] for slot in scored.slots}, most


def constant_answer(references: Sequence[str]) -> str:
    """The one answer that gets the best corpus BLEU-4 here, among the most frequent references."""
    candidates = [text for text, _ in Counter(references).most_common(CONSTANTS)]
    return max(candidates, key=lambda text: bleu4([text] * len(references), references))


def text_scores(
    task: str,
    answers: Sequence[str],
    references: Sequence[str],
    videos: Sequence[str] | None = None,
    bootstrap: int = 0,
    sure: Sequence[Mapping[str, float]] = (),
) -> dict[str, Any]:
    """All scores of the answers to one task, with their floors.

    Args:
        task: as in `Turn`, or "track" or "heatmap".
        answers, references: N of each.
        videos: the video of each answer, for the intervals; None: each answer stands for itself.
        bootstrap: resamplings of the videos behind the intervals; 0: none.
        sure: how sure of a yes each answer was, by the names of the areas under the ROC curve that come of it.

    Returns:
        count, bleu4, bleu4_sentence, rouge_l, meteor, exact, slots {slot: accuracy}, where there is yes and no also
        yes_no, yes_no_balanced and yes_no_read, interval {score: [low, high]}, and floor: the same keys. The floor of
        the wording is a constant answer chosen from these references themselves, that of slots and yes_no the share of
        the most frequent value (an upper bound of what can be had without looking), that of yes_no_balanced 0.5.
    """
    if not references:
        return {"count": 0}
    scored = Answers(task, answers, references)
    scored.rank(sure, references)
    names, owner = np.unique(list(map(str, range(len(answers))) if videos is None else videos), return_inverse=True)
    found = scored.scores(np.ones(scored.size))
    named = {slot: found.pop(slot) for slot in scored.slots}
    result: dict[str, Any] = {"count": len(references), **found, "slots": named}
    if bootstrap:
        result |= resampled(lambda weights: scored.scores(weights[owner]), len(names), bootstrap)
    floor: dict[str, Any] = {"slots": slot_scores(answers, references)[1] if scored.slots else {}}
    if task not in FACTS:
        constant = constant_answer(references)
        floor |= {"answer": constant, "bleu4": bleu4([constant] * len(references), references)}
        floor |= {name: mean([float(score(constant, r)) for r in references]) for name, score in WORDING.items()}
        most = Counter(" ".join(tokens(r)) for r in references).most_common(1)[0][1]
        floor["exact"] = most / len(references)
    if "yes_no" in found:
        read = [word for word in map(yes_no, references) if word]
        floor["yes_no"] = max(Counter(read).values()) / len(read)
        floor |= {"yes_no_balanced": 0.5} if "yes_no_balanced" in found else {}
    return result | {"floor": floor}


class TextScores(RowMetric):
    """All answers of a split, by task; text travels between processes as JSON lines in bytes.

    Args:
        bootstrap: resamplings of the videos behind the intervals; 0: none.
    """

    lines: list[Tensor]

    def __init__(self, bootstrap: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bootstrap = bootstrap
        self.add_rows("lines", dtype=torch.uint8)

    def update(
        self,
        tasks: Sequence[str],
        answers: Sequence[str],
        references: Sequence[str],
        clips: Sequence[str] | None = None,
        sure: Sequence[Mapping[str, float]] | None = None,
    ) -> None:
        """Add answers.

        Args:
            tasks: task of each answer, as in `Turn`.
            answers: what the model said.
            references: what is right; answers without a reference ("") are passed over.
            clips: optional, the clip of each answer ("name:first frame-last frame"); all answers of a clip come in one
                call. With it they count once, however often a distributed sampler repeats the clip.
            sure: optional, see `text_scores`.

        Raises:
            DataError: lists of different lengths.
        """
        lengths = {len(tasks), len(answers), len(references), len(tasks if clips is None else clips)}
        if len(lengths) > 1:
            given = f"{len(tasks)} tasks, {len(answers)} answers, {len(references)} references"
            raise DataError(f"{given}{'' if clips is None else f', {len(clips)} clips'}; expected as many of each.")
        named = [None] * len(tasks) if clips is None else clips
        known = [sorted(own.items()) for own in sure or [{}] * len(tasks)]
        pairs = list(zip(named, tasks, strict=True))
        turns = [pairs[:at].count(pair) for at, pair in enumerate(pairs)]  # which of a clip's answers to this task
        rows = zip(named, tasks, answers, references, known, turns, strict=True)
        text = "".join(json.dumps(row) + "\n" for row in rows if row[3])
        if text:
            self.lines.append(torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).to(self.device))

    def compute(self) -> dict[str, dict[str, Any]]:
        """{task: scores} as `text_scores` gives them, tasks in order of their names."""
        lines = [json.loads(line) for line in self.all_rows("lines").numpy().tobytes().splitlines()]
        # the same order in every layout of processes, and of a clip that was repeated the same answers
        lines.sort(key=lambda line: (line[1:], line[0] or ""))
        once = {(at if line[0] is None else -1, line[0], line[1], line[5]): line for at, line in enumerate(lines)}
        by_task: dict[str, list[tuple[str, str, str, dict[str, float]]]] = defaultdict(list)
        for at, (clip, task, answer, reference, sure, _) in enumerate(once.values()):
            by_task[task].append((answer, reference, str(at) if clip is None else clip.rsplit(":", 1)[0], dict(sure)))
        result = {}
        for task, told in by_task.items():
            answers, references, videos, known = zip(*told, strict=True)
            result[task] = text_scores(task, answers, references, videos, self.bootstrap, known)
        return result
