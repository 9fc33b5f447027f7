"""What is trained: prompts and LoRA, and nothing that is frozen."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from contract.checks import FPS, ROUNDING, Checks, Note, compare
from tiny import DIALOG
from tvau.backbones.huggingface import HuggingFaceLVLM


class Training(Checks):
    """Gradients, LoRA, freezing."""

    def test_gradients_reach_the_prompts_and_nothing_frozen(self, lvlm: HuggingFaceLVLM) -> None:
        prompts = self.prompted(lvlm).requires_grad_()
        inputs = lvlm.prepare(self.clips(), [DIALOG], 3, [FPS])
        lvlm.loss(inputs, lvlm.encode(inputs), prompts).backward()
        assert prompts.grad is not None
        assert (prompts.grad.abs().sum(-1) > 0).all()
        assert all(p.grad is None and not p.requires_grad for p in lvlm.parameters())

    @torch.no_grad()
    def test_a_blind_loss_is_of_the_prompts_and_not_of_the_picture(self, lvlm: HuggingFaceLVLM) -> None:
        prompts = self.prompted(lvlm, clips=2)
        inputs = lvlm.prepare(self.clips(2), [DIALOG] * 2, 3, [FPS] * 2)
        seen, other = (lvlm.encode({"video": self.clips(2, seed)}) for seed in (0, 1))
        blind = lvlm.loss(inputs, seen, prompts, blind=True)
        assert torch.equal(blind, lvlm.loss(inputs, other, prompts, blind=True))
        assert not torch.equal(blind, lvlm.loss(inputs, seen, -prompts, blind=True))
        assert not torch.equal(lvlm.loss(inputs, seen, prompts), lvlm.loss(inputs, other, prompts))

    def test_gradients_are_the_same_without_kept_activations(
        self, fresh: HuggingFaceLVLM, folder: Path, record_property: Note
    ) -> None:
        frugal = self.family.adapter(str(folder), blocks=(1, 2), gradient_checkpointing=True)
        runs: list[int] = []
        frugal.lm.get_decoder().layers[0].mlp.register_forward_pre_hook(lambda *_: runs.append(1))
        gradients: list[Any] = []
        for lvlm in (fresh, frugal):
            lvlm.add_lora(4, 8)
            lvlm.train()
            prompts = self.prompted(lvlm).requires_grad_()
            inputs = lvlm.prepare(self.clips(), [DIALOG], 3, [FPS])
            lvlm.loss(inputs, lvlm.encode(inputs), prompts).backward()
            gradients.append(prompts.grad)
        assert len(runs) == 2  # once forward, once again on the way back
        compare(record_property, gradients[0], gradients[1], ROUNDING)

    def test_lora_is_in_the_language_model_only_and_changes_nothing_at_first(
        self, fresh: HuggingFaceLVLM, record_property: Note
    ) -> None:
        inputs = fresh.prepare(self.clips(), [DIALOG], 0, [FPS])
        vision = fresh.encode(inputs)
        with torch.no_grad():
            before = fresh(inputs, vision)
        linear = {f"lm.{name}" for name, m in fresh.lm.named_modules() if isinstance(m, nn.Linear)}
        fresh.add_lora(4, 8)
        with torch.no_grad():
            compare(record_property, fresh(inputs, fresh.encode(inputs)), before)
        trained = {name for name, p in fresh.named_parameters() if p.requires_grad}
        assert trained
        assert all("lora_" in name for name in trained)
        touched = {name.rsplit(".lora_", 1)[0] for name in trained}
        layers = ("lm.model.language_model.layers.", "lm.model.text_model.layers.")
        # of recurrent layers and of a shared expert: an output a head, or one, so no larger than LoRA itself; of
        # Gemma's second embeddings
        gates = ("in_proj_a", "in_proj_b", "shared_expert_gate", "per_layer_input_gate", "per_layer_projection")
        assert touched == {n for n in linear if n.startswith(layers) and not n.endswith(gates)}
        assert len(touched) == self.family.maps
        fresh.loss(inputs, vision).backward()
        assert {name for name, p in fresh.named_parameters() if p.grad is not None} == trained

    def test_what_was_trained_is_saved_and_loaded(self, fresh: HuggingFaceLVLM, lvlm: HuggingFaceLVLM) -> None:
        inputs = self.ask(fresh)
        other = copy.deepcopy(lvlm)
        with torch.no_grad():
            words, _ = fresh.encode_text(["a person running"])
            before = fresh(inputs, fresh.encode(inputs))
            for model in (fresh, other):
                model.add_lora(4, 8)
            for weights in (p for p in fresh.parameters() if p.requires_grad):
                weights.normal_()
            other.load_state_dict({k: v for k, v in fresh.state_dict().items() if "lora_" in k}, strict=False)
            assert torch.equal(fresh.encode_text(["a person running"])[0], words)  # as the decoder knows them
            after = fresh(inputs, fresh.encode(inputs))
            assert torch.equal(after, other(inputs, other.encode(inputs)))
        assert not torch.equal(before, after)

    def test_freezing_survives_train(self, fresh: HuggingFaceLVLM) -> None:
        fresh.add_lora(4, 8, dropout=0.5)
        nn.Sequential(fresh).train()
        modes = {("lora_" in n, m.training) for n, m in fresh.lm.named_modules() if not n.endswith("lora_")}
        assert modes == {(True, True), (False, False)}
        assert {("lora_" in name) for name, p in fresh.named_parameters() if p.requires_grad} == {True}
        fresh.eval()
        assert not any(m.training for m in fresh.modules())

    def test_unfrozen_everything_learns(self, fresh: HuggingFaceLVLM) -> None:
        fresh.unfreeze()
        fresh.train()
        inputs = fresh.prepare(self.clips(), [DIALOG], 0, [FPS])
        fresh.loss(inputs, fresh.encode(inputs)).backward()
        assert all(m.training for m in fresh.modules())
        assert all(p.requires_grad for p in fresh.parameters())
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in self.tower(fresh).parameters())
