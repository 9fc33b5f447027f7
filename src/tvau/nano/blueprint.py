"""The blueprint of nano, the embedded LVLM: Qwen2.5-VL's architecture at a few million parameters.

`create` writes an ordinary checkpoint folder without weights; `tvau fit --config configs/synthetic/pretrain.yaml` makes
the weights. The Qwen2.5-VL adapter loads it with no special case.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from tvau.errors import OptionError
from tvau.language import (
    ACTIONS,
    CELLS,
    COLOURS,
    DIRECTIONS,
    FLOW,
    NOUNS,
    NUMBERS,
    Surroundings,
    Target,
    anomaly_turns,
    scene_turns,
)
from tvau.prompts import PROMPTS

SPECIAL = {
    "pad": "<|endoftext|>", "eos": "<|im_end|>", "user": "<|user|>", "assistant": "<|assistant|>",
    "start": "<|vision_start|>", "end": "<|vision_end|>", "image": "<|image_pad|>", "video": "<|video_pad|>",
}  # fmt: skip
TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == 'user' -%}<|user|>{%- else -%}<|assistant|>{%- endif -%}
{%- if message.content is string -%}{{ message.content }}{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- elif part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- if message.role != 'user' -%}<|im_end|>{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"""
PATCH: dict[str, Any] = {"patch_size": 8, "temporal_patch_size": 2, "merge_size": 2}


def _corpus() -> Iterator[str]:
    """Every word of the dialog in every sentence form, so that each word becomes one token."""
    random = Random(0)
    places = ("a plaza", "a street", "a park", "a courtyard", "a parking lot", "a campus path", "a station hall")
    lights = ("daylight", "overcast light", "dusk", "darkness", "artificial light")
    for _ in range(4000):
        people = random.randrange(13)
        targets = [
            Target(
                random.choice(NOUNS),
                random.choice(ACTIONS),
                random.choice(
                    [(("top", random.choice(COLOURS)), ("trousers", random.choice(COLOURS))),
                     (("body", random.choice(COLOURS)),), ()]
                ),
                random.choice(CELLS), random.choice(CELLS), random.choice(("", *DIRECTIONS)),
            )
            for _ in range(3)
        ]  # fmt: skip
        scene = Surroundings(
            random.choice(places),
            random.choice(lights),
            random.choice(("", "rain", "fog", "snow")),
            people,
        )
        for turn in anomaly_turns(targets[0], scene) + scene_turns([*enumerate(targets, 1)], scene, random, 12):
            yield from (turn["question"], turn["answer"])
    for words in (*FLOW, *NUMBERS, *(prompt for levels in PROMPTS.values() for prompt in levels)):
        yield from [words] * 50


def create(folder: str | Path, vocabulary: int = 1024, layers: int = 4, width: int = 256, heads: int = 4) -> None:
    """Writes configuration, tokenizer and processor of an untrained nano into `folder`.

    Args:
        vocabulary: at most so many tokens; the words of the dialog come first, all bytes are covered.
        layers, width, heads: of the language model.

    Raises:
        OptionError: a width that the heads cannot share.
    """
    if width % (2 * heads):
        raise OptionError(f"width {width}, heads {heads}: expected a width that is a multiple of twice the heads")
    folder = Path(folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=True
    )  # a word is the same token wherever it stands
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        _corpus(),
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=list(SPECIAL.values()), initial_alphabet=alphabet, show_progress=False
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=SPECIAL["eos"], pad_token=SPECIAL["pad"], padding_side="left",
        additional_special_tokens=[SPECIAL[k] for k in ("user", "assistant", "start", "end", "image", "video")],
    )  # fmt: skip
    pixels: dict[str, Any] = {"size": {"shortest_edge": 16 * 16, "longest_edge": 64 * 160 * 160}}
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**PATCH, **pixels),
        tokenizer=fast,
        video_processor=Qwen2VLVideoProcessor(**PATCH, **pixels),
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    ids: dict[str, Any] = {name: fast.convert_tokens_to_ids(token) for name, token in SPECIAL.items()}
    half = width // heads // 2  # pairs of channels of a head
    time, height = half * 6 // 32, half * 10 // 32
    Qwen2_5_VLConfig(
        text_config={
            "vocab_size": -(-(len(fast) + 1) // 64) * 64, "hidden_size": width, "intermediate_size": 2 * width,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": heads,
            "max_position_embeddings": 4096, "bos_token_id": None, "eos_token_id": ids["eos"],
            "pad_token_id": ids["pad"], "tie_word_embeddings": True,
            # the width axis turns slowest: fast enough to tell ten columns apart, slowly enough that what a token shows
            # can be matched wherever it lies (with a base of 30, as at first, no channel was left for that)
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 300.0,
                "mrope_section": [time, height, half - time - height],
            },
        },
        vision_config={
            "depth": 6, "hidden_size": 128, "intermediate_size": 256, "num_heads": 4, "patch_size": 8,
            "temporal_patch_size": 2, "spatial_merge_size": 2, "window_size": 32, "out_hidden_size": width,
            "fullatt_block_indexes": [1, 2, 3, 4, 5], "tokens_per_second": 3,
        },
        tie_word_embeddings=True, vision_start_token_id=ids["start"], vision_end_token_id=ids["end"],
        image_token_id=ids["image"], video_token_id=ids["video"], architectures=["Qwen2_5_VLForConditionalGeneration"],
    ).save_pretrained(folder)  # fmt: skip
