"""T-VAU: the paper's figure 2 in code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tvau.backbones import Inputs, VideoLVLM, VisionPass
from tvau.familiarity import Familiarity, feature
from tvau.heatmap_decoder import AnomalyHeatmapDecoder, Maps, heatmap, pool_text
from tvau.region_encoder import RegionAwareAnomalyEncoder
from tvau.types import Batch, Turn, clip_rates


@dataclass
class Evidence:
    """All that one pass over a clip yields before a word is spoken."""

    inputs: Inputs
    vision: VisionPass
    maps: Maps | None  # eq. 5-6; None without a decoder
    prompts: Tensor | None  # P_An [B, N, D] (eq. 13); None without an encoder
    strange: Tensor | None  # [B], how far each clip is from those of the training, see `Familiarity`; None: unknown


@torch.no_grad()
def text_features(backbone: VideoLVLM, prompts: Mapping[str, Sequence[str]]) -> Tensor:
    """T_c of eq. 2-3 for "normal" and "abnormal" prompts: [2, D]."""
    return torch.stack([pool_text(*backbone.encode_text(prompts[c])) for c in ("normal", "abnormal")]).float()


class TVAU(nn.Module):
    """The four stages composed: vision pass, heatmaps, anomaly prompts, dialog.

    Args:
        backbone: the LVLM.
        decoder: AHD; None: no heatmaps (pretraining, or an LVLM alone).
        encoder: RAE; None: nothing is inserted before the question. Needs the decoder.
        text: [2, D], the normal and the abnormal text feature of the decoder (eq. 3), from `text_features`.
        familiarity: what clips of the training look like to the tower; None: no clip is ever called strange.
    """

    text: Tensor

    def __init__(
        self,
        backbone: VideoLVLM,
        decoder: AnomalyHeatmapDecoder | None = None,
        encoder: RegionAwareAnomalyEncoder | None = None,
        text: Tensor | None = None,
        familiarity: Familiarity | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.decoder, self.encoder, self.familiarity = backbone, decoder, encoder, familiarity
        # the prompts are fixed: their features are computed once and travel in the checkpoint
        self.register_buffer("text", torch.zeros(2, backbone.hidden_size) if text is None else text)

    def look(self, batch: Batch, dialogs: Sequence[Sequence[Turn]]) -> Evidence:
        """Everything up to the language model: one vision pass, heatmaps and anomaly prompts.

        Args:
            batch: clips.
            dialogs: the turns of each clip; an answer of "" is left open.
        """
        video = batch["video"]
        grid = self.backbone.grid(video.shape[1], *video.shape[-2:])
        inputs = self.backbone.prepare(video, dialogs, self.places(grid), clip_rates(batch))
        return self.evidence(inputs, batch)

    def glance(self, batch: Batch) -> Evidence:
        """What one pass shows where no word is read or said; the language model may be muted."""
        return self.evidence({"video": batch["video"]}, batch)

    def evidence(self, inputs: Inputs, batch: Batch) -> Evidence:
        """What tower and decoder see of clips, and the anomaly prompts."""
        vision = self.backbone.encode(inputs)  # eq. 4
        maps = self.decoder(vision.hidden, self.text) if self.decoder else None  # eq. 5-6
        strange = self.familiarity(feature(vision.hidden)) if self.familiarity else None
        return Evidence(inputs, vision, maps, self.tell(maps, batch), strange)

    def places(self, grid: tuple[int, int, int]) -> int:
        """Number N of anomaly prompts for clips of (T', H', W') patches."""
        return self.encoder.prompts(grid[0]) if self.encoder else 0

    def tell(self, maps: Maps | None, batch: Batch) -> Tensor | None:
        """Anomaly prompts P_An [B, N, D] (eq. 9-13) of the decoder's maps; None: the words stand alone."""
        return self.encoder(cast(Maps, maps).similar) if self.encoder else None

    def forward(self, batch: Batch) -> Tensor:
        """Loss of the dialogs' answers given video, anomaly prompts and questions (eq. 14)."""
        seen = self.look(batch, batch["turns"])
        return self.backbone.loss(seen.inputs, seen.vision, seen.prompts)

    def maps(self, batch: Batch) -> Maps:
        """The decoder's maps (eq. 6). Needs the decoder; see `glance`."""
        return cast(Maps, self.glance(batch).maps)

    def heatmaps(self, batch: Batch) -> Tensor:
        """Heatmaps H (eq. 7-8) at the size of the frames: [B, T, H, W] in [0, 1]."""
        return self.enlarge(self.maps(batch), batch)

    @staticmethod
    def enlarge(maps: Maps, batch: Batch) -> Tensor:
        """The decoder's maps -> heatmaps at the size of the frames [B, T, H, W]."""
        frames, _, height, width = batch["video"].shape[1:]
        return heatmap(maps.logit, frames, height, width)

    @torch.no_grad()
    def converse(
        self, batch: Batch, questions: Sequence[Sequence[str]], most: int = 64
    ) -> tuple[list[list[str]], Tensor | None]:
        """Asks each clip its questions, turn after turn on one cache, after one vision pass.

        Args:
            questions: for each clip as many questions as for every other.
            most: tokens an answer has at most.

        Returns:
            The answers of each clip, and the heatmaps [B, T, H, W] (None without a decoder).
        """
        answers, seen = self.talk(batch, questions, most)
        return answers, None if seen.maps is None else self.enlarge(seen.maps, batch)

    @torch.no_grad()
    def talk(
        self, batch: Batch, questions: Sequence[Sequence[str]], most: int = 64
    ) -> tuple[list[list[str]], Evidence]:
        """As `converse`, with all that was seen, the maps in patches."""
        first = [[Turn(task="", question=own[0], answer="")] for own in questions]
        seen = self.look(batch, first)
        dialog = self.backbone.start(seen.inputs, seen.vision, seen.prompts)
        answers = [self.backbone.generate(dialog, most)]
        for later in zip(*[own[1:] for own in questions], strict=True):
            self.backbone.ask(dialog, later)
            answers.append(self.backbone.generate(dialog, most))
        return [list(own) for own in zip(*answers, strict=True)], seen
