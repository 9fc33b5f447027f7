"""Video LVLMs behind one interface."""

from tvau.backbones.base import Dialog, Inputs, VideoLVLM, VisionPass
from tvau.backbones.families import FAMILIES, load
from tvau.backbones.gemma import Gemma4
from tvau.backbones.glm import GLM41V, GLM45V, GLM46V
from tvau.backbones.internvl import InternVL
from tvau.backbones.llava import LlavaNextVideo, LlavaOneVision, VideoLlava
from tvau.backbones.omni import Qwen3Omni, Qwen25Omni
from tvau.backbones.qwen import Qwen2VL, Qwen3VL, Qwen3VLMoE, Qwen25VL, Qwen35, Qwen35MoE
from tvau.backbones.smolvlm import SmolVLM
from tvau.backbones.videollama import VideoLlama3

__all__ = [
    "FAMILIES", "GLM41V", "GLM45V", "GLM46V", "Dialog", "Gemma4", "Inputs", "InternVL", "LlavaNextVideo",
    "LlavaOneVision", "Qwen2VL", "Qwen3Omni", "Qwen3VL", "Qwen3VLMoE", "Qwen25Omni", "Qwen25VL", "Qwen35", "Qwen35MoE",
    "SmolVLM", "VideoLVLM", "VideoLlama3", "VideoLlava", "VisionPass", "load",
]  # fmt: skip
