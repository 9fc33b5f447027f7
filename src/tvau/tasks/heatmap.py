"""Stage 1: the heatmap decoder learns to align the frozen tower's hidden states with the text prompts."""

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn
from tqdm import tqdm

from tvau.backbones import VideoLVLM
from tvau.data.module import ClipDataset, collate, spaced
from tvau.data.parts import fold
from tvau.errors import OptionError
from tvau.familiarity import Familiarity, feature
from tvau.heatmap_decoder import AnomalyHeatmapDecoder, Context, Maps, initial_weight
from tvau.losses import map_loss
from tvau.metrics.boxes import MapRule, RuleChoice
from tvau.metrics.intervals import SAMPLES
from tvau.metrics.kinds import kinds_of
from tvau.model import TVAU, text_features
from tvau.prompts import ABNORMAL, NORMAL, check_prompts, nested
from tvau.tasks.base import OURS, Task
from tvau.tasks.checkpoints import load_decoder
from tvau.tasks.maps import BASELINES, MapScores, shown, true_boxes, true_masks
from tvau.types import Batch, having, select

Level = Literal["word", "phrase", "sentence"]
Baseline = Literal["median difference", "squared difference"]


class MapTask(Task):
    """Test of a method that makes heatmaps, beside baselines that need no learning.

    Args:
        method: the name of its maps in `test.json`.
        baselines: see `BASELINES`; all are scored on the same clips by the same rule.
        bootstrap: resamplings of the videos behind the test's confidence intervals; 0: none.
        merl: the test also gives the MERL-style variant of RBDC and TBDC (slow).
        options: of `Task`.
    """

    def __init__(self, method: str, baselines: Sequence[str], bootstrap: int, merl: bool, **options: Any) -> None:
        super().__init__(**options)
        self.method, self.baselines = method, list(baselines)
        self.bootstrap, self.merl, self.choices = bootstrap, merl, nn.ModuleDict()

    def setup(self, stage: str) -> None:
        """From here on nothing is read or said: the language model stays where it is, and goes to no device."""
        super().setup(stage)
        self.model.backbone.mute()

    def teardown(self, stage: str) -> None:
        """The LVLM is whole again."""
        self.model.backbone.mute(False)

    def heatmaps(self, batch: Batch) -> Tensor:
        """The model's heatmaps [B, T, H, W] in [0, 1], at the size of the frames."""
        return self.model.heatmaps(batch)

    def predict_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """What is seen in each clip, see `shown`, and no words."""
        return {**shown(self.model.glance(batch), batch), "turns": [[] for _ in batch["name"]]}

    def shown(self, batch: Batch, own: Tensor) -> dict[str, Tensor]:
        """The heatmaps of the method (`own`) and of the baselines."""
        return {self.method: own} | {name: BASELINES[name](batch["video"]) for name in self.baselines}

    # ---- the rule, chosen on validation ----

    def start_choice(self) -> None:
        """From here on `watch` counts; the baselines' maps stay what they are, so one choice is enough for them."""
        methods = [self.method, *(name for name in self.baselines if name not in self.rules)]
        self.choices = nn.ModuleDict({method: RuleChoice() for method in methods}).to(self.device)

    def watch(self, batch: Batch, own: Tensor) -> None:
        """Adds validation clips, with the method's heatmaps, to the choice of the rules."""
        boxes = true_boxes(batch)
        labelled = having(batch, "labels")
        for known in (True, False):  # clips with and without boxes
            rows = [row for row in labelled if (boxes[row] is not None) == known]
            if not rows:
                continue
            part, tracks = select(batch, rows), [true for row in rows if (true := boxes[row]) is not None]
            for method, heatmaps in self.shown(part, own[rows]).items():
                if method in self.choices:
                    choice = cast(RuleChoice, self.choices[method])
                    boxed = tracks if known else None
                    choice.update(part["name"], part["frames"], heatmaps, part["labels"], boxed, part["fps"])

    def chosen(self) -> dict[str, MapRule]:
        """The rule that serves each method best."""
        return {method: cast(RuleChoice, choice).best() for method, choice in self.choices.items()}

    # ---- test ----

    def on_test_start(self) -> None:
        """One set of scores for each split and method."""
        self.scores.clear()
        methods = (self.method, *self.baselines)
        if (unruled := [method for method in methods if method not in self.rules]) and self.trainer.is_global_zero:
            warnings.warn(
                f"{', '.join(unruled)}: no rule for boxes and events was chosen on validation, so maps count from "
                "0.5 on. To have it chosen, train with a validation, and with the baselines that are tested.",
                stacklevel=2,
            )
        kinds = kinds_of(Path(getattr(getattr(self.trainer, "datamodule", None), "root", "")))
        for split in self.split_names:  # in every process, also in one that gets no clip of a split
            for method in methods:
                scores = MapScores(self.rules.get(method), self.bootstrap, self.merl, kinds)
                self.scores[f"{split}/{method}"] = scores.to(self.device)

    def test_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> None:
        """Scores the heatmaps of all methods on the same clips."""
        for method, heatmaps in self.shown(batch, self.heatmaps(batch)).items():
            cast(MapScores, self.scores[f"{self.split_names[dataloader_idx]}/{method}"]).update(batch, heatmaps)

    def on_test_end(self) -> None:
        """Writes `test.json`: {method: {split: {"frame": ..., "pixel": ..., "region": ...}}}, and `curves.json`."""
        results: dict[str, dict[str, Any]] = {}
        for key, scores in self.scores.items():
            split, method = key.split("/")
            results.setdefault(method, {})[split] = cast(MapScores, scores).compute()
        self.publish(results)


