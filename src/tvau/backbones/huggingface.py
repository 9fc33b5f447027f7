"""What all Hugging Face video LVLMs share: loading, tokens, prompts, loss, cached turns, LoRA, freezing."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, DynamicCache

from tvau.backbones.base import Dialog, Inputs, VideoLVLM, VisionPass
from tvau.errors import BackboneError
from tvau.types import Turn

ANOMALY = "<|anomaly|>"  # placeholder of one anomaly prompt; never looked up in the embedding table
IGNORE = -100
TEXT_KEYS = ("input_ids", "attention_mask", "mm_token_type_ids")


class HuggingFaceLVLM(VideoLVLM):
    """Shared part of all adapters; a family adds `grid`, `encode` and, where it differs, `position_ids`.

    Args:
        checkpoint: hub id or folder, loaded without remote code.
        blocks: vision blocks to read, 1-based (the paper's are 1, 8, 16, 32).
        dtype: name of a torch dtype.
        attention: attention implementation of transformers ("sdpa", "eager", "flash_attention_2").
        random_weights: draw the weights anew instead of loading them: to pretrain, or as a baseline.
        options: further arguments of `from_pretrained`.

    Raises:
        BackboneError: no such checkpoint, one of another family, or blocks beyond the tower's depth.
    """

    modality = "video"
    family: str
    processor_options: ClassVar[Mapping[str, Any]] = {}  # what only this family's processor takes
    lora_targets = r".*\.(language_model|text_model)\..*\.(q|k|v|o|gate|up|down)_proj"

    def __init__(
        self,
        checkpoint: str,
        blocks: Sequence[int],
        dtype: str = "float32",
        attention: str = "sdpa",
        random_weights: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        config = _config(checkpoint)
        if config.model_type != self.family:
            raise BackboneError(
                f"{checkpoint} is a {config.model_type} model, {type(self).__name__} takes {self.family}: "
                "choose the preset in backbones/ that fits the checkpoint"
            )
        common = {"dtype": getattr(torch, dtype), "attn_implementation": attention, **(options or {})}
        try:
            self.processor = AutoProcessor.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise BackboneError(f"{checkpoint}: its processor could not be loaded ({error})") from error
        self.processor.tokenizer.add_special_tokens({"additional_special_tokens": [ANOMALY]})
        if random_weights:
            self.lm = AutoModelForImageTextToText.from_config(config, **common)
        else:
            try:
                self.lm = AutoModelForImageTextToText.from_pretrained(checkpoint, **common)
            except (OSError, SafetensorError) as error:
                raise BackboneError(f"{checkpoint}: no weights could be loaded ({error})") from error
        self.tokenizer = self.processor.tokenizer
        self.anomaly_id = self.tokenizer.convert_tokens_to_ids(ANOMALY)
        self.eos_id = self.tokenizer.eos_token_id
        self.pad_id = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.eos_id
        self.name = (
            f"{config.model_type}:{config.get_text_config().hidden_size}x{config.get_text_config().num_hidden_layers}"
        )
        self.hidden_size = config.get_text_config().hidden_size
        self.vision_size, self.depth = self.tower_size()
        self.blocks = tuple(blocks)
        if not self.blocks or min(self.blocks) < 1 or max(self.blocks) > self.depth:
            raise BackboneError(f"blocks {list(blocks)} of {checkpoint}: expected numbers from 1 to {self.depth}")
        self.prompt_scale = float(self.lm.get_input_embeddings().weight.detach().float().pow(2).mean().sqrt())
        self.frozen = True
        self.lm.requires_grad_(False)
        self.train(False)

    # ---- what a family says ----

    def tower_size(self) -> tuple[int, int]:
        """(Dv, number of blocks) of the vision tower."""
        return self.lm.config.vision_config.hidden_size, self.lm.config.vision_config.num_hidden_layers

    def position_ids(self, inputs: Inputs) -> Tensor:
        """Positions [B, L] (or [3, B, L]) of the prepared tokens."""
        return (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)

    # ---- tokens ----

    def prepare(self, video: Tensor, dialogs: Sequence[Sequence[Turn]], prompts: int, fps: Sequence[float]) -> Inputs:
        frames, _, height, width = video.shape[1:]
        self.grid(frames, height, width)
        texts = [self._render([{"role": "user", "content": self._first(d[0]["question"], prompts)}]) for d in dialogs]
        metadata = [
            {"total_num_frames": frames, "fps": f, "frames_indices": list(range(frames)), "duration": frames / f}
            for f in fps
        ]
        inputs = dict(
            self.processor(
                text=texts, videos=list(video), video_metadata=metadata, **self.processor_options,
                do_sample_frames=False, do_resize=False, padding=True, padding_side="left", return_tensors="pt",
            )
        )  # fmt: skip
        inputs = {key: value.to(video.device) for key, value in inputs.items() if isinstance(value, Tensor)}
        inputs |= self._append(inputs, [self._answers(dialog) for dialog in dialogs])
        if (inputs["input_ids"] == self.anomaly_id).sum() != len(dialogs) * prompts:
            raise BackboneError(f"expected {prompts} anomaly placeholders a clip: is {ANOMALY} in a question?")
        inputs["position_ids"] = self.position_ids(inputs)
        return inputs

    def _first(self, question: str, prompts: int) -> list[dict[str, Any]]:
        return [{"type": self.modality}, {"type": "text", "text": ANOMALY * prompts + question}]

    def _render(self, messages: list[dict[str, Any]]) -> str:
        return self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    @lru_cache(maxsize=4096)  # noqa: B019  (one backbone lives as long as the program)
    def _ids(self, text: str) -> list[int]:
        # LlamaTokenizer would put a BOS in front of every turn without this flag
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _next(self, question: str) -> list[int]:
        """End of the last answer, the next question, and the start of its answer: never a re-rendered history."""
        mark = "\u2402"
        turns = [("user", "?"), ("assistant", mark), ("user", question)]
        rendered = self._render([{"role": r, "content": [{"type": "text", "text": t}]} for r, t in turns])
        ids = self._ids(rendered.split(mark)[1])
        return ids if ids[0] == self.eos_id else [self.eos_id, *ids]

    def _answers(self, dialog: Sequence[Turn]) -> tuple[list[int], list[bool]]:
        """What follows the first question: ids, and whether each is learned (answers and their ends)."""
        ids: list[int] = []
        learned: list[bool] = []
        for i, turn in enumerate(dialog):
            if i:
                asked = self._next(turn["question"])
                ids, learned = ids + asked, [*learned, True, *[False] * (len(asked) - 1)]
            answer = self._ids(turn["answer"]) if turn["answer"] else []
            ids, learned = ids + answer, learned + [True] * len(answer)
        if dialog[-1]["answer"]:
            ids, learned = [*ids, self.eos_id], [*learned, True]
        return ids, learned

    def _append(self, inputs: Inputs, tails: Sequence[tuple[list[int], list[bool]]]) -> Inputs:
        """Puts each clip's answers behind its first question, moves the padding to the left, makes labels."""
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
        fill = {"input_ids": self.pad_id, "labels": IGNORE}
        return {
            key: torch.stack(
                [nn.functional.pad(r[key], (longest - len(r[key]), 0), value=fill.get(key, 0)) for r in rows]
            )
            for key in rows[0]
        }

    def pack(self, video: Tensor, dialogs: Sequence[Sequence[Turn]], fps: Sequence[float]) -> Inputs:
        """As `prepare` without prompts, but every turn is a dialog of its own: it sees the video and itself.

        All turns stand behind one visual prefix, so that many questions cost one vision pass and one prefix.
        """
        # questions and answers of later turns follow the first one; what each token sees is decided by the mask
        tails = [[self._ids(self._tail(turn["question"])) for turn in dialog] for dialog in dialogs]
        answers = [[[*self._ids(turn["answer"]), self.eos_id] for turn in dialog] for dialog in dialogs]
        inputs = self.prepare(video, [[{**dialog[0], "answer": ""}] for dialog in dialogs], 0, fps)
        first = [int(mask.sum()) - len(own[0]) for mask, own in zip(inputs["attention_mask"], tails, strict=True)]
        flat = []
        for own, said in zip(tails, answers, strict=True):
            ids, learned = list(said[0]), [True] * len(said[0])
            for question, answer in zip(own[1:], said[1:], strict=True):
                ids, learned = ids + question + answer, learned + [False] * len(question) + [True] * len(answer)
            flat.append((ids, learned))
        inputs |= self._append(inputs, flat)
        inputs["position_ids"] = self.position_ids(inputs)
        length = inputs["input_ids"].shape[1]
        turn = torch.full((len(dialogs), length), -1)  # -1 padding, 0 video, i the i-th turn
        for row, (prefix, own, said) in enumerate(zip(first, tails, answers, strict=True)):
            sizes = [prefix, *[len(q) + len(a) for q, a in zip(own, said, strict=True)]]
            start = length - sum(sizes)
            turn[row, start:] = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
            begin = inputs["position_ids"][..., row, start + prefix].clone()
            places = torch.cat([torch.arange(size) for size in sizes[1:]]).to(video.device)
            inputs["position_ids"][..., row, start + prefix :] = begin[..., None] + places
        turn = turn.to(video.device)
        alike = (turn[:, None, :] == turn[:, :, None]) | (turn[:, None, :] == 0)
        causal = torch.ones(length, length, dtype=torch.bool, device=video.device).tril()
        inputs["attention_mask"] = (alike & causal)[:, None]
        if self.lm.config.get_text_config()._attn_implementation == "eager":
            raise BackboneError("packed turns need attention: sdpa; eager attention would add the mask as numbers")
        return inputs

    def _tail(self, question: str) -> str:
        """The question and all that stands between it and its answer."""
        rendered = self._render([{"role": "user", "content": self._first(question, 0)}])
        return rendered[rendered.rindex(question) :]

    # ---- the model ----

    def encode_text(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        tokens = self.tokenizer(list(texts), padding=True, return_tensors="pt").to(self.lm.device)
        hidden = self.lm.get_decoder()(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return hidden.last_hidden_state, tokens["attention_mask"]

    def embed(self, ids: Tensor, prompts: Tensor | None) -> Tensor:
        """Token embeddings [B, L, D], the anomaly prompts in their places."""
        places = ids == self.anomaly_id
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
        """Cross entropy of the answers from the last hidden states; logits are made for answers only."""
        learned = labels[:, 1:] != IGNORE
        logits = self.lm.lm_head(last[:, :-1][learned])
        return cross_entropy(logits.float(), labels[:, 1:][learned])

    def loss(self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None = None) -> Tensor:
        return self.answer_loss(self.hidden_states(inputs, vision, prompts)[-1], inputs["labels"])

    # ---- dialog ----

    @torch.no_grad()
    def start(self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None = None) -> Dialog:
        cache = DynamicCache(config=self.lm.config.get_text_config(decoder=True))
        output = self.lm(**self._call(inputs, vision, prompts), past_key_values=cache, logits_to_keep=1)
        return Dialog(cache, inputs["attention_mask"], inputs["position_ids"][..., -1:], output.logits[:, -1])

    @torch.no_grad()
    def feed(self, dialog: Dialog, ids: Tensor, mask: Tensor) -> None:
        """Feeds new tokens [B, l] (mask 0: padding); positions go on from the last token fed."""
        position = dialog.position + mask.cumsum(-1)
        dialog.mask = torch.cat([dialog.mask, mask], dim=1)
        output = self.lm(
            input_ids=ids, attention_mask=dialog.mask, position_ids=position, past_key_values=dialog.cache,
            logits_to_keep=1,
        )  # fmt: skip
        dialog.position = position[..., -1:]
        # a row that was fed only padding keeps its logits
        dialog.logits = torch.where(mask[:, -1:].bool(), output.logits[:, -1], dialog.logits)

    def ask(self, dialog: Dialog, questions: Sequence[str]) -> None:
        rows = [self._next(question) for question in questions]
        longest = max(map(len, rows))
        ids = torch.tensor([[self.pad_id] * (longest - len(r)) + r for r in rows], device=dialog.mask.device)
        mask = torch.tensor([[0] * (longest - len(r)) + [1] * len(r) for r in rows], device=dialog.mask.device)
        self.feed(dialog, ids, mask)

    @torch.no_grad()
    def generate(self, dialog: Dialog, most: int = 64) -> list[str]:
        answers: list[list[int]] = [[] for _ in range(len(dialog.mask))]
        going = torch.ones_like(dialog.mask[:, :1])
        for _ in range(most):
            tokens = dialog.logits.argmax(-1, keepdim=True)
            going = going * (tokens != self.eos_id)
            if not going.any():
                break
            for i in going[:, 0].nonzero()[:, 0].tolist():
                answers[i].append(int(tokens[i]))
            self.feed(dialog, tokens.where(going.bool(), torch.full_like(tokens, self.pad_id)), going)
        return [self.tokenizer.decode(answer, skip_special_tokens=True).strip() for answer in answers]

    # ---- what is trained ----

    def add_lora(self, rank: int, alpha: int, dropout: float = 0.0) -> None:
        self.lm.add_adapter(
            LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=self.lora_targets)
        )
        self.train(self.training)

    def unfreeze(self) -> None:
        self.frozen = False
        self.lm.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> "HuggingFaceLVLM":
        """Training mode reaches LoRA only: what is frozen stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            for name, module in self.lm.named_modules():
                module.training = mode and "lora_" in name
        return self


def _config(checkpoint: str) -> Any:
    if Path(checkpoint).is_dir() and not (Path(checkpoint) / "config.json").is_file():
        raise BackboneError(f"{checkpoint} is a folder without config.json: expected a Hugging Face checkpoint")
    try:
        return AutoConfig.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        raise BackboneError(
            f"{checkpoint} is neither a checkpoint folder nor a hub id that could be fetched: check the name and the "
            f"network, or download it and give the folder ({str(error).splitlines()[0]})"
        ) from error
