"""A server as `tvau.backbones.served` expects one, for tests: it refuses what vLLM's documentation does not allow."""

import base64
import binascii
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from torch import Tensor

from tvau.backbones import VisionPass
from tvau.backbones.base import SeenOutput
from tvau.backbones.huggingface import HuggingFaceLVLM

NUMBERS = (torch.float32, torch.float16, torch.bfloat16)


class Refused(ValueError):
    """What is wrong with a request."""


def need(right: bool, why: str) -> None:
    if not right:
        raise Refused(why)


def unpacked(text: Any, dims: int, kinds: tuple[torch.dtype, ...] = NUMBERS) -> Tensor:
    need(isinstance(text, str), "embeddings are base64 text")
    try:
        tensor = torch.load(io.BytesIO(base64.b64decode(text, validate=True)), weights_only=True, map_location="cpu")
    except (binascii.Error, RuntimeError, ValueError, EOFError) as error:
        raise Refused(f"no tensor: {error}") from error
    need(isinstance(tensor, Tensor), "no tensor")
    need(tensor.dtype in kinds, f"dtype {tensor.dtype}")
    need(tensor.ndim == dims, f"{tensor.ndim} dimensions in place of {dims}")
    return tensor


class StandIn:
    """What the server does with a request: its own LVLM reads the embeddings.

    Attributes:
        requests: the bodies so far.
    """

    def __init__(self, lvlm: HuggingFaceLVLM) -> None:
        self.lvlm = lvlm
        self.requests: list[dict[str, Any]] = []

    def models(self) -> Any:
        return {"object": "list", "data": [{"id": "merged", "object": "model"}]}

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(body)
        need(body.get("model") == "merged", "unknown model")
        need(body.get("temperature") == 0 and body.get("max_tokens", 0) > 0, "sampling parameters")
        messages = body["messages"]
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        need(body["continue_final_message"] == bool(begun) != body["add_generation_prompt"], "one of the two flags")
        if begun:
            messages = messages[:-1]
        need([m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2) + ["user"], "roles")
        video, *prompts, _ = messages[0]["content"]
        need(video["type"] == "video_embeds" and all(p["type"] == "prompt_embeds" for p in prompts), "parts")
        seen = video["video_embeds"]
        embeds, grid = unpacked(seen["video_embeds"], 2), unpacked(seen["video_grid_thw"], 1, (torch.int64,))
        told = unpacked(prompts[0]["data"], 2) if prompts else None
        config = self.lvlm.lm.config
        times, rows, columns = grid.tolist()
        need(len(embeds) == self.lvlm.visual_tokens(config, (times, rows, columns)), "tokens for another grid")
        for tensor in (embeds, *([] if told is None else [told])):
            need(tensor.shape[1] == self.lvlm.hidden_size, f"width {tensor.shape[1]}")
        dialog = self._read(messages, embeds, (times, rows, columns), told, seen)
        if begun:
            self.lvlm.say(dialog, [begun])
        if body.get("logprobs"):
            odds = dialog.logits[0].log_softmax(-1).topk(body["top_logprobs"])
            top = [{"token": self.lvlm.tokens.tokenizer.decode([i]), "logprob": p}
                   for p, i in zip(*(o.tolist() for o in odds), strict=True)]  # fmt: skip
            return {"logprobs": {"content": [{**top[0], "top_logprobs": top}]}, "text": ""}
        before, pieces = begun, []  # a token each
        for _ in range(body["max_tokens"]):
            count = len(dialog.said[0])
            text = self.lvlm.generate(dialog, 1)[0]
            if len(dialog.said[0]) == count:
                break
            pieces.append(text.removeprefix(before))
            before = text
        return {"text": "".join(pieces), "pieces": pieces}

    def _read(
        self, messages: Any, embeds: Tensor, grid: tuple[int, int, int], told: Tensor | None, seen: dict[str, Any]
    ) -> Any:
        vision = self.lvlm.lm.config.vision_config
        patch, joined = vision.patch_size, vision.temporal_patch_size
        step = unpacked(seen["second_per_grid_ts"], 0).item() if "second_per_grid_ts" in seen else 1.0
        texts = [m["content"] if m["role"] == "assistant" else m["content"][-1]["text"] for m in messages]
        turns: Any = [
            {"task": "", "question": q, "answer": a}
            for q, a in zip(texts[::2], [*texts[1::2], ""], strict=True)
        ]  # fmt: skip
        blank = torch.zeros(1, grid[0] * joined, 3, grid[1] * patch, grid[2] * patch, dtype=torch.uint8)
        inputs = self.lvlm.prepare(blank, [turns], 0 if told is None else len(told), [joined / step])
        output = SeenOutput(pooler_output=(embeds.to(self.lvlm.lm.dtype),))
        return self.lvlm.start(inputs, VisionPass({}, output), None if told is None else told[None])


@contextmanager
def serving(stand_in: StandIn) -> Iterator[str]:
    """Its address on this machine, while it lives."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(200, stand_in.models())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                said = stand_in.answer(body)
            except (Refused, KeyError) as error:
                self._say(400, {"error": {"message": str(error), "type": "BadRequestError", "code": 400}})
                return
            if not body.get("stream"):
                self._say(200, {"choices": [{"message": {"content": said["text"]}, **said}]})
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for piece in said["pieces"]:
                chunk = {"choices": [{"delta": {"content": piece}}]}
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")

        def _say(self, code: int, content: Any) -> None:
            data = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
