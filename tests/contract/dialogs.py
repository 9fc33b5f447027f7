"""Dialogs: turns on one cache, one vision pass, several clips at once."""

import copy

import pytest
import torch
from torch import Tensor, nn

from contract.checks import FPS, QUESTIONS, ROUNDING, Checks, Note, compare
from tiny import turn
from tvau.backbones import Dialog
from tvau.backbones.huggingface import HuggingFaceLVLM


class Dialogs(Checks):
    """Turn after turn."""

    def say(self, lvlm: HuggingFaceLVLM, dialog: Dialog, answer: str) -> None:
        """Puts an answer into the model's mouth, as `generate` feeds what it says itself."""
        for word in lvlm.tokens.answer(answer):
            lvlm.feed(dialog, torch.tensor([[word]]), torch.tensor([[1]]))

    @torch.no_grad()
    def test_cached_turns_equal_a_full_run(self, lvlm: HuggingFaceLVLM, record_property: Note) -> None:
        turns = [
            turn("Is there any anomaly?", "Yes."),
            turn("Where does it start?", "at the upper left."),
            turn("Who?"),
        ]
        inputs = lvlm.prepare(self.clips(), [[turn(turns[0]["question"])]], 3, [FPS])
        prompts, vision = self.prompted(lvlm), lvlm.encode(inputs)
        dialog = lvlm.start(inputs, vision, prompts)
        for i in (1, 2):
            self.say(lvlm, dialog, turns[i - 1]["answer"])
            lvlm.ask(dialog, [turns[i]["question"]])
            whole = lvlm.prepare(self.clips(), [[*turns[:i], turn(turns[i]["question"])]], 3, [FPS])
            assert torch.equal(dialog.position, whole["position_ids"][..., -1:])
            compare(record_property, dialog.logits, lvlm(whole, vision, prompts)[:, -1], ROUNDING)

    @torch.no_grad()
    def test_what_is_hidden_is_not_seen(self, lvlm: HuggingFaceLVLM) -> None:
        inputs = self.ask(lvlm)
        dialog = lvlm.start(inputs, lvlm.encode(inputs))
        cold = torch.ones_like(dialog.picture, dtype=torch.bool)
        cold[:, 0, 0, 0] = False

        def after(hidden: Tensor | None, changed: Tensor) -> Tensor:
            """Logits behind the next question, where part of the picture is hidden and keys of part are others."""
            own = copy.deepcopy(dialog)
            own.hide(hidden)
            for layer in own.cache.layers:
                keys = getattr(layer, "keys", None)
                if keys is not None and keys.shape[2] == own.mask.shape[1]:  # not one that looks at the last few only
                    keys[:, :, own.picture[changed]] *= -3
            lvlm.ask(own, ["Where?"])
            return own.logits

        none = torch.zeros_like(cold)
        assert torch.equal(after(none, none), after(None, none))
        assert torch.equal(after(cold, cold), after(cold, none))
        assert not torch.equal(after(cold, none), after(None, none))
        assert not torch.equal(after(cold, ~cold), after(cold, none))

    @torch.no_grad()
    def test_generated_turns_equal_a_full_run(
        self, lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, record_property: Note
    ) -> None:
        inputs = self.ask(lvlm)
        vision = lvlm.encode(inputs)
        fed: list[Tensor] = [inputs["input_ids"]]
        feed = lvlm.feed

        def record(dialog: Dialog, ids: Tensor, mask: Tensor) -> None:
            fed.append(ids)
            feed(dialog, ids, mask)

        monkeypatch.setattr(lvlm, "feed", record)
        dialog = lvlm.start(inputs, vision)
        lvlm.generate(dialog, 3)
        lvlm.ask(dialog, ["Where?"])
        lvlm.generate(dialog, 2)
        ids = torch.cat(fed, 1)
        more = ids.shape[1] - fed[0].shape[1]
        whole = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if "mm_token_type_ids" in inputs:
            whole["mm_token_type_ids"] = nn.functional.pad(inputs["mm_token_type_ids"], (0, more))
        whole["position_ids"] = lvlm.position_ids(whole)
        compare(record_property, dialog.logits, lvlm(whole, vision)[:, -1], ROUNDING)

    @torch.no_grad()
    def test_an_answer_goes_on_behind_a_given_beginning(self, lvlm: HuggingFaceLVLM, record_property: Note) -> None:
        inputs = self.ask(lvlm)
        vision = lvlm.encode(inputs)
        lean = lvlm.lean(lvlm.start(inputs, vision))
        dialog = lvlm.start(inputs, vision)
        self.say(lvlm, dialog, "Yes, somebody")  # token by token
        expected: list[int] = []
        for _ in range(3):
            expected.append(int(dialog.logits.argmax()))
            lvlm.feed(dialog, torch.tensor([[expected[-1]]]), torch.tensor([[1]]))
        begun = lvlm.start(inputs, vision)
        compare(record_property, lvlm.lean(begun), lean, ROUNDING)
        said = lvlm.generate(begun, 1, ["Yes, somebody"])
        assert said[0].startswith("Yes, somebody")
        said = lvlm.generate(begun, 2)  # goes on where it was
        assert begun.said == [lvlm.tokens.answer("Yes, somebody") + expected]
        assert said == [lvlm.tokens.read(begun.said[0])]
        compare(record_property, begun.logits, dialog.logits, ROUNDING)
        whole = lvlm.prepare(self.clips(), [[turn(QUESTIONS[0], "Yes")]], 0, [FPS])
        yes, no = (lvlm.tokens.answer(word) for word in ("Yes", "No"))
        shared = next(i for i, (a, b) in enumerate(zip(yes, no, strict=False)) if a != b)
        before = lvlm(whole, vision)[0, -2 - len(yes) + shared]  # the answer's end stands last
        compare(record_property, lean[0], before[yes[shared]] - before[no[shared]], ROUNDING)

    @torch.no_grad()
    def test_who_sits_a_question_out_is_as_if_it_had_not_been_asked(
        self, fresh: HuggingFaceLVLM, record_property: Note
    ) -> None:
        clips, first = self.clips(2), list(QUESTIONS)
        dialog = fresh.start(inputs := self.ask(fresh, first), fresh.encode(inputs))
        fresh.generate(dialog, 2, ["No, there is no anomaly.", "Yes"])
        fresh.ask(dialog, [None, "Who?"])
        assert fresh.generate(dialog, 2)[0] == ""
        fresh.ask(dialog, ["Where?", "Where?"])
        inputs = fresh.prepare(clips[:1], [[turn(first[0])]], 0, [FPS])
        alone = fresh.start(inputs, fresh.encode(inputs))
        fresh.generate(alone, 2, ["No, there is no anomaly."])
        fresh.ask(alone, ["Where?"])
        compare(record_property, dialog.logits[:1], alone.logits, ROUNDING)

    @torch.no_grad()
    def test_the_tower_runs_once_for_a_whole_dialog(self, lvlm: HuggingFaceLVLM, record_property: Note) -> None:
        runs = []
        hook = self.tower(lvlm).register_forward_hook(lambda *_: runs.append(1))
        inputs = self.ask(lvlm, prompts=3)
        dialog = lvlm.start(inputs, lvlm.encode(inputs), self.prompted(lvlm))
        for question in ("Where?", "Who?"):
            lvlm.generate(dialog, 2)
            lvlm.ask(dialog, [question])
        hook.remove()
        record_property("passes", len(runs))
        assert len(runs) == 1

    @torch.no_grad()
    def test_a_padded_batch_equals_single_runs(self, fresh: HuggingFaceLVLM, record_property: Note) -> None:
        clips, prompts = self.clips(2), self.prompted(fresh, clips=2)
        first, later = list(QUESTIONS), ["Who?", "What is its movement trajectory?"]

        def converse(rows: slice) -> tuple[list[tuple[str, ...]], Tensor]:
            inputs = fresh.prepare(clips[rows], [[turn(q)] for q in first[rows]], 3, [FPS] * len(first[rows]))
            dialog = fresh.start(inputs, fresh.encode(inputs), prompts[rows])
            answers, logits = [fresh.generate(dialog, 4)], [dialog.logits]
            fresh.ask(dialog, later[rows])
            answers.append(fresh.generate(dialog, 4))
            return list(zip(*answers, strict=True)), torch.stack([*logits, dialog.logits], 1)

        # the second word of the first clip ends an answer, so that one row is done before the other
        inputs = self.ask(fresh, first, 3)
        dialog = fresh.start(inputs, fresh.encode(inputs), prompts)
        fresh.generate(dialog, 1)
        fresh.ends = {int(dialog.logits[0].argmax())}
        together, logits = converse(slice(0, 2))
        alone = [converse(slice(i, i + 1)) for i in range(2)]
        assert together == [answers[0] for answers, _ in alone]
        compare(record_property, logits, torch.cat([last for _, last in alone]), ROUNDING)
