"""The contract between tvau and any video LVLM: one vision pass, anomaly prompts, and a dialog on one cache."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.utils import ModelOutput

from tvau.types import Turn

Inputs = dict[str, Tensor]  # what `prepare` makes: the clips, ids, masks, positions, labels and the tower's pixels


@dataclass
class SeenOutput(ModelOutput):
    """Those fields of the library's own output of a vision pass that its language models read."""

    pooler_output: Any = None
    deepstack_features: Any = None

    @classmethod
    def of(cls, made: ModelOutput) -> "SeenOutput":
        """What is handed on of an output; the hidden states of the tower are let go."""
        return cls(**{field: made.get(field) for field in cls.__dataclass_fields__})


@dataclass
class VisionPass:
    """What one pass of the vision tower leaves behind; nothing encodes the video twice."""

    hidden: dict[int, Tensor]  # k = output of the k-th block (1-based) -> [B, T', Dv, H', W'], true raster order
    output: SeenOutput  # the same pass in the library's own form, handed back to the language model


@dataclass
class Dialog:
    """Everything the next turn needs; no dialog state lives on the model."""

    cache: Cache
    mask: Tensor  # [B, L] 1 where a token was fed, 0 where padding
    position: Tensor  # [B, 1] or [3, B, 1], position of the last token fed
    logits: Tensor  # [B, V] after the last token fed
    said: list[list[int]]  # tokens of each clip's answer to the last question, so far
    asked: list[bool]  # whether a clip was asked at all; the others sit that question out
    picture: Tensor  # [B, T', h, w], at which place of the sequence each part of the picture stands; empty: elsewhere
    hidden: Tensor | None = None  # [B, L'], which of the first tokens are not seen by what is fed next

    def hide(self, cold: Tensor | None) -> None:
        """Hides parts of the picture, True in [B, T', h, w], from the words that are fed next; None: shows all.

        What was fed before has seen them.
        """
        self.hidden = None
        if cold is not None:
            seen = torch.zeros_like(self.mask[:, : int(self.picture.max()) + 1], dtype=torch.bool)
            self.hidden = seen.scatter(1, self.picture.flatten(1), cold.flatten(1))


class VideoLVLM(nn.Module, ABC):
    """A frozen video LVLM. Later parts take its numbers and tensors, never the model itself.

    Attributes:
        name: what a checkpoint of tvau remembers it by.
        hidden_size: width D of the language model.
        vision_size: width Dv of the vision tower's blocks.
        depth: number of blocks of the vision tower.
        blocks: 1-based blocks whose outputs `encode` returns (eq. 4).
        fingerprint: a few of its weights as they were loaded, by which a checkpoint knows it again; () if it has none.
        made: the arguments with which `tvau.backbones.load` makes it again; empty where it cannot.
        prompt_scale: root mean square of a token embedding, the scale on which anomaly prompts should start.
    """

    name: str
    hidden_size: int
    vision_size: int
    depth: int
    blocks: tuple[int, ...]
    fingerprint: tuple[float, ...] = ()
    made: Mapping[str, Any] = {}
    prompt_scale: float

    @abstractmethod
    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """(T', H', W') of the hidden states for a clip. Raises BackboneError where the tower cannot hold it."""

    @abstractmethod
    def prepare(self, video: Tensor, dialogs: Sequence[Sequence[Turn]], prompts: int, fps: Sequence[float]) -> Inputs:
        """Tokens, positions and pixels for clips and their dialogs.

        Args:
            video: uint8 [B, T, 3, H, W].
            dialogs: the turns of each clip. An answer of "" is left open for `start` and must be the last.
            prompts: number N of anomaly prompts between the visual tokens and the first question (eq. 14).
            fps: frames a second of each clip (not of its source).

        Raises:
            BackboneError: the tower cannot hold such clips.
        """

    @abstractmethod
    def encode(self, inputs: Inputs) -> VisionPass:
        """One pass of the vision tower (eq. 4); the clips, uint8 [B, T, 3, H, W] under "video", are all it needs.

        Raises:
            BackboneError: the tower cannot hold such clips.
        """

    @abstractmethod
    def picture_tokens(self, vision: VisionPass) -> Tensor:
        """The visual tokens P_V of a pass where they lie on the picture: [B, T', D, h, w].

        Often one stands for several patches, so h <= H' and w <= W'. Those that lie nowhere, such as class tokens, are
        left out.
        """

    @abstractmethod
    def mute(self, muted: bool = True) -> None:
        """Takes the language model out of the module, so that it costs no device anything, or puts it back.

        In between clips can be encoded, and nothing can be read or said.
        """

    @abstractmethod
    def encode_text(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The text encoder E_t of eq. 2, frozen: token features [N, L, D], LoRA or not, and their mask [N, L]."""

    @abstractmethod
    def forward(self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None = None) -> Tensor:
        """Logits [B, L, V] for [P_V; P_An; P_Q] (eq. 14); prompts are [B, N, D]."""

    @abstractmethod
    def loss(self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None = None, blind: bool = False) -> Tensor:
        """Cross entropy of the answers' tokens, the end of turn included; a scalar.

        The mean over the tokens of each clip, then over clips. Where it is `blind` the language model sees no visual
        token.
        """

    @abstractmethod
    def start(self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None = None) -> Dialog:
        """Feeds video, prompts and the first question."""

    @abstractmethod
    def ask(self, dialog: Dialog, questions: Sequence[str | None]) -> None:
        """Feeds the next question of each clip, after `generate` has answered the last one; None: sits it out."""

    @abstractmethod
    def say(self, dialog: Dialog, words: Sequence[str]) -> None:
        """Puts words into the mouth of each clip, fed as if it had said them; "": nothing.

        They are its answer so far, and what of them was said already is not fed again. `generate` goes on behind them.
        """

    @abstractmethod
    def lean(self, dialog: Dialog) -> Tensor:
        """How much more probable a Yes is than a No as the next word of each clip: difference of the logits, [B].

        What a family says before any first word of an answer is said by this.
        """

    @abstractmethod
    def generate(self, dialog: Dialog, most: int = 64, begin: Sequence[str] = ()) -> list[str]:
        """Greedy answers, one for each clip; "" of a clip that was not asked.

        The most probable token each time, as training teaches them. Sampling and repetition_penalty of a checkpoint's
        generation config are left out: they serve free chat, while these answers rightly repeat words.

        Called again it goes on where it was: with `most` 1 the answers come word by word.

        Args:
            dialog: behind a question.
            most: tokens of an answer, at most, without those of `begin`.
            begin: words with which each answer has to begin, see `say`; none: it begins as it likes.
        """

    @abstractmethod
    def add_lora(self, rank: int, alpha: int, dropout: float = 0.0) -> None:
        """Gives the language model, and nothing else, a new LoRA in place of an earlier one; rank 0: none."""

    @abstractmethod
    def unfreeze(self) -> None:
        """Makes every weight trainable (pretraining of the nano LVLM)."""
