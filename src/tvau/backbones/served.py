"""An LVLM whose language model runs elsewhere, behind a server that speaks OpenAI's protocol as vLLM does.

The vision tower runs here, and with it whatever stands between tower and language model. A clip's visual tokens, its
anomaly prompts and the words of a dialog go to the server in one message; answers come back as words.

Never run against vLLM itself: only against a stand-in that checks what is relied on, and docs/use/serving.md says where
that was read.
"""

import base64
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import islice
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import torch
from torch import Tensor
from transformers import DynamicCache

from tvau.backbones.base import Dialog, Inputs, VideoLVLM, VisionPass
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.backbones.qwen import Qwen2VL, Qwen25VL
from tvau.errors import BackboneError
from tvau.types import Turn

FAMILIES = (Qwen2VL.family, Qwen25VL.family)  # visual tokens of others are more than a tensor for each clip
GRID = ("video_grid_thw", "second_per_grid_ts")  # by which the server finds the positions of a clip's tokens
LONGEST = 256  # tokens of an answer that is asked for piece by piece
LIKELY = 20  # alternatives of a token that a server tells of, at most
PATIENCE = 600  # seconds for an answer
Message = dict[str, Any]


class Asked(dict[str, Tensor]):
    """What `prepare` makes, with the first question of each clip in words."""

    questions: Sequence[str] = ()


@dataclass
class Messages(Dialog):
    """A dialog as the server is told it, anew each time. Cache, mask, position, logits and picture are empty here.

    `said` counts what came of an answer so far, an entry for each piece; a server sends a token or a few at a time.
    """

    messages: list[list[Message]] = field(default_factory=list)  # of each clip
    words: list[str] = field(default_factory=list)  # of each clip's answer so far
    coming: dict[int, Iterator[str]] = field(default_factory=dict)  # answers that the server has not ended, by clip


