"""The contract with real vocabularies, templates and processors (`tests/real.py`)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from contract import FPS
from contract.checks import Checks
from contract.dialogs import Dialogs
from contract.parity import Parity
from real import REAL, Real, needs_real
from tiny import turn
from tvau.backbones.huggingface import HuggingFaceLVLM

TURNS = [
    turn("Is there any anomaly in the video?", "Yes, there is one."), turn("Where?", "at the upper left."),
    turn("What is it?", "a person falling."), turn("What is its movement trajectory?", "center -> lower right."),
]  # fmt: skip


class Contract(Checks):
    """What depends on these files: tokens, and with them logits, loss, answers and cached turns."""

    test_ids_and_logits = Parity.test_without_prompts_logits_are_the_librarys_own
    test_a_padded_batch = Parity.test_a_padded_batch_is_the_librarys_own
    test_prompts_stand_between_video_and_question = Parity.test_prompts_stand_between_video_and_question
    test_loss = Parity.test_loss_is_the_librarys_and_of_answers_only
    test_greedy_answers = Parity.test_greedy_answers_are_those_of_the_librarys_generate
    test_cached_turns = Dialogs.test_cached_turns_equal_a_full_run
    say = Dialogs.say

    family: Real  # type: ignore[assignment]

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return cls.family.write(tmp_path_factory.mktemp("real"))

    def test_four_turns_are_the_templates_own(self, lvlm: HuggingFaceLVLM) -> None:
        ours = lvlm.prepare(self.clips(), [TURNS], 0, [FPS])["input_ids"][0].tolist()
        theirs = self.library(lvlm, [TURNS[0]["question"]])["input_ids"][0].tolist()
        assert ours[: len(theirs)] == theirs
        messages: Any = []
        for said in TURNS:
            for role, key in (("user", "question"), ("assistant", "answer")):
                messages.append({"role": role, "content": [{"type": "text", "text": said[key]}]})  # type: ignore[literal-required]
        rendered = lvlm.tokens.processor.apply_chat_template(messages, tokenize=False, **lvlm.template)
        first = rendered.index(TURNS[0]["answer"])
        whole = lvlm.tokens.tokenizer(rendered[first:].rstrip("\n"), add_special_tokens=False)["input_ids"]
        assert ours[len(theirs) :] == whole

    def test_pixels_are_the_librarys(self, lvlm: HuggingFaceLVLM) -> None:
        theirs, ours = self.library(lvlm, [TURNS[0]["question"]]), lvlm.pixels(self.clips())
        seen = [key for key in ours if key.startswith("pixel")]
        assert seen
        assert all(torch.equal(ours[key], theirs[key]) for key in seen)

    def test_lora_reaches_the_language_model_alone_at_its_true_size(self, tmp_path: Path) -> None:
        config = AutoConfig.from_pretrained(self.family.lay(tmp_path))
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config)
        language, targets = model.get_decoder(), self.family.adapter.lora_targets
        reached = [name for name, part in language.named_modules() if re.fullmatch(targets, name)]
        assert len(reached) == 7 * config.get_text_config().num_hidden_layers  # q, k, v, o, gate, up, down
        assert all(isinstance(language.get_submodule(name), torch.nn.Linear) for name in reached)

    def test_words_of_a_prompt(self, lvlm: HuggingFaceLVLM) -> None:
        clip = torch.zeros(1, 16, 3, *self.family.size, dtype=torch.uint8)
        inputs, grid = lvlm.prepare(clip, [[turn("")]], 0, [FPS]), lvlm.grid(16, *self.family.size)
        seen = inputs["input_ids"].shape[1] - lvlm.visual_tokens(lvlm.lm.config, grid)
        counted = lvlm.words[0] + lvlm.words[1] * grid[0]
        assert seen <= counted <= seen + 10  # numbers of two digits are two tokens

    def test_answers_end_where_the_release_says(self, lvlm: HuggingFaceLVLM, folder: Path) -> None:
        ends = json.loads((folder / "generation_config.json").read_text()).get("eos_token_id", lvlm.tokens.eos_id)
        assert lvlm.ends == {lvlm.tokens.eos_id, *(ends if isinstance(ends, list) else [ends])}
        assert lvlm.tokens.tokenizer.convert_ids_to_tokens(lvlm.tokens.eos_id) == "<|im_end|>"


@needs_real
class TestQwen2VL(Contract):
    family = REAL["qwen2_vl"]


@needs_real
class TestQwen25VL(Contract):
    family = REAL["qwen2_5_vl"]


@needs_real
class TestQwen3VL(Contract):
    family = REAL["qwen3_vl"]


@needs_real
class TestLlavaOneVision(Contract):
    family = REAL["llava_onevision"]


@needs_real
class TestInternVL(Contract):
    family = REAL["internvl"]
