"""The lines of the dialog table that are not the paper's: maps as a second video, in words, as marks; true masks."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from tiny import FRAMES, SIZE, batch, close, stage_one
from tvau.backbones import Qwen25VL
from tvau.dialog import Conversation, converse
from tvau.errors import DataError, OptionError
from tvau.heatmap_decoder import Maps
from tvau.language import Target, slots, trajectory
from tvau.model import TVAU
from tvau.tasks import DialogTask
from tvau.tasks.variants import INSTEAD, HeatmapVideo, TrueMasks, Variant, mask_maps, outlined, report
from tvau.types import Batch, clip_rates

GRID = (FRAMES // 2, SIZE[0] // 8, SIZE[1] // 8)


@pytest.fixture(scope="module")
def lvlm(checkpoint: Path) -> Qwen25VL:
    return Qwen25VL(str(checkpoint), blocks=[1, 2])


@pytest.fixture(scope="module")
def first(lvlm: Qwen25VL, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of stage 1."""
    return str(stage_one(lvlm, tmp_path_factory.mktemp("stage1") / "last.ckpt"))


def task(lvlm: Qwen25VL, variant: Variant, heatmap: str | None) -> DialogTask:
    torch.manual_seed(0)
    made = DialogTask(copy.deepcopy(lvlm), heatmap, variant=variant, channels=8, lora_rank=2)
    for name, weights in made.named_parameters():
        if "lora_B" in name:  # it starts at zero, which hides from the first LoRA matrix that there is a loss
            weights.data.normal_(0, 0.1)
    return made


def masked(clips: Batch, mask: Tensor) -> Batch:
    return {**clips, "mask": mask}


# ---- the heatmap as a second video ----


def test_the_heatmap_goes_through_the_tower_as_gray_frames(lvlm: Qwen25VL, first: str) -> None:
    model, clips = task(lvlm, "heatmap_video", first).model, batch(2)
    assert isinstance(model, HeatmapVideo)
    assert model.places(GRID) == GRID[0] * GRID[1] * GRID[2] // 4
    with torch.no_grad():
        heatmaps = model.heatmaps(clips)
        frames = np.rint(heatmaps.numpy() * np.float32(255)).astype(np.uint8)
        assert frames.min() < frames.max()
        video = torch.from_numpy(frames)[:, :, None].repeat(1, 1, 3, 1, 1)
        inputs = lvlm.prepare(video, [[{"task": "", "question": "?", "answer": ""}]] * 2, 0, clip_rates(clips))
        expected = lvlm.lm.get_video_features(
            inputs["pixel_values_videos"], inputs["video_grid_thw"], return_dict=True
        ).pooler_output
        tokens = model.glance(clips).prompts
        assert tokens is not None
        close(tokens, torch.stack(list(expected)))
        assert (tokens[0] - tokens[1]).abs().max() > 1e-3
        inputs = lvlm.prepare(clips["video"], clips["turns"], tokens.shape[1], clip_rates(clips))
        close(model(clips), model.backbone.loss(inputs, lvlm.encode(inputs), tokens))


@pytest.mark.parametrize("variant", INSTEAD)
def test_in_place_of_the_region_encoder_only_lora_learns(lvlm: Qwen25VL, first: str, variant: Variant) -> None:
    made = task(lvlm, variant, first)
    assert made.method == "tvau"
    made.model(batch(2)).backward()
    learning = {name: p for name, p in made.named_parameters() if p.requires_grad}
    assert learning
    assert all("lora_" in name and p.grad is not None and p.grad.abs().sum() > 0 for name, p in learning.items())


@pytest.mark.parametrize("variant", INSTEAD)
def test_what_shows_maps_needs_them(lvlm: Qwen25VL, variant: Variant) -> None:
    with pytest.raises(OptionError, match=f"variant {variant} without heatmap: give a checkpoint of stage 1"):
        DialogTask(lvlm, variant=variant, lora_rank=0)


# ---- the map in words ----


def shown(model: TVAU, monkeypatch: pytest.MonkeyPatch, mask: Tensor) -> Maps:
    """Lets a model see these masks [B, T, H, W] as its maps."""
    maps = mask_maps(mask, GRID)
    monkeypatch.setattr(model, "draw", lambda vision, batch: maps)
    return maps


