"""A task as it was when its checkpoint or its model's folder was written, with the LVLM that they name."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import tvau.tasks
from tvau.backbones import VideoLVLM
from tvau.backbones import load as load_lvlm
from tvau.backbones.preset import load_preset
from tvau.errors import CheckpointError
from tvau.shipped import LVLM
from tvau.tasks.base import Task
from tvau.tasks.checkpoints import lvlm_of, made_of, read_checkpoint


def content(task: Task) -> dict[str, Any]:
    """All that a checkpoint keeps of a task, without Lightning's own."""
    checkpoint = {"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams)}
    task.on_save_checkpoint(checkpoint)
    return checkpoint


def restore(path: str, backbone: str | VideoLVLM | None = None) -> Task:
    """The task of a checkpoint of stage 1 or 2, or of a model's folder, as it was when that was written.

    Args:
        path: file or folder.
        backbone: the LVLM it belongs to: itself, a preset's file, a checkpoint folder or a hub id; None: the one that
            the checkpoint names, nano for those of 0.2.0 and earlier, which name none.

    Raises:
        CheckpointError: no such file, a damaged one, or of another LVLM.
        BackboneError: the LVLM cannot be loaded.
    """
    stored = read_checkpoint(path)
    options = stored.get("options", {})
    name = stored.get("task") or ("DialogTask" if "heatmap" in options else "HeatmapTask")
    kind = getattr(tvau.tasks, name) if name in tvau.tasks.__all__ else None
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise CheckpointError(f"{path} is of a task that this version of tvau does not know: {name}")
    known = {**options, **made_of(stored, path), "start": None}
    lvlm = backbone if isinstance(backbone, VideoLVLM) else _lvlm(stored, backbone, path)
    make: Any = kind
    task: Task = make(lvlm, **{key: known[key] for key in signature(kind).parameters if key in known})
    task.on_load_checkpoint(stored)
    task.load_state_dict(stored["state_dict"], strict=False)
    return task.eval()


def _lvlm(stored: Mapping[str, Any], backbone: str | None, path: str) -> VideoLVLM:
    """The LVLM that was asked for, or that a checkpoint names, read at the checkpoint's blocks."""
    blocks = (stored.get("backbone") or {}).get("blocks")
    if backbone is not None or not (made := lvlm_of(stored, path)):
        return load_preset(backbone or LVLM, blocks)
    try:
        signature(load_lvlm).bind(**made)
    except TypeError as error:
        raise CheckpointError(f"{path} names an LVLM that cannot be made ({error}): say which by `backbone`") from error
    return load_lvlm(**{**made, "blocks": blocks})
