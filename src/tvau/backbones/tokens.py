"""The tokens of a dialog: rendered by the checkpoint's own template, learned where answers stand, padded left."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ProcessorMixin

from tvau.backbones.base import Inputs
from tvau.errors import BackboneError
from tvau.types import Turn

ANOMALY = -1  # in the place of one anomaly prompt: an id that no vocabulary has and no text can spell
MARK = "\u2402"  # stands for a text while a template is rendered
MULTIPLE = 32  # of the tokens of a padded batch
IGNORE = -100
TEXT_KEYS = ("input_ids", "attention_mask", "mm_token_type_ids")
NEW = {"input_ids": ANOMALY, "attention_mask": 1}  # what an anomaly prompt has in them, else 0
WORDS = "Is there any anomaly in the video?"
Tail = tuple[list[int], list[bool]]  # ids behind a first question, and whether each is learned


class DialogTokens:
    """Owns the stream of ids: a history is never rendered again, since templates change what they repeat.

    Args:
        processor: of the checkpoint.
        modality: what a video is to the processor, "video" or "image".
        placeholder: id of the token that stands for one visual token, by the checkpoint's configuration.
        answer_prefix: what stands between the end of the prompt and the first word of an answer.
        template: further variables of the chat template.

    Raises:
        BackboneError: the checkpoint's template cannot render a question about a video, or its tokenizer lacks words.
    """

    prints_whole = (
        False  # whether the template prints an answer whole, as GLM's does, where others go through its parts
    )

    def __init__(
        self,
        processor: ProcessorMixin,
        modality: str,
        placeholder: int,
        answer_prefix: str,
        template: Mapping[str, Any],
    ) -> None:
        self.processor: Any = processor
        self.answer_prefix, self.template = answer_prefix, template
        self.tokenizer, self.placeholder = processor.tokenizer, placeholder
        self.eos_id = self.tokenizer.eos_token_id  # ends an answer
        self.pad_id = self.eos_id if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        self.name = self.tokenizer.name_or_path
        self._check_words(getattr(processor, f"{modality}_token"))
        self.head, self.foot = self._around_a_question()
        begin = self._behind_an_answer("?")[0]
        if begin in self.tokenizer.added_tokens_decoder:  # GLM's and Gemma's answers end where a turn does
            self.eos_id = begin

    @property
    def starts_itself(self) -> bool:
        """Whether the template writes the token that the tokenizer would otherwise put in front."""
        return self.tokenizer.bos_token is not None and self.head.startswith(self.tokenizer.bos_token)

    def first(self, question: str) -> str:
        """The text of the first turn up to its answer: video and question. Raises BackboneError for a second video."""
        if self.processor.video_token in question:
            raise BackboneError(f"{question!r} holds {self.processor.video_token}, which stands for a clip")
        return self.head + question + self.foot

    def process(
        self, video: Tensor, questions: Sequence[str], fps: Sequence[float], options: Mapping[str, Any]
    ) -> tuple[Inputs, list[int]]:
        """Ids of first questions up to their answers, the tower's pixels, and the places of anomaly prompts.

        Args:
            video: uint8 [B, T, 3, H, W], in the tower's size.
            questions: the first of each clip.
            fps: frames a second of each clip.
            options: of the library's processor.
        """
        frames = video.shape[1]
        metadata = [
            {"total_num_frames": frames, "fps": f, "frames_indices": list(range(frames)), "duration": frames / f}
            for f in fps
        ]
        made = self.processor(
            text=[self.first(q) for q in questions], videos=list(video), video_metadata=metadata,
            add_special_tokens=not self.starts_itself, padding=True, padding_side="left", return_offsets_mapping=True,
            **options,
        )  # fmt: skip
        inputs = {key: value.to(video.device) for key, value in made.items() if isinstance(value, Tensor)}
        places = self.places(inputs, questions)
        del inputs["offset_mapping"]
        return inputs, places

    def places(self, inputs: Inputs, questions: Sequence[str]) -> list[int]:
        """How many tokens of each clip stand before its question: there anomaly prompts are put in (eq. 14).

        They are put in as ids, after the text has become tokens: a placeholder in the text would cut it at its own
        edges, and its neighbours would become other tokens than the LVLM knows from such a text.

        Args:
            inputs: ids of `first`, their mask, and `offset_mapping` [B, L, 2], where each token's text begins and ends.
        """
        ends = inputs["offset_mapping"][..., 1]
        begin = ends.amax(1) - torch.tensor([len(q) + len(self.foot) for q in questions], device=ends.device)
        return ((ends <= begin[:, None]) & inputs["attention_mask"].bool()).sum(1).tolist()

    @lru_cache(maxsize=4096)  # noqa: B019  (one backbone lives as long as the program)
    def following(self, question: str) -> list[int]:
        """End of the last answer, the next question, and the start of its answer."""
        ids = self._behind_an_answer(question)
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

    def append(self, inputs: Inputs, tails: Sequence[Tail], prompts: int = 0, places: Sequence[int] = ()) -> Inputs:
        """Puts each clip's tail behind its first question, moves the padding to the left, makes labels [B, L].

        With answers to learn, L of several clips is a multiple of MULTIPLE: on CPU, oneDNN keeps memory for each shape
        that it has ever met, and a training meets many.

        Args:
            inputs: TEXT_KEYS of first questions, [B, L].
            tails: what follows them.
            prompts: number of anomaly prompts to put in.
            places: behind how many tokens of each clip; none: no prompts.
        """
        device = inputs["input_ids"].device
        rows = []
        for i, (ids, learned) in enumerate(tails):
            kept = inputs["attention_mask"][i].bool()
            place, row = places[i] if places else 0, {}
            for key in TEXT_KEYS:
                if key in inputs:
                    given, new = inputs[key][i, kept], NEW.get(key, 0)
                    tail = given.new_tensor(ids) if key == "input_ids" else given.new_full((len(ids),), new)
                    row[key] = torch.cat([given[:place], given.new_full((prompts,), new), given[place:], tail])
            is_learned = torch.tensor([False] * (len(row["input_ids"]) - len(ids)) + learned, device=device)
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

    def unseen(self, inputs: Inputs) -> Inputs:
        """The same with no visual token to be seen."""
        return {**inputs, "attention_mask": inputs["attention_mask"] * (inputs["input_ids"] != self.placeholder)}

    def padded(self, rows: Sequence[list[int]], like: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of ids as [B, L], padded on the left, and their mask."""
        longest = max(map(len, rows))
        ids = torch.tensor([[self.pad_id] * (longest - len(r)) + r for r in rows], device=like.device)
        mask = torch.tensor([[0] * (longest - len(r)) + [1] * len(r) for r in rows], device=like.device)
        return ids, mask

    def read(self, ids: list[int]) -> str:
        """The words of an answer."""
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()

    def check(self, inputs: Inputs, expected: int) -> None:
        """Raises BackboneError unless each prompt holds `expected` placeholders, one for a visual token of a clip."""
        for count in (inputs["input_ids"] == self.placeholder).sum(1).tolist():
            if count != expected:
                raise BackboneError(
                    f"{self.name}: {count} placeholders stand in a prompt for the {expected} visual tokens of a clip: "
                    "all files of the checkpoint must be of one release, and no question may hold a placeholder"
                )

    def _check_words(self, placeholder: str) -> None:
        if not getattr(self.tokenizer, "is_fast", False):
            raise BackboneError(f"{self.name}: its tokenizer has no tokenizer.json; add the release's")
        said = self.tokenizer.decode(self.ids(WORDS))
        known = self.tokenizer.convert_tokens_to_ids(placeholder)
        if said.split() != WORDS.split() or known != self.placeholder:
            raise BackboneError(
                f"{self.name}: its tokenizer reads {WORDS!r} as {said!r}, and {placeholder} is its token {known}, "
                f"where config.json says {self.placeholder}: the vocabulary is missing, damaged or of another release; "
                "add the release's tokenizer.json (or vocab.json and merges.txt) and tokenizer_config.json there"
            )

    def _around_a_question(self) -> tuple[str, str]:
        """What the template writes in front of a first question, the video in it, and behind it."""
        video = self.processor.video_token
        try:
            head, *feet = self._render([("user", MARK)], video=True).split(MARK)
            self.prints_whole = repr(MARK) in self._render([("user", "?"), ("assistant", MARK)])
            self._behind_an_answer("?")
        except Exception as error:  # a template is a program of its own and may raise anything
            why = f"raised {type(error).__name__}: {(str(error) or '?').splitlines()[0]}"
        else:
            if len(feet) == 1 and (head.count(video), feet[0].count(video)) == (1, 0):
                return head, feet[0]
            why = f"wrote {head + '?'.join(feet)!r}, where one {video} is expected in front of one question"
        raise BackboneError(
            f"{self.name}: its chat template cannot ask about a video ({why}): add the release's "
            "chat_template.jinja (or chat_template.json) to the folder"
        )

    def _behind_an_answer(self, question: str) -> list[int]:
        """What the template writes between an answer and the next one."""
        return self.ids(self._render([("user", "?"), ("assistant", MARK), ("user", question)]).split(MARK)[1])

    def _render(self, turns: Sequence[tuple[str, str]], video: bool = False) -> str:
        messages: list[dict[str, Any]] = [
            {"role": role, "content": text if role == "assistant" and self.prints_whole
             else [{"type": "text", "text": text}]}
            for role, text in turns
        ]  # fmt: skip
        if video:
            messages[0]["content"].insert(0, {"type": "video"})
        return self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **self.template)
