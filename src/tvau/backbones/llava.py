"""The LLaVA family."""

from math import ceil

from transformers import PreTrainedConfig

from tvau.backbones.towers import SquareTower


class LlavaOneVision(SquareTower):
    """LLaVA-OneVision: SigLIP without a class token; 2x2 patches become a visual token."""

    family = "llava_onevision"
    tower = "vision_tower"
    words = (9, 0)

    @classmethod
    def token_grid(cls, config: PreTrainedConfig, grid: tuple[int, int, int]) -> tuple[int, int, int]:
        return grid[0], ceil(grid[1] / 2), ceil(grid[2] / 2)

    @classmethod
    def visual_tokens(cls, config: PreTrainedConfig, grid: tuple[int, int, int]) -> int:
        return super().visual_tokens(config, grid) + 1  # and a new line at the end


class LlavaNextVideo(SquareTower):
    """LLaVA-NeXT-Video: CLIP; the class token is dropped, 2x2 patches become a visual token."""

    family = "llava_next_video"
    tower = "vision_tower"

    @classmethod
    def token_grid(cls, config: PreTrainedConfig, grid: tuple[int, int, int]) -> tuple[int, int, int]:
        return grid[0], grid[1] // 2, grid[2] // 2


class VideoLlava(SquareTower):
    """Video-LLaVA: its tower for videos is its own; every patch and class token becomes a visual token."""

    family = "video_llava"
    tower = "video_tower"
    in_front = 1  # the class token

    @classmethod
    def token_grid(cls, config: PreTrainedConfig, grid: tuple[int, int, int]) -> tuple[int, int, int]:
        return grid

    @classmethod
    def visual_tokens(cls, config: PreTrainedConfig, grid: tuple[int, int, int]) -> int:
        return super().visual_tokens(config, grid) + grid[0]
