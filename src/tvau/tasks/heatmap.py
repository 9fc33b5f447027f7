"""Stage 1: the heatmap decoder learns to align the frozen tower's hidden states with the text prompts."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from tvau.backbones import VideoLVLM
from tvau.heatmap_decoder import AnomalyHeatmapDecoder
from tvau.losses import map_loss
from tvau.metrics.boxes import RuleChoice
from tvau.metrics.intervals import SAMPLES
from tvau.model import TVAU, text_features
from tvau.prompts import PROMPTS
from tvau.tasks.base import OURS, Task, load_decoder
from tvau.tasks.maps import MapScores, frame_scores, median_difference, true_boxes
from tvau.types import Batch

MEDIAN = "median difference"


class HeatmapTask(Task):
    """Trains the heatmap decoder alone; the test compares it with the temporal median difference.

    Each validation also chooses the rule by which boxes and frame scores are read from the maps, see `MapRule`; the
    checkpoint holds it.

    Args:
        backbone: the LVLM, frozen.
        prompts: "normal" and "abnormal" texts (eq. 2).
        width, weight: see `AnomalyHeatmapDecoder`.
        positive_weight, dice_weight: see `map_loss`.
        bootstrap: resamplings of the videos behind the test's confidence intervals; 0: none.
        merl: the test also gives the MERL-style variant of RBDC and TBDC (slow).
        start: checkpoint of stage 1 on any data whose decoder is trained further (with its own width and weight), its
            rules for boxes left behind; null: a new decoder.
        learning_rate, weight_decay, warmup: see `Task`.
    """

    def __init__(
        self,
        backbone: VideoLVLM,
        prompts: Mapping[str, Sequence[str]] = PROMPTS,
        width: int | None = None,
        weight: float = 10.0,
        positive_weight: float = 5.0,
        dice_weight: float = 0.5,
        bootstrap: int = SAMPLES,
        merl: bool = False,
        start: str | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        warmup: int = 20,
    ) -> None:
        super().__init__(learning_rate, weight_decay, warmup)
        self.save_hyperparameters(ignore=["backbone"])
        self.positive_weight, self.dice_weight = positive_weight, dice_weight
        self.bootstrap, self.merl, self.choices = bootstrap, merl, nn.ModuleDict()
        self.decoder_options = {"width": width, "weight": weight}
        decoder = AnomalyHeatmapDecoder(backbone.vision_size, backbone.hidden_size, backbone.blocks, width, weight)
        if start is not None:
            decoder, _, self.decoder_options = load_decoder(start, backbone)
        self.model = TVAU(backbone, decoder, text=text_features(backbone, prompts))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Loss of the maps against the masks."""
        loss = map_loss(self.model.maps(batch), batch["mask"], self.positive_weight, self.dice_weight)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["name"]))
        return loss

    def on_validation_start(self) -> None:
        """Fresh scores for every validation."""
        self.scores["validation"] = MapScores().to(self.device)
        methods = [OURS, *({MEDIAN} - self.rules.keys())]  # the baseline's maps stay what they are
        self.choices = nn.ModuleDict({method: RuleChoice() for method in methods}).to(self.device)

    def validation_step(self, batch: Batch, index: int) -> Tensor:
        """The same loss on validation clips; returns their heatmaps [B, T, H, W] for the pictures in the log."""
        maps = self.model.maps(batch)
        loss = map_loss(maps, batch["mask"], self.positive_weight, self.dice_weight)
        self.log("validation/loss", loss, prog_bar=True, batch_size=len(batch["name"]), sync_dist=True)
        heatmaps = self.model.enlarge(maps, batch)
        cast(MapScores, self.scores["validation"]).update(batch, heatmaps)
        labels = batch["mask"].flatten(2).any(2)
        for method, choice in self.choices.items():
            shown = heatmaps if method == OURS else median_difference(batch["video"])
            cast(RuleChoice, choice).update(batch["name"], batch["frames"], shown, labels, true_boxes(batch))
        return heatmaps

    def on_validation_epoch_end(self) -> None:
        """Frame AUC and pixel average precision of the validation split, and the rule that serves each method best."""
        if not self.trainer.sanity_checking:
            self.rules |= {method: cast(RuleChoice, choice).best() for method, choice in self.choices.items()}
        scores = cast(MapScores, self.scores["validation"]).compute()
        for kind, name in (("frame", "micro_auc"), ("pixel", "average_precision")):
            if name in scores.get(kind, {}):
                self.log(f"validation/{name}", scores[kind][name], prog_bar=True, sync_dist=False)

    def on_test_start(self) -> None:
        """One set of scores for each split and method."""
        self.scores.clear()
        for split in self.split_names:  # in every process, also in one that gets no clip of a split
            for method in (OURS, MEDIAN):
                scores = MapScores(self.rules.get(method), self.bootstrap, self.merl)
                self.scores[f"{split}/{method}"] = scores.to(self.device)

    def test_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> None:
        """Scores our heatmaps and the baseline's on the same clips."""
        for method, heatmaps in ((OURS, self.model.heatmaps(batch)), (MEDIAN, median_difference(batch["video"]))):
            score = cast(MapScores, self.scores[f"{self.split_names[dataloader_idx]}/{method}"])
            score.update(batch, heatmaps)

    def on_test_end(self) -> None:
        """Writes `test.json`: {method: {split: {"frame": ..., "pixel": ..., "region": ...}}}, and `curves.json`."""
        results: dict[str, dict[str, Any]] = {}
        for key, scores in self.scores.items():
            split, method = key.split("/")
            results.setdefault(method, {})[split] = cast(MapScores, scores).compute()
        self.publish(results)

    def predict_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Heatmaps [B, T, H, W], frame scores [B, T], and no words."""
        heatmaps = self.model.heatmaps(batch)
        return {"heatmaps": heatmaps, "scores": frame_scores(heatmaps), "turns": [[] for _ in batch["name"]]}
