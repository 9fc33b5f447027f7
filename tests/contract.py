"""What every backbone keeps, whatever its family: `class TestX(Contract): family = FAMILIES["x"]` is the whole test.

A check that compares numbers notes how far they lay apart; `python benchmarks/contract.py` prints the table.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families import Family, write
from tiny import DIALOG, turn, video
from tvau.backbones import Dialog, Inputs
from tvau.backbones.cache import VisionCache
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.backbones.tokens import IGNORE

FPS = 2.5
QUESTIONS = ("Is there any anomaly in the video?", "Where?")
ROUNDING = 1e-5  # of logits of about 3, in single precision
Note = Callable[[str, object], None]


def compare(note: Note, given: Tensor, expected: Tensor, within: float = 0.0) -> None:
    """Asserts that no number is further off than `within`, and notes the largest difference."""
    difference = float((given.float() - expected.float()).abs().max())
    note("difference", difference)
    assert difference <= within


class Contract:
    """The checks of one family."""

    family: Family
    frames = 4

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A tiny random checkpoint; no test writes to it."""
        return write(cls.family, tmp_path_factory.mktemp("tiny"))

    @pytest.fixture(scope="class")
    @classmethod
    def lvlm(cls, folder: Path) -> HuggingFaceLVLM:
        """For tests that leave it as it is."""
        return cls.family.adapter(str(folder), blocks=(1, 2))

    @pytest.fixture
    def fresh(self, lvlm: HuggingFaceLVLM) -> HuggingFaceLVLM:
        """For tests that change it."""
        return copy.deepcopy(lvlm)

    def clips(self, count: int = 1, seed: int = 0) -> Tensor:
        return video(count, self.frames, self.family.size, seed)

    def ask(self, lvlm: HuggingFaceLVLM, questions: Sequence[str] = QUESTIONS[:1], prompts: int = 0) -> Inputs:
        """One clip for each question, its answer left open."""
        return lvlm.prepare(self.clips(len(questions)), [[turn(q)] for q in questions], prompts, [FPS] * len(questions))

    def library(self, lvlm: HuggingFaceLVLM, questions: Sequence[str]) -> dict[str, Any]:
        """The same, made by the library alone."""
        messages: Any = [
            [{"role": "user", "content": [{"type": "video", "video": clip}, {"type": "text", "text": q}]}]
            for clip, q in zip(self.clips(len(questions)).movedim(2, -1).numpy(), questions, strict=True)
        ]
        about = {"total_num_frames": self.frames, "fps": FPS, "frames_indices": list(range(self.frames)),
                 "duration": self.frames / FPS}  # fmt: skip
        options = {"do_sample_frames": False, "video_metadata": [about] * len(questions), "padding": True}
        made: Any = lvlm.tokens.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
            processor_kwargs={**options, "padding_side": "left"}, **lvlm.template,
        )  # fmt: skip
        return {key: value for key, value in made.items() if isinstance(value, Tensor)}

    def prompted(self, lvlm: HuggingFaceLVLM, count: int = 3, clips: int = 1) -> Tensor:
        """Random prompts [B, N, D] on the scale of token embeddings."""
        draw = torch.Generator().manual_seed(1)
        return torch.randn(clips, count, lvlm.hidden_size, generator=draw) * lvlm.prompt_scale

    @staticmethod
    def tower(lvlm: HuggingFaceLVLM) -> nn.Module:
        return lvlm.lm.model.get_submodule(lvlm.tower)

    # ---- what is published ----

    def test_geometry_is_that_of_what_it_returns(self, lvlm: HuggingFaceLVLM) -> None:
        times, height, width = lvlm.grid(self.frames, *self.family.size)
        inputs = self.ask(lvlm, QUESTIONS)
        hidden = lvlm.encode(inputs).hidden
        assert set(hidden) == set(lvlm.blocks) == {1, 2}
        assert {h.shape for h in hidden.values()} == {(2, times, lvlm.vision_size, height, width)}
        config = lvlm.lm.config
        placeholder = config.video_token_id if lvlm.modality == "video" else config.image_token_id
        assert (inputs["input_ids"] == placeholder).sum() == 2 * lvlm.visual_tokens(config, (times, height, width))
        step, cell = self.family.cell
        assert (times * step, height * cell, width * cell) == (self.frames, *self.family.size)

    def test_text_features_do_not_depend_on_their_neighbours(self, lvlm: HuggingFaceLVLM) -> None:
        texts = ["a person", "A short surveillance clip where a fire burning occurs."]
        tokens, mask = lvlm.encode_text(texts)
        assert tokens.shape == (*mask.shape, lvlm.hidden_size)
        for i, text in enumerate(texts):
            alone, _ = lvlm.encode_text([text])
            torch.testing.assert_close(tokens[i, mask[i].bool()], alone[0], rtol=1e-4, atol=ROUNDING)

    @torch.no_grad()
    def test_hidden_states_lie_on_the_true_raster(self, fresh: HuggingFaceLVLM) -> None:
        def silence(module: nn.Module, given: Any, made: Any) -> Any:
            return (made[0] * 0, *made[1:]) if isinstance(made, tuple) else made * 0

        for name, module in self.tower(fresh).named_modules():
            if name.rsplit(".")[-1] in (
                "attn",
                "self_attn",
                "attention",
            ):  # without it a patch changes its own cell only
                module.register_forward_hook(silence)
        fresh.blocks = (1, fresh.depth)
        step, cell = self.family.cell
        clip = self.clips()
        before = fresh.encode(self.ask(fresh)).hidden
        times, height, width = fresh.grid(self.frames, *self.family.size)
        for t, y, x in ((0, 0, 1), (times - 1, height - 1, width - 2), (times - 1, 1, width - 1)):
            other = clip.clone()
            other[:, t * step : (t + 1) * step, :, y * cell : (y + 1) * cell, x * cell : (x + 1) * cell] ^= 255
            after = fresh.encode(fresh.prepare(other, [[turn(QUESTIONS[0])]], 0, [FPS])).hidden
            for block in fresh.blocks:
                changed = (after[block] != before[block]).any(2)[0]  # [T', H', W']
                assert changed.nonzero().tolist() == [[t, y, x]]

    # ---- parity with the library ----

    def test_without_prompts_logits_are_the_librarys_own(self, lvlm: HuggingFaceLVLM, record_property: Note) -> None:
        inputs, theirs = self.ask(lvlm), self.library(lvlm, QUESTIONS[:1])
        assert torch.equal(inputs["input_ids"], theirs["input_ids"])
        with torch.no_grad():
            expected = lvlm.lm(**theirs).logits
            compare(record_property, lvlm(inputs, lvlm.encode(inputs)), expected)
        assert expected.std() > 0.1  # the comparison means something

    def test_a_padded_batch_is_the_librarys_own(self, lvlm: HuggingFaceLVLM, record_property: Note) -> None:
        inputs, theirs = self.ask(lvlm, QUESTIONS), self.library(lvlm, QUESTIONS)
        assert torch.equal(inputs["input_ids"], theirs["input_ids"])
        known = inputs["attention_mask"].bool()
        assert not known.all()
        with torch.no_grad():  # where the library counts padding as positions, they differ by rounding
            ours = lvlm(inputs, lvlm.encode(inputs))
            compare(record_property, ours[known], lvlm.lm(**theirs).logits[known], ROUNDING)

    @torch.no_grad()
    def test_a_kept_pass_is_the_pass(self, fresh: HuggingFaceLVLM, tmp_path: Path) -> None:
        inputs = self.ask(fresh, QUESTIONS)
        plain = fresh.encode(inputs)
        fresh.cache = VisionCache(str(tmp_path), fresh.lm, "sdpa")
        for compute in (fresh.features, None):  # the second time there is nothing that could compute
            fresh.features = compute  # type: ignore[assignment, method-assign]
            kept = fresh.encode(inputs)
            assert all(torch.equal(kept.hidden[k], plain.hidden[k]) for k in fresh.blocks)
            assert torch.equal(fresh(inputs, kept), fresh(inputs, plain))

    def test_prompts_equal_to_embeddings_of_words_are_these_words(
        self, lvlm: HuggingFaceLVLM, record_property: Note
    ) -> None:
        inputs = self.ask(lvlm, prompts=3)
        words = torch.tensor([40, 50, 60])
        spelled = {**inputs, "input_ids": inputs["input_ids"].clone()}
        spelled["input_ids"][inputs["input_ids"] == lvlm.tokens.anomaly_id] = words
        assert torch.equal(lvlm.position_ids(spelled), inputs["position_ids"])
        with torch.no_grad():
            vision = lvlm.encode(inputs)
            prompts = lvlm.lm.get_input_embeddings()(words)[None]
            compare(record_property, lvlm(inputs, vision, prompts), lvlm(spelled, vision))

    def test_prompts_stand_between_video_and_question(self, lvlm: HuggingFaceLVLM) -> None:
        with_prompts, without = self.ask(lvlm, prompts=3)["input_ids"][0], self.ask(lvlm)["input_ids"][0]
        places = (with_prompts == lvlm.tokens.anomaly_id).nonzero()[:, 0]
        assert places.tolist() == list(range(int(places[0]), int(places[0]) + 3))
        assert torch.equal(with_prompts[with_prompts != lvlm.tokens.anomaly_id], without)
        assert lvlm.tokens.tokenizer.decode(with_prompts[places[-1] + 1 :]).startswith(QUESTIONS[0])

    def test_every_prompt_and_their_order_count(self, lvlm: HuggingFaceLVLM) -> None:
        inputs, prompts = self.ask(lvlm, prompts=3), self.prompted(lvlm)
        less = prompts * torch.tensor([1, 1, 0])[:, None]
        with torch.no_grad():
            vision = lvlm.encode(inputs)
            whole, turned, cut = (lvlm(inputs, vision, p)[0, -1] for p in (prompts, prompts.flip(1), less))
        assert (whole - turned).abs().max() > 1e-3
        assert (whole - cut).abs().max() > 1e-3

    def test_loss_is_the_librarys_and_of_answers_only(self, lvlm: HuggingFaceLVLM, record_property: Note) -> None:
        inputs = lvlm.prepare(self.clips(2), [DIALOG, DIALOG[:1]], 0, [FPS] * 2)
        learned = [row[row != IGNORE].tolist() for row in inputs["labels"]]
        said = [[*lvlm.tokens.answer(t["answer"]), lvlm.tokens.eos_id] for t in DIALOG]
        assert learned == [said[0] + said[1], said[0]]
        with torch.no_grad():
            ours = lvlm.loss(inputs, lvlm.encode(inputs))
            theirs = lvlm.lm(**{k: v for k, v in inputs.items() if k != "position_ids"}).loss
        compare(record_property, ours, theirs, ROUNDING)

    @torch.no_grad()
    def test_greedy_answers_are_those_of_the_librarys_generate(self, lvlm: HuggingFaceLVLM) -> None:
        inputs, theirs = self.ask(lvlm, QUESTIONS), self.library(lvlm, QUESTIONS)
        ours = lvlm.generate(lvlm.start(inputs, lvlm.encode(inputs)), 6)
        ids = lvlm.lm.generate(**theirs, max_new_tokens=6, do_sample=False)[:, theirs["input_ids"].shape[1] :]
        assert ours == [text.strip() for text in lvlm.tokens.tokenizer.batch_decode(ids, skip_special_tokens=True)]
        assert all(ours)

    @torch.no_grad()
    def test_bfloat16_is_the_librarys_own_too(self, folder: Path, record_property: Note) -> None:
        half = self.family.adapter(str(folder), blocks=(1, 2), dtype="bfloat16")
        inputs, theirs = self.ask(half), self.library(half, QUESTIONS[:1])
        vision = half.encode(inputs)
        assert {h.dtype for h in vision.hidden.values()} == {torch.bfloat16}
        compare(record_property, half(inputs, vision), half.lm(**theirs).logits)
        assert all(half.generate(half.start(inputs, vision), 2))

    # ---- dialogs ----

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

    # ---- what is trained ----

    def test_gradients_reach_the_prompts_and_nothing_frozen(self, lvlm: HuggingFaceLVLM) -> None:
        prompts = self.prompted(lvlm).requires_grad_()
        inputs = lvlm.prepare(self.clips(), [DIALOG], 3, [FPS])
        lvlm.loss(inputs, lvlm.encode(inputs), prompts).backward()
        assert prompts.grad is not None
        assert (prompts.grad.abs().sum(-1) > 0).all()
        assert all(p.grad is None and not p.requires_grad for p in lvlm.parameters())

    def test_gradients_are_the_same_without_kept_activations(
        self, fresh: HuggingFaceLVLM, folder: Path, record_property: Note
    ) -> None:
        frugal = self.family.adapter(str(folder), blocks=(1, 2), gradient_checkpointing=True)
        runs: list[int] = []
        frugal.lm.get_decoder().layers[0].mlp.register_forward_pre_hook(lambda *_: runs.append(1))
        gradients: list[Any] = []
        for lvlm in (fresh, frugal):
            lvlm.add_lora(4, 8)
            lvlm.train()
            prompts = self.prompted(lvlm).requires_grad_()
            inputs = lvlm.prepare(self.clips(), [DIALOG], 3, [FPS])
            lvlm.loss(inputs, lvlm.encode(inputs), prompts).backward()
            gradients.append(prompts.grad)
        assert len(runs) == 2  # once forward, once again on the way back
        compare(record_property, gradients[0], gradients[1], ROUNDING)

    def test_lora_is_in_the_language_model_only_and_changes_nothing_at_first(
        self, fresh: HuggingFaceLVLM, record_property: Note
    ) -> None:
        inputs = fresh.prepare(self.clips(), [DIALOG], 0, [FPS])
        vision = fresh.encode(inputs)
        with torch.no_grad():
            before = fresh(inputs, vision)
        fresh.add_lora(4, 8)
        with torch.no_grad():
            compare(record_property, fresh(inputs, fresh.encode(inputs)), before)
        trained = {name for name, p in fresh.named_parameters() if p.requires_grad}
        assert trained
        assert all("lora_" in name for name in trained)
        touched = {name.rsplit(".lora_", 1)[0] for name in trained}
        assert all(name.startswith(("lm.model.language_model.", "lm.model.text_model.")) for name in touched)
        assert len(touched) >= 7 * len(fresh.lm.get_decoder().layers) - 4  # recurrent layers have no q, k, v, o
        fresh.loss(inputs, vision).backward()
        assert {name for name, p in fresh.named_parameters() if p.grad is not None} == trained

    def test_what_was_trained_is_saved_and_loaded(self, fresh: HuggingFaceLVLM, lvlm: HuggingFaceLVLM) -> None:
        inputs = self.ask(fresh)
        other = copy.deepcopy(lvlm)
        with torch.no_grad():
            before = fresh(inputs, fresh.encode(inputs))
            for model in (fresh, other):
                model.add_lora(4, 8)
            for weights in (p for p in fresh.parameters() if p.requires_grad):
                weights.normal_()
            other.load_state_dict({k: v for k, v in fresh.state_dict().items() if "lora_" in k}, strict=False)
            after = fresh(inputs, fresh.encode(inputs))
            assert torch.equal(after, other(inputs, other.encode(inputs)))
        assert not torch.equal(before, after)

    def test_freezing_survives_train(self, fresh: HuggingFaceLVLM) -> None:
        fresh.add_lora(4, 8, dropout=0.5)
        nn.Sequential(fresh).train()
        modes = {("lora_" in n, m.training) for n, m in fresh.lm.named_modules() if not n.endswith("lora_")}
        assert modes == {(True, True), (False, False)}
        assert {("lora_" in name) for name, p in fresh.named_parameters() if p.requires_grad} == {True}
        fresh.eval()
        assert not any(m.training for m in fresh.modules())

    def test_unfrozen_everything_learns(self, fresh: HuggingFaceLVLM) -> None:
        fresh.unfreeze()
        fresh.train()
        inputs = fresh.prepare(self.clips(), [DIALOG], 0, [FPS])
        fresh.loss(inputs, fresh.encode(inputs)).backward()
        assert all(m.training for m in fresh.modules())
        assert all(p.requires_grad for p in fresh.parameters())
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in self.tower(fresh).parameters())
