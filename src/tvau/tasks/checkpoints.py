"""Checkpoints as files: whole or not at all, checked when they are read, bound to their backbone."""

import io
import warnings
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from tvau.backbones import FAMILIES, VideoLVLM
from tvau.errors import CheckpointError
from tvau.familiarity import Familiarity
from tvau.files import clear, whole
from tvau.heatmap_decoder import RELATIVE, AnomalyHeatmapDecoder
from tvau.metrics.boxes import MapRule
from tvau.tasks.folders import read_folder

# options of the tasks that say what a model is made of, not how it is trained or asked
MADE_OF = (
    "view", "of", "variant", "channels", "base", "parts", "base_once", "pool", "lora_rank", "lora_alpha",
    "learned_text", "width", "context", "folds", "grounded", "spotlight", "bank", "blocks", "every",
)  # fmt: skip


class CheckpointFiles(TorchCheckpointIO):
    """How every checkpoint is written and read; Lightning's own way of writing copies where a folder is mounted."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes it whole or not at all.

        Raises:
            CheckpointError: it cannot be written.
        """
        if "://" in str(path):
            return super().save_checkpoint(checkpoint, path, storage_options)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            clear(Path(path))
            with whole(Path(path)) as temporary:
                temporary.write_bytes(content.getbuffer())
        except OSError as error:
            raise CheckpointError(
                f"{path} cannot be written ({error.strerror}); what stood there before still does. Make room, "
                "or choose another folder (--trainer.default_root_dir, dirpath of the callbacks)"
            ) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """See `read_checkpoint`."""
        return super().load_checkpoint(path, map_location, True) if "://" in str(path) else read_checkpoint(path)


def identity(backbone: VideoLVLM) -> dict[str, Any]:
    """What a checkpoint remembers of its backbone."""
    return {
        "name": backbone.name, "hidden_size": backbone.hidden_size, "vision_size": backbone.vision_size,
        "depth": backbone.depth, "blocks": list(backbone.blocks), "fingerprint": list(backbone.fingerprint),
    }  # fmt: skip


def named(backbone: VideoLVLM) -> dict[str, Any]:
    """By what a checkpoint names its LVLM: arguments of `tvau.backbones.load`, and the class where it is not ours."""
    made = dict(backbone.made) if getattr(backbone, "frozen", True) else {}
    kind = type(backbone)
    return made | ({} if kind in FAMILIES else {"adapter": f"{kind.__module__}.{kind.__qualname__}"}) if made else {}


def lvlm_of(checkpoint: Mapping[str, Any], what: object) -> dict[str, Any]:
    """The arguments of `tvau.backbones.load` by which a checkpoint's LVLM is made; empty where it names none.

    Raises:
        CheckpointError: it was trained with a class of somebody's own, which no file may have imported.
    """
    made = dict(checkpoint.get("lvlm") or {})
    if adapter := made.get("adapter"):
        raise CheckpointError(f"{what} was trained with {adapter}: give that LVLM's preset by `backbone` (--backbone)")
    return made


