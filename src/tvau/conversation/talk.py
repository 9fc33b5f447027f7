"""A video that is looked at, and the conversation about it.

A video is looked at once, window by window, at constant memory. A conversation is had about one window of it: that with
the highest score, or that of an event. What the vision tower saw there is kept, and each turn costs its own tokens.
"""

import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import PIL.Image
import torch
from lightning.fabric.utilities import move_data_to_device
from numpy.typing import NDArray
from tqdm import tqdm

from tvau.conversation.focus import focused, target_at
from tvau.data.clips import padded_windows, window_around
from tvau.data.module import collate
from tvau.data.sources import Source, open_source
from tvau.data.video import Video
from tvau.dialog import Conversation
from tvau.errors import OptionError
from tvau.events import Event
from tvau.files import whole_folder
from tvau.metrics.files import SUMMARY
from tvau.model import TVAU
from tvau.seen import Heatmaps, Seen
from tvau.tasks.base import OURS, Task
from tvau.tasks.maps import pictures, shown
from tvau.types import Sample, Turn
from tvau.viz.overlay import beside, heat, image_of, key_indices, score_curve
from tvau.viz.predictions import write_prediction
from tvau.viz.told import Dialog as Said
from tvau.viz.told import clock

SHOWN = 3  # key frames of a picture
SILENT = "this model speaks no words (stage 1, or tvau learn): load one of stage 2 (tvau.load() is one)"


@dataclass(frozen=True)
class View:
    """How a video is looked at.

    Attributes:
        stride: distance between sampled frames, in frames of the source.
        frames: of a window.
        hop: distance between the starts of windows, in sampled frames; None: `frames`, no overlap.
        size: (height, width) to which frames are made small; None: as they come.
        fps: frames a second where the source does not say it.
        most: tokens that an answer has at most.
    """

    stride: int = 1
    frames: int = 16
    hop: int | None = None
    size: tuple[int, int] | None = (96, 160)
    fps: float = 25.0
    most: int = 48


