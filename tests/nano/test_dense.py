"""Dense losses: what cells show, by their place; and the parts of nano's pretraining loss."""

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from tiny import turn, video
from tvau.backbones import Qwen25VL
from tvau.backbones.base import Inputs
from tvau.language import NOUNS
from tvau.nano.dense import ATTRIBUTES, BACKGROUND, SEEN, DenseLoss, Pretraining
from tvau.nano.packing import pack
from tvau.types import Batch, Turn

SIZE, GRID = (96, 160), (6, 10)
CAR = NOUNS.index("car")
SURE = 40.0  # a logit


def batch(ids: Tensor, turns: list[Turn] | None = None) -> Batch:
    """One clip of a pair of frames; object 1 is a car of unknown looks, object 2 a person."""
    objects = torch.full((1, 256, 8), -1)
    objects[0, 1, 0], objects[0, 2, 0] = CAR, NOUNS.index("person")
    return {
        "video": video(1, 2, SIZE), "frames": torch.arange(2)[None], "fps": [5.0], "name": ["a"],
        "turns": [turns or []], "ids": ids, "objects": objects,
    }  # fmt: skip


def ids(columns: slice, ident: int = 1, shift: int = 0) -> Tensor:
    """An object over the full height of some columns, in the second frame moved to the right."""
    maps = torch.zeros(1, 2, *SIZE, dtype=torch.uint8)
    maps[0, 0, :, columns] = ident
    maps[0, 1, :, columns.start + shift : columns.stop + shift] = ident
    return maps


def expecting(left: int, right: int, shift: float = 0.0) -> tuple[DenseLoss, Tensor, Tensor]:
    """Heads that are sure of a noun in each half of the picture, and the states they read."""
    dense = DenseLoss(2, 2, block=1, layers=(), grid=GRID)
    for head in (dense.patch, dense.token):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        head.weight.data[left, 0] = head.weight.data[right, 1] = SURE
        head.weight.data[-2, 1] = shift
    halves = torch.zeros(1, 1, 12, 20, 2)
    halves[..., :10, 0] = halves[..., 10:, 1] = 1
    return dense, halves.movedim(-1, 2), halves[:, :, ::2, ::2]


def test_cells_are_labelled_with_the_object_that_lies_there() -> None:
    right = batch(ids(slice(80, 160)))
    dense, hidden, tokens = expecting(BACKGROUND, CAR)
    assert all(loss < 1e-4 for loss in dense.tower(right, hidden, tokens).values())
    dense, hidden, tokens = expecting(CAR, BACKGROUND)
    assert all(loss > SURE / 10 for loss in dense.tower(right, hidden, tokens).values())


def test_motion_within_a_pair_is_measured_in_pictures() -> None:
    moved = batch(ids(slice(84, 156), shift=4))
    losses = []
    for shift in (0.0, 20 * 4 / 160):  # the displacement is scaled by 20
        dense, hidden, tokens = expecting(BACKGROUND, CAR, shift)
        losses.append(dense.tower(moved, hidden, tokens)["token"])
    assert losses[1] < losses[0]
    assert losses[1] < 1e-2