class Served(VideoLVLM):
    """Answers of a server, on what an LVLM's vision tower sees here.

    Args:
        lvlm: Qwen2-VL or Qwen2.5-VL; its language model leaves the device.
        server: the address, such as http://localhost:8000. It serves the same LVLM, LoRA merged (`tvau merge`).
        model: its name there; None: the first that the server names.

    Raises:
        BackboneError: an LVLM of another family, or no server.
    """

    def __init__(self, lvlm: VideoLVLM, server: str, model: str | None = None) -> None:
        super().__init__()
        if not isinstance(lvlm, HuggingFaceLVLM) or lvlm.family not in FAMILIES:
            raise BackboneError(f"{lvlm.name} cannot be served: expected one of {', '.join(FAMILIES)}")
        self.lvlm, self.server = lvlm, server.rstrip("/")
        self.name, self.hidden_size, self.vision_size = lvlm.name, lvlm.hidden_size, lvlm.vision_size
        self.depth, self.blocks, self.fingerprint = lvlm.depth, lvlm.blocks, lvlm.fingerprint
        self.prompt_scale = lvlm.prompt_scale
        self.mute()
        for part in lvlm.language.values():
            part.to("cpu")
        self.model = model or self._first_model()

    # ---- what is seen, here ----

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        return self.lvlm.grid(frames, height, width)

    def prepare(self, video: Tensor, dialogs: Sequence[Sequence[Turn]], prompts: int, fps: Sequence[float]) -> Inputs:
        inputs = Asked(self.lvlm.prepare(video, dialogs, prompts, fps))
        inputs.questions = [dialog[0]["question"] for dialog in dialogs]
        return inputs

    def encode(self, inputs: Inputs) -> VisionPass:
        return self.lvlm.encode(inputs)

    def picture_tokens(self, vision: VisionPass) -> Tensor:
        return self.lvlm.picture_tokens(vision)

    def mute(self, muted: bool = True) -> None:
        self.lvlm.mute()  # for good

    # ---- what is said, there ----

    def start(self, inputs: Inputs, vision: VisionPass, prompts: Tensor | None = None) -> Dialog:
        assert isinstance(inputs, Asked)
        clips, none, visual = len(inputs.questions), torch.empty(0), vision.output["pooler_output"]
        messages = []
        for i, question in enumerate(inputs.questions):
            seen = {"video_embeds": visual[i]} | {k: inputs[k][i] for k in GRID if k in inputs}  # of one clip: no batch
            parts: list[Message] = [{"type": "video_embeds", "video_embeds": {k: packed(v) for k, v in seen.items()}}]
            if prompts is not None:
                told = prompts[i].to(visual[i].dtype)
                parts.append({"type": "prompt_embeds", "data": packed(told)})
            messages.append([{"role": "user", "content": [*parts, {"type": "text", "text": question}]}])
        return Messages(
            DynamicCache(), none, none, none, [[] for _ in range(clips)], [True] * clips, none,
            messages=messages, words=[""] * clips,
        )  # fmt: skip

    def ask(self, dialog: Dialog, questions: Sequence[str | None]) -> None:
        assert isinstance(dialog, Messages)
        dialog.coming.clear()
        for i, (own, question) in enumerate(zip(dialog.messages, questions, strict=True)):
            if own[-1]["role"] == "user":  # it has been answered since
                own.append({"role": "assistant", "content": dialog.words[i]})
            if question is not None:
                own.append({"role": "user", "content": [{"type": "text", "text": question}]})
            dialog.words[i], dialog.said[i], dialog.asked[i] = "", [], question is not None

    def say(self, dialog: Dialog, words: Sequence[str]) -> None:
        assert isinstance(dialog, Messages)
        dialog.coming.clear()
        dialog.words = [text or said for said, text in zip(dialog.words, words, strict=True)]

    def lean(self, dialog: Dialog) -> Tensor:
        """Of the LIKELY most probable tokens; one that is not among them counts as the last."""
        assert isinstance(dialog, Messages)
        tokens = self.lvlm.tokens
        first = [tokens.tokenizer.decode(tokens.answer(word)[:1]) for word in ("Yes", "No")]
        found = []
        for i, asked in enumerate(dialog.asked):
            if not asked:
                found.append(0.0)
                continue
            body = self._body(dialog, i, 1) | {"logprobs": True, "top_logprobs": LIKELY}
            with self._post(body) as response:
                likely = _of(json.load(response), "logprobs")["content"][0]["top_logprobs"]
            known = {each["token"]: each["logprob"] for each in likely}
            yes, no = (known.get(word, likely[-1]["logprob"]) for word in first)
            found.append(yes - no)
        return torch.tensor(found, device=next(self.lvlm.parameters()).device)

    def generate(self, dialog: Dialog, most: int = 64, begin: Sequence[str] = ()) -> list[str]:
        assert isinstance(dialog, Messages)
        if begin:
            self.say(dialog, begin)
        for i, asked in enumerate(dialog.asked):
            if not asked or not most:
                continue
            pieces = self._pieces(dialog, i, most)
            if most == 1:  # piece by piece an answer comes on one connection, whose end tells the server to stop
                pieces = dialog.coming.setdefault(i, self._pieces(dialog, i, LONGEST))
            for piece in islice(pieces, most):
                dialog.words[i] += piece
                dialog.said[i].append(0)
        return [words.strip() for words in dialog.words]

    def _pieces(self, dialog: Messages, clip: int, most: int) -> Iterator[str]:
        """The rest of a clip's answer as the server sends it."""
        with self._post(self._body(dialog, clip, most) | {"stream": True}) as response:
            for line in response:  # server-sent events: "data: {...}", an empty line, at last "data: [DONE]"
                said = line.decode().partition("data: ")[2].strip()
                if said and said != "[DONE]" and (piece := _of(json.loads(said), "delta").get("content")):
                    yield piece

    def _body(self, dialog: Messages, clip: int, most: int) -> Message:
        """A request for the rest of a clip's answer; greedy, as everywhere in tvau."""
        said = dialog.words[clip]
        begun = [{"role": "assistant", "content": said}] if said else []
        return {
            "model": self.model, "messages": [*dialog.messages[clip], *begun], "max_tokens": most, "temperature": 0,
            "add_generation_prompt": not said, "continue_final_message": bool(said),
        }  # fmt: skip

    def _post(self, body: Message | None, path: str = "chat/completions") -> Any:
        """The server's response, open. Raises BackboneError where there is none, or a refusal."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.server}/v1/{path}", data, {"Content-Type": "application/json"})
        try:
            return urlopen(request, timeout=PATIENCE)
        except HTTPError as error:
            said = error.read().decode(errors="replace").strip()
            raise BackboneError(f"{self.server} refuses ({error.code}): {said}") from error
        except (URLError, HTTPException, OSError, ValueError) as error:
            why = getattr(error, "reason", error)
            raise BackboneError(
                f"{self.server}: no server answers there ({why}); docs/use/serving.md says how to start one"
            ) from error

    def _first_model(self) -> str:
        with self._post(None, "models") as response:
            try:
                return str(json.load(response)["data"][0]["id"])
            except (ValueError, KeyError, IndexError, TypeError) as error:
                raise BackboneError(f"{self.server} names no model: is it an OpenAI-like server?") from error

    # ---- what only an LVLM that is here can do ----

    def _absent(self, *_: Any, **__: Any) -> NoReturn:
        raise BackboneError(f"the language model runs at {self.server}: load the LVLM without server to train or read")

    def add_lora(self, rank: int, alpha: int, dropout: float = 0.0) -> None:
        if rank:
            self._absent()

    encode_text = forward = loss = unfreeze = _absent


def packed(tensor: Tensor) -> str:
    """A tensor as vLLM takes it: what torch.save writes, in base64."""
    file = io.BytesIO()
    torch.save(tensor.detach().cpu().contiguous().clone(), file)
    return base64.b64encode(file.getvalue()).decode()


def _of(answer: Message, part: str) -> Any:
    """A part of the only choice of an answer. Raises BackboneError for an answer of another form."""
    try:
        return answer["choices"][0][part]
    except (KeyError, IndexError, TypeError) as error:
        raise BackboneError(f"the server's answer has no {part}: {str(answer)[:200]}") from error
