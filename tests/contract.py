"""What every backbone keeps, whatever its family: subclass `Contract`, name the adapter, and give it a checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tiny import DIALOG, close, turn, video
from tvau.backbones import Dialog, Inputs
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.backbones.packing import pack
from tvau.backbones.tokens import ANOMALY, IGNORE
from tvau.errors import BackboneError

FPS = 2.5
QUESTIONS = ("Is there any anomaly in the video?", "Where?")


class Contract:
    """The checks. `adapter` is the class under test, `blocks` are read, `size` is that of the frames."""

    adapter: type[HuggingFaceLVLM]
    blocks: Sequence[int] = (1, 2)
    size = (32, 64)
    frames = 4

    @staticmethod
    def tower(lvlm: HuggingFaceLVLM) -> nn.Module:
        """The vision tower, which must run once for a dialog."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def lvlm(cls, checkpoint: Path) -> HuggingFaceLVLM:
        """For tests that leave it as it is."""
        return cls.adapter(str(checkpoint), cls.blocks)

    @pytest.fixture
    def fresh(self, checkpoint: Path) -> HuggingFaceLVLM:
        """For tests that change it."""
        return self.adapter(str(checkpoint), self.blocks)

    def clips(self, count: int = 1, seed: int = 0) -> Tensor:
        return video(count, self.frames, self.size, seed)

    def ask(self, lvlm: HuggingFaceLVLM, questions: Sequence[str] = QUESTIONS[:1], prompts: int = 0) -> Inputs:
        """One clip for each question, its answer left open."""
        return lvlm.prepare(self.clips(len(questions)), [[turn(q)] for q in questions], prompts, [FPS] * len(questions))

    def library(self, lvlm: HuggingFaceLVLM, questions: Sequence[str]) -> dict[str, Any]:
        """The same, made by the library alone."""
        messages = [
            [{"role": "user", "content": [{"type": "video", "video": clip}, {"type": "text", "text": q}]}]
            for clip, q in zip(self.clips(len(questions)).movedim(2, -1).numpy(), questions, strict=True)
        ]
        about = {"total_num_frames": self.frames, "fps": FPS, "frames_indices": list(range(self.frames)),
                 "duration": self.frames / FPS}  # fmt: skip
        return lvlm.tokens.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
            processor_kwargs={"do_sample_frames": False, "video_metadata": [about] * len(questions), "padding": True},
        )  # fmt: skip

    def prompted(self, lvlm: HuggingFaceLVLM, count: int = 3, clips: int = 1) -> Tensor:
        """Random prompts [B, N, D] on the scale of token embeddings."""
        draw = torch.Generator().manual_seed(1)
        return torch.randn(clips, count, lvlm.hidden_size, generator=draw) * lvlm.prompt_scale

    # ---- what is published ----

    def test_geometry_is_that_of_what_it_returns(self, lvlm: HuggingFaceLVLM) -> None:
        inputs = self.ask(lvlm, QUESTIONS)
        times, height, width = lvlm.grid(self.frames, *self.size)
        hidden = lvlm.encode(inputs).hidden
        assert set(hidden) == set(lvlm.blocks) == set(self.blocks)
        assert {h.shape for h in hidden.values()} == {(2, times, lvlm.vision_size, height, width)}
        tokens, mask = lvlm.encode_text(["a person", "a person running"])
        assert tokens.shape == (*mask.shape, lvlm.hidden_size)

    def test_text_features_do_not_depend_on_their_neighbours(self, lvlm: HuggingFaceLVLM) -> None:
        texts = ["a person", "A short surveillance clip where a fire burning occurs."]
        tokens, mask = lvlm.encode_text(texts)
        for i, text in enumerate(texts):
            alone, _ = lvlm.encode_text([text])
            close(tokens[i, mask[i].bool()], alone[0])

    # ---- parity with the library ----

    @pytest.mark.parametrize("questions", [QUESTIONS[:1], QUESTIONS], ids=["one", "padded"])
    def test_without_prompts_logits_are_the_librarys_own(self, lvlm: HuggingFaceLVLM, questions: Sequence[str]) -> None:
        inputs = self.ask(lvlm, questions)
        theirs = self.library(lvlm, questions)
        assert torch.equal(inputs["input_ids"], theirs["input_ids"])
        with torch.no_grad():
            ours = lvlm(inputs, lvlm.encode(inputs))
            expected = lvlm.lm(**theirs).logits
        known = inputs["attention_mask"].bool()
        assert (ours - expected)[known].abs().max() == 0.0
        assert expected[known].std() > 0.1  # the comparison means something

    def test_prompts_equal_to_embeddings_of_words_are_these_words(self, lvlm: HuggingFaceLVLM) -> None:
        inputs = self.ask(lvlm, prompts=3)
        words = torch.tensor([40, 50, 60])
        spelled = {**inputs, "input_ids": inputs["input_ids"].clone()}
        spelled["input_ids"][inputs["input_ids"] == lvlm.tokens.anomaly_id] = words
        assert torch.equal(lvlm.position_ids(spelled), inputs["position_ids"])
        with torch.no_grad():
            vision = lvlm.encode(inputs)
            prompts = lvlm.lm.get_input_embeddings()(words)[None]
            assert torch.equal(lvlm(inputs, vision, prompts), lvlm(spelled, vision))

    def test_prompts_stand_between_video_and_question(self, lvlm: HuggingFaceLVLM) -> None:
        with_prompts, without = self.ask(lvlm, prompts=3)["input_ids"][0], self.ask(lvlm)["input_ids"][0]
        places = (with_prompts == lvlm.tokens.anomaly_id).nonzero()[:, 0]
        assert places.tolist() == list(range(int(places[0]), int(places[0]) + 3))
        assert torch.equal(with_prompts[with_prompts != lvlm.tokens.anomaly_id], without)
        assert lvlm.tokens.tokenizer.decode(with_prompts[places[-1] + 1 :]).startswith(QUESTIONS[0])

    def test_every_prompt_and_their_order_count(self, lvlm: HuggingFaceLVLM) -> None:
        inputs = self.ask(lvlm, prompts=3)
        prompts = self.prompted(lvlm)
        with torch.no_grad():
            vision = lvlm.encode(inputs)
            logits = [
                lvlm(inputs, vision, p)[0, -1]
                for p in (prompts, prompts.flip(1), prompts * torch.tensor([1, 1, 0])[:, None])
            ]
        assert (logits[0] - logits[1]).abs().max() > 1e-3
        assert (logits[0] - logits[2]).abs().max() > 1e-3

    def test_loss_is_the_librarys_and_of_answers_only(self, lvlm: HuggingFaceLVLM) -> None:
        inputs = lvlm.prepare(self.clips(2), [DIALOG, DIALOG[:1]], 0, [FPS] * 2)
        learned = [row[row != IGNORE].tolist() for row in inputs["labels"]]
        said = [[*lvlm.tokens.tokenizer(t["answer"], add_special_tokens=False)["input_ids"], lvlm.tokens.eos_id] for t in DIALOG]
        assert learned == [said[0] + said[1], said[0]]
        with torch.no_grad():
            ours = lvlm.loss(inputs, lvlm.encode(inputs))
            theirs = lvlm.lm(**{k: v for k, v in inputs.items() if k != "position_ids"}).loss
        close(ours, theirs)

    # ---- dialogs ----

    def say(self, lvlm: HuggingFaceLVLM, dialog: Dialog, answers: Sequence[str]) -> None:
        """Puts answers into the model's mouth, as `generate` feeds what it says itself."""
        rows = [lvlm.tokens.tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in answers]
        for at in range(max(map(len, rows))):
            ids = torch.tensor([[row[at] if at < len(row) else lvlm.tokens.pad_id] for row in rows])
            lvlm.feed(dialog, ids, torch.tensor([[int(at < len(row))] for row in rows]))

    @torch.no_grad()
    def test_cached_turns_equal_a_full_run(self, lvlm: HuggingFaceLVLM) -> None:
        turns = [
            turn("Is there any anomaly?", "Yes."),
            turn("Where does it start?", "at the upper left."),
            turn("Who?"),
        ]
        inputs = lvlm.prepare(self.clips(), [[turn(turns[0]["question"])]], 3, [FPS])
        prompts, vision = self.prompted(lvlm), lvlm.encode(inputs)
        dialog = lvlm.start(inputs, vision, prompts)
        for i, _ in enumerate(turns):
            so_far = [*turns[:i], turn(turns[i]["question"])]
            whole = lvlm.prepare(self.clips(), [so_far], 3, [FPS])
            close(dialog.logits, lvlm(whole, vision, prompts)[:, -1])
            assert torch.equal(dialog.position, whole["position_ids"][..., -1:])
            if i + 1 < len(turns):
                self.say(lvlm, dialog, [turns[i]["answer"]])
                lvlm.ask(dialog, [turns[i + 1]["question"]])

    @torch.no_grad()
    def test_generated_turns_equal_a_full_run(self, lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
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
        close(dialog.logits, lvlm(whole, vision)[:, -1])

    @torch.no_grad()
    def test_greedy_answers_are_those_of_the_librarys_generate(self, lvlm: HuggingFaceLVLM) -> None:
        inputs = self.ask(lvlm, QUESTIONS)
        ours = lvlm.generate(lvlm.start(inputs, lvlm.encode(inputs)), 6)
        theirs = self.library(lvlm, QUESTIONS)
        ids = lvlm.lm.generate(**theirs, max_new_tokens=6, do_sample=False)[:, theirs["input_ids"].shape[1] :]
        assert ours == [text.strip() for text in lvlm.tokens.tokenizer.batch_decode(ids, skip_special_tokens=True)]
        assert all(ours)

    @torch.no_grad()
    def test_the_tower_runs_once_for_a_whole_dialog(self, lvlm: HuggingFaceLVLM) -> None:
        runs = []
        hook = self.tower(lvlm).register_forward_hook(lambda *_: runs.append(1))
        inputs = self.ask(lvlm, prompts=3)
        dialog = lvlm.start(inputs, lvlm.encode(inputs), self.prompted(lvlm))
        for question in ("Where?", "Who?"):
            lvlm.generate(dialog, 2)
            lvlm.ask(dialog, [question])
        hook.remove()
        assert len(runs) == 1

    @torch.no_grad()
    def test_a_padded_batch_equals_single_runs(self, fresh: HuggingFaceLVLM) -> None:
        clips, prompts = self.clips(2), self.prompted(fresh, clips=2)
        first, later = ["Is there any anomaly in the video?", "Where?"], ["Who?", "What is its movement trajectory?"]

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
        for i in range(2):
            alone, last = converse(slice(i, i + 1))
            assert together[i] == alone[0]
            close(logits[i], last[0])

    @torch.no_grad()
    def test_packed_turns_do_not_see_each_other(self, lvlm: HuggingFaceLVLM) -> None:
        clips = self.clips(2)
        dialogs = [[*DIALOG, turn("How many people are in the video?", "two.")], DIALOG[1:]]

        def said(inputs: Inputs) -> Tensor:
            logits = lvlm(inputs, lvlm.encode(inputs))
            return logits[:, :-1][inputs["labels"][:, 1:] != IGNORE]

        single = [
            said(lvlm.prepare(clips[i : i + 1], [[own]], 0, [FPS])) for i, turns in enumerate(dialogs) for own in turns
        ]
        packed = pack(lvlm, clips, dialogs, [FPS] * 2)
        close(said(packed), torch.cat(single))

    # ---- what is trained ----

    def test_gradients_reach_the_prompts_and_nothing_frozen(self, lvlm: HuggingFaceLVLM) -> None:
        prompts = self.prompted(lvlm).requires_grad_()
        inputs = lvlm.prepare(self.clips(), [DIALOG], 3, [FPS])
        lvlm.loss(inputs, lvlm.encode(inputs), prompts).backward()
        assert prompts.grad is not None
        assert (prompts.grad.abs().sum(-1) > 0).all()
        assert all(p.grad is None and not p.requires_grad for p in lvlm.parameters())

    def test_lora_is_in_the_language_model_only_and_changes_nothing_at_first(self, fresh: HuggingFaceLVLM) -> None:
        inputs = fresh.prepare(self.clips(), [DIALOG], 0, [FPS])
        vision = fresh.encode(inputs)
        with torch.no_grad():
            before = fresh(inputs, vision)
        fresh.add_lora(4, 8)
        with torch.no_grad():
            assert torch.equal(before, fresh(inputs, fresh.encode(inputs)))
        trained = {name for name, p in fresh.named_parameters() if p.requires_grad}
        assert trained
        assert all("lora_" in name for name in trained)
        assert not any("lora_" in name for name, _ in self.tower(fresh).named_parameters())
        fresh.loss(inputs, vision).backward()
        assert {name for name, p in fresh.named_parameters() if p.grad is not None} == trained

    def test_freezing_survives_train(self, fresh: HuggingFaceLVLM) -> None:
        fresh.add_lora(4, 8, dropout=0.5)
        nn.Sequential(fresh).train()
        modes = {
            ("lora_" in name): module.training
            for name, module in fresh.lm.named_modules()
            if not name.endswith("lora_")
        }
        assert modes == {True: True, False: False}
        assert not any(m.training for m in self.tower(fresh).modules())
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

    # ---- bad input ----

    @pytest.mark.parametrize("blocks", [[], [0, 1], [1, 99]])
    def test_blocks_beyond_the_depth(self, checkpoint: Path, blocks: list[int]) -> None:
        with pytest.raises(BackboneError, match="expected numbers from 1 to"):
            self.adapter(str(checkpoint), blocks)

    def test_wrong_number_of_prompts(self, lvlm: HuggingFaceLVLM) -> None:
        inputs = self.ask(lvlm, prompts=3)
        with pytest.raises(BackboneError, match="2 anomaly prompts for 3 placeholders"):
            lvlm(inputs, lvlm.encode(inputs), self.prompted(lvlm, 2))

    def test_a_placeholder_in_a_question(self, lvlm: HuggingFaceLVLM) -> None:
        with pytest.raises(BackboneError, match="in a question"):
            self.ask(lvlm, [f"What is {ANOMALY}?"], 3)

    def test_a_checkpoint_of_another_family(self, tmp_path: Path) -> None:
        other = "llava_onevision" if self.adapter.family != "llava_onevision" else "qwen2_5_vl"
        (tmp_path / "config.json").write_text(f'{{"model_type": "{other}"}}')
        with pytest.raises(BackboneError, match=f"is a {other} model"):
            self.adapter(str(tmp_path), [1])

    def test_a_folder_without_a_checkpoint(self, tmp_path: Path) -> None:
        with pytest.raises(BackboneError, match=r"folder without config\.json"):
            self.adapter(str(tmp_path), [1])
        with pytest.raises(BackboneError, match="neither a checkpoint folder nor a hub id"):
            self.adapter(str(tmp_path / "absent"), [1])

    def test_a_hub_name_without_network(self) -> None:
        with pytest.raises(BackboneError, match="network"):
            self.adapter("nobody/no-such-model", [1])