class Talk:
    """A video that was looked at, and a conversation about it.

    Attributes:
        topic: "the event at 0:12", where it is about a part of the video; else empty.
        target: of what stands at a point, see `at`: its boxes by frame, pixels of the heatmap; else empty.
        window: the frames of the source that the conversation is about, those of the window with the highest score.
    """

    def __init__(self, model: Task, source: Source, video: Video, view: View, windows: Sequence[Sequence[int]],
                 seen: Seen, best: Conversation) -> None:  # fmt: skip
        self.window = best.batch["frames"][0].tolist()
        self._model, self._source, self._video, self._view = model, source, video, view
        self._windows, self._seen, self._conversation = windows, seen, best
        self._speaking: Generator[str, None, None] | None = None
        self._parts: list[Talk] = []
        self._whole = self  # of a part: the talk that it is a part of
        self.topic = ""
        self.target: dict[int, NDArray[np.float64]] = {}

    def close(self) -> None:
        """Lets go of the video and of the maps; what was said stays. Not needed: it also ends with the object."""
        for part in self._parts:
            part.close()
        self._seen.close()
        self._video.close()
        if "_large" in self.__dict__:
            self._large.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what was seen ----

    @property
    def frames(self) -> NDArray[np.int64]:
        """[N] the sampled frames of the source, 0-based, rising."""
        return self._seen.frames

    @property
    def seconds(self) -> NDArray[np.float64]:
        """[N] when they are shown, from the first frame of the source on."""
        return self._video.seconds[self.frames]

    @property
    def scores(self) -> NDArray[np.float64]:
        """[N] in [0, 1]; of an untrained LVLM its Yes, see `untrained`.

        Raises DataError where a trained model has no heatmap decoder.
        """
        return self._seen.scores

    @property
    def probabilities(self) -> NDArray[np.float64] | None:
        """[N] that the frames are abnormal, by a fit to the scores of validation videos.

        None where there is none, and of video that is far from the training.
        """
        return None if self.foreign else self._seen.rule.probability(self.scores)

    @property
    def heatmap(self) -> Heatmaps:
        """[N, H, W] in [0, 1], each enlarged when it is asked for: `len`, `shape`, `[i]`, `[a:b]`."""
        return self._seen.heatmap

    @cached_property
    def events(self) -> list[Event]:
        """The events, in order; none where the model gives no scores."""
        return self._seen.events(self._video.seconds) if self._seen.scored else []

    @property
    def fps(self) -> float:
        """Frames a second of the source, the mean where the rate varies."""
        return self._video.fps

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the source."""
        return self._video.size

    def picture(self, frame: int) -> NDArray[np.uint8]:
        """A frame of the source in its own size, uint8 [H, W, 3]. Raises DataError for a number outside the video."""
        return self._large.read([frame])[0].permute(1, 2, 0).numpy()

    @cached_property
    def _large(self) -> Video:
        return open_source(self._source, fps=self._view.fps)

    @property
    def untrained(self) -> str:
        """What looked and answered where nothing was trained, in words; empty for a trained model."""
        return self._model.untrained

    @property
    def strange(self) -> float | None:
        """How far the video is from the training, see `tvau.familiarity`; None: unknown."""
        return float(np.median(self._seen.strange)) if self._seen.strange else None

    @property
    def foreign(self) -> bool:
        """Whether the video is so far from all that the model was trained on that nothing should be trusted."""
        return self._seen.foreign

    # ---- what is said ----

    def ask(self, question: str) -> str:
        """The answer to a question. Raises OptionError where the model speaks no words."""
        return "".join(self.stream(question))

    def stream(self, question: str) -> Iterator[str]:
        """The answer in pieces that end between two words; what was said when somebody stops counts as the answer.

        Raises:
            OptionError: the model speaks no words (stage 1, `tvau learn`), or there is no question.
        """
        if not question.strip():
            raise OptionError("an empty question: ask something, such as 'Is there any anomaly in the video?'")
        if not self._model.speaks:
            raise OptionError(SILENT)
        if self._speaking is not None:
            self._speaking.close()
        self._speaking = words(self._conversation.stream([question], self._view.most))
        return self._speaking

    def flow(self) -> list[tuple[str, str]]:
        """The paper's dialog flow: features and movement are asked for only where an anomaly was not denied."""
        if not self._model.speaks:
            raise OptionError(SILENT)
        return self._conversation.flow(self._view.most)[0]

    @property
    def history(self) -> list[tuple[str, str]]:
        """[(question, answer)] so far."""
        return self._conversation.history[0]

    # ---- parts of it ----

    def about(self, event: Event) -> "Talk":
        """The same on the event's own window: around its middle, or around its key frame where it is longer."""
        window = self._view.frames * self._view.stride
        middle = (event.start + event.end) / 2 if event.end - event.start < window else event.key
        return self._part(middle, f"the event at {clock(event.seconds[0], tenths=True)}")

    def at(self, x: float, y: float, frame: int) -> "Talk":
        """The same on the window around a frame; where a box holds the point, about what stands in it and nothing else.

        All that lies outside that target is calm in the maps by which the words are led; `target` has its boxes.

        Args:
            x, y: pixels of the source.
            frame: of the source, 0-based.

        Raises:
            OptionError: a point outside the picture, or a frame outside the video.
        """
        height, width = self.size
        if not (0 <= x < width and 0 <= y < height and 0 <= frame < self._video.frames):
            raise OptionError(
                f"({x}, {y}) in frame {frame}: expected x in 0..{width - 1}, y in 0..{height - 1} and a frame in "
                f"0..{self._video.frames - 1}"
            )
        part = self._part(frame, f"the target at ({x:.0f}, {y:.0f}) in frame {frame}")
        part._aim(x * part._seen.size[1] / width, y * part._seen.size[0] / height, frame)
        return part

    @torch.no_grad()
    def _aim(self, x: float, y: float, frame: int) -> None:
        """Turns the conversation to what stands at a point, pixels of the heatmap."""
        evidence, batch = self._conversation.evidence, self._conversation.batch
        if evidence.maps is None:
            return
        places = [int(np.searchsorted(self.frames, each)) for each in self.window]
        nearest = min(range(len(places)), key=lambda at: abs(self.window[at] - frame))
        target = target_at([self._seen.boxes(place) for place in places], nearest, x, y)
        if target:
            self.target = {self.window[at]: box for at, box in target.items()}
            model: TVAU = self._model.model
            maps = focused(evidence.maps, target, len(places), self._seen.size)
            self._conversation = Conversation(model, batch, model.tell(replace(evidence, maps=maps), batch))

    def _part(self, middle: float, what: str) -> "Talk":
        window = window_around(middle, self._video.frames, self._view.frames, self._view.stride)
        part = look(self._model, self._source, self._video, self._view, [window], quiet=True)
        part.topic, part._whole = what, self._whole
        self._whole._parts.append(part)
        return part

    # ---- what is left of it ----

    def save(self, folder: str | Path) -> Path:
        """Writes what `tvau predict` writes, with the questions that were asked; returns the folder.

        Of a part it writes the same as of the whole video: of the rest of the video a part has seen nothing.

        Raises:
            OptionError: the folder holds something else, which would be lost.
            OSError: it cannot be written to.
        """
        if self._whole is not self:
            return self._whole.save(folder)
        folder = Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        said = [
            Said(frames=[own[0], own[-1]], turns=self.turns if [*own] == self.window else []) for own in self._windows
        ]
        for own, one in zip(self._windows, said, strict=True):
            if repeated := len(own) - len({*own}):
                one["repeated"] = repeated
        said += [
            Said(frames=[part.window[0], part.window[-1]], turns=part.turns, about=part.topic)
            for part in self._parts if part.history
        ]  # fmt: skip
        seen = self._seen
        with whole_folder(folder, SUMMARY) as temporary, open_source(self._source, fps=self._view.fps) as video:
            write_prediction(
                temporary, video, sorted(said, key=lambda one: one["frames"]), pictures(seen), strange=seen.strange,
                untrained=self.untrained,
            )  # fmt: skip
        return folder

    @property
    def turns(self) -> list[Turn]:
        """The history as turns."""
        return [Turn(task="", question=question, answer=answer) for question, answer in self.history]

    def show(self) -> PIL.Image.Image:
        """Key frames with the heatmap over them, and below them the scores; a notebook shows the picture."""
        keys = [int(np.searchsorted(self.frames, event.key)) for event in self.events[:SHOWN]]
        keys = sorted(keys) or key_indices(len(self.frames), SHOWN)
        images = [self.picture(int(self.frames[at])) for at in keys]
        if not self._seen.scored:
            return PIL.Image.fromarray(beside(images))
        if self._seen.mapped:
            images = [heat(picture, self.heatmap[at]) for picture, at in zip(images, keys, strict=True)]
        row = beside(images)
        curve = image_of(score_curve(self.frames, {"score": self.scores}))
        large = PIL.Image.fromarray(row).resize((curve.shape[1], round(curve.shape[1] * row.shape[0] / row.shape[1])))
        return PIL.Image.fromarray(np.concatenate([np.asarray(large), curve]))


