"""Many questions behind one visual prefix: nano's pretraining costs one vision pass and one prefill a clip."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tvau.backbones.base import Inputs
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.errors import BackboneError
from tvau.types import Turn


def pack(lvlm: HuggingFaceLVLM, video: Tensor, dialogs: Sequence[Sequence[Turn]], fps: Sequence[float]) -> Inputs:
    """As `prepare` without prompts, but every turn is a dialog of its own: it sees the video and itself.

    What each token sees is decided by the mask, so recurrent layers (Qwen3.5) cannot be trained this way.
    """
    if lvlm.lm.config.get_text_config()._attn_implementation == "eager":
        raise BackboneError("packed turns need attention: sdpa; eager attention would add the mask as numbers")
    tokens = lvlm.tokens
    asked = [[tokens.ids(_tail(lvlm, turn["question"])) for turn in dialog] for dialog in dialogs]
    answers = [[[*tokens.answer(turn["answer"]), tokens.eos_id] for turn in dialog] for dialog in dialogs]
    inputs = lvlm.prepare(video, [[{**dialog[0], "answer": ""}] for dialog in dialogs], 0, fps)
    prefixes = [int(mask.sum()) - len(own[0]) for mask, own in zip(inputs["attention_mask"], asked, strict=True)]
    tails = []
    for own, said in zip(asked, answers, strict=True):
        ids, learned = list(said[0]), [True] * len(said[0])
        for question, answer in zip(own[1:], said[1:], strict=True):
            ids, learned = ids + question + answer, learned + [False] * len(question) + [True] * len(answer)
        tails.append((ids, learned))
    inputs |= tokens.append(inputs, tails)
    inputs["position_ids"] = lvlm.position_ids(inputs)
    length = inputs["input_ids"].shape[1]
    turn = torch.full((len(dialogs), length), -1)  # -1 padding, 0 video, i the i-th turn
    for row, (prefix, own, said) in enumerate(zip(prefixes, asked, answers, strict=True)):
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
    return inputs


def _tail(lvlm: HuggingFaceLVLM, question: str) -> str:
    """The question and all that stands between it and its answer."""
    return question + lvlm.tokens.foot
