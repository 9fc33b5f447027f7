"""Tiny random checkpoints of every family, saved as the hub's are: configuration, tokenizer, template, weights.

A new family is one function here, one line in `FAMILIES`, and one line in tests/backbones/test_contract.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tvau import backbones
from tvau.backbones.huggingface import HuggingFaceLVLM

SENTENCES = (
    "Is there any anomaly in the video? No, there is no anomaly. Where does it start? center, at the upper left.",
    "A short surveillance clip where a fire burning occurs. a person running What is its movement trajectory? Who?",
    "You are provided the following series of four frames from a 0:00:01 [H:MM:SS] video. Frame from 00:01: seconds",
    "How many people are in the video? two. Yes. USER: ASSISTANT: User: Assistant: user assistant system Frame1:",
    "video.\n\n",  # two lines that end a text become one token, in front of a word they are two
)
WIDTH, LAYERS, HEADS = 64, 2, 4  # of the language models
CHATML = """\
{%- for m in messages -%}<|im_start|>{{ m.role }}
{% if m.content is string %}{{ m.content }}{% else %}{%- for c in m.content -%}
{%- if c.type == 'video' -%}VIDEO{%- elif c.type == 'text' -%}{{ c.text }}{%- endif -%}
{%- endfor -%}{% endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% if THINK %}<think>

</think>

{% endif %}{%- endif -%}"""
VICUNA = """\
{{ bos_token }}{%- for m in messages -%}{%- if m.role == 'user' -%}USER: \
{% for c in m.content if c.type == 'video' -%}<video>
{% endfor -%}{%- for c in m.content if c.type == 'text' -%}{{ c.text }}{%- endfor -%}
{%- else %} ASSISTANT: {% for c in m.content if c.type == 'text' -%}{{ c.text }}{%- endfor -%}{%- endif %} {% endfor -%}
{%- if add_generation_prompt -%}ASSISTANT:{%- endif -%}"""
SMOL = """\
<|im_start|>{% for m in messages %}{{ m.role | capitalize }}{{ ': ' }}{% for c in m.content %}\
{% if c.type == 'text' %}{{ c.text }}{% elif c.type == 'video' %}<video>{% endif %}{% endfor %}<end_of_utterance>
{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"""


@dataclass(frozen=True)
class Family:
    """How a tiny checkpoint is made, and on which frames it is tested."""

    adapter: type[HuggingFaceLVLM]
    build: Callable[[], tuple[Any, hf.PreTrainedConfig]]  # processor and configuration
    size: tuple[int, int]  # (height, width) of frames, pixels
    cell: tuple[int, int]  # frames, and pixels along a side, of one cell of the heatmap's grid
    maps: int = 14  # that LoRA reaches: q, k, v, o, gate, up, down of two layers


def write(family: Family, folder: Path) -> Path:
    """Writes a tiny random checkpoint of a family."""
    processor, config = family.build()
    torch.manual_seed(0)
    lm = hf.AutoModelForImageTextToText.from_config(config)
    for weights in lm.parameters():
        if weights.ndim > 1:  # the library's own start is so small that neither position nor attention would show
            weights.data.normal_(0, weights[0].numel() ** -0.5)
    lm.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    lm.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def bpe(special: Sequence[str], eos: str, bos: str | None = None, **named: str) -> hf.PreTrainedTokenizerFast:
    """A small tokenizer over bytes. `named` become attributes.

    With `bos` it is Llama's and Mistral's kind: that stands in front, and every piece of text between special tokens
    begins with a space of its own.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if bos:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
        alphabet = ["\n", *map(chr, range(ord("!"), ord("~") + 1))]
    every = [*dict.fromkeys(["<pad>", eos, *([bos] if bos else []), *special, *named.values()])]
    tokenizer.train_from_iterator(
        SENTENCES * 20,
        trainers.BpeTrainer(
            vocab_size=480, special_tokens=every, initial_alphabet=alphabet, show_progress=False
        ),
    )  # fmt: skip
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, every.index(bos))]
        )
    made = hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=eos, bos_token=bos, pad_token="<pad>", padding_side="left",
        extra_special_tokens=named or list(special),
    )  # fmt: skip
    if named:
        made.add_special_tokens({"extra_special_tokens": list(special)}, replace_extra_special_tokens=False)
    return made


