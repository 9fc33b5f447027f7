"""What a frozen vision tower made of each clip, kept on disk: later runs read it instead of computing it again."""

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tvau.backbones.base import Inputs, SeenOutput, VisionPass
from tvau.backbones.checkpoint import LANGUAGE
from tvau.errors import BackboneError
from tvau.files import whole

TOWER = re.compile(rf"(?!{LANGUAGE})model\.")  # tower and projector, by the names of their weights
SEEN = re.compile(r"video$|pixel|.*_(grid_thw|merge_sizes|position_ids|per_video)$")  # clips, and what the tower gets
LAYERS = ("deepstack_features",)  # of the library's output: for each layer a tuple over clips
FORM = 2  # of what is kept; another one means other names of files

Kept = dict[str, Tensor]  # of one clip, on the CPU: "block.4", and the fields of the library's output by place


def tower_weights(lm: nn.Module) -> dict[str, Tensor]:
    """Everything of a Hugging Face LVLM that a clip goes through before the language model."""
    return {name: weights for name, weights in lm.state_dict().items() if TOWER.match(name)}


class VisionCache:
    """Passes of one frozen tower, a safetensors file a clip, shared by all runs and processes that use the folder.

    A file's name is a digest of all that the tower's result depends on: its weights, its configuration, the clip's
    frames and what makes pixels of them, the precision, the kind of device and the version of the library. It holds the
    blocks that were asked for so far; a run that needs another one computes that clip again and adds it. Numbers of 32
    bits are kept with 16, rounded by up to 0.05 % (0.4 % where one is larger than float16 can be); a run that computes
    a clip gets the rounded ones too, so what is read is what was handed on when it was written, bit by bit. Clips that
    are computed beside others than the last time differ by rounding, as they do without a cache.

    Args:
        folder: made if needed; may be deleted at any time.
        lm: the LVLM with its final weights.
        about: what else the tower's results depend on, such as its attention implementation and how frames become
            pixels.
    """

    def __init__(self, folder: str, lm: Any, about: str) -> None:
        self.folder, self.dtype = Path(folder), lm.dtype
        digest = blake2b(f"{FORM} {type(lm).__name__} {lm.config} {about} {transformers.__version__}".encode())
        for name, weights in sorted(tower_weights(lm).items()):
            _add(digest, name, weights)
        self.tower = digest.digest()

    def encode(
        self, lm: Any, inputs: Inputs, blocks: Sequence[int], compute: Callable[[Inputs], VisionPass]
    ) -> VisionPass:
        """The pass of a batch: clips that are not kept yet go through `compute` together, and are kept.

        Raises:
            BackboneError: the tower is being trained, or nothing can be written.
        """
        if any(weights.requires_grad for name, weights in lm.named_parameters() if TOWER.match(name)):
            raise BackboneError(
                f"cache {self.folder}: the vision tower is being trained, so its passes change; leave `cache` out"
            )
        video, count = inputs["video"], len(inputs["video"])
        seen = {k: v.chunk(count) for k, v in inputs.items() if SEEN.match(k)}
        paths = [self._path(clip) for clip in video]
        kept = [self._read(path, blocks) for path in paths]
        if missing := [i for i, clip in enumerate(kept) if clip is None]:
            with torch.no_grad():
                made = compute({k: torch.cat([v[i] for i in missing]) for k, v in seen.items()})
            for i, clip in zip(missing, _split(made, len(missing)), strict=True):
                kept[i] = clip
                self._write(paths[i], (self._read(paths[i], ()) or {}) | clip)
        return _join([clip for clip in kept if clip is not None], blocks, video.device, self.dtype)

    def _path(self, clip: Tensor) -> Path:
        device = clip.device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        digest = blake2b(self.tower + f"{device} {autocast}".encode(), digest_size=20)
        _add(digest, "video", clip)
        name = digest.hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"

    def _read(self, path: Path, blocks: Sequence[int]) -> Kept | None:
        """What is kept of a clip, of its blocks those named (all where none is named); None where one is missing."""
        try:
            with safe_open(path, "pt") as file:
                names = set(file.keys())
                wanted = {f"block.{k}" for k in blocks}
                if not wanted <= names:
                    return None
                return {n: file.get_tensor(n) for n in names if not blocks or n in wanted or not n.startswith("block.")}
        except (OSError, SafetensorError):  # there is none, or not one that can be read: it is made anew
            return None

    def _write(self, path: Path, clip: Kept) -> None:
        """Writes a file whole or not at all."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as temporary:
                save_file(clip, temporary)
        except (OSError, SafetensorError) as error:
            raise BackboneError(
                f"cache {self.folder}: a vision pass could not be written ({error}). Choose a folder with room "
                "(about a megabyte a clip for nano), or leave `cache` out"
            ) from error


def _add(digest: Any, name: str, tensor: Tensor) -> None:
    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy())


def _split(made: VisionPass, count: int) -> list[Kept]:
    """A pass over `count` clips -> what is kept of each.

    Raises:
        BackboneError: the library's output has a form that this does not know.
    """
    parts: dict[str, Sequence[Tensor]] = {f"block.{k}": hidden.chunk(count) for k, hidden in made.hidden.items()}
    for field in SeenOutput.__dataclass_fields__:
        value = made.output.get(field)
        if isinstance(value, Tensor):
            parts[field] = value.chunk(count)
        elif field in LAYERS and value is not None:
            parts |= {f"{field}.{i}": layer for i, layer in enumerate(value)}
        elif isinstance(value, (tuple, list)) and not len(value) % count:
            each = len(value) // count
            parts |= {f"{field}.{i}": value[i::each] for i in range(each)}
        elif value is not None:
            raise BackboneError(f"cache: {field} of this LVLM's vision pass is {type(value).__name__}, which cannot be "
                                "kept clip by clip; leave `cache` out")  # fmt: skip
    if any(len(own) != count for own in parts.values()):
        raise BackboneError("cache: this LVLM's vision pass cannot be taken apart into clips; leave `cache` out")
    return [
        {name: _half(own[i]).cpu().clone(memory_format=torch.contiguous_format) for name, own in parts.items()}
        for i in range(count)
    ]


def _half(full: Tensor) -> Tensor:
    """The same with 16 bits a number: half the disk, half the reading."""
    if full.dtype != torch.float32:
        return full.detach()
    half = full.detach().half()
    return half if half.isfinite().all() else full.detach().bfloat16()


def _join(kept: Sequence[Kept], blocks: Sequence[int], device: torch.device, dtype: torch.dtype) -> VisionPass:
    """What is kept of some clips -> their pass, in the tower's own precision."""
    kept = [{name: own.to(device, dtype if own.is_floating_point() else None) for name, own in clip.items()}
            for clip in kept]  # fmt: skip
    hidden = {k: torch.cat([clip[f"block.{k}"] for clip in kept]) for k in blocks}
    fields: dict[str, Any] = {}
    for field in SeenOutput.__dataclass_fields__:
        places = sum(name.startswith(f"{field}.") for name in kept[0])
        if field in kept[0]:
            fields[field] = torch.cat([clip[field] for clip in kept])
        elif places and field in LAYERS:
            fields[field] = [tuple(clip[f"{field}.{i}"] for clip in kept) for i in range(places)]
        elif places:
            fields[field] = tuple(clip[f"{field}.{i}"] for clip in kept for i in range(places))
    return VisionPass(hidden, SeenOutput(**fields))
