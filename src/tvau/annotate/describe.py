"""A describer LVLM looks at one target, frame by frame, with everything else blurred (the paper's first two steps)."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from tvau.annotate.phrases import Description
from tvau.backbones import VideoLVLM
from tvau.data.images import Image, Size
from tvau.data.masks import IdMaps, Mask, Truth
from tvau.data.traces import Trace
from tvau.errors import BackboneError
from tvau.types import Turn

QUESTIONS = {  # the structured prompt, one turn for each part
    "object": "Everything in the picture is blurred except one target. What is the target? Answer with one noun.",
    "appearance": "What does the target look like: clothes, colours, what it carries? Answer in a few words that begin "
    "with in or with. Do not say where it is.",
    "action": "What is the target doing? Answer with one verb that ends in -ing.",
}
SCENE = "What place is this, and what are the light and the weather? Answer in one sentence. Do not speak of people."
BLUR = 0.05  # sigma of the blur, of the picture's height
TALLEST = 448  # pixels to which pictures are made smaller for the describer
AGREE = 0.5  # share of the frames that have to name the same object and action


class Describer(Protocol):
    """Answers about pictures; `LVLMDescriber` is the one that ships."""

    name: str

    def describe(self, pictures: Sequence[Image]) -> list[dict[str, str]]:
        """For each picture of one target what it says to each of `QUESTIONS`."""

    def scene(self, picture: Image) -> str:
        """What it says to `SCENE`."""


class LVLMDescriber:
    """Any backbone as describer; each picture is a video of two equal frames, which is what the towers take least.

    Args:
        backbone: a preset, asked through its dialog interface.
        size: height and width of the pictures it gets; None: the source's, at most `TALLEST`, rounded so that it fits.
        most: tokens of an answer.
    """

    def __init__(self, backbone: VideoLVLM, size: Size | None = None, most: int = 48) -> None:
        self.backbone = backbone.to("cuda" if torch.cuda.is_available() else "cpu")
        self.name, self.size, self.most = backbone.name, size, most

    def describe(self, pictures: Sequence[Image]) -> list[dict[str, str]]:
        """Asks the three questions as one dialog about each picture."""
        answers = self._ask(pictures, [*QUESTIONS.values()])
        return [dict(zip(QUESTIONS, said, strict=True)) for said in zip(*answers, strict=True)]

    def scene(self, picture: Image) -> str:
        """Asks about a whole picture."""
        return self._ask([picture], [SCENE])[0][0]

    @torch.no_grad()
    def _ask(self, pictures: Sequence[Image], questions: Sequence[str]) -> list[list[str]]:
        """Answers [question][picture]."""
        video = self._video(pictures)
        first: list[Turn] = [{"task": "describe", "question": questions[0], "answer": ""}]
        inputs = self.backbone.prepare(video, [first] * len(pictures), 0, [1.0] * len(pictures))
        dialog = self.backbone.start(inputs, self.backbone.encode(inputs))
        answers = [self.backbone.generate(dialog, self.most)]
        for question in questions[1:]:
            self.backbone.ask(dialog, [question] * len(pictures))
            answers.append(self.backbone.generate(dialog, self.most))
        return answers

    def _video(self, pictures: Sequence[Image]) -> Tensor:
        """uint8 [K, 2, 3, h, w], on the backbone's device."""
        shape = self.size or fitting_size(self.backbone, (pictures[0].shape[0], pictures[0].shape[1]))
        stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
        small = interpolate(stack, shape, mode="bilinear", antialias=True).round().clamp(0, 255).to(torch.uint8)
        return small[:, None].repeat(1, 2, 1, 1, 1).to(next(self.backbone.parameters()).device)


def fitting_size(backbone: VideoLVLM, size: Size) -> Size:
    """The size nearest to that of the source, at most `TALLEST` high, that a tower can hold.

    Raises:
        BackboneError: none of the usual grids fits.
    """
    scale = min(TALLEST / size[0], 1.0)
    error: BackboneError | None = None
    for unit in (28, 32, 16, 48, 64, 448):
        height, width = (max(round(side * scale / unit), 1) * unit for side in size)
        for shape in ((height, width), (unit * 14, unit * 14)) if unit < 64 else ((height, width), (448, 448)):
            try:
                backbone.grid(2, *shape)
                return shape
            except BackboneError as fault:
                error = fault
    raise BackboneError(f"no size was found that {backbone.name} can hold; give --size ({error})") from error


def isolated(picture: Image, mask: Mask) -> Image:
    """A picture in which everything but a target is Gaussian-blurred; its outline fades over a few pixels."""
    height = picture.shape[0]
    blurred = cv2.GaussianBlur(picture, (0, 0), max(BLUR * height, 1.0))
    reach = max(round(height / 100), 1)
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    weight = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), reach)[..., None]
    return np.asarray(np.round(picture * weight + blurred * (1 - weight)), np.uint8)


def target_mask(truth: Truth, trace: Trace, frame: int) -> Mask:
    """The pixels of one target in a frame in which it is visible; those of its box where there is no mask."""
    at = int(np.searchsorted(trace.frames, frame))
    x0, y0, x1, y1 = np.round(trace.boxes[at]).astype(int)
    box = np.zeros(trace.size, bool)
    box[y0:y1, x0:x1] = True
    if trace.mapped and isinstance(truth, IdMaps):
        return np.asarray(truth.read([frame], trace.size, trace.size, ids=True)["ids"][0] == trace.id)
    if not truth.pixels:
        return box
    mask = truth.mask(frame, trace.size) & box
    return mask if mask.any() else box


def look_at(trace: Trace, count: int) -> list[int]:
    """The frames in which a describer sees a target: the one with most of it in each of `count` equal parts."""
    parts = np.array_split(np.arange(len(trace.frames)), min(count, len(trace.frames)))
    return [int(trace.frames[part[int(trace.areas[part].argmax())]]) for part in parts]


@dataclass(frozen=True)
class Summary:
    """The answers about a target aggregated over its frames, and why that cannot be trusted (empty where it can)."""

    description: Description
    faults: tuple[str, ...]


def aggregate(answers: Sequence[dict[str, str]], provenance: str) -> Summary:
    """One description out of one a frame: the object and the action that most frames name, and the appearance that is
    most like all others.
    """
    said = {part: [_plain(answer[part], part) for answer in answers] for part in QUESTIONS}
    faults, chosen = [], {}
    for part in ("object", "action"):
        word, times = Counter(said[part]).most_common(1)[0]
        chosen[part] = word
        if times < AGREE * len(answers):
            faults.append(f"the frames disagree about the {part}: {', '.join(map(repr, dict.fromkeys(said[part])))}")
    words = [set(text.split()) for text in said["appearance"]]
    likeness = [sum(len(a & b) / max(len(a | b), 1) for b in words) for a in words]
    appearance = said["appearance"][int(np.argmax(likeness))]
    if appearance and not re.match(r"(in|with|wearing|carrying|holding)\b", appearance):
        appearance = f"with {appearance}"
    return Summary(Description(chosen["object"], appearance, chosen["action"], provenance), tuple(faults))


def _plain(answer: str, part: str) -> str:
    """An answer without the words around it: "The target is a man." -> "man"."""
    text = " ".join(answer.split()).strip(" .!\"'").lower()
    text = re.sub(r"^(?:(?:the|this) (?:target|object|picture|image)|it|he|she|they|there) (?:is|are|shows) ", "", text)
    if part == "object":
        text = re.sub(r"^(?:an?|the) ", "", text)
    if part == "action":
        text = re.sub(r"^(?:is|are) ", "", text)
    return text
