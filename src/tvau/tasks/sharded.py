"""Fully sharded data parallel training (FSDP2): every card holds a part of each layer, for LVLMs that fit no card."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.errors import BackboneError
from tvau.model import TVAU


def shard(model: TVAU, mesh: DeviceMesh, beside: Iterable[Tensor] = ()) -> None:
    """Splits the layers of the language model and the tower over a mesh's devices, LoRA in them included.

    Everything else stays whole on every device: embeddings and head, which are called by themselves and frozen, and the
    heatmap decoder and the region encoder, whose gradients are averaged as they come, like those of weights `beside`
    the model. A model that is split already stays as it is.

    Raises:
        BackboneError: an LVLM of a few bits, or one that trains more than LoRA.
    """
    backbone = model.backbone
    if not isinstance(backbone, HuggingFaceLVLM) or not backbone.frozen:
        raise BackboneError("fsdp takes a frozen LVLM of transformers: choose --trainer.strategy=ddp")
    if getattr(backbone.lm, "is_quantized", False):
        raise BackboneError("fsdp cannot split weights of 4 or 8 bits: choose --trainer.strategy=ddp, or bits: null")
    if any(isinstance(module, FSDPModule) for module in model.modules()):
        return
    for stack in (backbone.lm.get_decoder(), backbone.lm.get_submodule(f"model.{backbone.tower}")):
        # not the stack itself: the library finds its hidden states by its class, which this would change
        for layer in (layer for part in stack.modules() if isinstance(part, nn.ModuleList) for layer in part):
            fully_shard(layer, mesh=mesh, reshard_after_forward=True)

    def average(weight: Tensor) -> None:
        if weight.grad is not None:  # what was accumulated before is the same everywhere, and stays so
            distributed.all_reduce(weight.grad.div_(mesh.size()), group=mesh.get_group())

    for weight in (*model.parameters(), *beside):
        if weight.requires_grad and not isinstance(weight, DTensor):
            weight.register_post_accumulate_grad_hook(average)


def clip(weights: Iterable[Tensor], most: float) -> None:
    """Scales the gradients of weights that are whole or split so that their norm is at most `most`."""
    grads = [weight.grad for weight in weights if weight.grad is not None]
    parts = [g.to_local() for g in grads if isinstance(g, DTensor)]
    rest = [g for g in grads if not isinstance(g, DTensor)]
    square = torch.stack([p.float().pow(2).sum() for p in parts]).sum() if parts else rest[0].new_zeros(())
    distributed.all_reduce(square)
    norm = (square + sum(g.float().pow(2).sum() for g in rest)).sqrt()
    for g in (*parts, *rest):
        g.mul_((most / (norm + 1e-6)).clamp(max=1))


def gathered(tensor: Tensor) -> Tensor:
    """A tensor on the CPU, put together from all devices; every process has to ask for it."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().cpu()


class Sharded(ModelParallelStrategy):
    """FSDP2 over all devices, with checkpoints that are single files, the same as everywhere else.

    While a model is validated, tested or used, every process holds it whole: the clips are shared out by video, so that
    no process knows how many steps the others take, and answers end where they end.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    # ---- checkpoints ----

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, whole; the frozen LVLM is never gathered."""
        task: Any = self.lightning_module
        state = {k: gathered(v) for k, v in task.state_dict().items() if task.keeps(k)}
        return state if self.global_rank == 0 else {}

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Lightning's, and the weights once more, for the task to look at."""
        state = torch.load(checkpoint_path, map_location="cpu", weights_only=True)["state_dict"]
        return {**super().load_checkpoint(checkpoint_path, weights_only), "state_dict": state}

    # ---- whole while nothing is trained ----

    def _whole(self, whole: bool) -> None:
        for module in self.lightning_module.modules() if self.lightning_module else ():
            if isinstance(module, FSDPModule):
                module.set_reshard_after_forward(not whole)
                if whole:
                    module.unshard()
                else:
                    module.reshard()

    def on_validation_start(self) -> None:
        self._whole(True)

    def on_validation_end(self) -> None:
        self._whole(False)

    def on_test_start(self) -> None:
        self._whole(True)

    def on_predict_start(self) -> None:
        self._whole(True)
