"""T-VAU: the paper's figure 2 in code. What is then asked and answered is `dialog.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from tvau.backbones import Inputs, VideoLVLM, VisionPass
from tvau.data.parts import fold
from tvau.errors import OptionError
from tvau.familiarity import Familiarity, feature
from tvau.heatmap_decoder import AnomalyHeatmapDecoder, Maps, heatmap, pool_text
from tvau.judge import Judge, peak
from tvau.language import way
from tvau.prompts import nested
from tvau.region_encoder import RegionAwareAnomalyEncoder
from tvau.track import track
from tvau.types import Batch, Turn, clip_rates


@dataclass
class Evidence:
    """All that one pass over a clip yields before a word is spoken."""

    inputs: Inputs
    vision: VisionPass
    maps: Maps | None  # eq. 5-6; None without a decoder
    prompts: Tensor | None  # P_An [B, N, D] (eq. 13); None without an encoder
    strange: Tensor | None  # [B], how far each clip is from those of the training, see `Familiarity`; None: unknown

    @cached_property
    def peaks(self) -> Tensor:
        """How high each heatmap rises [B]. Needs maps."""
        return peak(cast(Maps, self.maps).logit)

    @cached_property
    def ways(self) -> list[tuple[str, str, str]]:
        """Start, end and direction of what stands out of each clip's map, see `tvau.track`. Needs maps."""
        paths = [track(own) for own in cast(Maps, self.maps).logit.float().cpu().numpy()]
        return [way(tuple(path[0, 1:].tolist()), tuple(path[-1, 1:].tolist())) for path in paths]

    def cold(self, picture: Tensor, within: float) -> Tensor:
        """Which parts of the picture show nothing that stands out, [B, T', h, w]. Needs maps.

        Args:
            picture: anything of this shape, h <= H' and w <= W'; a part is as hot as its hottest patch.
            within: how far below the hottest part of its clip one may lie, in logits, and still stand out.
        """
        heat = adaptive_max_pool2d(cast(Maps, self.maps).logit, picture.shape[-2:])
        return heat < heat.flatten(1).amax(1)[:, None, None, None] - within


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
        judge: what decides a grounded judgement. Needs the decoder.
        grounded: evidence opens the answers, see `tvau.dialog`. Ours, not the paper's; needs the judge.
        spotlight: words about a target do not see what lies further below the hottest part of the clip's map than so
            many logits; None: they see the whole picture. Ours; only where `grounded`.
        folds: decoders that have not seen a part of the training each, see `tvau.data.parts`. In training mode they
            draw the maps of that part, so that language is learned from maps no better than those of new clips.
        every: the tower looks at every so many-th frame of a clip where nothing is said, and heatmaps lie over all of
            them. Choose it so that things move as far from frame to frame as in the video that the tower learned from.

    Raises:
        OptionError: `every` is not at least 1.
    """

    text: Tensor

    def __init__(
        self,
        backbone: VideoLVLM,
        decoder: AnomalyHeatmapDecoder | None = None,
        encoder: RegionAwareAnomalyEncoder | None = None,
        text: Tensor | None = None,
        familiarity: Familiarity | None = None,
        judge: Judge | None = None,
        grounded: bool = False,
        spotlight: float | None = None,
        folds: Sequence[AnomalyHeatmapDecoder] = (),
        every: int = 1,
    ) -> None:
        super().__init__()
        if every < 1:
            raise OptionError(f"every {every}: expected that the tower looks at every so many-th frame, 1 for all")
        self.every = every
        self.folds = nn.ModuleList(folds) if folds else None
        self.backbone, self.decoder, self.encoder, self.familiarity = backbone, decoder, encoder, familiarity
        self.judge, self.grounded, self.spotlight = judge, grounded, spotlight
        # the prompts are fixed: their features are computed once and travel in the checkpoint
        self.register_buffer("text", torch.zeros(2, backbone.hidden_size) if text is None else text)

    @torch.no_grad()
    def words(self, abnormal: Sequence[str] = (), normal: Sequence[str] = ()) -> None:
        """Puts own phrases, at the three levels of the built-in ones, in the place of the prompts (eq. 2-3).

        Args:
            abnormal, normal: "a person climbing a fence"; of a side without phrases the trained feature stays.

        Raises:
            OptionError: there is no decoder that would read them, or an empty phrase.
        """
        if self.decoder is None:
            raise OptionError("own words are read by the heatmap decoder, and this model has none")
        for row, phrases in enumerate((normal, abnormal)):
            if not all(map(str.strip, phrases)):
                raise OptionError("an empty phrase says nothing: write what is seen, as in 'a person climbing a fence'")
            if phrases:
                self.text[row] = pool_text(*self.backbone.encode_text(nested(tuple(phrases)))).to(self.text)

    def look(self, batch: Batch, dialogs: Sequence[Sequence[Turn]]) -> Evidence:
        """Everything up to the language model: one vision pass, heatmaps and anomaly prompts.

        Args:
            batch: clips.
            dialogs: the turns of each clip; an answer of "" is left open.
        """
        return self.evidence(self.prepare(batch, dialogs), batch)

    def prepare(self, batch: Batch, dialogs: Sequence[Sequence[Turn]], seen: Evidence | None = None) -> Inputs:
        """The tokens of dialogs about clips, with places for the anomaly prompts; see `look`.

        `seen` is the evidence of these clips where it is there already: variants put it into words.
        """
        video = batch["video"]
        grid = self.backbone.grid(video.shape[1], *video.shape[-2:])
        return self.backbone.prepare(video, dialogs, self.places(grid), clip_rates(batch))

    def glance(self, batch: Batch) -> Evidence:
        """What one pass shows where no word is read or said; the language model may be muted."""
        return self.evidence({"video": batch["video"][:, :: self.every]}, batch)

    def evidence(self, inputs: Inputs, batch: Batch) -> Evidence:
        """What tower and decoder see of clips, and the anomaly prompts."""
        vision = self.backbone.encode(inputs)  # eq. 4
        maps = self.draw(vision, batch) if self.decoder else None  # eq. 5-6
        strange = self.familiarity(feature(vision.hidden)) if self.familiarity else None
        return self.tell(Evidence(inputs, vision, maps, None, strange), batch)

    def draw(self, vision: VisionPass, batch: Batch) -> Maps:
        """The decoder's maps; in training mode, where there are folds, those of the decoder that left a clip out."""
        hidden = vision.hidden
        if not self.training or self.folds is None:
            return cast(AnomalyHeatmapDecoder, self.decoder)(hidden, self.text)
        parts = [fold(name, len(self.folds)) for name in batch["name"]]
        drawn = [
            self.folds[part]({block: tokens[[row]] for block, tokens in hidden.items()}, self.text)
            for row, part in enumerate(parts)
        ]
        return Maps(*(torch.cat(own) for own in zip(*drawn, strict=True)))

    def places(self, grid: tuple[int, int, int]) -> int:
        """Number N of anomaly prompts for clips of (T', H', W') patches."""
        return self.encoder.prompts(grid[0]) if self.encoder else 0

    def tell(self, seen: Evidence, batch: Batch) -> Evidence:
        """The same with what the language model is told of the maps: anomaly prompts (eq. 9-13), if there are any."""
        return replace(seen, prompts=self.prompts(seen, cast(Maps, seen.maps))) if self.encoder else seen

    def prompts(self, seen: Evidence, maps: Maps) -> Tensor:
        """Anomaly prompts P_An [B, N, D] of maps. Needs the encoder."""
        encoder = cast(RegionAwareAnomalyEncoder, self.encoder)
        tokens = None if encoder.tokens is None else self.backbone.picture_tokens(seen.vision)
        return cast(Tensor, encoder(maps.similar, tokens))

    def forward(self, batch: Batch, blind: bool = False) -> Tensor:
        """Loss of the dialogs' answers given video, anomaly prompts and questions (eq. 14); `blind`: without video."""
        seen = self.look(batch, batch["turns"])
        return self.backbone.loss(seen.inputs, seen.vision, seen.prompts, blind)

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
