"""Picking an adapter, frames that are resized, what reaches the library from YAML, and bad input."""

import importlib.util
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from families import FAMILIES, write
from real import ROOT as REAL_FILES
from tiny import turn, video
from tvau import backbones
from tvau.backbones import checkpoint, load
from tvau.backbones.huggingface import HuggingFaceLVLM, relative
from tvau.errors import BackboneError


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(FAMILIES["qwen2_5_vl"], tmp_path_factory.mktemp("qwen"))


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(FAMILIES["video_llava"], tmp_path_factory.mktemp("llava"))


def opened(folder: Path, **options: Any) -> HuggingFaceLVLM:
    lvlm = load(str(folder), **options)
    assert isinstance(lvlm, HuggingFaceLVLM)
    return lvlm


# ---- what is picked ----


def test_every_family_is_offered() -> None:
    assert {adapter.family for adapter in backbones.FAMILIES} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoints_model_type_picks_its_adapter(family: str, tmp_path: Path) -> None:
    lvlm = load(str(write(FAMILIES[family], tmp_path)))
    assert type(lvlm) is FAMILIES[family].adapter
    assert lvlm.name == f"{family}:64x{4 if family == 'gemma4' else 2}"


@pytest.mark.parametrize(("family", "whole"), [("qwen2_5_omni_thinker", "qwen2_5_omni"),
                                               ("qwen3_omni_moe_thinker", "qwen3_omni_moe")])  # fmt: skip
