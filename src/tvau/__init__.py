"""tvau: text-guided fine-grained video anomaly understanding."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from tvau.backbones import VideoLVLM
    from tvau.conversation import Model

__version__ = "0.3.0"


def load(
    path: str | os.PathLike[str] | None = None,
    backbone: str | VideoLVLM | None = None,
    device: str | None = None,
    abnormal: Sequence[str] = (),
    normal: Sequence[str] = (),
    server: str | None = None,
    untrained: bool = False,
) -> Model:
    """A trained model, ready to look and to speak; see `tvau.conversation.load`.

    Args:
        path: a model's folder, a checkpoint of stage 1 or 2, or a hub id; None: the model that comes with tvau.
        backbone: the LVLM it belongs to, where it is another than the model names.
        device: "cpu", "cuda", "cuda:1"; None: the GPU where there is one.
        abnormal, normal: own phrases in the place of the trained prompts, such as ["a person climbing a fence"].
        server: address of an OpenAI-like server that speaks for the LVLM; None: it speaks here.
        untrained: `backbone` as it comes, without a model of tvau: it answers, its Yes is the score of a window, and it
            has no heatmaps but those of `Model.learn`.
    """
    from tvau.conversation import load  # it imports torch and transformers, which the help and the version do without

    return load(path, backbone, device, abnormal, normal, server, untrained)
