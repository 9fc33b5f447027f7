"""Video LVLMs behind one interface."""

from tvau.backbones.base import Dialog, Inputs, VideoLVLM, VisionPass
from tvau.backbones.qwen import Qwen25VL

__all__ = ["Dialog", "Inputs", "Qwen25VL", "VideoLVLM", "VisionPass"]
