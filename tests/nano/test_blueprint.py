"""nano's blueprint: an ordinary Qwen2.5-VL folder whose tokenizer knows the words of the dialog."""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from tiny import turn, video
from tvau import language
from tvau.backbones import Qwen25VL
from tvau.cli import main
from tvau.nano import blueprint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano")
    blueprint.create(folder)
    return folder


def test_it_is_an_ordinary_checkpoint_of_a_few_million_weights(folder: Path) -> None:
    config = AutoConfig.from_pretrained(folder)
    assert config.model_type == "qwen2_5_vl"
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    assert 3e6 < sum(p.numel() for p in model.parameters()) < 10e6
    assert not list(folder.glob("*.safetensors"))  # the weights come from pretraining


@pytest.mark.parametrize(("width", "heads"), [(192, 4), (64, 8)])
def test_a_nano_of_another_width_answers(width: int, heads: int, tmp_path: Path) -> None:
    main(["nano", str(tmp_path), "--layers=1", f"--width={width}", f"--heads={heads}"])
    lvlm = Qwen25VL(str(tmp_path), blocks=[1], random_weights=True)
    inputs = lvlm.prepare(video(), [[turn("Is there any anomaly in the video?")]], 0, [5.0])
    assert len(lvlm.generate(lvlm.start(inputs, lvlm.encode(inputs)), 2)) == 1


def test_words_are_one_token_each_and_anything_else_is_covered(folder: Path) -> None:
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    words = {
        w for text in (*language.NOUNS, *language.ACTIONS, *language.CELLS, *language.COLOURS) for w in text.split()
    }
    split = [word for word in words if len(tokenizer(f" {word}", add_special_tokens=False)["input_ids"]) > 1]
    assert split == []
    for text in ("Überraschung, 3.5 €!", "東京\n", "a  b"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == f" {text}"


def test_a_word_is_the_same_token_at_the_start_of_an_answer(folder: Path) -> None:
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    first, inside = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("red.", "a red."))
    assert first == inside[1:]


def test_special_tokens_of_configuration_and_tokenizer_agree(folder: Path) -> None:
    config, tokenizer = AutoConfig.from_pretrained(folder), AutoProcessor.from_pretrained(folder).tokenizer
    ids = {key: tokenizer.convert_tokens_to_ids(token) for key, token in blueprint.SPECIAL.items()}
    assert config.video_token_id == ids["video"]
    assert config.image_token_id == ids["image"]
    assert config.vision_start_token_id == ids["start"]
    assert config.text_config.eos_token_id == tokenizer.eos_token_id == ids["eos"]
    assert max(ids.values()) < len(tokenizer) < config.text_config.vocab_size  # room for the prompts' placeholder


def test_turns_are_rendered_with_their_speakers_and_ends(folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    messages = [
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Where?"}]},
        {"role": "assistant", "content": "Here."},
        {"role": "user", "content": "Who?"},
    ]
    rendered = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == (
        "<|user|><|vision_start|><|video_pad|><|vision_end|>Where?<|assistant|>Here.<|im_end|><|user|>Who?<|assistant|>"
    )


def test_the_shipped_folder_has_this_architecture(folder: Path, root: Path) -> None:
    shipped, made = (AutoConfig.from_pretrained(f) for f in (root / "backbones" / "nano", folder))
    for part in ("text_config", "vision_config"):
        parts = [
            {**getattr(config, part).to_dict(), "dtype": None} for config in (shipped, made)
        ]  # once it has weights
        assert parts[0] == parts[1]


def test_the_shipped_weights_are_small_and_load(root: Path) -> None:
    weights = root / "backbones" / "nano" / "model.safetensors"
    assert weights.stat().st_size <= 20e6
    lvlm = Qwen25VL(str(weights.parent), blocks=[1, 2, 4, 6])
    assert all(w.isfinite().all() for w in lvlm.parameters())
