"""What the stages share: the optimizer, small checkpoints bound to their backbone, and results as JSON."""

import json
import warnings
from collections.abc import Mapping
from math import cos, pi
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from tvau.backbones import VideoLVLM
from tvau.errors import CheckpointError
from tvau.files import whole
from tvau.heatmap_decoder import AnomalyHeatmapDecoder
from tvau.metrics.boxes import MapRule
from tvau.model import TVAU
from tvau.tasks.sharded import clip, shard
from tvau.viz.curves import take_curves
from tvau.viz.report import score_table

FROZEN = "model.backbone."
OURS = "tvau"  # our maps among the methods of a test


class Task(lightning.LightningModule):
    """Base of the stages; `model` is the composed T-VAU.

    A checkpoint holds what was trained, the prompt features and the hyperparameters, never the frozen LVLM.

    Args:
        learning_rate, weight_decay: of AdamW.
        warmup: steps of linear warm-up, before a cosine down to 0 over all steps.
    """

    model: TVAU
    scores: nn.ModuleDict  # of the test, filled as its splits come
    decoder_options: dict[str, Any] | None = None
    rules: dict[str, MapRule]  # how boxes are read from the maps of each method, chosen on validation in stage 1

    def __init__(self, learning_rate: float, weight_decay: float, warmup: int) -> None:
        super().__init__()
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self.strict_loading = False
        self.scores, self.rules = nn.ModuleDict(), {}

    def configure_optimizers(self) -> Any:
        """AdamW on what is trained; weights of one dimension (norms, biases, scales) do not decay."""
        groups: dict[bool, dict[str, Any]] = {}
        for weight in self.parameters():
            if weight.requires_grad:
                decays = weight.ndim > 1
                empty = {"params": [], "weight_decay": self.weight_decay * decays}
                groups.setdefault(decays, empty)["params"].append(weight)
        # asking for the estimate starts the loaders before a checkpoint has restored the step they begin at
        limit = self.trainer.max_steps
        steps = max(limit if limit > 0 else int(self.trainer.estimated_stepping_batches), 1)

        def rate(step: int) -> float:
            return min((step + 1) / max(self.warmup, 1), 1.0) * (1 + cos(pi * min(step / steps, 1))) / 2

        optimizer = AdamW(list(groups.values()), self.learning_rate, betas=(0.9, 0.98))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, rate), "interval": "step"}}

    # ---- checkpoints ----

    def configure_model(self) -> None:
        """Splits the model over the devices where the strategy asks for it (`Sharded`)."""
        if self.device_mesh is not None:
            shard(self.model, self.device_mesh["data_parallel"])

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Lightning's, and by norm where weights are split over devices."""
        if self.device_mesh is None:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            clip(self.parameters(), gradient_clip_val)

    def keeps(self, key: str) -> bool:
        """Whether a checkpoint keeps this part of the state."""
        return not key.startswith(FROZEN) or "lora_" in key or not getattr(self.model.backbone, "frozen", True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Drops the frozen LVLM and says to which LVLM the rest belongs."""
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if self.keeps(k)}
        checkpoint["backbone"] = identity(self.model.backbone)
        checkpoint["decoder"] = self.decoder_options
        checkpoint["rules"] = {method: rule.stored() for method, rule in self.rules.items()}
        # under Lightning's own name they would overrule what the command line says, the task itself included
        options = checkpoint.pop("hyper_parameters", {})
        checkpoint["options"] = {k: v for k, v in options.items() if not k.startswith("_")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises CheckpointError for a checkpoint of another backbone, or one that lacks trained parts."""
        check_identity(checkpoint, self.model.backbone, "the checkpoint")
        wanted = {k: tuple(v.shape) for k, v in self.state_dict().items() if self.keeps(k)}
        given = {k: tuple(v.shape) for k, v in checkpoint["state_dict"].items()}
        if wanted != given:
            wrong = sorted(k for k in wanted.keys() | given.keys() if wanted.get(k) != given.get(k))
            raise CheckpointError(
                f"the checkpoint does not fit this model, {len(wrong)} parts differ (first: {wrong[0]}): was it "
                "trained with the same task and options (heatmap, view, lora_rank)?"
            )
        self.rules |= rules_of(checkpoint)

    # ---- results ----

    @property
    def split_names(self) -> list[str]:
        """Names of the test loaders."""
        return list(getattr(getattr(self.trainer, "datamodule", None), "test_names", ("test",)))

    @property
    def folder(self) -> Path:
        """Where the run leaves its results."""
        return Path(self.trainer.default_root_dir)

    def publish(self, results: dict[str, Any]) -> None:
        """Writes `test.json`, and the curves as `curves.json`, into the run's folder, each whole or not at all."""
        if not self.trainer.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        curves = take_curves(results)
        for name, content, indent in (("test.json", results, 2), ("curves.json", curves, None)):
            with whole(self.folder / name) as temporary:
                temporary.write_text(json.dumps(content, indent=indent))
        self.print(f"{score_table(results)}\n\nresults: {self.folder / 'test.json'}")


def identity(backbone: VideoLVLM) -> dict[str, Any]:
    """What a checkpoint remembers of its backbone."""
    return {
        "name": backbone.name, "hidden_size": backbone.hidden_size, "vision_size": backbone.vision_size,
        "depth": backbone.depth, "blocks": list(backbone.blocks), "fingerprint": list(backbone.fingerprint),
    }  # fmt: skip


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


def read_checkpoint(path: str) -> dict[str, Any]:
    """A checkpoint of tvau; nothing in it is executed.

    Raises:
        CheckpointError: no such file, or not a checkpoint of tvau.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no such checkpoint; train stage 1 first (tvau fit --config .../heatmap.yaml)")
    try:
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
