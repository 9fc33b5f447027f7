"""Video LVLMs behind one interface."""

from tvau.backbones.base import Dialog, Inputs, VideoLVLM, VisionPass
from tvau.backbones.families import FAMILIES, load
from tvau.backbones.internvl import InternVL
from tvau.backbones.llava import LlavaNextVideo, LlavaOneVision, VideoLlava
from tvau.backbones.qwen import Qwen2VL, Qwen3VL, Qwen25VL, Qwen35
from tvau.backbones.smolvlm import SmolVLM

__all__ = [
    "FAMILIES", "Dialog", "Inputs", "InternVL", "LlavaNextVideo", "LlavaOneVision", "Qwen2VL", "Qwen3VL", "Qwen25VL",
    "Qwen35", "SmolVLM", "VideoLVLM", "VideoLlava", "VisionPass", "load",
]  # fmt: skip
