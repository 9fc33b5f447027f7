"""Scores of answers: how they are worded (BLEU-4) and what they say (slots, yes or no), with the floor of each.

Tokens, for BLEU: the sentence in small letters, cut into words and single punctuation marks.

BLEU rewards boilerplate, so each score comes with its floor: what somebody gets who always gives one and the same
answer without looking at the video.
"""

import json
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu
from torch import Tensor

from tvau.data.language import SLOTS, slots
from tvau.errors import DataError
from tvau.metrics.rows import RowMetric

YES_NO_TASK = "judgement"
CONSTANTS = 10  # how many of the most frequent reference answers are tried as the constant answer of the floor


def tokens(text: str) -> list[str]:
    """Small letters, words and single punctuation marks."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def bleu4(answers: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU-4 of nltk, one reference an answer, no smoothing; 0 where no four words in a row agree."""
    if not answers:
        return 0.0
    with warnings.catch_warnings():  # nltk warns wherever there is no common 4-gram
        warnings.simplefilter("ignore", UserWarning)
        score = corpus_bleu([[tokens(r)] for r in references], [tokens(a) for a in answers])
    return float(score) if score > 1e-9 else 0.0  # nltk gives the smallest float for "no overlap"


def bleu4_sentence(answers: Sequence[str], references: Sequence[str]) -> float:
    """Mean over sentences of BLEU-4 with nltk's smoothing method 1 (Chen and Cherry, 2014).

    A sentence shorter than four tokens stays below 1 even where it is right: for such answers read the exact match.
    """
    smooth = SmoothingFunction().method1
    scores = [
        float(sentence_bleu([tokens(r)], tokens(a), smoothing_function=smooth)) if tokens(a) else 0.0
        for a, r in zip(answers, references, strict=True)
    ]
    return sum(scores) / max(len(scores), 1)


def exact(answers: Sequence[str], references: Sequence[str]) -> float:
    """Share of answers with the tokens of the reference: case and spaces do not count, words and marks do."""
    hits = [tokens(a) == tokens(r) for a, r in zip(answers, references, strict=True)]
    return sum(hits) / max(len(hits), 1)


def yes_no(answer: str) -> str:
    """ "yes" or "no" where that is the first word of the answer, in any case and whatever marks follow; else ""."""
    first = re.match(r"\W*(\w+)", answer.lower())
    return first[1] if first and first[1] in ("yes", "no") else ""


def yes_no_scores(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Accuracy of yes and no, plain and balanced (mean of the accuracy on yes and on no).

    An answer that is neither is wrong; references that are neither are left out. The balanced one is absent unless
    the references have both.
    """
    pairs = [(yes_no(a), yes_no(r)) for a, r in zip(answers, references, strict=True) if yes_no(r)]
    hits = {word: [a == r for a, r in pairs if r == word] for word in ("yes", "no")}
    rates = [sum(h) / len(h) for h in hits.values() if h]
    scores = {"yes_no": sum(map(sum, hits.values())) / len(pairs)} if pairs else {}
    return scores | ({"yes_no_balanced": sum(rates) / 2} if len(rates) == 2 else {})


def slot_scores(answers: Sequence[str], references: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Accuracy of each slot, and its floor: the share of the most frequent value.

    A slot counts where the reference names it; an answer that does not name it there is wrong.
    """
    pairs = [(slots(a), slots(r)) for a, r in zip(answers, references, strict=True)]
    named = {s: [(a.get(s), r[s]) for a, r in pairs if s in r] for s in SLOTS}
    accuracy = {s: sum(a == r for a, r in found) / len(found) for s, found in named.items() if found}
    most = {s: Counter(r for _, r in found).most_common(1)[0][1] / len(found) for s, found in named.items() if found}
    return accuracy, most


def constant_answer(references: Sequence[str]) -> str:
    """The one answer that gets the best corpus BLEU-4 here, among the most frequent references."""
    candidates = [text for text, _ in Counter(references).most_common(CONSTANTS)]
    return max(candidates, key=lambda text: bleu4([text] * len(references), references))


def text_scores(task: str, answers: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """All scores of the answers to one task, with their floors.

    Returns:
        bleu4, bleu4_sentence, exact, count, slots {slot: accuracy}, for the judgement also yes_no and
        yes_no_balanced, and floor: the same keys. The floor of BLEU and exact match is a constant answer chosen from
        these references themselves, that of slots and yes_no the share of the most frequent value (an upper bound of
        what can be had without looking), that of yes_no_balanced 0.5.
    """
    if not references:
        return {"count": 0}
    constant = [constant_answer(references)] * len(references)
    # places and crowds are no slots: "a parking lot" would be read as an action
    named, most = ({}, {}) if task == "environment" else slot_scores(answers, references)
    scores: dict[str, Any] = {
        "count": len(references),
        "bleu4": bleu4(answers, references),
        "bleu4_sentence": bleu4_sentence(answers, references),
        "exact": exact(answers, references),
        "slots": named,
    }
    floor: dict[str, Any] = {
        "answer": constant[0],
        "bleu4": bleu4(constant, references),
        "bleu4_sentence": bleu4_sentence(constant, references),
        "exact": Counter(" ".join(tokens(r)) for r in references).most_common(1)[0][1] / len(references),
        "slots": most,
    }
    if task == YES_NO_TASK:
        scores |= yes_no_scores(answers, references)
        plain = [yes_no_scores([word] * len(references), references).get("yes_no", 0.0) for word in ("yes", "no")]
        floor |= {"yes_no": max(plain)} | ({"yes_no_balanced": 0.5} if "yes_no_balanced" in scores else {})
    return scores | {"floor": floor}


class TextScores(RowMetric):
    """All answers of a split, by task; text travels between processes as JSON lines in bytes."""

    lines: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_rows("lines", dtype=torch.uint8)

    def update(
        self,
        tasks: Sequence[str],
        answers: Sequence[str],
        references: Sequence[str],
        clips: Sequence[str] | None = None,
    ) -> None:
        """Add answers.

        Args:
            tasks: task of each answer, as in `Turn`.
            answers: what the model said.
            references: what is right; answers without a reference ("") are passed over.
            clips: optional, the clip of each answer ("name:first frame"). With it, the same answer to the same task of
                the same clip counts once, however often a distributed sampler repeats the clip.

        Raises:
            DataError: lists of different lengths.
        """
        lengths = {len(tasks), len(answers), len(references), len(tasks if clips is None else clips)}
        if len(lengths) > 1:
            given = f"{len(tasks)} tasks, {len(answers)} answers, {len(references)} references"
            raise DataError(f"{given}{'' if clips is None else f', {len(clips)} clips'}; expected as many of each.")
        rows = zip([None] * len(tasks) if clips is None else clips, tasks, answers, references, strict=True)
        text = "".join(json.dumps(row) + "\n" for row in rows if row[3])
        if text:
            self.lines.append(torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).to(self.device))

    def compute(self) -> dict[str, dict[str, Any]]:
        """{task: scores} as `text_scores` gives them, tasks in order of their names."""
        rows = [tuple(json.loads(line)) for line in self.all_rows("lines").numpy().tobytes().splitlines()]
        once = list(dict.fromkeys(row for row in rows if row[0] is not None)) + [r for r in rows if r[0] is None]
        by_task: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for _, task, answer, reference in sorted(once, key=lambda row: row[1:]):  # the same order in every layout
            by_task[task].append((answer, reference))
        return {task: text_scores(task, *zip(*pairs, strict=True)) for task, pairs in by_task.items()}
