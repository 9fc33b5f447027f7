"""The tokens of a dialog: rendered by the checkpoint's own template, learned where answers stand, padded left."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ProcessorMixin

from tvau.backbones.base import Inputs
from tvau.types import Turn

ANOMALY = "<|anomaly|>"  # placeholder of one anomaly prompt; never looked up in the embedding table
MULTIPLE = 32  # of the tokens of a padded batch
IGNORE = -100
TEXT_KEYS = ("input_ids", "attention_mask", "mm_token_type_ids")
Tail = tuple[list[int], list[bool]]  # ids behind a first question, and whether each is learned


class DialogTokens:
    """Owns the stream of ids: a history is never rendered again, since templates change what they repeat.

    Args:
        processor: of the checkpoint; the placeholder of anomaly prompts is added to its tokenizer.
        answer_prefix: what stands between the end of the prompt and the first word of an answer.
        template: further variables of the chat template.
    """

    def __init__(self, processor: ProcessorMixin, answer_prefix: str, template: Mapping[str, Any]) -> None:
        self.processor, self.answer_prefix, self.template = processor, answer_prefix, template
        self.tokenizer = processor.tokenizer
        self.tokenizer.add_tokens([ANOMALY], special_tokens=True)
        self.anomaly_id = self.tokenizer.convert_tokens_to_ids(ANOMALY)
        self.eos_id = self.tokenizer.eos_token_id
        self.pad_id = self.eos_id if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id

    def first(self, question: str, prompts: int) -> str:
        """The text of the first turn up to its answer: video, anomaly placeholders, question (eq. 14)."""
        return self._render([("user", ANOMALY * prompts + question)], video=True)

    def has_bos(self, text: str) -> bool:
        """Whether the template wrote the token that the tokenizer would otherwise put in front."""
        return self.tokenizer.bos_token is not None and text.startswith(self.tokenizer.bos_token)

    @lru_cache(maxsize=4096)  # noqa: B019  (one backbone lives as long as the program)
    def following(self, question: str) -> list[int]:
        """End of the last answer, the next question, and the start of its answer."""
        mark = "\u2402"
        ids = self.ids(self._render([("user", "?"), ("assistant", mark), ("user", question)]).split(mark)[1])
        return ids if ids[0] == self.eos_id else [self.eos_id, *ids]

    def answer(self, text: str) -> list[int]:
        """An answer without its end."""
        return self.ids(self.answer_prefix + text)

    @lru_cache(maxsize=4096)  # noqa: B019
    def ids(self, text: str) -> list[int]:
        """Ids of a text in the middle of a dialog: LlamaTokenizer would put a BOS in front of every turn."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def tail(self, dialog: Sequence[Turn]) -> Tail:
        """What follows the first question; answers and their ends are learned."""
        ids: list[int] = []
        learned: list[bool] = []
        for i, turn in enumerate(dialog):
            if i:
                asked = self.following(turn["question"])
                ids, learned = ids + asked, [*learned, True, *[False] * (len(asked) - 1)]
            answer = self.answer(turn["answer"]) if turn["answer"] else []
            ids, learned = ids + answer, learned + [True] * len(answer)
        if dialog[-1]["answer"]:
            ids, learned = [*ids, self.eos_id], [*learned, True]
        return ids, learned

    def append(self, inputs: Inputs, tails: Sequence[Tail]) -> Inputs:
        """Puts each clip's tail behind its first question, moves the padding to the left, makes labels [B, L].

        With answers to learn, L of several clips is a multiple of MULTIPLE: on CPU, oneDNN keeps memory for each shape
        that it has ever met, and a training meets many.
        """
        device = inputs["input_ids"].device
        rows = []
        for i, (ids, learned) in enumerate(tails):
            kept = inputs["attention_mask"][i].bool()
            tail = torch.tensor(ids, dtype=torch.long, device=device)
            row = {key: torch.cat([inputs[key][i, kept], torch.zeros_like(tail)]) for key in TEXT_KEYS if key in inputs}
            row["input_ids"][len(row["input_ids"]) - len(tail) :] = tail
            row["attention_mask"].fill_(1)
            is_learned = torch.tensor([False] * int(kept.sum()) + learned, device=device)
            row["labels"] = row["input_ids"].masked_fill(~is_learned, IGNORE)
            rows.append(row)
        longest = max(len(row["input_ids"]) for row in rows)
        if len(rows) > 1 and any(any(learned) for _, learned in tails):
            longest += -longest % MULTIPLE
        fill = {"input_ids": self.pad_id, "labels": IGNORE}
        return {
            key: torch.stack(
                [nn.functional.pad(r[key], (longest - len(r[key]), 0), value=fill.get(key, 0)) for r in rows]
            )
            for key in rows[0]
        }

    def padded(self, rows: Sequence[list[int]], like: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of ids as [B, L], padded on the left, and their mask."""
        longest = max(map(len, rows))
        ids = torch.tensor([[self.pad_id] * (longest - len(r)) + r for r in rows], device=like.device)
        mask = torch.tensor([[0] * (longest - len(r)) + [1] * len(r) for r in rows], device=like.device)
        return ids, mask

    def read(self, ids: list[int]) -> str:
        """The words of an answer."""
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()

    def _render(self, turns: Sequence[tuple[str, str]], video: bool = False) -> str:
        messages: list[dict[str, Any]] = [
            {"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns
        ]
        if video:
            messages[0]["content"].insert(0, {"type": "video"})
        return self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **self.template)
