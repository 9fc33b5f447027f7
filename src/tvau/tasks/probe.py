"""A baseline that says what a linear reader finds in the frozen LVLM: logistic regression on its hidden states."""

from typing import Any, Literal, cast

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d

from tvau.backbones import VideoLVLM
from tvau.backbones.huggingface import HuggingFaceLVLM
from tvau.data.module import VideoDataModule
from tvau.errors import DataError, OptionError
from tvau.language import JUDGEMENT
from tvau.metrics.intervals import SAMPLES
from tvau.model import TVAU
from tvau.tasks.unfitted import FrameTask, spread
from tvau.types import Batch, Turn, having, select


class ProbeTask(FrameTask):
    """Logistic regression on pooled hidden states, taught on the frames of the training clips.

    Of each time step of a clip it sees the mean and the highest value of each feature over the patches of the tower's
    blocks, or the mean over the visual tokens in a layer of the language model, standardized. A step is abnormal where
    one of its frames is. Both classes have the same weight.

    Args:
        backbone: the LVLM, frozen; of the tower its `blocks` are read.
        of: what is read.
        layer: of the language model, 1-based; null: the one in the middle.
        strength: inverse of the penalty on the weights, `C` of scikit-learn.
        bootstrap: see `MapTask`.

    Raises:
        OptionError: a layer that the language model does not have.
    """

    def __init__(
        self,
        backbone: VideoLVLM,
        of: Literal["tower", "language"] = "tower",
        layer: int | None = None,
        strength: float = 0.01,
        bootstrap: int = SAMPLES,
    ) -> None:
        super().__init__(f"linear probe, {of}", baselines=(), bootstrap=bootstrap, merl=False)
        self.save_hyperparameters(ignore=["backbone"])
        self.model, self.reads, self.layer = TVAU(backbone), of == "language", layer
        self.probe: Pipeline = make_pipeline(
            StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
        )
        if self.reads:
            depth = cast(HuggingFaceLVLM, backbone).lm.config.get_text_config().num_hidden_layers
            self.layer = (depth + 1) // 2 if layer is None else layer
            if not 1 <= self.layer <= depth:
                raise OptionError(f"layer={layer}: expected one of the language model, from 1 to {depth}")

    def learn(self, data: VideoDataModule) -> None:
        """Fits the regression. Raises DataError where the training clips are not of both kinds."""
        features, labels = [], []
        for batch in self.moved(data.train_dataloader(shared=False)):
            rows = having(batch, "labels")
            if rows:
                part = select(batch, rows)
                features.append(self.steps(part).flatten(0, 1).cpu())
                steps = features[-1].shape[0] // len(rows)
                labels.append(torch.stack([own.any(1) for own in part["labels"].tensor_split(steps, 1)], 1).flatten())
        truth = torch.cat(labels).cpu().numpy() if labels else torch.empty(0).numpy()
        if len(set(truth.tolist())) < 2:
            raise DataError("a linear probe needs training clips with normal and with abnormal frames")
        self.probe.fit(torch.cat(features).numpy(), truth)

    @torch.no_grad()
    def steps(self, batch: Batch) -> Tensor:
        """Features of each time step [B, T', F]."""
        if self.layer is None:
            blocks = [hidden.float().flatten(3) for hidden in self.model.glance(batch).vision.hidden.values()]
            return torch.cat([pooled for block in blocks for pooled in (block.mean(3), block.amax(3))], 2)
        lvlm: Any = self.model.backbone
        turns = [[Turn(task="judgement", question=JUDGEMENT, answer="")] for _ in batch["name"]]
        seen = self.model.look(batch, turns)
        hidden = lvlm.hidden_states(seen.inputs, seen.vision, every=True)[self.layer].float()
        of_clips = hidden[seen.inputs["input_ids"] == lvlm.tokens.placeholder].view(len(hidden), -1, hidden.shape[-1])
        count = lvlm.grid(batch["video"].shape[1], *batch["video"].shape[-2:])[0]
        return adaptive_avg_pool1d(of_clips.movedim(1, 2), count).movedim(2, 1)

    def frames(self, batch: Batch) -> Tensor:
        """Probability that a frame is abnormal."""
        features = self.steps(batch)
        given = self.probe.predict_proba(features.flatten(0, 1).cpu().numpy())[:, 1]
        scores = torch.from_numpy(given).float().view(features.shape[:2]).to(features.device)
        return spread(scores, batch["video"].shape[1])