def test_of_a_whole_omni_model_the_thinker_is_read(family: str, whole: str, tmp_path: Path) -> None:
    thinker = opened(write(FAMILIES[family], tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": whole, "thinker_config": config}))
    names = {"model.language_model.": "model.", "model.visual.": "visual.", "model.audio_tower.": "audio_tower."}
    weights = {"talker.codec_head.weight": torch.zeros(2)}
    for name, weight in load_file(tmp_path / "model.safetensors").items():  # as the releases name them
        own = name.removeprefix("thinker.")
        part = next((part for part in names if own.startswith(part)), "")
        weights[f"thinker.{names.get(part, '')}{own.removeprefix(part)}"] = weight
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    read = opened(tmp_path)
    assert type(read) is FAMILIES[family].adapter
    assert read.lm.config.model_type == family
    assert all(torch.equal(own, read.lm.state_dict()[name]) for name, own in thinker.lm.state_dict().items())


@pytest.mark.parametrize(
    ("depth", "blocks"), [(32, (1, 8, 16, 32)), (24, (1, 6, 12, 24)), (12, (1, 3, 6, 12)), (2, (1, 2))]
)
def test_blocks_are_the_papers_at_the_same_relative_depths(depth: int, blocks: tuple[int, ...]) -> None:
    assert relative(depth) == blocks


def test_an_unknown_type_names_those_that_are_known(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(
        BackboneError, match=r"is a llava model: expected one of qwen2_vl, .* smolvlm, gemma4; docs/extend/lvlm.md"
    ):
        load(str(tmp_path))
    with pytest.raises(BackboneError, match=r"is a llava model, SmolVLM takes smolvlm: tvau.backbones.load"):
        backbones.SmolVLM(str(tmp_path))


# ---- frames ----


@torch.no_grad()
def test_frames_are_resized_to_the_towers_own_size(llava: Path) -> None:
    lvlm = opened(llava)
    clips = video(1, 2, (30, 50))
    assert lvlm.grid(2, 30, 50) == (2, 4, 4)
    square = resize(clips, [32, 32], InterpolationMode.BICUBIC, antialias=True)
    ours, expected = (lvlm.encode(lvlm.prepare(c, [[turn("?")]], 0, [1.0])).hidden[1] for c in (clips, square))
    assert torch.equal(ours, expected)


def test_a_preset_may_choose_the_size_of_frames(qwen: Path) -> None:
    lvlm = opened(qwen, size=(48, 64))
    hidden = lvlm.encode(lvlm.prepare(video(1, 2, (31, 47)), [[turn("?")]], 0, [1.0])).hidden[1]
    assert tuple(hidden.shape[-2:]) == lvlm.grid(2, 31, 47)[1:] == (6, 8)


# ---- what reaches the library ----


def test_dtype_attention_and_options_reach_the_model(qwen: Path) -> None:
    lvlm = opened(qwen, dtype="bfloat16", attention="eager", options={"low_cpu_mem_usage": True})
    assert {p.dtype for p in lvlm.parameters()} == {torch.bfloat16}
    assert lvlm.lm.config.get_text_config()._attn_implementation == "eager"
    assert lvlm.lm.config.vision_config._attn_implementation == "eager"


def test_code_of_a_checkpoint_is_never_run(qwen: Path) -> None:
    with pytest.raises(BackboneError, match="trust_remote_code is not allowed"):
        opened(qwen, options={"trust_remote_code": True})


def test_a_missing_package_is_named(qwen: Path) -> None:
    if importlib.util.find_spec("flash_attn"):
        pytest.skip("flash attention is installed")
    with pytest.raises(BackboneError, match=r"a package is missing .* `attention: sdpa` needs none"):
        opened(qwen, attention="flash_attention_2", dtype="bfloat16")


@pytest.mark.parametrize("bits", [4, 8])
def test_the_language_model_is_quantized_and_the_tower_is_not(qwen: Path, bits: int) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    lvlm, plain = opened(qwen, bits=bits), opened(qwen)
    kind = bitsandbytes.nn.Linear4bit if bits == 4 else bitsandbytes.nn.Linear8bitLt
    quantized = {name for name, module in lvlm.lm.named_modules() if isinstance(module, kind)}
    assert len(quantized) == 7 * 2
    assert all(name.startswith("model.language_model.") for name in quantized)
    inputs = lvlm.prepare(video(1, 2, (32, 32)), [[turn("Where?", "center.")]], 0, [1.0])
    lvlm.add_lora(4, 8)
    vision = lvlm.encode(inputs)
    assert torch.equal(vision.hidden[1], plain.encode(inputs).hidden[1])
    loss = lvlm.loss(inputs, vision)
    loss.backward()
    assert abs(float(loss.detach()) - float(plain.loss(inputs, vision))) < 0.5
    assert all(p.grad is not None for n, p in lvlm.named_parameters() if "lora_B" in n)


@torch.no_grad()
def test_answers_are_the_most_probable_tokens_whatever_the_generation_config_says(qwen: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(qwen, tmp_path / "some")
    edit(folder / "generation_config.json", repetition_penalty=1e6, do_sample=True, temperature=9.0)
    ids = []
    for lvlm in (opened(folder), opened(qwen)):
        inputs = lvlm.prepare(video(1, 2, (32, 32)), [[turn("Where?")]], 0, [1.0])
        lvlm.ends = set()
        ids.append(lvlm.generate(lvlm.start(inputs, lvlm.encode(inputs)), 12))
    assert ids[0] == ids[1]
    plain = lvlm.lm.generate(
        **{k: v for k, v in inputs.items() if k not in ("labels", "position_ids", "video")}, max_new_tokens=12,
        min_new_tokens=12, do_sample=False, repetition_penalty=1.0,
    )  # fmt: skip
    assert ids[0] == [lvlm.tokens.read(plain[0, inputs["input_ids"].shape[1] :].tolist())]


def test_past_think_blocks_stay(tmp_path: Path) -> None:
    folder = write(FAMILIES["qwen3_5"], tmp_path)
    real = REAL_FILES / "qwen3_5" / "chat_template.jinja"
    if real.is_file():
        shutil.copyfile(real, folder / "chat_template.jinja")
    lvlm = opened(folder)
    inputs = lvlm.prepare(video(1, 2, (32, 32)), [[turn("Is there one?", "Yes."), turn("Where?")]], 0, [1.0])
    assert lvlm.tokens.tokenizer.decode(inputs["input_ids"][0]).count("<think>\n\n</think>\n\n") == 2


def test_glms_answers_end_where_the_next_turn_begins(tmp_path: Path) -> None:
    folder = write(FAMILIES["glm4v"], tmp_path)
    real = REAL_FILES / "glm4v" / "chat_template.jinja"
    if real.is_file():
        shutil.copyfile(real, folder / "chat_template.jinja")
    lvlm = opened(folder)
    inputs = lvlm.prepare(video(1, 2, (32, 32)), [[turn("Is there one?", "Yes."), turn("Where?")]], 0, [1.0])
    ids, learned = inputs["input_ids"][0], inputs["labels"][0] >= 0
    read = lvlm.tokens.tokenizer.decode
    assert read(ids[learned]) == "Yes.<|user|>"
    asked = [line for line in read(ids).split("Is there one?")[1].splitlines() if line]
    assert asked == ["<|assistant|>", "Yes.<|user|>", "Where?<|assistant|>"]
    assert set(ids[learned][-1:].tolist()) <= lvlm.ends


@pytest.mark.parametrize("family", ["glm4v_moe", "glm46v"])
def test_glms_that_may_think_are_told_not_to(tmp_path: Path, family: str) -> None:
    """Yes or No is read, and learned, where the answer begins: no thought may come first."""
    lvlm = opened(write(FAMILIES[family], tmp_path))
    said = [turn("Is there one?", "Yes."), turn("Where?")]
    ids = lvlm.prepare(video(1, 2, (32, 48)), [said], 0, [1.0])["input_ids"][0]
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Is there one?"}]},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": [{"type": "text", "text": "Where?"}]},
    ]
    rendered = lvlm.tokens.processor.apply_chat_template(messages, add_generation_prompt=True, enable_thinking=False)
    begin = "Is there one?"
    assert lvlm.tokens.tokenizer.decode(ids).split(begin)[1] == rendered.split(begin)[1]
    assert rendered.endswith("Where?/nothink<|assistant|>\n<think></think>\n")


def test_videollama_keeps_what_stands_still(tmp_path: Path) -> None:
    lvlm = opened(write(FAMILIES["video_llama_3"], tmp_path))
    still = video(1, 1, (32, 48)).expand(-1, 4, -1, -1, -1)
    inputs = lvlm.prepare(still, [[turn("Where?")]], 0, [1.0])
    assert (inputs["input_ids"] == lvlm.tokens.placeholder).sum() == 4 * 2 * 3


def test_the_pair_around_all_time_steps_is_the_installed_librarys(tmp_path: Path) -> None:
    lvlm = opened(write(FAMILIES["qwen3_vl"], tmp_path))
    inputs = lvlm.prepare(video(1, 6, (64, 96)), [[turn("Where?")]], 0, [1.0])
    for word in ("<|vision_start|>", "<|vision_end|>"):
        assert (inputs["input_ids"] == lvlm.tokens.tokenizer.convert_tokens_to_ids(word)).sum() == 3 + 1


# ---- bad input ----


@pytest.mark.parametrize("blocks", [[], [0, 1], [1, 99]])
def test_blocks_beyond_the_depth(qwen: Path, blocks: list[int]) -> None:
    with pytest.raises(BackboneError, match="expected numbers from 1 to 3"):
        opened(qwen, blocks=blocks)


@pytest.mark.parametrize(("frames", "height", "width", "message"), [
    (3, 32, 64, "clips of 3 frames"), (0, 32, 64, "clips of 0 frames"), (4, 40, 64, "for example"),
    (4, 32, 8, "multiples of 16"), (4, 0, 64, "multiples of 16"),
])  # fmt: skip
def test_clips_that_a_qwen_cannot_hold(qwen: Path, frames: int, height: int, width: int, message: str) -> None:
    lvlm = opened(qwen, random_weights=True)
    with pytest.raises(BackboneError, match=message):
        lvlm.grid(frames, height, width)
    if frames and height:
        with pytest.raises(BackboneError, match=message):
            lvlm.prepare(video(1, frames, (height, width)), [[turn("?")]], 0, [1.0])


def test_clips_that_a_square_tower_cannot_hold(llava: Path) -> None:
    with pytest.raises(BackboneError, match="clips of 0 frames"):
        opened(llava).grid(0, 32, 32)
    with pytest.raises(BackboneError, match=r"48x64 pixels .* takes 32x32 only"):
        opened(llava, size=(48, 64)).grid(2, 32, 32)


def test_a_clip_beyond_the_models_context(llava: Path) -> None:
    with pytest.raises(BackboneError, match=r"clips of 64 frames .* at most 1024: use fewer frames .*=32\)"):
        opened(llava).prepare(video(1, 64, (32, 32)), [[turn("?")]], 0, [1.0])


def test_wrong_number_of_prompts(qwen: Path) -> None:
    lvlm = opened(qwen)
    inputs = lvlm.prepare(video(1, 2, (32, 32)), [[turn("?")]], 3, [1.0])
    with pytest.raises(BackboneError, match="4 anomaly prompts for 3 placeholders"):
        lvlm(inputs, lvlm.encode(inputs), torch.zeros(1, 4, lvlm.hidden_size))


def test_a_placeholder_in_a_question(qwen: Path) -> None:
    asked = [turn("Is there one?", "Yes."), turn("What is <|video_pad|>?")]
    for dialog in (asked[1:], asked):
        with pytest.raises(BackboneError, match=r"stands for a clip|no question may hold a placeholder"):
            opened(qwen).prepare(video(1, 2, (32, 32)), [dialog], 3, [1.0])


def test_a_folder_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"folder without config\.json"):
        load(str(tmp_path))
    with pytest.raises(BackboneError, match="neither a checkpoint folder nor a hub id"):
        load(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    "name", ["backbones/absent", "./nano", "../some/model", "here/absent", "nano", "qwen2_5_vl_7b",
             "owner/model/part", "presets/mine.yaml"],
)  # fmt: skip
def test_a_name_that_looks_like_a_path_is_never_looked_up(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "hub_answers", lambda: pytest.fail("the hub was asked"))
    with pytest.raises(BackboneError, match=r"nor a hub id \(owner/name\): there is no folder") as error:
        load(name)
    assert str(tmp_path / name) in str(error.value)


def test_a_silent_hub_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls and never answers
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(checkpoint, "PATIENCE", 0.5)
        checkpoint.hub_answers.cache_clear()
        for _ in range(2):
            with pytest.raises(BackboneError, match=r"did not answer within 0.5 s. Check the network"):
                load("nobody/no-such-model")
        silent.settimeout(0.1)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()
    checkpoint.hub_answers.cache_clear()


def test_missing_and_damaged_weights(qwen: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(qwen, tmp_path / "some")
    (folder / "model.safetensors").write_bytes((qwen / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(BackboneError, match="no weights could be loaded"):
        load(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match="no weights could be loaded"):
        load(str(folder))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


TEXT_ONLY = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


@pytest.mark.parametrize(
    ("family", "harm", "message"),
    [
        ("qwen2_5_vl", lambda f: (f / "chat_template.jinja").unlink(), r"not have a chat template.*: add"),
        ("qwen2_5_vl", lambda f: (f / "chat_template.jinja").write_text(TEXT_ONLY),
         "wrote .* is expected in front of one question"),
        ("qwen2_5_vl", lambda f: (f / "chat_template.jinja").write_text("{{ messages[0].content + 'x' }}"),
         "chat template cannot ask about a video .raised TypeError"),
        ("smolvlm", lambda f: (f / "chat_template.jinja").unlink(), "chat template cannot ask about a video"),
        ("internvl", lambda f: edit(f / "tokenizer_config.json", extra_special_tokens={}, video_token=None),
         "processor could not be loaded .*; add the release's tokenizer"),
        ("qwen2_5_vl", lambda f: (f / "tokenizer.json").unlink(), "add the release's"),
        ("qwen2_5_vl", lambda f: edit(f / "config.json", video_token_id=7), "where config.json says 7"),
        ("qwen2_5_vl", lambda f: (f / "processor_config.json").unlink(), "processor"),
    ],
)  # fmt: skip
def test_a_folder_with_a_part_missing(family: str, harm: Any, message: str, tmp_path: Path) -> None:
    folder = write(FAMILIES[family], tmp_path)
    harm(folder)
    with pytest.raises(BackboneError, match=message):
        load(str(folder))


def test_placeholders_are_counted_against_the_clips_visual_tokens(llava: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llava, tmp_path / "some")
    edit(folder / "processor_config.json", patch_size=16)  # of another release
    with pytest.raises(BackboneError, match=r"\d+ placeholders stand in a prompt for the 34 visual tokens"):
        opened(folder).prepare(video(1, 2, (32, 32)), [[turn("?")]], 0, [1.0])


def test_a_folder_without_tokenizer(qwen: Path, tmp_path: Path) -> None:
    shutil.copy(qwen / "config.json", tmp_path)
    with pytest.raises(BackboneError, match="processor"):
        load(str(tmp_path))
