"""Stage 2: LoRA, and with a view the region-aware encoder, learn to speak about what the heatmaps show."""

import shutil
import warnings
from collections import defaultdict
from collections.abc import Sequence
from inspect import signature
from math import isnan
from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from tvau.backbones import VideoLVLM
from tvau.dialog import Conversation
from tvau.errors import CheckpointError, DataError, OptionError
from tvau.familiarity import FOREIGN
from tvau.judge import Judge
from tvau.language import JUDGEMENT
from tvau.metrics import TextScores
from tvau.metrics.intervals import SAMPLES
from tvau.metrics.motion import answer_rows
from tvau.model import TVAU, Evidence
from tvau.region_encoder import PARTS, Of, Part, RegionAwareAnomalyEncoder, View
from tvau.tasks.answers import (
    MAP_TASKS,
    JudgedClips,
    asked_for,
    by_length,
    judgement_of,
    map_answers,
    sureness,
    told,
)
from tvau.tasks.base import OURS, Task
from tvau.tasks.checkpoints import (
    completed,
    load_decoder,
    load_familiarity,
    load_fold_decoders,
    read_checkpoint,
    rules_of,
)
from tvau.tasks.maps import MapScores, frame_scores, shown, true_boxes
from tvau.tasks.variants import INSTEAD, VARIANTS, Variant
from tvau.types import Batch, having
from tvau.viz.cases import save_case
from tvau.viz.report import Case

MAP = "map"  # what the map says without a language model, among the methods of a test
BARE = "Untrained: the LVLM as it comes. A score is the probability of its Yes against its No to the usual question."
BESIDE = "Untrained: the LVLM as it comes, which does not see the heatmaps; they mark what normal video did not hold."