def words(growing: Generator[list[str], None, None]) -> Generator[str, None, None]:
    """The pieces of one answer that grows, each ending between two words; joined they are the answer."""
    text, told = "", 0
    try:
        for (text,) in growing:
            while (end := text.find(" ", told + 1)) > 0:  # the last word may go on
                yield text[told:end]
                told = end
    finally:
        growing.close()
    if text[told:]:
        yield text[told:]


@torch.no_grad()
def look(
    model: Task, source: Source, video: Video, view: View, windows: Sequence[Sequence[int]] = (), quiet: bool = False
) -> Talk:
    """Looks at windows of a video, all of them where none are named, and opens the conversation.

    Args:
        quiet: without a bar and without the warning of foreign video.
    """
    windows = windows or padded_windows(video.frames, view.frames, view.stride, view.hop)
    seen, best = Seen(model.rules.get(OURS)), None
    highest = -1.0
    for window in tqdm(windows, "looking", leave=False, disable=True if quiet else None):
        sample = Sample(video=video.read(window), frames=torch.tensor(list(window)), fps=video.fps,
                        name=video.path.stem, turns=[])  # fmt: skip
        batch = move_data_to_device(collate([sample]), model.device)
        evidence = model.model.glance(batch)
        outputs: dict[str, Any] = shown(evidence, batch, model.sure(batch, evidence))
        seen.add(window, batch["video"].shape[-2:], outputs)
        score = 0.0 if outputs["scores"] is None else float(outputs["scores"].max())
        if score > highest:
            highest, best = score, Conversation(model.model, batch, evidence)
    assert best is not None
    talk = Talk(model, source, video, view, windows, seen, best)
    if talk.foreign and not quiet:
        warnings.warn(
            f"{video.path.name} is far from all that the model was trained on ({talk.strange:.1f} times as far as its "
            "own validation clips): do not trust what is marked and said.", stacklevel=3,
        )  # fmt: skip
    return talk
