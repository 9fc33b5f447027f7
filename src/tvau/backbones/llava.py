"""The LLaVA family."""

from tvau.backbones.towers import SquareTower


class LlavaOneVision(SquareTower):
    """LLaVA-OneVision: SigLIP without a class token; 2x2 patches become a visual token."""

    family = "llava_onevision"
    tower = "vision_tower"


class LlavaNextVideo(SquareTower):
    """LLaVA-NeXT-Video: CLIP; the class token is dropped, 2x2 patches become a visual token."""

    family = "llava_next_video"
    tower = "vision_tower"


class VideoLlava(SquareTower):
    """Video-LLaVA: its tower for videos is its own; every patch and class token becomes a visual token."""

    family = "video_llava"
    tower = "video_tower"
