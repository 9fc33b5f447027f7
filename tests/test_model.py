"""The four stages composed: one pass over a clip, its maps, its prompts, its words."""

from pathlib import Path

import pytest
import torch

from tiny import DIALOG, FRAMES, SIZE, batch, close, turn
from tvau.backbones import Qwen25VL
from tvau.dialog import converse
from tvau.heatmap_decoder import AnomalyHeatmapDecoder
from tvau.model import TVAU, text_features
from tvau.prompts import nested
from tvau.region_encoder import RegionAwareAnomalyEncoder
from tvau.types import clip_rates

WORDS = {"normal": nested(("a person walking", "a car")), "abnormal": nested(("a fire burning",))}


@pytest.fixture(scope="module")
def lvlm(checkpoint: Path) -> Qwen25VL:
    return Qwen25VL(str(checkpoint), blocks=[1, 2])


@pytest.fixture
def model(lvlm: Qwen25VL) -> TVAU:
    torch.manual_seed(0)
    decoder = AnomalyHeatmapDecoder(lvlm.vision_size, lvlm.hidden_size, lvlm.blocks)
    encoder = RegionAwareAnomalyEncoder(lvlm.hidden_size, channels=8, scale=lvlm.prompt_scale)
    return TVAU(lvlm, decoder, encoder, text_features(lvlm, WORDS))


def test_text_features_are_means_over_all_tokens_of_a_class(lvlm: Qwen25VL) -> None:
    with torch.no_grad():
        tokens = {c: torch.cat([lvlm.encode_text([prompt])[0][0] for prompt in WORDS[c]]) for c in WORDS}
    features = text_features(lvlm, WORDS)
    assert not features.requires_grad
    close(features, torch.stack([tokens["normal"].mean(0), tokens["abnormal"].mean(0)]))


def test_the_loss_is_that_of_answers_behind_video_prompts_and_questions(model: TVAU, lvlm: Qwen25VL) -> None:
    clips = batch(2)
    inputs = lvlm.prepare(clips["video"], clips["turns"], 20, clip_rates(clips))  # one change between two time steps
    vision = lvlm.encode(inputs)
    assert model.decoder is not None
    assert model.encoder is not None
    prompts = model.encoder(model.decoder(vision.hidden, model.text).similar)
    close(model(clips), lvlm.loss(inputs, vision, prompts))


def test_both_modules_learn_from_the_words(model: TVAU) -> None:
    model(batch()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    assert model.decoder is not None
    assert sum(float(p.grad.abs().sum()) for p in model.decoder.parameters() if p.grad is not None) > 0
    assert all(p.grad is None for p in model.backbone.parameters())


def test_heatmaps_are_of_the_frames_size_and_need_no_words(model: TVAU) -> None:
    clips = batch(2, turns=[])
    maps = model.maps(clips)
    assert maps.similar.shape == (2, FRAMES // 2, 2, SIZE[0] // 8, SIZE[1] // 8)
    heatmaps = model.heatmaps(clips)
    assert heatmaps.shape == (2, FRAMES, *SIZE)
    assert heatmaps.min() >= 0
    assert heatmaps.max() <= 1
    close(model.enlarge(maps, clips), heatmaps)


def test_a_conversation_looks_once_and_shows_the_same_maps(model: TVAU, lvlm: Qwen25VL) -> None:
    runs = []
    hook = lvlm.lm.model.visual.register_forward_hook(lambda *_: runs.append(1))
    answers, heatmaps = converse(model, batch(2), [["Where?", "Who?", "Why?"]] * 2, most=3)
    hook.remove()
    assert len(runs) == 1
    assert [len(own) for own in answers] == [3, 3]
    assert heatmaps is not None
    close(heatmaps, model.heatmaps(batch(2)))


def test_a_conversation_is_the_backbones_dialog_behind_the_prompts(model: TVAU, lvlm: Qwen25VL) -> None:
    clips = batch()
    seen = model.look(clips, [[turn("Where?")]])
    assert seen.prompts is not None
    dialog = lvlm.start(seen.inputs, seen.vision, seen.prompts)
    expected = [lvlm.generate(dialog, 4)[0]]
    lvlm.ask(dialog, ["Who?"])
    expected.append(lvlm.generate(dialog, 4)[0])
    assert converse(model, clips, [["Where?", "Who?"]], most=4)[0] == [expected]


def test_without_modules_it_is_the_backbone_alone(lvlm: Qwen25VL) -> None:
    alone, clips = TVAU(lvlm), batch()
    inputs = lvlm.prepare(clips["video"], [DIALOG], 0, clip_rates(clips))
    vision = lvlm.encode(inputs)
    close(alone(clips), lvlm.loss(inputs, vision))
    answers, maps = converse(alone, clips, [["Where?"]], most=2)
    assert maps is None
    assert len(answers[0]) == 1
    assert not [p for p in alone.parameters() if p.requires_grad]


def test_the_rate_of_a_clip_is_that_of_its_own_frames(model: TVAU) -> None:
    plain, spaced = batch(), batch()
    spaced["frames"] = spaced["frames"] * 4
    rates = [clip_rates(b)[0] for b in (plain, spaced)]
    assert rates == [5.0, 1.25]
    spaced["frames"] = spaced["frames"] * 0  # one picture again and again
    assert clip_rates(spaced) == [5.0]
