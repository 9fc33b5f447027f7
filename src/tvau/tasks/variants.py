"""T-VAU told of anomalies in other ways than the paper's: lines of the dialog table, not for use."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from tvau.backbones.base import Inputs, SeenOutput, VideoLVLM
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.errors import DataError
from tvau.heatmap_decoder import Maps
from tvau.language import Target, count, trajectory
from tvau.model import TVAU, Evidence
from tvau.types import Batch, Turn, having
from tvau.viz.marks import outline

Variant = Literal["heatmap_video", "coordinates_as_text", "marks", "true_masks"]
MARGIN = 1 / 24  # of the height of a frame


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
        frames = gray[:, :, None].expand(-1, -1, 3, -1, -1)
        tokens = second_pass(self.backbone, frames)["pooler_output"]  # [B, N, D], or its parts as a list
        return replace(seen, prompts=torch.cat(list(tokens)).reshape(len(gray), -1, self.backbone.hidden_size))


class CoordinatesAsText(TVAU):
    """What the map says as a sentence in front of the first question; no prompts, nothing but LoRA learns.

    The sentence is made of the map's own track (`tvau.track`) and of how high it rises; a machine writes it, in words
    and not in pixels, so that a language model can read it from the first step on.
    """

    def look(self, batch: Batch, dialogs: Sequence[Sequence[Turn]]) -> Evidence:
        seen = self.glance(batch)  # the maps come before the words
        return replace(seen, inputs=self.prepare(batch, dialogs, seen))

    def prepare(self, batch: Batch, dialogs: Sequence[Sequence[Turn]], seen: Evidence | None = None) -> Inputs:
        seen = seen or self.glance(batch)
        told = [report(sure, way) for sure, way in zip(seen.peaks.sigmoid().tolist(), seen.ways, strict=True)]
        return super().prepare(
            batch,
            [
                [{**first, "question": f"{words} {first['question']}"}, *later]
                for words, (first, *later) in zip(told, dialogs, strict=True)
            ],
        )


def report(sure: float, way: tuple[str, str, str]) -> str:
    """What a map shows, in a sentence or two: how probable an anomaly is, in tenths, and its way (`language.way`)."""
    if not (tenths := round(10 * sure)):
        return "The heatmap shows no anomaly."
    return f"The heatmap shows an anomaly, {count(tenths)} of ten. {trajectory(Target('', '', (), *way))}"


class Marks(TVAU):
    """What is hot is outlined in the frames that the language model is shown; nothing but LoRA learns.

    The marked frames pass the same frozen tower, so every clip costs a second vision pass. The maps are those of the
    clip as it is.
    """

    def tell(self, seen: Evidence, batch: Batch) -> Evidence:
        """The same with the visual tokens of the marked clip in the place of the clip's own."""
        frames = outlined(batch["video"], self.enlarge(cast(Maps, seen.maps), batch))
        return replace(seen, vision=replace(seen.vision, output=second_pass(self.backbone, frames)))


def outlined(video: Tensor, heatmaps: Tensor) -> Tensor:
    """Clips uint8 [B, T, 3, H, W] with a line around what is more probably abnormal than not.

    The line keeps a distance of MARGIN: in small frames it would hide what it is to show. At the edge of the picture
    there is none.

    Args:
        video: clips as they are; they stay so.
        heatmaps: [B, T, H, W] in [0, 1].
    """
    away = max(4, round(MARGIN * video.shape[-2]))  # pixels
    pictures = np.ascontiguousarray(video.flatten(0, 1).movedim(1, -1).cpu().numpy().copy())  # [B T, H, W, 3]
    for picture, hot in zip(pictures, (heatmaps.flatten(0, 1) > 0.5).cpu().numpy(), strict=True):
        grown = cv2.dilate(np.pad(hot, away).view(np.uint8), np.ones((2 * away + 1,) * 2, np.uint8))
        outline(picture, grown.view(np.bool_), (-away, -away))
    return torch.from_numpy(pictures).movedim(-1, 1).unflatten(0, video.shape[:2]).to(video.device)


def second_pass(backbone: VideoLVLM, video: Tensor) -> SeenOutput:
    """What the frozen tower makes of frames that depend on the maps, in the library's own form.

    `encode` may keep its passes on disk: these differ from run to run, and no other run would read them again.
    """
    lvlm = cast(HuggingFaceLVLM, backbone)
    return SeenOutput.of(lvlm.features(lvlm.pixels(video)))


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


VARIANTS: dict[Variant | None, type[TVAU]] = {
    None: TVAU, "heatmap_video": HeatmapVideo, "coordinates_as_text": CoordinatesAsText, "marks": Marks,
    "true_masks": TrueMasks,
}  # fmt: skip
# of the region encoder; they need maps
INSTEAD: tuple[Variant, ...] = ("heatmap_video", "coordinates_as_text", "marks")