def check_identity(checkpoint: dict[str, Any], backbone: VideoLVLM, what: object) -> None:
    """Raises CheckpointError where a checkpoint was trained on another backbone, be it the same with other weights."""
    given, expected = dict(checkpoint.get("backbone") or {}), identity(backbone)
    if not given:
        raise CheckpointError(f"{what} is no checkpoint of tvau: it does not say to which backbone it belongs")
    theirs, ours = given.pop("fingerprint", None), expected.pop("fingerprint")
    if given != expected:
        different = ", ".join(f"{k} {given.get(k)} instead of {v}" for k, v in expected.items() if given.get(k) != v)
        raise CheckpointError(
            f"{what} belongs to another backbone: {different}. Choose its backbone by --model.backbone, or train anew"
        )
    if theirs is None:
        warnings.warn(f"{what} is an older one and does not say on which weights it was trained", stacklevel=3)
    elif theirs and ours and not torch.allclose(torch.tensor(theirs), torch.tensor(ours), rtol=5e-3, atol=1e-6):
        raise CheckpointError(  # bfloat16 rounds by up to 4e-3
            f"{what} was trained on a {given['name']} with other weights than this one's. Choose its backbone by "
            "--model.backbone.checkpoint, or train anew"
        )


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint of tvau, or the folder of a model, checked against the checksums beside it; nothing is executed.

    Raises:
        CheckpointError: no such file, a damaged one, or not a checkpoint of tvau.
    """
    if Path(path).is_dir():
        checkpoint = read_folder(Path(path))
    elif Path(path).is_file():
        checkpoint = _read_file(Path(path))
    else:
        raise CheckpointError(
            f"{path}: no such checkpoint; `tvau fit` makes them, of stage 1 with --config .../heatmap.yaml"
        )
    state = checkpoint["state_dict"]
    for key in [key for key in state if key.startswith("model.decoder.weights.")]:  # of 0.1, not yet logarithms
        state[key.replace("weights", "log_weights")] = state.pop(key).log() / RELATIVE
    return checkpoint


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with ZipFile(path) as parts:
            damaged = parts.testzip()  # torch writes checksums, and does not look at them
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} is wrong: the file is damaged")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; all mean that this is no checkpoint one may trust
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} cannot be read as a checkpoint ({reason})") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path} is no checkpoint of tvau")
    return checkpoint


def rules_of(checkpoint: Mapping[str, Any]) -> dict[str, MapRule]:
    """The rules for boxes that a checkpoint holds, by method; older ones hold none."""
    return {method: MapRule.restored(rule) for method, rule in checkpoint.get("rules", {}).items()}


def load_decoder(path: str, backbone: VideoLVLM) -> tuple[AnomalyHeatmapDecoder, Tensor, dict[str, Any]]:
    """The trained heatmap decoder of a checkpoint, its text features [2, D] and its options.

    Raises:
        CheckpointError: no such file, not a checkpoint of tvau, without a decoder, or of another backbone.
    """
    checkpoint = read_checkpoint(path)
    check_identity(checkpoint, backbone, path)
    options, state = checkpoint.get("decoder"), checkpoint["state_dict"]
    if options is None:
        raise CheckpointError(f"{path} holds no heatmap decoder: give a checkpoint of stage 1")
    decoder = AnomalyHeatmapDecoder(backbone.vision_size, backbone.hidden_size, backbone.blocks, **options)
    prefix = "model.decoder."
    decoder.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    return decoder, state["model.text"], options


def load_fold_decoders(path: str, backbone: VideoLVLM) -> list[AnomalyHeatmapDecoder]:
    """The decoders of a checkpoint of stage 1 that left clips out: number k those of part k, `tvau.data.parts.fold`.

    Empty where it was trained without `folds`, and of a checkpoint of stage 2.

    Raises:
        CheckpointError: as `load_decoder`.
    """
    decoder, _, _ = load_decoder(path, backbone)
    own: dict[int, dict[str, Tensor]] = {}
    for key, value in read_checkpoint(path)["state_dict"].items():
        if key.startswith("fold_decoders."):
            _, k, name = key.split(".", 2)
            own.setdefault(int(k), {})[name] = value
    decoders = [deepcopy(decoder) for _ in own]
    for k, made in enumerate(decoders):
        made.load_state_dict(own[k])
    return decoders


def load_familiarity(path: str, backbone: VideoLVLM) -> Familiarity:
    """What the clips of a checkpoint's training look like; that of 0.1 knows nothing of them."""
    familiarity, prefix = Familiarity(backbone.vision_size), "model.familiarity."
    state = read_checkpoint(path)["state_dict"]
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    familiarity.load_state_dict(own, strict=bool(own))
    return familiarity


def completed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a checkpoint of stage 2, and for those that came later what was done before."""
    of = {} if options.get("view", "difference") is None else {"of": "similarity"}
    return {"spotlight": None, **of, **options}


def made_of(checkpoint: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The options of the task to which a checkpoint belongs; it holds all that stage 1 trained, so it is `heatmap`."""
    stored = checkpoint.get("options", {})
    made = {name: stored[name] for name in MADE_OF if name in stored}
    if "view" in made:
        made = completed(made)
    if "width" in made:  # of a decoder that was trained further, its own
        made |= checkpoint.get("decoder") or {}
    if "heatmap" in stored:
        made["heatmap"] = path if stored["heatmap"] else None
    return made
