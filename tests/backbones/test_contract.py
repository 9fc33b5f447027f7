"""Every family keeps the contract."""

from contract import Contract
from families import FAMILIES


class TestQwen2VL(Contract):
    family = FAMILIES["qwen2_vl"]


class TestQwen25VL(Contract):
    family = FAMILIES["qwen2_5_vl"]


class TestQwen3VL(Contract):
    family = FAMILIES["qwen3_vl"]


class TestQwen35(Contract):
    family = FAMILIES["qwen3_5"]


class TestLlavaOneVision(Contract):
    family = FAMILIES["llava_onevision"]


class TestLlavaNextVideo(Contract):
    family = FAMILIES["llava_next_video"]


class TestVideoLlava(Contract):
    family = FAMILIES["video_llava"]


class TestInternVL(Contract):
    family = FAMILIES["internvl"]


class TestSmolVLM(Contract):
    family = FAMILIES["smolvlm"]