def moving(clips: int = 1) -> Tensor:
    """A mask that is in the upper left at first, then further right."""
    mask = torch.zeros(clips, FRAMES, *SIZE, dtype=torch.bool)
    mask[:, :2, :8, 16:24], mask[:, 2:, :8, 24:32] = True, True
    return mask


def test_a_sentence_in_front_of_the_question_says_what_the_map_shows(
    lvlm: Qwen25VL, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clips = task(lvlm, "coordinates_as_text", first).model.eval(), batch(2)
    mask = moving(2)
    mask[1] = False
    shown(model, monkeypatch, mask)
    passes: list[int] = []
    hook = model.backbone.lm.model.visual.register_forward_hook(lambda *_: passes.append(1))  # type: ignore[union-attr]
    seen = model.look(clips, clips["turns"])
    hook.remove()
    assert len(passes) == 1
    assert seen.prompts is None
    question = clips["turns"][0][0]["question"]
    known = [
        "The heatmap shows an anomaly, five of ten. "  # of the four highest patches two are hot
        "It starts at the upper left, moves right and ends at the upper center. ",
        "The heatmap shows no anomaly. ",
    ]
    for ids, words in zip(seen.inputs["input_ids"], known, strict=True):
        assert words + question in lvlm.tokens.tokenizer.decode(ids[ids >= 0])
    turns = [
        [{**one, "question": words + one["question"]}, *rest]
        for words, (one, *rest) in zip(known, clips["turns"], strict=True)
    ]
    plain = lvlm.prepare(clips["video"], turns, 0, clip_rates(clips))  # type: ignore[arg-type]
    assert torch.equal(seen.inputs["input_ids"], plain["input_ids"])
    close(model(clips), model.backbone.loss(plain, lvlm.encode(plain)))


def test_what_is_said_of_the_map_follows_it_into_the_dialog(
    lvlm: Qwen25VL, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clips = task(lvlm, "coordinates_as_text", first).model.eval(), batch(1)
    mask = torch.zeros(1, FRAMES, *SIZE, dtype=torch.bool)
    answers = []
    for place in ((slice(0, 8), slice(0, 8)), (slice(24, 32), slice(56, 64))):
        mask[0, :, *place], mask[0, :, *reversed(place)] = True, False
        shown(model, monkeypatch, mask)
        glanced = Conversation(model, clips, model.glance(clips))
        talks = [Conversation(model, clips), glanced]
        leans = [talk.lean(["Where?"]) for talk in talks]
        close(leans[0], leans[1])  # whether it had looked before or not
        answers.append(leans[0])
        talks[1].ask(["Is there any anomaly in the video?"], 1)
        assert talks[1].history[0][0][0] == "Is there any anomaly in the video?"
    assert (answers[0] - answers[1]).abs().max() > 1e-4


def test_a_sentence_names_level_start_and_end() -> None:
    way = ("upper left", "center", "down right")
    said = report(0.86, way)
    assert said == "The heatmap shows an anomaly, nine of ten. " + trajectory(Target("", "", (), *way))
    assert slots(said) == {"start": "upper left", "end": "center", "direction": "down right"}
    assert report(0.04, way) == report(0.01, ("center", "center", "")) == "The heatmap shows no anomaly."


# ---- marks in the frames ----


def test_frames_are_marked_around_what_is_hot_and_nowhere_else() -> None:
    video, mask = batch(2)["video"], moving(2)
    mask[1] = False
    before = video.clone()
    marked = outlined(video, mask.float())
    assert torch.equal(video, before)
    changed = (marked != video).any(2)  # [B, T, H, W]
    assert not changed[1].any()
    far = max_pool2d(mask.float().flatten(0, 1), 13, 1, 6).bool().view_as(mask)
    assert changed[0].flatten(1).any(1).all()
    assert not (changed & ~far).any()
    assert not (changed & mask).any()  # what is shown is not hidden


def test_the_language_model_sees_the_marked_frames(lvlm: Qwen25VL, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, clips = task(lvlm, "marks", first).model.eval(), batch(2)
    mask = moving(2)
    mask[1] = False
    maps = shown(model, monkeypatch, mask)
    seen, plain = model.look(clips, clips["turns"]), lvlm.encode({"video": clips["video"]})
    assert seen.prompts is None
    assert all(torch.equal(seen.vision.hidden[k], plain.hidden[k]) for k in lvlm.blocks)
    marked = lvlm.encode({"video": outlined(clips["video"], model.enlarge(maps, clips))})
    tokens, own, expected = (lvlm.picture_tokens(v) for v in (plain, seen.vision, marked))
    close(own, expected)
    assert (own[0] - tokens[0]).abs().max() > 1e-2
    assert (own[1] - tokens[1]).abs().max() < 1e-5  # nothing was hot, nothing was drawn


# ---- visual tokens under the map, by the region encoder ----


def test_pooled_tokens_are_those_of_the_clip(lvlm: Qwen25VL, first: str) -> None:
    torch.manual_seed(0)
    made = DialogTask(copy.deepcopy(lvlm), first, parts=["tokens"], channels=8, lora_rank=2)
    model, clips = made.model, batch(2)
    seen = model.look(clips, clips["turns"])
    assert model.encoder is not None
    assert seen.maps is not None
    inputs = lvlm.prepare(clips["video"], clips["turns"], GRID[0], clip_rates(clips))
    vision = lvlm.encode(inputs)
    tokens = torch.stack(list(vision.output["pooler_output"])).unflatten(1, (GRID[0], GRID[1] // 2, GRID[2] // 2))
    expected = model.encoder(seen.maps.similar, tokens.movedim(-1, 2))
    close(seen.prompts, expected)  # type: ignore[arg-type]
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    close(model(clips), model.backbone.loss(inputs, vision, expected))
    model(clips).backward()
    learning = {name: p for name, p in made.named_parameters() if p.requires_grad}
    assert {"lora" if "lora_" in name else name.split(".")[1] for name in learning} == {"lora", "encoder"}
    assert all(p.grad is not None for p in learning.values())


# ---- true masks ----


def test_masks_become_the_maps_of_a_decoder_that_knows() -> None:
    mask = torch.rand(2, FRAMES, *SIZE, generator=torch.Generator().manual_seed(0)) < 0.3
    maps = mask_maps(mask, GRID)
    assert maps.similar.shape == (2, GRID[0], 2, *GRID[1:])
    cell = mask[1, 2:4, 8:16, 24:32].float().mean()
    close(maps.similar[1, 1, :, 1, 3].softmax(0), torch.stack([1 - cell, cell]))  # eq. 7
    close(maps.logit, maps.similar[:, :, 1] - maps.similar[:, :, 0])
    whole = mask_maps(torch.ones_like(mask), GRID)
    close(whole.similar.softmax(2)[:, :, 1], torch.full_like(whole.logit, 0.99))


def test_the_region_encoder_sees_the_masks(lvlm: Qwen25VL) -> None:
    made, clips = task(lvlm, "true_masks", None), batch(2)
    model = made.model
    assert isinstance(model, TrueMasks)
    assert model.encoder is not None
    assert made.method == "tvau"
    close(model.look(clips, clips["turns"]).prompts, model.encoder(mask_maps(clips["mask"], GRID).similar))  # type: ignore[arg-type]
    assert model(clips).item() != model(masked(clips, ~clips["mask"].roll(1, 1))).item()
    model(clips).backward()
    learning = {name: p for name, p in made.named_parameters() if p.requires_grad}
    assert {"lora" if "lora_" in name else name.split(".")[1] for name in learning} == {"lora", "encoder"}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learning.values())
    _, maps = converse(model, clips, [["Where?"]] * 2, most=1)
    assert maps is None  # scores of the truth would mean nothing


def test_masks_reach_nothing_else(lvlm: Qwen25VL, first: str) -> None:
    clips = batch(2)
    other = masked(clips, ~clips["mask"].roll(1, 1))
    model = task(lvlm, "true_masks", first).model
    with torch.no_grad():
        assert torch.equal(model.maps(clips).similar, model.maps(other).similar)
        nothing: Variant | None = None
        for variant in (nothing, *INSTEAD):
            blind = DialogTask(lvlm, first, variant=variant, channels=8, lora_rank=0).model
            assert torch.equal(blind(clips), blind(other))


def test_true_masks_need_masks(lvlm: Qwen25VL) -> None:
    clips = batch()
    del clips["mask"]
    with pytest.raises(DataError, match="normal_scene_1_scenario_0 has no mask"):
        task(lvlm, "true_masks", None).model(clips)
