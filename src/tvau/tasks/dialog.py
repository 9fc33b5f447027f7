"""Stage 2: the region-aware encoder and LoRA learn to speak about what the heatmaps show."""

from collections import defaultdict
from collections.abc import Sequence
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from tvau.backbones import VideoLVLM
from tvau.errors import CheckpointError, DataError, OptionError
from tvau.familiarity import FOREIGN
from tvau.language import FLOW
from tvau.metrics import TextScores
from tvau.metrics.intervals import SAMPLES
from tvau.metrics.motion import answer_rows
from tvau.model import TVAU
from tvau.region_encoder import PARTS, Part, RegionAwareAnomalyEncoder, View
from tvau.tasks.base import OURS, Task
from tvau.tasks.checkpoints import load_decoder, load_familiarity, read_checkpoint, rules_of
from tvau.tasks.maps import MapScores, frame_scores, shown, true_boxes
from tvau.tasks.variants import VARIANTS, Variant
from tvau.types import Batch, having, select
from tvau.viz.cases import save_case
from tvau.viz.report import Case


class DialogTask(Task):
    """Trains the region encoder and LoRA on dialogs; the heatmap decoder comes from stage 1 and stays frozen.

    Without `heatmap` it is the LVLM tuned alone, the baseline.

    Args:
        backbone: the LVLM.
        heatmap: a checkpoint that holds a trained heatmap decoder (stage 1, or an earlier stage 2).
        view: what the region encoder sees; "difference" is the paper's. None: no anomaly prompts.
        variant: an ablation that tells the LVLM of anomalies in another way: "heatmap_video" (the heatmap as a second
            video in place of the region encoder, needs `heatmap`) or "true_masks" (the region encoder sees the true
            masks, an upper bound; without `heatmap` the test gives no scores of heatmaps). See `tasks/variants.py`.
        channels, base, parts, base_once: C_h, N_base and the kinds of prompts of the region encoder, and whether base
            prompts stand once or, as in the paper, at every step.
        lora_rank, lora_alpha, lora_dropout: of LoRA on the language model; rank 0: none.
        questions: what `predict` asks; the default is the paper's dialog flow.
        most: tokens an answer has at most.
        judged_only: test splits of which only the first answer is asked, as their words were never learned.
        cases: videos of each kind (normal, abnormal) and split that the test keeps for the report.
        bootstrap: resamplings of the videos behind the test's confidence intervals; 0: none.
        learning_rate, weight_decay, warmup: see `Task`.

    Raises:
        CheckpointError: `heatmap` is no checkpoint with a decoder for this backbone.
        OptionError: `variant` without what it needs, or `parts` without a prompt.
    """

    def __init__(
        self,
        backbone: VideoLVLM,
        heatmap: str | None = None,
        view: View | None = "difference",
        variant: Variant | None = None,
        channels: int = 64,
        base: int = 10,
        parts: Sequence[Part] = PARTS,
        base_once: bool = False,
        lora_rank: int = 16,
        lora_alpha: int = 32,
        lora_dropout: float = 0.0,
        questions: Sequence[str] = FLOW,
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
        self.questions, self.most = list(questions), most
        self.judged_only, self.cases, self.bootstrap = set(judged_only), cases, bootstrap
        self.kept: dict[tuple[str, bool], dict[str, None]] = {}  # videos that became cases, by split and kind
        decoder, text, encoder, familiarity = None, None, None, None
        if heatmap is not None:
            decoder, text, self.decoder_options = load_decoder(heatmap, backbone)
            decoder.requires_grad_(False)
            familiarity = load_familiarity(heatmap, backbone)
            self.rules = rules_of(read_checkpoint(heatmap))
        elif variant == "heatmap_video" or (variant is None and view not in (None, "difference")):
            asked = f"view {view}" if variant is None else f"variant {variant}"
            raise OptionError(f"{asked} without heatmap: give a checkpoint of stage 1 (--model.heatmap)")
        if view is not None and variant != "heatmap_video" and (decoder or variant):
            scale = backbone.prompt_scale
            encoder = RegionAwareAnomalyEncoder(backbone.hidden_size, view, channels, base, scale, parts, base_once)
        self.method = OURS if encoder or variant else "lvlm"
        self.model = VARIANTS[variant](backbone, decoder, encoder, text, familiarity)
        backbone.add_lora(lora_rank, lora_alpha, lora_dropout)

    # ---- training ----

    def loss(self, batch: Batch) -> Tensor:
        """Cross entropy of the answers; raises DataError for a clip that has none."""
        for name, turns in zip(batch["name"], batch["turns"], strict=True):
            if not turns:
                raise DataError(
                    f"{name}: a clip without a dialog, from which stage 2 learns nothing: use clips that have one "
                    "(--data.clips=dialogs), or write dialogs with `tvau annotate`"
                )
        return self.model(batch)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Cross entropy of the answers."""
        loss = self.loss(batch)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["name"]))
        return self.share(loss, batch)

    def validation_step(self, batch: Batch, index: int) -> None:
        """The same on validation clips."""
        self.watch_loss(self.loss(batch), batch)

    # ---- test ----

    def on_test_start(self) -> None:
        """One set of scores for each split."""
        self.scores.clear()
        for name in self.split_names:  # in every process, also in one that gets no clip of a split
            self.scores[f"text_{name}"] = TextScores(self.bootstrap).to(self.device)
            self.scores[f"maps_{name}"] = MapScores(self.rules.get(OURS), self.bootstrap).to(self.device)
            self.scores[f"foreign_{name}"] = MeanMetric(nan_strategy="ignore").to(self.device)
        self.kept.clear()

    def test_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> None:
        """Asks each clip its reference's questions, turn after turn, and keeps heatmaps and answers."""
        name = self.split_names[dataloader_idx]
        if name in self.judged_only:
            batch = {**batch, "turns": [turns[:1] for turns in batch["turns"]]}
        for part in by_length(batch):
            turns = part["turns"]
            answers, seen = self.model.talk(part, [[t["question"] for t in own] for own in turns], self.most)
            heatmaps = None if seen.maps is None else self.model.enlarge(seen.maps, part)
            if seen.strange is not None:
                cast(MeanMetric, self.scores[f"foreign_{name}"]).update(seen.strange > FOREIGN)
            text, maps = cast(TextScores, self.scores[f"text_{name}"]), cast(MapScores, self.scores[f"maps_{name}"])
            found = None if heatmaps is None else maps.update(part, heatmaps)
            tracks, (height, width) = true_boxes(part), part["video"].shape[-2:]
            for i, video in enumerate(part["name"]):
                rows = answer_rows(turns[i], answers[i], tracks[i], found[i] if found else None, (height, width))
                tasks, said, references = zip(*rows, strict=True)
                text.update(tasks, said, references, [f"{video}:{int(part['frames'][i, 0])}"] * len(rows))
            self._keep(name, part, answers, heatmaps)

    def _keep(self, split: str, batch: Batch, answers: list[list[str]], heatmaps: Tensor | None) -> None:
        """Leaves the first videos of each kind in the run's folder, for the report."""
        for i, name in enumerate(batch["name"]):
            mask, labels = (
                batch[key][i].cpu().numpy() if i in having(batch, key) else None for key in ("mask", "labels")
            )
            videos = self.kept.setdefault((split, "abnormal" in name), {})
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
        for key, score in self.scores.items():
            kind, name = key.split("_", 1)
            if kind == "foreign":  # share of the clips that are far from the training
                if cast(MeanMetric, score).update_called:
                    results[name]["foreign"] = float(cast(MeanMetric, score).compute())
                continue
            scores = cast(TextScores | MapScores, score).compute()
            results[name] |= {"text": scores} if kind == "text" else scores
        self.publish({self.method: results})

    # ---- predict ----

    def predict_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """What is seen in each clip, see `shown`, and what is said about it."""
        answers, seen = self.model.talk(batch, [self.questions] * len(batch["name"]), self.most)
        turns = [
            [{"task": "", "question": q, "answer": a} for q, a in zip(self.questions, own, strict=True)]
            for own in answers
        ]
        return {**shown(seen, batch), "turns": turns}


def load(checkpoint: str, backbone: VideoLVLM) -> TVAU:
    """A trained T-VAU from a checkpoint of stage 2, ready to look and to speak.

    Raises:
        CheckpointError: no such file, no checkpoint of stage 2, or of another backbone.
    """
    stored = read_checkpoint(checkpoint)
    options = stored.get("options", {})
    if "heatmap" not in options:
        raise CheckpointError(f"{checkpoint} is no checkpoint of stage 2 (tvau.tasks.DialogTask)")
    known = {k: v for k, v in options.items() if k in signature(DialogTask).parameters}  # 0.1 had some for pretraining
    task = DialogTask(backbone, **{**known, "heatmap": checkpoint if options["heatmap"] else None})
    task.on_load_checkpoint(stored)
    task.load_state_dict(stored["state_dict"], strict=False)
    return task.model.eval()


def by_length(batch: Batch) -> list[Batch]:
    """The batch in parts whose dialogs have equally many turns; clips without turns are left out."""
    lengths = sorted({len(turns) for turns in batch["turns"]} - {0})
    parts = []
    for length in lengths:
        rows = [i for i, turns in enumerate(batch["turns"]) if len(turns) == length]
        parts.append(select(batch, rows))
    return parts
