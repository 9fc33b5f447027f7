"""What is asked and said about clips, put in order for the scores of stage 2."""

from collections import Counter
from collections.abc import Sequence
from math import isnan

import torch
from torch import Tensor

from tvau.dialog import Conversation
from tvau.language import NORMAL, Target, disagreements, placed, trajectory
from tvau.metrics.rows import RowMetric
from tvau.types import Batch, Turn, select
from tvau.verdict import yes_no

MAP_TASKS = ("judgement", "trajectory")  # to which it has something to say


class JudgedClips(RowMetric):
    """What is known of the validation clips whose judgement is yes or no: peak, lean and 1 for yes, [n, 3]."""

    rows: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_rows("rows", 3, dtype=torch.float32)

    def update(self, batch: Batch, peaks: Tensor, leans: Tensor) -> None:
        """Adds clips; those whose judgement is neither are left out."""
        words = [yes_no(judgement_of(turns)["answer"]) for turns in batch["turns"]]
        yes = peaks.new_tensor([word == "yes" for word in words])
        read = torch.tensor([bool(word) for word in words], device=peaks.device)
        self.rows.append(torch.stack([peaks.float(), leans.to(peaks).float(), yes.float()], 1)[read])

    def compute(self) -> Tensor:
        """All rows."""
        return self.all_rows("rows")


def judgement_of(turns: Sequence[Turn]) -> Turn:
    """The turn of a dialog that judges, wherever it stands; the first one where none does."""
    return next((turn for turn in turns if turn["task"] == "judgement"), turns[0])


def by_length(batch: Batch) -> list[Batch]:
    """The batch in parts whose dialogs have equally many turns; clips without turns are left out."""
    lengths = sorted({len(turns) for turns in batch["turns"]} - {0})
    parts = []
    for length in lengths:
        rows = [i for i, turns in enumerate(batch["turns"]) if len(turns) == length]
        parts.append(select(batch, rows))
    return parts


def sureness(talk: Conversation) -> list[dict[str, float]]:
    """For each clip how sure its judgement was, by the names of the scores in `test.json`; {} where it gave none."""
    if talk.leans is None or talk.verdicts is None:
        return [{} for _ in talk.history]
    pairs = zip(talk.verdicts.tolist(), talk.leans.tolist(), strict=True)
    return [{} if isnan(lean) else {"yes_no_auc": verdict, "yes_logit_auc": lean} for verdict, lean in pairs]


def asked_for(turns: Sequence[Turn]) -> list[str]:
    """The task of each turn, "" of those that point at one of several targets, of which a map knows the main one."""
    counts = Counter(turn["task"] for turn in turns)
    return [turn["task"] if counts[turn["task"]] == 1 else "" for turn in turns]


def map_answers(turns: Sequence[Turn], verdict: float, way: tuple[str, str, str]) -> list[str]:
    """What the map alone answers, without a language model: yes or no by its peak, and the way of its track."""
    there = placed("Yes, at the center.", *way)
    words = {"judgement": there if verdict > 0 else NORMAL, "trajectory": trajectory(Target("", "", (), *way))}
    return [words[turn["task"]] for turn in turns]


def told(history: Sequence[tuple[str, str]]) -> list[Turn]:
    """(question, answer) of a dialog as turns; one that disagrees with those before it says in what."""
    turns: list[Turn] = []
    for at, (question, answer) in enumerate(history):
        turns.append({"task": "", "question": question, "answer": answer})
        if new := disagreements(history[: at + 1])[len(disagreements(history[:at])) :]:
            turns[-1]["disagrees"] = new
    return turns
