"""How an answer is worded: BLEU-4, ROUGE-L, METEOR and exact match against one reference each.

Tokens: the sentence in small letters, cut into words and single punctuation marks.

Answers repeat, so what is found out about a pair of sentences is kept. Nothing here needs a download.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from math import exp, log

import numpy as np
from nltk.translate.bleu_score import SmoothingFunction, closest_ref_length, modified_precision, sentence_bleu
from nltk.translate.meteor_score import single_meteor_score
from numpy.typing import NDArray
from torchmetrics.functional.text import rouge_score

PAIRS = 1 << 16  # pairs of sentences that are remembered


def tokens(text: str) -> list[str]:
    """Small letters, words and single punctuation marks."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


@lru_cache(PAIRS)
def bleu_counts(answer: str, reference: str) -> tuple[int, ...]:
    """What corpus BLEU-4 adds up: matching 1- to 4-grams, all 1- to 4-grams, length, length of the reference."""
    said, right = tokens(answer), tokens(reference)
    shares = [modified_precision([right], said, n) for n in range(1, 5)]  # unreduced fractions
    matching, all_of = ([getattr(share, part) for share in shares] for part in ("numerator", "denominator"))
    return (*matching, *all_of, len(said), closest_ref_length([right], len(said)))


def bleu_of(counts: NDArray[np.floating] | NDArray[np.integer]) -> float:
    """BLEU-4 from added counts [10], no smoothing: 0 where no four words in a row agree (Papineni et al., 2002)."""
    matching, all_of, length, right = counts[:4], counts[4:8], float(counts[8]), float(counts[9])
    if not length or not np.all(matching):
        return 0.0
    brevity = 1.0 if length > right else exp(1 - right / length)
    return brevity * exp(sum(log(m / n) for m, n in zip(matching, all_of, strict=True)) / 4)


def bleu4(answers: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU-4 as nltk's `corpus_bleu`, one reference an answer, no smoothing."""
    counts = [bleu_counts(a, r) for a, r in zip(answers, references, strict=True)]
    return bleu_of(np.sum(counts, axis=0)) if counts else 0.0


@lru_cache(PAIRS)
def sentence_bleu4(answer: str, reference: str) -> float:
    """BLEU-4 of one sentence with nltk's smoothing method 1 (Chen and Cherry, 2014).

    A sentence shorter than four tokens stays below 1 even where it is right: for such answers read the exact match.
    """
    said = tokens(answer)
    smooth = SmoothingFunction().method1
    return float(sentence_bleu([tokens(reference)], said, smoothing_function=smooth)) if said else 0.0


@lru_cache(PAIRS)
def rouge_l(answer: str, reference: str) -> float:
    """F-measure of ROUGE-L (Lin, 2004) as torchmetrics computes it: its own tokens, no stemming."""
    return float(rouge_score(answer, reference, rouge_keys="rougeL")["rougeL_fmeasure"])


class _NoSynonyms:
    """Stands for WordNet, which would have to be downloaded."""

    def synsets(self, word: str) -> list[object]:
        return []


@lru_cache(PAIRS)
def meteor(answer: str, reference: str) -> float:
    """nltk's METEOR (Banerjee and Lavie, 2005) WITHOUT its synonym stage: equal words and equal stems (Porter) only.

    It is at most the full METEOR, which needs WordNet; do not compare it with that.
    """
    said, right = tokens(answer), tokens(reference)
    return float(single_meteor_score(right, said, wordnet=_NoSynonyms())) if said and right else 0.0


def is_exact(answer: str, reference: str) -> bool:
    """Whether the tokens are those of the reference: case and spaces do not count, words and marks do."""
    return tokens(answer) == tokens(reference)


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; 0 of nothing."""
    return float(sum(values) / max(len(values), 1))
