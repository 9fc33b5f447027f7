"""Every family keeps the contract."""

from dataclasses import replace
from typing import ClassVar

from contract import Contract
from contract.checks import FPS
from families import FAMILIES, glm46v_flash, internvl3_5


class TestQwen2VL(Contract):
    family = FAMILIES["qwen2_vl"]


class TestQwen25VL(Contract):
    family = FAMILIES["qwen2_5_vl"]


class TestQwen3VL(Contract):
    family = FAMILIES["qwen3_vl"]


class TestQwen3VLMoE(Contract):
    family = FAMILIES["qwen3_vl_moe"]


class TestQwen35(Contract):
    family = FAMILIES["qwen3_5"]


class TestQwen35MoE(Contract):
    family = FAMILIES["qwen3_5_moe"]


class TestQwen25Omni(Contract):
    family = FAMILIES["qwen2_5_omni_thinker"]
    told: ClassVar = {"fps": FPS, "do_resize": False}  # its processor has a least size of its own


class TestQwen3Omni(Contract):
    family = FAMILIES["qwen3_omni_moe_thinker"]
    told: ClassVar = {"fps": FPS, "do_resize": False}  # its processor has a least size of its own


class TestGLM41V(Contract):
    family = FAMILIES["glm4v"]


class TestGLM45V(Contract):
    family = FAMILIES["glm4v_moe"]


class TestGLM46V(Contract):
    family = FAMILIES["glm46v"]


class TestGLM46VFlash(Contract):
    """Published under the type of GLM-4.1V."""

    family = replace(FAMILIES["glm4v"], build=glm46v_flash)


class TestLlavaOneVision(Contract):
    family = FAMILIES["llava_onevision"]


class TestLlavaNextVideo(Contract):
    family = FAMILIES["llava_next_video"]


class TestVideoLlava(Contract):
    family = FAMILIES["video_llava"]


class TestVideoLlama3(Contract):
    family = FAMILIES["video_llama_3"]


class TestInternVL(Contract):
    family = FAMILIES["internvl"]


class TestInternVL35(Contract):
    family = replace(FAMILIES["internvl"], build=internvl3_5)


class TestGemma4(Contract):
    family, frames = FAMILIES["gemma4"], 2
    words = (0, 0, 0)  # padding, whose second embeddings prompts have
    rounding = 1e-4  # its attention does not scale down what rotation in single precision makes of other positions


class TestSmolVLM(Contract):
    family = FAMILIES["smolvlm"]
