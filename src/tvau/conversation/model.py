"""A trained model: loaded in one word, opened on videos, kept as a folder in the manner of Hugging Face."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from weakref import WeakValueDictionary

import torch
from huggingface_hub import ModelHubMixin, snapshot_download
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import HfHubHTTPError

from tvau.backbones import VideoLVLM
from tvau.backbones.checkpoint import hub_answers
from tvau.backbones.preset import load_preset
from tvau.backbones.served import Served
from tvau.conversation.talk import Talk, View, look
from tvau.data.sources import Source, open_source, record
from tvau.errors import CheckpointError, OptionError
from tvau.model import TVAU
from tvau.shipped import MODEL, found
from tvau.tasks import DialogTask
from tvau.tasks.base import Task
from tvau.tasks.folders import write_model
from tvau.tasks.normal import remember
from tvau.tasks.pretrained import content, restore

_loaded: WeakValueDictionary[tuple[object, ...], "Model"] = WeakValueDictionary()


class Model(ModelHubMixin):
    """A trained model, from `tvau.load`; `save_pretrained`, `from_pretrained` and `push_to_hub` are Hugging Face's.

    Attributes:
        task: what was trained, see `tvau.tasks`.
    """

    def __init__(self, task: Task) -> None:
        self.task = task.eval()

    @property
    def tvau(self) -> TVAU:
        """The composed stages."""
        return self.task.model

    @property
    def speaks(self) -> bool:
        """Whether it answers questions: a model of stage 1 does not."""
        return self.task.speaks

    def open(
        self,
        source: Source,
        stride: int = 1,
        frames: int | None = None,
        hop: int | None = None,
        size: tuple[int, int] | Literal["source"] | None = None,
        fps: float = 25.0,
        most: int = 48,
        seconds: float = 30.0,
        quiet: bool = False,
    ) -> Talk:
        """Looks at a video, once, and opens a conversation about it.

        Args:
            source: a video file, a folder of frames, uint8 pictures [N, H, W, 3] or [N, H, W], or a stream's address.
            stride: look at every so many-th frame. Choose it so that a window lasts a few seconds.
            frames: of a window; None: as in the training, else 16.
            hop: sampled frames between the starts of windows; None: they do not overlap.
            size: (height, width) to which frames are made small; None: as in the training, else 96x160; "source": not.
            fps: frames a second where the source does not say it.
            most: tokens that an answer has at most.
            seconds: of a stream: it is recorded for so long, at `fps`, before it is looked at. See `tvau watch`.
            quiet: without a bar and without the warning of video that is far from the training.

        Raises:
            DataError: a source that cannot be read, or numbers that make no windows.
            BackboneError: frames that the LVLM cannot take.
        """
        data = self.task.data
        small = None if size == "source" else size or tuple(data.get("size") or (96, 160))
        view = View(stride, frames or int(data.get("frames") or 16), hop, small, fps, most)
        if isinstance(source, str) and "://" in source:
            source = record(source, seconds, fps)
        return look(self.task, source, open_source(source, view.size, fps), view, quiet=quiet)

    def learn(
        self,
        normal: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        stride: int = 1,
        frames: int = 16,
        size: tuple[int, int] | None = (96, 160),
        fps: float = 25.0,
    ) -> "Model":
        """The same LVLM as it comes beside a memory of normal video, which gives it heatmaps, scores and events.

        The memory is that of `tvau learn` (docs/use/normal.md); it is gone with this model.

        Args:
            normal: video files, frame folders, or folders that hold either, without anomalies.
            stride, frames, size, fps: see `open`; look at other video in the same way.

        Raises:
            OptionError: this model was trained.
            DataError: too little video, or none.
        """
        model = bare(self.tvau.backbone, str(self.task.device)) if self.task.untrained else self
        videos = [normal] if isinstance(normal, str | os.PathLike) else normal
        remember(model.task, [Path(video) for video in videos], model.task.device, frames=frames, stride=stride,
                 size=size, fps=fps)  # fmt: skip
        return model

    def _save_pretrained(self, save_directory: Path) -> None:
        if self.task.untrained:
            raise OptionError("nothing was trained that a folder could hold; `tvau learn` makes one of normal video")
        write_model(content(self.task), save_directory)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        backbone: str | VideoLVLM | None = None,
        device: str | None = None,
        **_: Any,
    ) -> "Model":
        if not Path(model_id).is_dir():
            model_id = snapshot_download(
                model_id, revision=revision, cache_dir=cache_dir, force_download=force_download, token=token,
                local_files_only=local_files_only, allow_patterns=[CONFIG_NAME, SAFETENSORS_SINGLE_FILE],
            )  # fmt: skip
        return cls(restore(model_id, backbone).to(device or _device()))


def load(
    path: str | os.PathLike[str] | None = None,
    backbone: str | VideoLVLM | None = None,
    device: str | None = None,
    abnormal: Sequence[str] = (),
    normal: Sequence[str] = (),
    server: str | None = None,
    untrained: bool = False,
) -> Model:
    """A trained model, ready to look and to speak. While one is in use, loading it again gives the same one.

    Args:
        path: a model's folder, a checkpoint of stage 1 or 2, or a hub id; None: the model that comes with tvau.
        backbone: the LVLM it belongs to: itself, a preset's file, a checkpoint folder or a hub id; None: the one that
            the model names.
        device: "cpu", "cuda", "cuda:1"; None: the GPU where there is one.
        abnormal, normal: own phrases in the place of the trained prompts, see `TVAU.words`.
        server: address of an OpenAI-like server that speaks for the LVLM (docs/use/serving.md); None: it speaks here.
        untrained: `backbone` as it comes, without a model of tvau: it answers, its Yes is the score of a window, and it
            has no heatmaps but those of `Model.learn`.

    Raises:
        OptionError: `untrained` beside a model or own phrases, or without an LVLM.
        CheckpointError: no such model, a damaged one, or of another LVLM.
        BackboneError: its LVLM cannot be loaded.
    """
    if untrained and (backbone is None or path is not None or abnormal or normal):
        raise OptionError("untrained: give an LVLM by `backbone`, no model of tvau, and no phrases for its heatmaps")
    name = found(MODEL if path is None else str(path))
    device = device or _device()
    stamps = [file.stat().st_mtime_ns for file in _files(Path(name))]
    key = (
        str(Path(name).absolute()) if stamps else name,
        *stamps,
        backbone,
        device,
        server,
        untrained,
        *abnormal,
        None,
        *normal,
    )
    if (model := _loaded.get(key)) is None:
        model = bare(backbone, device) if untrained and backbone is not None else read(name, backbone, device)
        if abnormal or normal:
            model.task.words(abnormal, normal)
        if server is not None:
            model.tvau.backbone = Served(model.tvau.backbone, server)
        _loaded[key] = model
    return model


def bare(backbone: str | VideoLVLM, device: str) -> Model:
    """An LVLM as it comes."""
    lvlm = backbone if isinstance(backbone, VideoLVLM) else load_preset(backbone)
    return Model(DialogTask(lvlm, lora_rank=0).to(device))


def read(name: str, backbone: str | VideoLVLM | None, device: str) -> Model:
    """As `load`, anew and for nobody else."""
    if Path(name).exists() or Path(name).suffix or len(Path(name).parts) != 2:
        return Model(restore(name, backbone).to(device))
    try:
        return Model.from_pretrained(name, local_files_only=not hub_answers(), backbone=backbone, device=device)
    except (HfHubHTTPError, OSError) as error:
        raise CheckpointError(
            f"{name} is neither a checkpoint nor a model's folder here, and no model within reach on the hub "
            f"({str(error).strip().splitlines()[0]})"
        ) from error


def _files(path: Path) -> list[Path]:
    return [each for each in (path, path / CONFIG_NAME, path / SAFETENSORS_SINGLE_FILE) if each.exists()]


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
