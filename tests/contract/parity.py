"""Parity with the library: logits, loss, prompts as words, greedy answers, bfloat16."""

from pathlib import Path

import torch

from contract.checks import FPS, QUESTIONS, ROUNDING, Checks, Note, compare
from tiny import DIALOG
from tvau.backbones.cache import VisionCache
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.backbones.tokens import ANOMALY, IGNORE


class Parity(Checks):
    """The library's own figures."""

    words = (40, 50, 60)

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
        with torch.no_grad():
            ours = lvlm(inputs, lvlm.encode(inputs))
            compare(record_property, ours[known], lvlm.lm(**theirs).logits[known], self.rounding)

    @torch.no_grad()
    def test_clips_alone_are_seen_as_beside_words(self, fresh: HuggingFaceLVLM) -> None:
        inputs = self.ask(fresh, QUESTIONS)
        pixels, expected = fresh.pixels(inputs["video"]), fresh.encode(inputs)
        assert pixels
        assert all(torch.equal(inputs[key], value) for key, value in pixels.items())
        weights = sum(p.numel() for p in fresh.parameters())
        fresh.mute()
        fresh.train(True)
        left = {name for name, _ in fresh.lm.named_parameters()}
        assert left
        assert not [name for name in left if "language_model" in name or "text_model" in name or "lm_head" in name]
        seen = fresh.encode({"video": inputs["video"]})
        assert all(torch.equal(seen.hidden[k], expected.hidden[k]) for k in fresh.blocks)
        fresh.mute(False)
        assert sum(p.numel() for p in fresh.parameters()) == weights
        assert torch.equal(fresh(inputs, seen), fresh(inputs, expected))

    @torch.no_grad()
    def test_a_kept_pass_is_the_pass(self, fresh: HuggingFaceLVLM, tmp_path: Path) -> None:
        inputs = self.ask(fresh, QUESTIONS)
        plain, kept = fresh.encode(inputs), []
        fresh.cache = VisionCache(str(tmp_path), fresh.lm, "sdpa")
        for compute in (fresh.features, None):  # the second time there is nothing that could compute
            fresh.features = compute  # type: ignore[assignment, method-assign]
            kept.append(fresh.encode(inputs))
            for k, hidden in kept[-1].hidden.items():  # kept with 16 bits a number
                torch.testing.assert_close(hidden.float(), plain.hidden[k].float(), rtol=5e-3, atol=1e-3)
            torch.testing.assert_close(fresh(inputs, kept[-1]), fresh(inputs, plain), rtol=2e-2, atol=2e-2)
        assert all(torch.equal(kept[0].hidden[k], kept[1].hidden[k]) for k in fresh.blocks)
        assert torch.equal(fresh(inputs, kept[0]), fresh(inputs, kept[1]))
        alone = fresh.encode({"video": inputs["video"]})
        assert all(torch.equal(alone.hidden[k], kept[0].hidden[k]) for k in fresh.blocks)

    def test_prompts_equal_to_embeddings_of_words_are_these_words(
        self, lvlm: HuggingFaceLVLM, record_property: Note
    ) -> None:
        inputs = self.ask(lvlm, prompts=3)
        words = torch.tensor(self.words)
        spelled = {**inputs, "input_ids": inputs["input_ids"].clone()}
        spelled["input_ids"][inputs["input_ids"] == ANOMALY] = words
        assert torch.equal(lvlm.position_ids(spelled), inputs["position_ids"])
        with torch.no_grad():
            vision = lvlm.encode(inputs)
            prompts = lvlm.lm.get_input_embeddings()(words)[None]
            compare(record_property, lvlm(inputs, vision, prompts), lvlm(spelled, vision))

    def test_prompts_stand_between_video_and_question(self, lvlm: HuggingFaceLVLM) -> None:
        with_prompts, without = self.ask(lvlm, prompts=3)["input_ids"][0], self.ask(lvlm)["input_ids"][0]
        places = (with_prompts == ANOMALY).nonzero()[:, 0]
        assert places.tolist() == list(range(int(places[0]), int(places[0]) + 3))
        assert torch.equal(with_prompts[with_prompts != ANOMALY], without)
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
            given = {k: v for k, v in inputs.items() if k not in ("position_ids", "video")}
            each = []  # the library means over all tokens of a batch
            for i in range(2):
                alone = torch.full_like(inputs["labels"], IGNORE)
                alone[i] = inputs["labels"][i]
                each.append(lvlm.lm(**given | {"labels": alone}).loss)
        compare(record_property, ours, torch.stack(each).mean(), ROUNDING)

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
        assert len(half.generate(half.start(inputs, vision), 2)) == 1
