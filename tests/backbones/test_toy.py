"""One more family, as docs/extend/lvlm.md shows it: a toy LVLM whose tower reads each frame column by column."""

from typing import Any

import torch
import transformers as hf
from torch import Tensor

from contract import Contract
from families import FAMILIES, Family
from tvau.backbones.base import Inputs
from tvau.backbones.towers import SquareTower

# ---- the LVLM, as its own library would bring it; yours is there already ----


class ToyConfig(hf.LlavaOnevisionConfig):
    model_type = "toy"


class ToyModel(hf.LlavaOnevisionModel):
    def get_video_features(self, pixel_values_videos: Tensor, **options: Any) -> Any:
        return super().get_video_features(pixel_values_videos.mT.contiguous(), **options)


class ToyForConditionalGeneration(hf.LlavaOnevisionForConditionalGeneration):
    config_class = ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.model = ToyModel(config)
        self.post_init()


hf.AutoConfig.register("toy", ToyConfig)
hf.AutoModelForImageTextToText.register(ToyConfig, ToyForConditionalGeneration)

# ---- the adapter: where the tower is, how many tokens a clip becomes, where all of it lies on the picture ----


class Toy(SquareTower):
    """Frames of one size, patches from top to bottom, column after column."""

    family = "toy"
    tower = "vision_tower"

    @classmethod
    def token_grid(cls, config: hf.PreTrainedConfig, grid: tuple[int, int, int]) -> tuple[int, int, int]:
        times, rows, columns = grid
        return times, -(-rows // 2), -(-columns // 2)

    @classmethod
    def visual_tokens(cls, config: hf.PreTrainedConfig, grid: tuple[int, int, int]) -> int:
        return super().visual_tokens(config, grid) + 1

    def raster(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        return super().raster(hidden, inputs).mT  # [B, T', Dv, W', H'] -> [B, T', Dv, H', W']

    def on_picture(self, tokens: Tensor, grid: tuple[int, int, int]) -> Tensor:
        return super().on_picture(tokens, grid).transpose(2, 3)


# ---- a tiny random checkpoint, and the test ----


def toy() -> tuple[Any, hf.PreTrainedConfig]:
    processor, config = FAMILIES["llava_onevision"].build()
    torch.manual_seed(0)
    return processor, ToyConfig(**{k: v for k, v in config.to_dict().items() if k != "model_type"})


class TestToy(Contract):
    family = Family(Toy, toy, size=(40, 40), cell=(1, 8))