def number(tokenizer: hf.PreTrainedTokenizerFast, word: str) -> int:
    """The id of a special token."""
    return tokenizer.get_vocab()[word]


def text(tokenizer: hf.PreTrainedTokenizerFast, kind: str, **more: Any) -> dict[str, Any]:
    """Configuration of a language model."""
    return {
        "model_type": kind, "vocab_size": 512, "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": 2,
        "max_position_embeddings": 1024, "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, **more,
    }  # fmt: skip


# ---- Qwen ----

QWEN = ("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
PIXELS: dict[str, Any] = {"size": {"shortest_edge": 256, "longest_edge": 64 * 160 * 160}}
EXPERTS: dict[str, Any] = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
MROPE = {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [4, 2, 2]}


def qwen(model: str, patch: int, text_config: dict[str, Any], vision: dict[str, Any], think: bool = False) -> Any:
    """Processor and configuration of a Qwen-VL whose classes begin with `model`."""
    tokenizer = bpe(QWEN, "<|im_end|>")
    third = model.startswith("Qwen3")
    cut: dict[str, Any] = {"patch_size": patch, "temporal_patch_size": 2, "merge_size": 2, **PIXELS}
    video = (hf.Qwen3VLVideoProcessor if third else hf.Qwen2VLVideoProcessor)(**cut)
    kind = "Qwen3VL" if third else model
    template = CHATML.replace("VIDEO", "<|vision_start|><|video_pad|><|vision_end|>")
    template = template.replace("THINK", "not enable_thinking" if think else "false")
    processor = getattr(hf, f"{kind}Processor")(
        image_processor=hf.Qwen2VLImageProcessor(**cut), tokenizer=tokenizer, video_processor=video,
        chat_template=template,
    )  # fmt: skip
    ids = [number(tokenizer, word) for word in QWEN[1:]]
    base = getattr(hf, f"{model}Config")
    kinds = {key: sub.model_type for key, sub in base.sub_configs_defaults.items()}
    config = base(
        text_config={**text(tokenizer, kinds["text_config"]), "rope_parameters": dict(MROPE), **text_config},
        vision_config={"depth": 3, "num_heads": 4, "patch_size": patch, **vision},
        **dict(
            zip(("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id"), ids, strict=True)
        ),
    )
    return processor, config


def qwen2_vl() -> Any:
    return qwen("Qwen2VL", 8, {}, {"embed_dim": 32, "hidden_size": WIDTH})


def qwen2_5_vl() -> Any:
    windows = {"window_size": 32, "fullatt_block_indexes": [1], "tokens_per_second": 3}
    return qwen("Qwen2_5_VL", 8, {}, {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": WIDTH, **windows})


def qwen3_vl(kind: str = "Qwen3VL", **more: Any) -> Any:
    vision = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": WIDTH, "num_position_embeddings": 64}
    rope = {**MROPE, "mrope_interleaved": True}
    return qwen(
        kind, 16, {"head_dim": 16, "rope_parameters": rope, **more}, {**vision, "deepstack_visual_indexes": [0, 1]}
    )


def qwen3_vl_moe() -> Any:
    return qwen3_vl("Qwen3VLMoe", **EXPERTS)


def qwen3_5(kind: str = "Qwen3_5", **more: Any) -> Any:
    vision = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": WIDTH, "num_position_embeddings": 64}
    linear = {
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    rope = {**MROPE, "mrope_interleaved": True, "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1]}
    layers = {"layer_types": ["linear_attention", "full_attention"]}
    return qwen(kind, 16, {"head_dim": 16, "rope_parameters": rope, **linear, **layers, **more}, vision, think=True)


def qwen3_5_moe() -> Any:
    return qwen3_5("Qwen3_5Moe", shared_expert_intermediate_size=32, **EXPERTS)


def omni(model: str, patch: int, text_config: dict[str, Any], vision: dict[str, Any]) -> Any:
    """Processor of a Qwen-Omni whose classes begin with `model`, and the configuration of its thinker."""
    names = {
        "image_token": "<|IMAGE|>", "audio_token": "<|AUDIO|>", "video_token": "<|VIDEO|>",
        "vision_bos_token": "<|vision_bos|>", "vision_eos_token": "<|vision_eos|>",
        "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>",
    }  # fmt: skip
    tokenizer = bpe(["<|im_start|>"], "<|im_end|>", **names)
    cut: dict[str, Any] = {"patch_size": patch, "temporal_patch_size": 2, "merge_size": 2, **PIXELS}
    processor = getattr(hf, f"{model}Processor")(
        image_processor=hf.Qwen2VLImageProcessor(**cut), video_processor=hf.Qwen2VLVideoProcessor(**cut),
        feature_extractor=hf.WhisperFeatureExtractor(feature_size=16), tokenizer=tokenizer,
        chat_template=CHATML.replace("VIDEO", "<|vision_bos|><|VIDEO|><|vision_eos|>").replace("THINK", "false"),
    )  # fmt: skip
    base = getattr(hf, f"{model}ThinkerConfig")
    kinds = {key: sub.model_type for key, sub in base.sub_configs_defaults.items()}
    ids = {"vision_start": "<|vision_bos|>", "audio_start": "<|audio_bos|>", "image": "<|IMAGE|>",
           "audio": "<|AUDIO|>", "video": "<|VIDEO|>"}  # fmt: skip
    config = base(
        text_config={**text(tokenizer, kinds["text_config"]), "rope_parameters": dict(MROPE), **text_config},
        vision_config={"depth": 3, "num_heads": 4, "patch_size": patch, "hidden_size": 32, "intermediate_size": 64,
                       "out_hidden_size": WIDTH, **vision},
        audio_config={"num_mel_bins": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32,
                      "d_model": 16, "output_dim": WIDTH},
        **{f"{name}_token_id": number(tokenizer, word) for name, word in ids.items()},
    )  # fmt: skip
    return processor, config


def qwen2_5_omni() -> Any:
    return omni("Qwen2_5Omni", 8, {}, {"window_size": 32, "fullatt_block_indexes": [1]})


def qwen3_omni() -> Any:
    rope = {**MROPE, "mrope_interleaved": True}
    vision = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    return omni("Qwen3OmniMoe", 16, {"head_dim": 16, "rope_parameters": rope, **EXPERTS}, vision)


# ---- GLM ----

GLM = ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|begin_of_image|>", "<|end_of_image|>",
       "<|begin_of_video|>", "<|end_of_video|>", "<|image|>", "<|video|>")  # fmt: skip
GLM_TEMPLATE = """\
[gMASK]<sop>{% for m in messages %}{% if m.role == 'user' %}<|user|>
{% for c in m.content %}{% if c.type == 'video' %}<|begin_of_video|><|video|><|end_of_video|>\
{% elif c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}{{ OFF }}{% else %}<|assistant|>
THOUGHT{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>
{{ BEGIN }}{% endif %}"""
OFF = "if (enable_thinking is defined and not enable_thinking) else ''"
HYBRID = {"OFF": f"'/nothink' {OFF}", "BEGIN": rf"'<think></think>\n' {OFF}", "THOUGHT": "<think></think>\n"}
PLAIN = {"OFF": "''", "BEGIN": "''", "THOUGHT": ""}


def glm(model: str, processor: str, thinks: Mapping[str, str], **more: Any) -> Any:
    """Processor and configuration of a GLM-V whose classes begin with `model` and `processor`."""
    tokenizer = bpe(GLM, "<|endoftext|>")
    template = GLM_TEMPLATE
    for name, part in thinks.items():
        template = template.replace(name, part)
    cut: dict[str, Any] = {"patch_size": 8, "temporal_patch_size": 2, "merge_size": 2, **PIXELS}
    made = getattr(hf, f"{processor}Processor")(
        image_processor=getattr(hf, f"{processor}ImageProcessor")(**cut), tokenizer=tokenizer,
        video_processor=getattr(hf, f"{processor}VideoProcessor")(**cut), chat_template=template,
    )  # fmt: skip
    names = ("image_start", "image_end", "video_start", "video_end", "image", "video")
    base = getattr(hf, f"{model}Config")
    kind = base.sub_configs_defaults["text_config"].model_type
    rope = {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5}
    config = base(
        text_config={**text(tokenizer, kind), "rope_parameters": rope, **more},
        vision_config={"depth": 3, "num_heads": 4, "patch_size": 8, "hidden_size": 32, "intermediate_size": 64,
                       "out_hidden_size": WIDTH, "image_size": 48},
        **{f"{name}_token_id": number(tokenizer, word) for name, word in zip(names, GLM[4:], strict=True)},
    )  # fmt: skip
    return made, config


def glm4v() -> Any:
    return glm("Glm4v", "Glm4v", PLAIN)


def glm46v_flash() -> Any:
    return glm("Glm4v", "Glm46V", HYBRID)


def glm4v_moe() -> Any:
    experts = {"moe_intermediate_size": 32, "n_routed_experts": 4, "num_experts_per_tok": 2, "first_k_dense_replace": 1}
    return glm("Glm4vMoe", "Glm4v", HYBRID, **experts)


def glm46v() -> Any:
    return glm("Glm46V", "Glm46V", HYBRID)


# ---- VideoLLaMA3 ----


def video_llama_3() -> Any:
    tokenizer = bpe(("<|im_start|>", "<|image_pad|>", "<|video_pad|>"), "<|im_end|>")
    cut: dict[str, Any] = {"patch_size": 8, "merge_size": 2, **PIXELS}
    processor = hf.VideoLlama3Processor(
        image_processor=hf.VideoLlama3ImageProcessor(**cut), tokenizer=tokenizer,
        video_processor=hf.VideoLlama3VideoProcessor(**cut),
        chat_template=CHATML.replace("VIDEO", "<|video_pad|>\n").replace("THINK", "false"),
    )  # fmt: skip
    return processor, hf.VideoLlama3Config(
        text_config=text(tokenizer, "qwen2"), vision_config=tower("video_llama_3_vision", 32, 8),
        image_token_id=number(tokenizer, "<|image_pad|>"), video_token_id=number(tokenizer, "<|video_pad|>"),
    )  # fmt: skip


# ---- Gemma ----

GEMMA = """\
<bos>{% for m in messages %}<|turn>{{ 'model' if m.role == 'assistant' else m.role }}
{% for c in m.content %}{% if c.type == 'video' %}<|video|>{% elif c.type == 'text' %}{{ c.text }}{% endif %}\
{% endfor %}<turn|>
{% endfor %}{% if add_generation_prompt %}<|turn>model
{% endif %}"""


def gemma4() -> Any:
    """With what either the small or the large ones have: second embeddings, shared keys, frames that see themselves."""
    names = {
        "image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>", "audio_token": "<|audio|>",
        "boa_token": "<|audio>", "eoa_token": "<audio|>",
    }  # fmt: skip
    tokenizer = bpe(("<bos>", "<|turn>", "<turn|>", "<|video|>"), "<eos>", **names)
    tokenizer.bos_token = "<bos>"
    cut: dict[str, Any] = {"patch_size": 4, "pooling_kernel_size": 3}
    processor = hf.Gemma4Processor(
        feature_extractor=hf.Gemma4AudioFeatureExtractor(), image_processor=hf.Gemma4ImageProcessor(**cut),
        tokenizer=tokenizer, video_processor=hf.Gemma4VideoProcessor(**cut), chat_template=GEMMA,
    )  # fmt: skip
    more: dict[str, Any] = {
        "num_hidden_layers": 4, "num_kv_shared_layers": 2, "layer_types": ["sliding_attention", "full_attention"] * 2,
        "sliding_window": 512, "head_dim": 16, "global_head_dim": 16, "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 512, "final_logit_softcapping": 3.0, "use_bidirectional_attention": "vision",
    }  # fmt: skip
    vision = tower("gemma4_vision", 0, 4, num_key_value_heads=4, head_dim=8)
    return processor, hf.Gemma4Config(
        text_config=text(tokenizer, "gemma4_text", **more), vision_config=vision, audio_config=None,
        image_token_id=number(tokenizer, "<|image|>"), video_token_id=number(tokenizer, "<|video|>"),
        audio_token_id=number(tokenizer, "<|audio|>"),
    )  # fmt: skip


# ---- towers of one frame size ----


def tower(kind: str, side: int, patch: int, **more: Any) -> dict[str, Any]:
    """Configuration of a vision tower."""
    return {
        "model_type": kind, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 4, "image_size": side, "patch_size": patch, **more,
    }  # fmt: skip


def llava_onevision() -> Any:
    tokenizer = bpe(("<|im_start|>", "<image>", "<video>"), "<|im_end|>")
    side = {"height": 40, "width": 40}  # 5x5 patches, an odd number, become 3x3 visual tokens
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=side), tokenizer=tokenizer,
        video_processor=hf.LlavaOnevisionVideoProcessor(size=side), num_image_tokens=25,
        vision_feature_select_strategy="full",
        chat_template=CHATML.replace("VIDEO", "<video>\n").replace("THINK", "false"),
    )  # fmt: skip
    return processor, hf.LlavaOnevisionConfig(
        text_config=text(tokenizer, "qwen2"),
        vision_config=tower("siglip_vision_model", 40, 8, vision_use_head=False),
        image_token_index=number(tokenizer, "<image>"),
        video_token_index=number(tokenizer, "<video>"),
    )


def vicuna(model: str, side: int) -> Any:
    """Processor and configuration of a LLaVA over CLIP and Llama, whose classes begin with `model`."""
    tokenizer = bpe(("<image>", "<video>"), "</s>", bos="<s>")
    square: dict[str, Any] = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    images = hf.LlavaNextImageProcessor if model == "LlavaNextVideo" else hf.VideoLlavaImageProcessor
    processor = getattr(hf, f"{model}Processor")(
        image_processor=images(**square), tokenizer=tokenizer,
        video_processor=getattr(hf, f"{model}VideoProcessor")(**square), patch_size=8,
        vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=VICUNA,
    )  # fmt: skip
    return processor, getattr(hf, f"{model}Config")(
        text_config=text(tokenizer, "llama"),
        vision_config=tower("clip_vision_model", side, 8),
        image_token_index=number(tokenizer, "<image>"),
        video_token_index=number(tokenizer, "<video>"),
    )


def llava_next_video() -> Any:
    return vicuna("LlavaNextVideo", 48)


def video_llava() -> Any:
    return vicuna("VideoLlava", 32)


def internvl(kind: str = "qwen2", **more: Any) -> Any:
    names = {
        "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }  # fmt: skip
    tokenizer = bpe(("<|im_start|>",), "<|im_end|>", **names)
    side: dict[str, Any] = {"size": {"height": 32, "width": 32}}
    processor = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(**side), tokenizer=tokenizer,
        video_processor=hf.InternVLVideoProcessor(**side), image_seq_length=4,
        chat_template=CHATML.replace("VIDEO", "<video>\n").replace("THINK", "false"),
    )  # fmt: skip
    return processor, hf.InternVLConfig(
        text_config=text(tokenizer, kind, **more), vision_config=tower("internvl_vision", 32, 8),
        image_token_id=number(tokenizer, "<IMG_CONTEXT>"), image_seq_length=4,
        tie_word_embeddings=False,
    )  # fmt: skip


def internvl3_5() -> Any:
    """The same with Qwen3 as language model; to the library and to tvau one family."""
    return internvl("qwen3", head_dim=16)


def smolvlm() -> Any:
    names = {
        "fake_image_token": "<fake_token_around_image>", "image_token": "<image>", "video_token": "<video>",
        "global_image_token": "<global-img>", "end_of_utterance_token": "<end_of_utterance>",
    }  # fmt: skip
    tokenizer = bpe(("<|im_start|>",), "<end_of_utterance>", **names)
    sides: dict[str, Any] = {"size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 32}}
    video = {**sides, "video_sampling": {"max_frames": 64, "fps": 1, "video_size": {"longest_edge": 32}}}
    processor = hf.SmolVLMProcessor(
        hf.SmolVLMImageProcessor(**sides), tokenizer, hf.SmolVLMVideoProcessor(**video),
        image_seq_len=4, chat_template=SMOL,
    )  # fmt: skip
    return processor, hf.SmolVLMConfig(
        text_config=text(tokenizer, "llama"), vision_config=tower("smolvlm_vision", 32, 8),
        image_token_id=number(tokenizer, "<image>"), scale_factor=2,
    )  # fmt: skip


FAMILIES = {
    "qwen2_vl": Family(backbones.Qwen2VL, qwen2_vl, (32, 48), (2, 8)),
    # 4x6 visual tokens in windows of 2x2: inside the tower they lie in another order
    "qwen2_5_vl": Family(backbones.Qwen25VL, qwen2_5_vl, (64, 96), (2, 8)),
    "qwen3_vl": Family(backbones.Qwen3VL, qwen3_vl, (64, 96), (2, 16)),
    "qwen3_vl_moe": Family(backbones.Qwen3VLMoE, qwen3_vl_moe, (64, 96), (2, 16), maps=8),  # attention's
    # of the recurrent layer qkv, z, out, gate, up, down
    "qwen3_5": Family(backbones.Qwen35, qwen3_5, (64, 96), (2, 16), maps=13),
    "qwen3_5_moe": Family(backbones.Qwen35MoE, qwen3_5_moe, (64, 96), (2, 16), maps=13),
    "qwen2_5_omni_thinker": Family(backbones.Qwen25Omni, qwen2_5_omni, (64, 96), (2, 8)),
    "qwen3_omni_moe_thinker": Family(backbones.Qwen3Omni, qwen3_omni, (64, 96), (2, 16), maps=8),
    "glm4v": Family(backbones.GLM41V, glm4v, (32, 48), (2, 8), maps=12),  # gate and up are one
    "glm4v_moe": Family(backbones.GLM45V, glm4v_moe, (32, 48), (2, 8)),
    "glm46v": Family(backbones.GLM46V, glm46v, (32, 48), (2, 8), maps=12),
    "llava_onevision": Family(backbones.LlavaOneVision, llava_onevision, (40, 40), (1, 8)),
    "llava_next_video": Family(backbones.LlavaNextVideo, llava_next_video, (48, 48), (1, 8)),
    "video_llava": Family(backbones.VideoLlava, video_llava, (32, 32), (1, 8)),
    "video_llama_3": Family(backbones.VideoLlama3, video_llama_3, (32, 48), (1, 8)),
    "internvl": Family(backbones.InternVL, internvl, (32, 32), (1, 8)),
    # the library makes of any frame 70 visual tokens, here 7x10; two layers have no k and v of their own
    "gemma4": Family(backbones.Gemma4, gemma4, (84, 120), (1, 4), maps=24),
    "smolvlm": Family(backbones.SmolVLM, smolvlm, (32, 32), (1, 8)),
}
