"""What all parts of the contract share: one tiny checkpoint, its clips and questions, and the library beside it."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from families import Family, write
from tiny import turn, video
from tvau.backbones import Inputs
from tvau.backbones.huggingface import HuggingFaceLVLM

FPS = 2.5
QUESTIONS = ("Is there any anomaly in the video?", "Where?")
ROUNDING = 5e-5  # of logits of about 3, in single precision; processors without AVX-512 came to 1.8e-5
Note = Callable[[str, object], None]


def compare(note: Note, given: Tensor, expected: Tensor, within: float = 0.0) -> None:
    """Asserts that no number is further off than `within`, and notes the largest difference."""
    difference = float((given.float() - expected.float()).abs().max())
    note("difference", difference)
    assert difference <= within


class Checks:
    """Checks of one family; what it is tested on."""

    family: Family
    frames = 4
    told: ClassVar[dict[str, Any]] = {}  # what the library has to be told beside
    rounding = ROUNDING  # where the library's positions are others, since it counts padding

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
        options = {"do_sample_frames": False, "video_metadata": [about] * len(questions), "padding": True,
                   **self.told}  # fmt: skip
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