class HeatmapTask(MapTask):
    """Trains the heatmap decoder alone.

    Each validation also chooses the rule by which boxes and frame scores are read from the maps, see `MapRule`; the
    checkpoint holds it.

    A later stage that learned from the decoder's maps of its own training clips would learn from maps that are better
    than any it will meet. So `folds` further decoders can learn in the same fit, from the same vision passes: decoder k
    from all clips but those of part k (`tvau.data.parts.fold`), for which its maps are then as good as those of new
    clips. They lie in the checkpoint as `fold_decoders.k.` (`load_fold_decoders`), and in no stage 2's.

    Args:
        backbone: the LVLM, frozen.
        prompts: "normal" and "abnormal" texts (eq. 2); None: the built-in words at `levels`.
        levels: of the built-in prompts, see `tvau.prompts`.
        learned_text: two free vectors, trained like the rest, stand in for the features of the texts.
        width, context: see `AnomalyHeatmapDecoder`.
        every: see `TVAU`.
        reach: how far the two similarity maps can lie apart at the start, see `initial_weight`.
        positive_weight, dice_weight, clip_weight: see `map_loss`.
        baselines, bootstrap, merl: see `MapTask`.
        start: checkpoint of stage 1 on any data whose decoder is trained further (with its own options and weights),
            its rules for boxes left behind; null: a new decoder.
        folds: number of further decoders, 0 or at least 2; with 2 a step has twice the work.
        familiar: so many clips of the training, and as many of the validation, are looked at when a fit begins, to tell
            later how far a clip is from them, see `tvau.familiarity`; 0: no clip is ever called strange.
        learning_rate, weight_decay, warmup: see `Task`.

    Raises:
        OptionError: one fold, or folds with vectors that all clips teach (`learned_text`).
    """

    def __init__(
        self,
        backbone: VideoLVLM,
        prompts: Mapping[str, Sequence[str]] | None = None,
        levels: Sequence[Level] = ("word", "phrase", "sentence"),
        learned_text: bool = False,
        width: int | None = None,
        context: Context | None = None,
        every: int = 1,
        reach: float = 40.0,
        positive_weight: float = 5.0,
        dice_weight: float = 0.5,
        clip_weight: float = 0.0,
        baselines: Sequence[Baseline] = ("median difference",),
        bootstrap: int = SAMPLES,
        merl: bool = False,
        start: str | None = None,
        folds: int = 0,
        familiar: int = 256,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        warmup: int = 20,
    ) -> None:
        super().__init__(
            OURS, baselines, bootstrap, merl, learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup
        )
        self.save_hyperparameters(ignore=["backbone"])
        if folds < 0 or folds == 1 or (folds and learned_text):
            raise OptionError(f"folds={folds}, learned_text={learned_text}: expected 0, or at least 2 and fixed texts")
        self.weights = {
            "positive_weight": positive_weight, "dice_weight": dice_weight, "clip_weight": clip_weight,
        }  # fmt: skip
        if prompts is not None:
            check_prompts(prompts)
        self.prompts = prompts or {"normal": nested(NORMAL, tuple(levels)), "abnormal": nested(ABNORMAL, tuple(levels))}
        self.reach, self.new = reach, start is None
        drawn = torch.randn(2, backbone.hidden_size) * backbone.hidden_size**-0.5 if learned_text else None
        if start is None:
            self.decoder_options = {"width": width, "context": context}
            decoder = AnomalyHeatmapDecoder(
                backbone.vision_size, backbone.hidden_size, backbone.blocks, **self.decoder_options
            )
        else:
            decoder, _, self.decoder_options = load_decoder(start, backbone)
        self.familiar = familiar
        self.model = TVAU(backbone, decoder, familiarity=Familiarity(backbone.vision_size), every=every)
        self.fold_decoders = nn.ModuleList(deepcopy(decoder) for _ in range(folds))
        if drawn is not None:  # under the buffer's name, so that a checkpoint is read as any other
            del self.model.text
            self.model.text = nn.Parameter(drawn)

    @property
    def decoders(self) -> list[AnomalyHeatmapDecoder]:
        """That of all clips, and those that leave a part out."""
        return cast(list[AnomalyHeatmapDecoder], [self.model.decoder, *self.fold_decoders])

    def read(self) -> None:
        """The texts' features, and the scale of new decoders, which depends on them."""
        model = self.model
        if not isinstance(model.text, nn.Parameter):
            model.text.copy_(text_features(model.backbone, self.prompts))
        if self.new:
            weight = initial_weight(model.text, len(model.backbone.blocks), self.reach)
            for each in self.decoders:
                each.scale(weight)

    def on_fit_start(self) -> None:
        """Reads the prompts and looks at clips of both splits; a fit that goes on has that from its checkpoint."""
        super().on_fit_start()
        if not self.trained:
            self.model.backbone.mute(False)  # as it stands: none of it was moved to a device
            self.read()
            self.model.backbone.mute()
        familiarity = cast(Familiarity, self.model.familiarity)
        if self.familiar and not familiarity.known and {"training", "validation"} <= self.splits.keys():
            familiarity.learn(*(self._features(self.splits[split], split) for split in ("training", "validation")))

    @torch.no_grad()
    def _features(self, clips: ClipDataset, split: str) -> Tensor:
        """Features [n, Dv] of clips of a split, evenly spaced over it."""
        numbers = spaced(range(len(clips)), self.familiar)
        found = []
        for number in tqdm(numbers, f"{split} clips, to know them again", leave=False, disable=None):
            batch = move_data_to_device(collate([clips[number]]), self.device)
            found.append(feature(self.model.glance(batch).vision.hidden))
        return torch.cat(found)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Loss of the maps against the masks; each decoder's is a mean over the clips of the step, its own or not."""
        seen, masks = self.model.glance(batch), true_masks(batch)
        loss = map_loss(cast(Maps, seen.maps).logit, masks, **self.weights)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["name"]))
        parts = [fold(name, len(self.fold_decoders) or 1) for name in batch["name"]]
        for k, decoder in enumerate(self.fold_decoders):
            rows = [row for row, part in enumerate(parts) if part != k]
            if rows:
                hidden = {i: tokens[rows] for i, tokens in seen.vision.hidden.items()}
                logit = decoder(hidden, self.model.text).logit
                loss = loss + map_loss(logit, masks[rows], **self.weights) * len(rows) / len(parts)
            else:  # in every process each weight has a gradient, and one of its own: those of a sum share their memory
                loss = loss + torch.stack([(0 * weight).sum() for weight in decoder.parameters()]).sum()
        return self.share(loss, batch)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Each decoder's gradients by its own norm: a common one would tell decoders of clips that they leave out."""
        if not self.fold_decoders or gradient_clip_algorithm == "value":
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            for decoder in self.decoders:
                nn.utils.clip_grad_norm_(decoder.parameters(), gradient_clip_val)

    def on_validation_start(self) -> None:
        """Fresh scores for every validation."""
        self.scores["validation"] = MapScores().to(self.device)
        self.start_choice()

    def validation_step(self, batch: Batch, index: int) -> Tensor:
        """The same loss on validation clips; returns their heatmaps [B, T, H, W] for the pictures in the log."""
        maps = self.model.maps(batch)
        loss = map_loss(maps.logit, true_masks(batch), **self.weights)
        self.watch_loss(loss, batch)
        heatmaps = self.model.enlarge(maps, batch)
        cast(MapScores, self.scores["validation"]).update(batch, heatmaps)
        self.watch(batch, heatmaps)
        return heatmaps

    def on_validation_epoch_end(self) -> None:
        """Frame AUC and pixel average precision of the validation split, and the rule that serves each method best."""
        super().on_validation_epoch_end()
        if not self.trainer.sanity_checking:
            self.rules |= self.chosen()
        scores = cast(MapScores, self.scores["validation"]).compute()
        for kind, name in (("frame", "micro_auc"), ("pixel", "average_precision")):
            if name in scores.get(kind, {}):
                self.log(f"validation/{name}", scores[kind][name], prog_bar=True, sync_dist=False)
