"""The language model's side of all Hugging Face LVLMs: the sequence of eq. 14, its loss, and dialogs on one cache."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import DynamicCache

from tvau.backbones.base import Dialog, Inputs, VideoLVLM, VisionPass
from tvau.backbones.tokens import ANOMALY, IGNORE, DialogTokens
from tvau.errors import BackboneError


class Speaker(VideoLVLM):
    """What reads [P_V; P_An; P_Q] and answers; where the visual tokens come from is nothing to it.

    Attributes:
        lm: the library's model.
        tokens: its words.
        ends: tokens that end an answer.
        modality: under which the library takes back what its tower made.
    """

    lm: Any
    tokens: DialogTokens
    ends: set[int]
    modality = "video"

    @abstractmethod
    def picture_places(self, inputs: Inputs) -> Tensor:
        """At which place of the sequence each of `picture_tokens` stands: [B, T', h, w]."""

    # ---- one sequence (eq. 14) ----

    def embed(self, ids: Tensor, prompts: Tensor | None) -> Tensor:
        """Token embeddings [B, L, D], the anomaly prompts in their places."""
        places = ids == ANOMALY
        embedded = self.lm.get_input_embeddings()(ids.masked_fill(places, 0))
        if prompts is None:
            return embedded
        if int(places.sum()) != prompts.shape[0] * prompts.shape[1]:  # masked_scatter does not count
            raise BackboneError(
                f"{prompts.shape[1]} anomaly prompts for {int(places.sum()) // len(ids)} placeholders a clip"
            )
        return embedded.masked_scatter(places[..., None], prompts.to(embedded.dtype))

    def _call(self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None, **options: Any) -> dict[str, Any]:
        # the library scatters the visual tokens itself: placeholder rows are still the embedding of the placeholder
        return {
            "inputs_embeds": self.embed(inputs["input_ids"], prompts),
            "attention_mask": inputs["attention_mask"],
            "position_ids": inputs["position_ids"],
            "mm_encoder_outputs": {self.modality: vision.output},
            **options,
        }

    def forward(self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None = None) -> Tensor:
        return self.lm(**self._call(inputs, vision, prompts), use_cache=False).logits

    def hidden_states(
        self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None = None, every: bool = False
    ) -> tuple[Tensor, ...]:
        """Hidden states of the language model, each [B, L, D]; the last is normed. With `every`, of all layers."""
        output = self.lm.model(**self._call(inputs, vision, prompts), use_cache=False, output_hidden_states=every)
        return output.hidden_states if every else (output.last_hidden_state,)

    def answer_loss(self, last: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy of the answers from the last hidden states; logits are made for answers only.

        The mean over a clip's tokens, then over clips: what a clip counts for does not depend on its neighbours.
        """
        learned = labels[:, 1:] != IGNORE
        logits = self.logits(last[:, :-1][learned])
        each = cross_entropy(logits.float(), labels[:, 1:][learned], reduction="none")
        return (each / learned.sum(1, keepdim=True).expand_as(learned)[learned]).sum() / len(labels)

    def logits(self, last: Tensor) -> Tensor:
        """Logits [..., V] from the last hidden states [..., D]."""
        return self.lm.lm_head(last)

    def loss(self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None = None, blind: bool = False) -> Tensor:
        if blind:
            inputs = self.tokens.unseen(inputs)
        return self.answer_loss(self.hidden_states(inputs, vision, prompts)[-1], inputs["labels"])

    # ---- dialog ----

    @torch.no_grad()
    def start(self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None = None) -> Dialog:
        cache = DynamicCache(config=self.lm.config.get_text_config(decoder=True))
        output = self.lm(**self._call(inputs, vision, prompts), past_key_values=cache, logits_to_keep=1)
        logits, clips = output.logits[:, -1], len(inputs["input_ids"])
        return Dialog(
            cache, inputs["attention_mask"], inputs["position_ids"][..., -1:], logits, [[] for _ in range(clips)],
            [True] * clips, self.picture_places(inputs),
        )  # fmt: skip

    @torch.no_grad()
    def feed(self, dialog: Dialog, ids: Tensor, mask: Tensor) -> None:
        """Feeds new tokens [B, l] (mask 0: padding); positions go on from the last token fed."""
        position = dialog.position + mask.cumsum(-1)
        dialog.mask = seen = torch.cat([dialog.mask, mask], dim=1)
        if dialog.hidden is not None:
            seen = seen.clone()
            seen[:, : dialog.hidden.shape[1]][dialog.hidden] = 0
        output = self.lm(
            input_ids=ids, attention_mask=seen, position_ids=position, past_key_values=dialog.cache,
            logits_to_keep=1,
        )  # fmt: skip
        dialog.position = position[..., -1:]
        # a row that was fed only padding keeps its logits
        dialog.logits = torch.where(mask[:, -1:].bool(), output.logits[:, -1], dialog.logits)

    def ask(self, dialog: Dialog, questions: Sequence[str | None]) -> None:
        dialog.said, dialog.asked = [[] for _ in questions], [question is not None for question in questions]
        self._feed(dialog, [[] if question is None else self.tokens.following(question) for question in questions])

    def say(self, dialog: Dialog, words: Sequence[str]) -> None:
        more = []
        for said, text in zip(dialog.said, words, strict=True):
            whole = self.tokens.answer(text) if text else said
            if whole[: len(said)] != said:  # what it said itself is spelled in other tokens
                whole = said + self.tokens.ids(text.removeprefix(self.tokens.read(said)))
            more.append(whole[len(said) :])
            said += more[-1]
        self._feed(dialog, more)

    def lean(self, dialog: Dialog) -> Tensor:
        yes, no = self.tokens.answer("Yes"), self.tokens.answer("No")
        shared = next(at for at, (a, b) in enumerate(zip(yes, no, strict=False)) if a != b)
        more = [yes[:shared] * asked for asked in dialog.asked]  # the space that some families begin with
        dialog.said = [said + own for said, own in zip(dialog.said, more, strict=True)]
        self._feed(dialog, more)
        return (dialog.logits[:, yes[shared]] - dialog.logits[:, no[shared]]).float()

    def _feed(self, dialog: Dialog, rows: list[list[int]]) -> None:
        if any(rows):
            self.feed(dialog, *self.tokens.padded(rows, dialog.mask))

    @torch.no_grad()
    def generate(self, dialog: Dialog, most: int = 64, begin: Sequence[str] = ()) -> list[str]:
        if begin:
            self.say(dialog, begin)
        ends = torch.tensor(sorted(self.ends), device=dialog.mask.device)
        going = dialog.mask.new_tensor(dialog.asked)[:, None]
        for _ in range(most):
            tokens = dialog.logits.argmax(-1, keepdim=True)
            going = going * ~torch.isin(tokens, ends)
            if not going.any():
                break
            for said, goes, token in zip(dialog.said, going[:, 0].tolist(), tokens[:, 0].tolist(), strict=True):
                said += [token] * goes
            self.feed(dialog, tokens.where(going.bool(), self.tokens.pad_id), going)
        return [self.tokens.read(said) for said in dialog.said]