def seen_by_lm(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Visual tokens [1, 1, h, w, D] as a sequence with three words behind them, and where they are."""
    visual = torch.ones(1, tokens[0, ..., 0].numel() + 3, dtype=torch.bool)
    visual[:, -3:] = False
    words = torch.zeros(1, 3, tokens.shape[-1])
    return torch.cat([tokens.flatten(1, 3), words], 1), visual


def labels(visual: Tensor) -> Tensor:
    """The last of the three words is learned, so the one before it tells it."""
    learned = torch.full(visual.shape, -100)
    learned[:, -1] = 7
    return learned


def test_object_numbers_mean_nothing_by_themselves() -> None:
    torch.manual_seed(0)
    dense = DenseLoss(4, 4, block=1, layers=(1,), grid=GRID)
    hidden, tokens = torch.randn(1, 1, 4, 12, 20), torch.randn(1, 1, *GRID, 4)
    states, visual = seen_by_lm(tokens)
    losses = []
    for ident in (1, 77):
        asked = {**turn("Where?", "there"), "about": ident}
        clip = batch(ids(slice(80, 160), ident), [cast(Turn, asked)])
        clip["objects"][0, ident] = clip["objects"][0, 1]
        losses.append(dense.tower(clip, hidden, tokens) | dense.language(clip, {1: states}, visual, labels(visual)))
    assert losses[0] == losses[1]
    assert losses[0]["points"] > 0


def test_layers_learn_the_place_of_every_token() -> None:
    dense = DenseLoss(2, sum(GRID), block=1, layers=(1,), grid=GRID, times=1)
    tokens = torch.zeros(1, 1, *GRID, sum(GRID))
    for y in range(GRID[0]):
        for x in range(GRID[1]):
            tokens[0, 0, y, x, [y, GRID[0] + x]] = 1
    states, visual = seen_by_lm(tokens)
    head = cast(nn.Linear, dense.layer["1"])
    head.weight.data.zero_()
    head.bias.data.zero_()
    head.bias.data[BACKGROUND] = SURE
    empty = batch(torch.zeros(1, 2, *SIZE, dtype=torch.uint8), [turn("?", "!")])
    before = dense.language(empty, {1: states}, visual, labels(visual))["layer1"]
    head.weight.data[-sum(GRID) :] = SURE * torch.eye(sum(GRID))
    after = dense.language(empty, {1: states}, visual, labels(visual))["layer1"]
    assert before > 0.2
    assert after < 1e-4


@pytest.mark.parametrize(("about", "least", "most"), [(1, 0.0, 1e-3), (2, SURE / 2, SURE * 2), (0, 0.0, 0.0)])
def test_words_of_an_answer_point_at_what_is_asked_about(about: int, least: float, most: float) -> None:
    dense = DenseLoss(2, 2, block=1, layers=(1,), grid=GRID)
    for head, bias in ((dense.asks, 1.0), (dense.shows, 0.0)):
        head.weight.data.zero_()
        head.bias.data.fill_(bias)
    dense.shows.weight.data[:, 0] = SURE / 8  # 64 channels of it, over 8
    _, _, tokens = expecting(0, 0)  # the first channel marks the left half
    states, visual = seen_by_lm(tokens)
    maps = ids(slice(0, 80))
    maps[..., 80:] = 2
    clip = batch(maps, [cast(Turn, {**turn("Who?", "that"), "about": about})])
    points = float(dense.language(clip, {1: states}, visual, labels(visual))["points"])
    assert least <= points <= most


def test_attributes_cover_the_table_of_objects() -> None:
    assert len(ATTRIBUTES) == 8
    assert set(SEEN) <= set(ATTRIBUTES)


# ---- the pretraining loss ----


@pytest.fixture
def lvlm(checkpoint: Path) -> Qwen25VL:
    lvlm = Qwen25VL(str(checkpoint), blocks=[1, 2])
    lvlm.unfreeze()
    return lvlm


TURNS = [turn("Where?", "center."), turn("Who?", "one.")]


def test_the_loss_is_the_weighted_sum_of_its_parts(lvlm: Qwen25VL) -> None:
    losses = Pretraining(lvlm, weight=0.5, packed=1.0)(lvlm, batch(ids(slice(80, 160)), TURNS), 0)
    parts = {key: loss for key, loss in losses.items() if key not in ("answers", "loss")}
    assert set(parts) == {"patch", "token", "layer1", "layer2", "points"}
    torch.testing.assert_close(losses["loss"], losses["answers"] + 0.5 * sum(parts.values()))


def test_without_questions_only_the_tower_is_asked(lvlm: Qwen25VL) -> None:
    losses = Pretraining(lvlm, weight=0.5, packed=1.0)(lvlm, batch(ids(slice(80, 160))), 0)
    assert set(losses) == {"patch", "token", "loss"}
    losses["loss"].backward()
    assert all(p.grad is None for p in lvlm.lm.model.language_model.layers.parameters())


def test_tower_and_language_model_learn_together(lvlm: Qwen25VL) -> None:
    Pretraining(lvlm, 0.5, 1.0)(lvlm, batch(ids(slice(80, 160)), TURNS), 0)["loss"].backward()
    assert any(p.grad is not None for p in lvlm.lm.model.visual.parameters())
    assert all(p.grad is not None for p in lvlm.lm.model.language_model.layers.parameters())


def test_turns_see_each_other_in_the_share_that_is_not_packed(lvlm: Qwen25VL) -> None:
    clips = batch(ids(slice(80, 160)), TURNS)
    packed, chained = (Pretraining(lvlm, 0.5, share)(lvlm, clips, 50)["answers"] for share in (1.0, 0.0))
    assert abs(packed - chained) > 1e-3


@pytest.mark.parametrize(("step", "seen"), [(0, 30), (5, 30), (10, (31, 59)), (15, 60)])
def test_words_see_objects_first_and_the_background_bit_by_bit(
    lvlm: Qwen25VL, step: int, seen: int | tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    masks: list[Tensor] = []
    inner = lvlm.hidden_states

    def watched(inputs: Inputs, *rest: object, **options: bool) -> tuple[Tensor, ...]:
        masks.append(inputs["attention_mask"])
        return inner(inputs, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(lvlm, "hidden_states", watched)
    half = batch(ids(slice(80, 160)), TURNS)  # 30 of 60 tokens show the car
    Pretraining(lvlm, 0.5, 0.0, reveal=(5, 15))(lvlm, half, step)
    if step == 15:  # from then on nothing is hidden, and turns are chained again
        assert masks[0].ndim == 2
        return
    visual = pack(lvlm, half["video"], half["turns"], [5.0])["input_ids"][0] == lvlm.lm.config.video_token_id
    counts = masks[0][0, 0][~visual][:, visual].sum(1)
    least, most = (seen, seen) if isinstance(seen, int) else seen
    assert counts[-1] == counts[-4]
    assert least <= counts[-1] <= most
    assert int(masks[0][0, 0][visual][:, visual].sum()) == 60 * 61 // 2
