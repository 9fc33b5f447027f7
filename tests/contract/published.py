"""What a family says of itself: geometry, text features, and where its hidden states lie."""

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from contract.checks import FPS, QUESTIONS, ROUNDING, Checks
from tiny import turn
from tvau.backbones import Inputs
from tvau.backbones.huggingface import HuggingFaceLVLM


class Published(Checks):
    """Geometry, text features, hidden states."""

    def test_geometry_is_that_of_what_it_returns(self, lvlm: HuggingFaceLVLM) -> None:
        times, height, width = lvlm.grid(self.frames, *self.family.size)
        inputs = self.ask(lvlm, QUESTIONS)
        vision = lvlm.encode(inputs)
        hidden, tokens = vision.hidden, lvlm.picture_tokens(vision)
        assert set(hidden) == set(lvlm.blocks) == {1, 2}
        assert {h.shape for h in hidden.values()} == {(2, times, lvlm.vision_size, height, width)}
        config = lvlm.lm.config
        placeholder = config.video_token_id if lvlm.modality == "video" else config.image_token_id
        assert (inputs["input_ids"] == placeholder).sum() == 2 * lvlm.visual_tokens(config, (times, height, width))
        assert tokens.movedim(2, -1).shape == (2, *lvlm.token_grid(config, (times, height, width)), lvlm.hidden_size)
        read = lvlm.hidden_states(inputs, vision, every=True)[0]  # what the language model is given
        places = lvlm.picture_places(inputs)
        given = read[torch.arange(2)[:, None, None, None], places]
        assert torch.equal(given, tokens.movedim(2, -1))
        step, cell = self.family.cell
        assert (times * step, height * cell, width * cell) == (self.frames, *self.family.size)

    def test_text_features_do_not_depend_on_their_neighbours(self, lvlm: HuggingFaceLVLM) -> None:
        texts = ["a person", "A short surveillance clip where a fire burning occurs."]
        tokens, mask = lvlm.encode_text(texts)
        assert tokens.shape == (*mask.shape, lvlm.hidden_size)
        for i, text in enumerate(texts):
            alone, _ = lvlm.encode_text([text])
            torch.testing.assert_close(tokens[i, mask[i].bool()], alone[0], rtol=1e-4, atol=ROUNDING)

    @torch.no_grad()
    def test_only_one_blocks_hidden_states_are_there_twice(
        self, fresh: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those that the tower left are let go as they come to lie on the raster, or are read where they are."""
        features, raster = fresh.features, fresh.raster
        left: list[weakref.ref[Tensor]] = []
        made: list[int] = []  # where what lies on the raster begins
        twice: list[int] = []

        def count() -> int:
            there = [state for ref in left if (state := ref()) is not None]
            return sum(state.untyped_storage().data_ptr() not in made for state in there)

        def watched(inputs: Inputs) -> Any:
            output = features(inputs)
            left.extend(weakref.ref(output["hidden_states"][block]) for block in fresh.blocks)
            return output

        def moved(hidden: Tensor, inputs: Inputs) -> Tensor:
            twice.append(count() + len(made))
            made.append((own := raster(hidden, inputs)).untyped_storage().data_ptr())
            return own

        monkeypatch.setattr(fresh, "features", watched)
        monkeypatch.setattr(fresh, "raster", moved)
        seen = fresh.encode(self.ask(fresh))
        assert twice == [len(fresh.blocks)] * len(fresh.blocks)
        assert count() == 0
        assert set(seen.output) <= {"pooler_output", "deepstack_features"}

    @torch.no_grad()
    def test_hidden_states_and_visual_tokens_lie_on_the_true_raster(self, fresh: HuggingFaceLVLM) -> None:
        def silence(module: nn.Module, given: Any, made: Any) -> Any:
            return (made[0] * 0, *made[1:]) if isinstance(made, tuple) else made * 0

        for name, module in self.tower(fresh).named_modules():
            if name.rsplit(".")[-1] in (
                "attn",
                "self_attn",
                "attention",
            ):  # without it a patch changes its own cell only
                module.register_forward_hook(silence)
        fresh.blocks = (1, fresh.depth)
        step, cell = self.family.cell
        clip = self.clips()
        before = fresh.encode(self.ask(fresh))
        tokens = fresh.picture_tokens(before)
        times, height, width = fresh.grid(self.frames, *self.family.size)
        for t, y, x in ((0, 0, 1), (times - 1, height - 1, width - 2), (times - 1, 1, width - 1)):
            other = clip.clone()
            other[:, t * step : (t + 1) * step, :, y * cell : (y + 1) * cell, x * cell : (x + 1) * cell] ^= 255
            after = fresh.encode(fresh.prepare(other, [[turn(QUESTIONS[0])]], 0, [FPS]))
            for block in fresh.blocks:
                changed = (after.hidden[block] != before.hidden[block]).any(2)[0]  # [T', H', W']
                assert changed.nonzero().tolist() == [[t, y, x]]
            moved = (fresh.picture_tokens(after) - tokens).norm(dim=2)[0]  # [T', h, w]
            rows, columns = moved.shape[1:]
            where = (t, int((y + 0.5) * rows / height), int((x + 0.5) * columns / width))
            assert moved[where] == moved.max() > 0
