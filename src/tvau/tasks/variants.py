"""T-VAU told of anomalies in other ways than the paper's: lines of the dialog table, not for use."""

from dataclasses import replace
from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.errors import DataError
from tvau.heatmap_decoder import Maps
from tvau.model import TVAU, Evidence
from tvau.types import Batch, having

Variant = Literal["heatmap_video", "true_masks"]


class HeatmapVideo(TVAU):
    """The heatmap as a second video in place of the region encoder's prompts; nothing but LoRA learns.

    The predicted heatmap becomes gray frames as many and as large as the clip's. They pass the same frozen tower, and
    its visual tokens stand where the anomaly prompts would, behind those of the clip. So every clip costs a second
    vision pass and its visual tokens twice. In the language model they have the places of words, one behind the
    other, and what some families hand to deeper layers (DeepStack of Qwen3-VL) is left out.
    """

    def places(self, grid: tuple[int, int, int]) -> int:
        lvlm = cast(HuggingFaceLVLM, self.backbone)
        return lvlm.visual_tokens(lvlm.lm.config, grid)

    def tell(self, seen: Evidence, batch: Batch) -> Evidence:
        """The same with the visual tokens of the heatmap's frames as prompts."""
        gray = (self.enlarge(cast(Maps, seen.maps), batch).detach() * 255).round().to(torch.uint8)  # [B, T, H, W]
        lvlm = cast(HuggingFaceLVLM, self.backbone)
        inputs = lvlm.pixels(gray[:, :, None].expand(-1, -1, 3, -1, -1))
        # `encode` may keep its passes on disk: heatmaps differ from run to run, no other run would read these again
        tokens = lvlm.features(inputs)["pooler_output"]  # [B, N, D], or its parts as a list
        return replace(seen, prompts=torch.cat(list(tokens)).reshape(len(gray), -1, lvlm.hidden_size))


class TrueMasks(TVAU):
    """The region encoder is shown the truth, in training and in test: what better maps could give at most.

    The masks reach the region encoder and nothing else; the decoder's heatmaps, where there is one, stay its own.
    With the paper's view a target that lies still remains almost unseen, as its mask does not change.
    """

    def tell(self, seen: Evidence, batch: Batch) -> Evidence:
        """The same with anomaly prompts of the true masks; raises DataError without masks."""
        if len(having(batch, "mask")) < len(batch["name"]):
            raise DataError(
                f"{batch['name'][0]} has no mask: variant true_masks needs a data set with masks in training and test"
            )
        grid = self.backbone.grid(batch["video"].shape[1], *batch["video"].shape[-2:])
        return replace(seen, prompts=self.prompts(seen, mask_maps(batch["mask"], grid)))


def mask_maps(mask: Tensor, grid: tuple[int, int, int], least: float = 0.01) -> Maps:
    """Masks bool [B, T, H, W] as the maps of a decoder that knows the truth, of T' x H' x W' patches.

    The softmax of the two maps (eq. 7) gives the share of each patch that lies in the mask, but for `least` and
    1 - `least` at the ends, where their logarithm would be infinite.
    """
    share = adaptive_avg_pool3d(mask.float()[:, None], grid)[:, 0]  # [B, T', H', W']
    logit = share.clamp(least, 1 - least).logit()
    return Maps(torch.stack([-logit / 2, logit / 2], 2), logit)


VARIANTS: dict[Variant | None, type[TVAU]] = {None: TVAU, "heatmap_video": HeatmapVideo, "true_masks": TrueMasks}
