"""The dialog, the last part of the paper's figure 2: the one way in which T-VAU answers."""

from collections.abc import Generator, Iterator, Sequence
from copy import deepcopy

import torch
from torch import Tensor

from tvau.backbones.base import Dialog
from tvau.language import FLOW, JUDGEMENT, Target, follows, placed, task_of, trajectory
from tvau.model import TVAU, Evidence
from tvau.types import Batch, Turn
from tvau.verdict import yes_no


@torch.no_grad()
def converse(
    model: TVAU, batch: Batch, questions: Sequence[Sequence[str]], most: int = 64
) -> tuple[list[list[str]], Tensor | None]:
    """The answers of each clip to its questions, see `Conversation`, and the heatmaps [B, T, H, W] (None: no decoder).

    Args:
        model: in evaluation mode.
        batch: clips.
        questions: for each clip as many as for every other.
        most: tokens an answer has at most.
    """
    talk = Conversation(model, batch)
    talk.ask_all(questions, most)
    maps = talk.evidence.maps
    return [[a for _, a in own] for own in talk.history], None if maps is None else model.enlarge(maps, batch)


class Conversation:
    """Clips and what is said about them, turn after turn on one cache.

    Where the model is `grounded`, evidence opens the answers, and the LVLM goes on behind it as if it had said so:

    - the first word of a judgement is decided by the peak of the heatmap and the LVLM's own leaning, see `Judge`;
    - places in a judgement are those of the map's own track, see `tvau.track`;
    - the trajectory is that track, in words;
    - with a spotlight, what is said behind a Yes and of the target's features sees only those parts of the picture that
      stand out of the map.

    Args:
        model: in evaluation mode.
        batch: clips.
        evidence: what the model saw of them, if it has looked already.

    Attributes:
        history: (question, answer) of each clip.
        leans: how much the LVLM leans to Yes at a clip's last judgement [B], see `VideoLVLM.lean`; NaN of a clip that
            was not judged, None where none was.
        verdicts: log odds of Yes by which that judgement begins [B], the leans where the model is not grounded.
    """

    def __init__(self, model: TVAU, batch: Batch, evidence: Evidence | None = None) -> None:
        self.model, self.batch, self._evidence = model, batch, evidence
        self.history: list[list[tuple[str, str]]] = [[] for _ in batch["name"]]
        self.leans: Tensor | None = None
        self.verdicts: Tensor | None = None
        self.dialog: Dialog | None = None

    @property
    def evidence(self) -> Evidence:
        """All that was seen of the clips."""
        if self._evidence is None:
            self._evidence = self.model.glance(self.batch)
        return self._evidence

    def ask(self, questions: Sequence[str | None], most: int = 64, tasks: Sequence[str] = ()) -> list[str]:
        """Asks each clip a question and returns the answers; None: it sits that out, and its answer is "".

        Args:
            questions: one for each clip; the first ones cannot be None.
            most: tokens an answer has at most.
            tasks: what each one asks for, as in `Turn`, however it is worded; "" or none: the words of FLOW tell.
        """
        *_, answers = self.stream(questions, most, tasks)
        return answers

    def ask_all(self, questions: Sequence[Sequence[str]], most: int = 64) -> None:
        """Asks each clip its questions, turn after turn; as many of each clip."""
        for asked in zip(*questions, strict=True):
            self.ask(asked, most)

    def stream(
        self, questions: Sequence[str | None], most: int = 64, tasks: Sequence[str] = ()
    ) -> Generator[list[str], None, None]:
        """As `ask`, with the answers as far as they have come after each token; what is stopped counts as said.

        A grounded judgement comes as one piece, since its places are set right at its end.
        """
        said = [""] * len(questions)
        try:
            told = [task or task_of(q or "") for task, q in zip(tasks or [""] * len(questions), questions, strict=True)]
            for said in self._speak(questions, most, told):
                yield said
        finally:
            for own, question, answer in zip(self.history, questions, said, strict=True):
                if question is not None:
                    own.append((question, answer))

    @torch.no_grad()
    def _speak(self, questions: Sequence[str | None], most: int, tasks: Sequence[str]) -> Iterator[list[str]]:
        backbone, dialog = self.model.backbone, self._put(questions)
        judged = [task == "judgement" for task in tasks]
        begin = self._judge(dialog, judged) if any(judged) else [""] * len(questions)
        told = [word == "Yes," or task == "target" for task, word in zip(tasks, begin, strict=True)]
        if self.model.grounded and self.model.spotlight is not None and any(told) and dialog.picture.numel():
            cold = self.evidence.cold(dialog.picture, self.model.spotlight)
            dialog.hide(cold & cold.new_tensor(told)[:, None, None, None])
        ways = self.evidence.ways if self.model.grounded else []
        for row, own in enumerate(ways):
            if tasks[row] == "trajectory":
                begin[row], dialog.asked[row] = trajectory(Target("", "", (), *own)), False  # nothing is to be added
        if ways and any(judged):
            before = deepcopy(dialog)
            said = backbone.generate(dialog, most, begin)
            right = [placed(a, *w) if own else a for a, w, own in zip(said, ways, judged, strict=True)]
            if right != said:  # the dialog goes back, and hears what is right
                self.dialog = before
                backbone.say(before, right)
            yield right
            return
        yield backbone.generate(dialog, 0, begin)
        for _ in range(most):
            before_it = sum(map(len, dialog.said))
            said = backbone.generate(dialog, 1)
            if sum(map(len, dialog.said)) == before_it:
                return
            yield said

    def flow(self, most: int = 64) -> list[list[tuple[str, str]]]:
        """The paper's dialog flow; features and movement are asked for only where an anomaly was not denied."""
        words = {"yes": True, "no": False}
        judged: list[bool | None] = [None] * len(self.history)
        for question in FLOW:
            answers = self.ask([question if follows(question, own) else None for own in judged], most)
            if question == JUDGEMENT:
                judged = [words.get(yes_no(answer)) for answer in answers]
        return self.history

    def lean(self, questions: Sequence[str]) -> Tensor:
        """How much the LVLM leans to Yes as the first word behind a question of each clip [B]; nothing is said."""
        with torch.no_grad():
            return self.model.backbone.lean(self._put(questions))

    def _put(self, questions: Sequence[str | None]) -> Dialog:
        """Feeds the questions."""
        backbone = self.model.backbone
        if self.dialog is not None:
            self.dialog.hide(None)
            backbone.ask(self.dialog, questions)
            return self.dialog
        first = [[Turn(task="", question=question or "", answer="")] for question in questions]
        if self._evidence is None:
            self._evidence = self.model.look(self.batch, first)
            inputs = self._evidence.inputs
        else:
            inputs = self.model.prepare(self.batch, first, self._evidence)
        self.dialog = backbone.start(inputs, self._evidence.vision, self._evidence.prompts)
        return self.dialog

    def _judge(self, dialog: Dialog, judged: Sequence[bool]) -> list[str]:
        """Notes what leads to the first word of a judgement, and says which it has to be, "" for any."""
        leans = self.model.backbone.lean(dialog)
        judge = self.model.judge if self.model.grounded else None
        verdicts = leans if judge is None else judge(self.evidence.peaks, leans)
        self.leans, self.verdicts = _updated(self.leans, leans, judged), _updated(self.verdicts, verdicts, judged)
        words = ["Yes," if sure > 0 else "No," for sure in verdicts.tolist()]  # whole words, whatever follows
        return [word if own and judge is not None else "" for own, word in zip(judged, words, strict=True)]


def _updated(before: Tensor | None, now: Tensor, rows: Sequence[bool]) -> Tensor:
    """Numbers of clips [B], of some rows the new ones; NaN of rows that never had any."""
    kept = torch.full_like(now, float("nan")) if before is None else before
    return torch.where(torch.tensor(rows, device=now.device), now, kept)