class DialogTask(Task):
    """Trains LoRA on dialogs, with `view` the region encoder too; the heatmap decoder is of stage 1 and stays frozen.

    Without `heatmap` it is the LVLM tuned alone, the baseline.

    Args:
        backbone: the LVLM.
        heatmap: a checkpoint that holds a trained heatmap decoder (stage 1, or an earlier stage 2).
        view: what the region encoder sees; "difference" is the paper's. None: no anomaly prompts.
        variant: an ablation that tells the LVLM of anomalies in another way. In place of the region encoder, with
            `heatmap`: "heatmap_video" (the heatmap as a second video), "coordinates_as_text" (a sentence in front of
            the first question) or "marks" (outlines in the frames). "true_masks": the region encoder sees the true
            masks, an upper bound; without `heatmap` the test gives no scores of heatmaps. See `tasks/variants.py`.
        of: which maps those are, "heatmap" (behind the softmax) or "similarity" (before it).
        channels, base, parts, base_once, pool: C_h, N_base and the kinds of prompts of the region encoder, whether base
            prompts stand once or, as in the paper, at every step, and how many steps share their prompts.
        prompts_first: so many optimizer steps at the start in which the language model does not see the picture and
            learns to judge by the anomaly prompts alone. Ours: with the picture before it, it learns the training's
            judgements from that, and never comes to read the prompts (docs/findings.md).
        grounded: evidence opens the answers: the first word of the judgement, its places and the trajectory, see
            `tvau.dialog.Conversation`. Ours, not the paper's; needs `heatmap`. What decides the first word is fitted
            in every validation of a fit, and kept in the checkpoint.
        spotlight: words about a target see only the visual tokens where the map rises to within so many logits of the
            clip's peak; None: all. Ours; only where `grounded`. Nothing is trained for it.
        out_of_fold: learn from the maps of those decoders of `heatmap` that have not seen a clip, where it holds any
            (`folds` of `HeatmapTask`); validation, test and predict use its main decoder.
        lora_rank, lora_alpha, lora_dropout: of LoRA on the language model; rank 0: none.
        questions: what `predict` asks; None: the paper's dialog flow, features and trajectory only of what was judged
            abnormal.
        most: tokens an answer has at most.
        judged_only: test splits of which only the first answer is asked, as their words were never learned.
        cases: videos of each kind (normal, abnormal) and split that the test keeps for the report.
        bootstrap: resamplings of the videos behind the test's confidence intervals; 0: none.
        learning_rate, weight_decay, warmup: see `Task`.

    Raises:
        CheckpointError: `heatmap` is no checkpoint with a decoder for this backbone.
        OptionError: `variant` without what it needs, `spotlight` below 0, `parts` without a prompt, `prompts_first` or
            other options of the region encoder without `view`, or a decoder that was trained on every so many-th frame.
    """

    speaks = True

    def __init__(
        self,
        backbone: VideoLVLM,
        heatmap: str | None = None,
        view: View | None = "difference",
        of: Of = "heatmap",
        variant: Variant | None = None,
        channels: int = 64,
        base: int = 10,
        parts: Sequence[Part] = PARTS,
        base_once: bool = False,
        pool: int = 1,
        prompts_first: int = 0,
        grounded: bool = False,
        spotlight: float | None = None,
        out_of_fold: bool = True,
        lora_rank: int = 16,
        lora_alpha: int = 32,
        lora_dropout: float = 0.0,
        questions: Sequence[str] | None = None,
        most: int = 48,
        judged_only: Sequence[str] = (),
        cases: int = 2,
        bootstrap: int = SAMPLES,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        warmup: int = 20,
    ) -> None:
        super().__init__(learning_rate, weight_decay, warmup)
        self.save_hyperparameters(ignore=["backbone"])
        if spotlight is not None and spotlight < 0:
            raise OptionError(f"spotlight {spotlight}: expected how many logits below the peak, 0 or more")
        self.questions, self.most, self.prompts_first = questions, most, prompts_first
        self.judged_only, self.cases, self.bootstrap = set(judged_only), cases, bootstrap
        self.kept: dict[tuple[str, bool], dict[str, None]] = {}  # videos that became cases, by split and kind
        self.abnormal: dict[str, set[str]] = {}  # videos by split
        decoder, text, encoder, familiarity, judge, folds = None, None, None, None, None, list[Any]()
        if heatmap is not None:
            judge = Judge()
            decoder, text, self.decoder_options = load_decoder(heatmap, backbone)
            stored = read_checkpoint(heatmap)
            if (every := stored.get("options", {}).get("every", 1)) > 1:
                raise OptionError(
                    f"{heatmap}: its tower looks at one of {every} frames (--model.every), where a dialog sees all: "
                    "train stage 1 without that, on clips of a larger --data.stride"
                )
            decoder.requires_grad_(False)
            folds = load_fold_decoders(heatmap, backbone) if out_of_fold else []
            for own in folds:
                own.requires_grad_(False)
            familiarity = load_familiarity(heatmap, backbone)
            self.rules = rules_of(stored)
        elif grounded or variant in INSTEAD or (variant is None and view not in (None, "difference")):
            asked = "grounded" if grounded else f"view {view}" if variant is None else f"variant {variant}"
            raise OptionError(f"{asked} without heatmap: give a checkpoint of stage 1 (--model.heatmap)")
        changed = variant == "true_masks" or (of, tuple(parts), base_once, pool) != ("heatmap", PARTS, False, 1)
        if view is None and changed:
            asked = "of, parts, base_once, pool and variant true_masks"
            raise OptionError(f"{asked} are of the region encoder: add --model.view difference")
        if view is not None and variant not in INSTEAD and (decoder or variant):
            scale = backbone.prompt_scale
            encoder = RegionAwareAnomalyEncoder(
                backbone.hidden_size, view, channels, base, scale, parts, base_once, of, pool
            )
        if prompts_first and encoder is None:
            raise OptionError(
                f"prompts_first {prompts_first} without anomaly prompts: give --model.heatmap, and a --model.view"
            )
        self.method = OURS if encoder or variant or grounded else "lvlm"
        self.model = VARIANTS[variant](backbone, decoder, encoder, text, familiarity, judge, grounded, spotlight, folds)
        self.known = JudgedClips()
        backbone.add_lora(lora_rank, lora_alpha, lora_dropout)

    # ---- checkpoints ----

    def keeps(self, key: str) -> bool:
        """The decoders that left clips out stay in stage 1's checkpoint."""
        return super().keeps(key) and not key.startswith("model.folds.")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As every task, with the number of decoders that the training was shown."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["folds"] = len(self.model.folds or ())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As every task; raises CheckpointError where a training would go on with other maps than it began with."""
        super().on_load_checkpoint(checkpoint)
        before, now = checkpoint.get("folds", 0), len(self.model.folds or ())
        if self._trainer is not None and self.trainer.state.fn == "fit" and before != now:
            raise CheckpointError(
                f"the training began with maps of {before} decoders that left clips out, and would go on with {now}: "
                "give the checkpoint of stage 1 that it began with (--model.heatmap)"
            )

    # ---- training ----

    def check(self, batch: Batch) -> None:
        """Raises DataError for a clip that has no dialog."""
        for name, turns in zip(batch["name"], batch["turns"], strict=True):
            if not turns:
                raise DataError(
                    f"{name}: a clip without a dialog, from which stage 2 learns nothing: use clips that have one "
                    "(--data.clips=dialogs), or write dialogs with `tvau annotate`"
                )

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Cross entropy of the answers."""
        self.check(batch)
        blind = self.global_step < self.prompts_first
        if blind:  # what is said of features needs the picture
            batch = {**batch, "turns": [[judgement_of(turns)] for turns in batch["turns"]]}
        loss = self.model(batch, blind)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["name"]))
        return self.share(loss, batch)

    def validation_step(self, batch: Batch, index: int) -> None:
        """The same on validation clips, and what a judge would learn from them."""
        self.check(batch)
        seen = self.model.look(batch, batch["turns"])
        self.watch_loss(self.model.backbone.loss(seen.inputs, seen.vision, seen.prompts), batch)
        if self.model.judge is not None:
            talk = Conversation(self.model, batch, seen)
            leans = talk.lean([judgement_of(turns)["question"] for turns in batch["turns"]])
            self.known.update(batch, seen.peaks, leans)

    def on_validation_epoch_end(self) -> None:
        """Fits the judge where a training is validated: the checkpoint that is written now holds it."""
        super().on_validation_epoch_end()
        if self.model.judge is not None:
            peaks, leans, yes = self.known.compute().T  # in every process
            self.known.reset()
            if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
                if len(set(yes.tolist())) < 2:
                    warnings.warn(
                        f"The judge is not fitted: all {len(yes)} judgements of the validation are alike. It says yes "
                        "where the heatmap's peak is above 0.5.",
                        stacklevel=2,
                    )
                self.model.judge.fit(peaks, leans, yes > 0)

    # ---- test ----

    def on_test_start(self) -> None:
        """One set of scores for each split."""
        self.scores.clear()
        for name in self.split_names:  # in every process, also in one that gets no clip of a split
            self.scores[f"text_{name}"] = TextScores(self.bootstrap).to(self.device)
            if self.model.judge is not None:
                self.scores[f"alone_{name}"] = TextScores(self.bootstrap).to(self.device)
            self.scores[f"maps_{name}"] = MapScores(self.rules.get(OURS), self.bootstrap).to(self.device)
            self.scores[f"foreign_{name}"] = MeanMetric(nan_strategy="ignore").to(self.device)
        self.kept.clear()
        self.abnormal = {split: clips.abnormal for split, clips in self.splits.items()}
        if self.trainer.is_global_zero:  # those of a test before
            shutil.rmtree(self.folder / "cases", ignore_errors=True)
        self.trainer.strategy.barrier()

    def test_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> None:
        """Asks each clip its reference's questions, turn after turn, and keeps heatmaps and answers."""
        name = self.split_names[dataloader_idx]
        if name in self.judged_only:
            batch = {**batch, "turns": [[judgement_of(turns)] if turns else [] for turns in batch["turns"]]}
        for part in by_length(batch):
            turns = part["turns"]
            talk = Conversation(self.model, part)
            for now, tasks in zip(zip(*turns, strict=True), zip(*map(asked_for, turns), strict=True), strict=True):
                talk.ask([turn["question"] for turn in now], self.most, tasks)
            answers, seen = [[answer for _, answer in own] for own in talk.history], talk.evidence
            heatmaps = None if seen.maps is None else self.model.enlarge(seen.maps, part)
            if seen.strange is not None:
                cast(MeanMetric, self.scores[f"foreign_{name}"]).update(seen.strange > FOREIGN)
            maps = cast(MapScores, self.scores[f"maps_{name}"])
            found = None if heatmaps is None else maps.update(part, heatmaps)
            self._score(f"text_{name}", part, answers, sureness(talk), found)
            if (judge := self.model.judge) is not None:
                verdicts = judge.map_alone(seen.peaks).tolist()
                own = [[turn for turn in asked if turn["task"] in MAP_TASKS] for asked in turns]
                told = [map_answers(*known) for known in zip(own, verdicts, seen.ways, strict=True)]
                self._score(
                    f"alone_{name}", {**part, "turns": own}, told, [{"yes_no_auc": verdict} for verdict in verdicts]
                )
            self._keep(name, part, answers, heatmaps)

    def _score(
        self, key: str, batch: Batch, answers: list[list[str]], sure: list[dict[str, float]], found: Any = None
    ) -> None:
        """Adds the answers about clips, and how sure each clip's judgement was."""
        tracks, (height, width) = true_boxes(batch), batch["video"].shape[-2:]
        for i, video in enumerate(batch["name"]):
            if not answers[i]:
                continue
            rows = answer_rows(batch["turns"][i], answers[i], tracks[i], found[i] if found else None, (height, width))
            tasks, said, references = zip(*rows, strict=True)
            clip = f"{video}:{int(batch['frames'][i, 0])}-{int(batch['frames'][i, -1])}"
            by_row = [sure[i] if task == "judgement" else {} for task in tasks]
            cast(TextScores, self.scores[key]).update(tasks, said, references, [clip] * len(rows), by_row)

    def _keep(self, split: str, batch: Batch, answers: list[list[str]], heatmaps: Tensor | None) -> None:
        """Leaves the first videos of each kind in the run's folder, for the report."""
        for i, name in enumerate(batch["name"]):
            mask, labels = (
                batch[key][i].cpu().numpy() if i in having(batch, key) else None for key in ("mask", "labels")
            )
            videos = self.kept.setdefault((split, name in self.abnormal.get(split, ())), {})
            if name not in videos and len(videos) >= self.cases:
                continue
            videos[name] = None
            maps = torch.zeros_like(batch["video"][i, :, 0]).float() if heatmaps is None else heatmaps[i].float()
            case = Case(
                name, split, batch["frames"][i].cpu().numpy(), batch["video"][i].movedim(1, -1).cpu().numpy(),
                maps.cpu().numpy(), mask, frame_scores(maps).cpu().numpy(), labels,
                [(t["question"], a, t["answer"]) for t, a in zip(batch["turns"][i], answers[i], strict=True)],
            )  # fmt: skip
            save_case(self.folder / "cases", case)

    def on_test_end(self) -> None:
        """Writes `test.json`: {method: {split: {"frame": ..., ..., "text": ...}}}, and `curves.json`."""
        results: dict[str, dict[str, Any]] = defaultdict(dict)
        alone: dict[str, dict[str, Any]] = {}
        for key, score in self.scores.items():
            kind, name = key.split("_", 1)
            if kind == "foreign":  # share of the clips that are far from the training
                if self.model.familiarity is not None:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # of a process that saw no clip: it has to take part
                        share = float(cast(MeanMetric, score).compute())
                    if not isnan(share):
                        results[name]["foreign"] = share
                continue
            scores = cast(TextScores | MapScores, score).compute()
            if kind == "alone":
                alone[name] = {"text": scores}
                continue
            results[name] |= {"text": scores} if kind == "text" else scores
        self.publish({self.method: results} | ({MAP: alone} if alone else {}))

    # ---- predict ----

    @property
    def untrained(self) -> str:  # type: ignore[override]
        """What looks and answers where nothing was trained, in words; empty for a trained model."""
        if self.trained or self.decoder_options:
            return ""
        return BESIDE if self.model.decoder else BARE

    def sure(self, batch: Batch, seen: Evidence) -> Tensor | None:
        """The scores [B] of clips where neither a heatmap gives any nor something was trained: see `BARE`."""
        if self.model.decoder or not self.untrained:
            return None
        return Conversation(self.model, batch, seen).lean([JUDGEMENT] * len(batch["name"])).sigmoid()

    def predict_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """What is seen in each clip, see `shown`, and what is said about it."""
        talk = Conversation(self.model, batch)
        if self.questions is None:
            talk.flow(self.most)
        for question in self.questions or ():
            talk.ask([question] * len(batch["name"]), self.most)
        sure = self.sure(batch, talk.evidence)
        return {**shown(talk.evidence, batch, sure), "turns": [told(own) for own in talk.history]}


def load(checkpoint: str, backbone: VideoLVLM) -> TVAU:
    """A trained T-VAU from a checkpoint of stage 2, ready to look and to speak.

    Raises:
        CheckpointError: no such file, no checkpoint of stage 2, or of another backbone.
    """
    stored = read_checkpoint(checkpoint)
    options = stored.get("options", {})
    if "heatmap" not in options:
        raise CheckpointError(f"{checkpoint} is no checkpoint of stage 2 (tvau.tasks.DialogTask)")
    known = {k: v for k, v in completed(options).items() if k in signature(DialogTask).parameters}  # 0.1 had others
    task = DialogTask(backbone, **{**known, "heatmap": checkpoint if options["heatmap"] else None})
    task.on_load_checkpoint(stored)
    task.load_state_dict(stored["state_dict"], strict=False)
    return task.model.eval()
