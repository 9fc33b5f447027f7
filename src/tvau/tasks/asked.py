"""A baseline without learning: the LVLM as it is, asked about each clip."""

import torch
from torch import Tensor

from tvau.backbones import VideoLVLM
from tvau.language import JUDGEMENT
from tvau.metrics.intervals import SAMPLES
from tvau.model import TVAU
from tvau.tasks.unfitted import FrameTask
from tvau.types import Batch, Turn


class AskedTask(FrameTask):
    """How much surer the LVLM is of Yes than of No: the score of every frame of a clip.

    Nothing is trained; the score is the probability of the first token of Yes against that of No, so it is independent
    of all other words. One score a clip is coarse: clips are as long as the data say.

    Args:
        backbone: the LVLM.
        question: that is asked about each clip.
        bootstrap: see `MapTask`.
    """

    reads = True

    def __init__(self, backbone: VideoLVLM, question: str = JUDGEMENT, bootstrap: int = SAMPLES) -> None:
        super().__init__("the LVLM's yes", baselines=(), bootstrap=bootstrap, merl=False)
        self.save_hyperparameters(ignore=["backbone"])
        self.model, self.question = TVAU(backbone), question

    @torch.no_grad()
    def frames(self, batch: Batch) -> Tensor:
        """The score of each clip, for each of its frames."""
        turns = [[Turn(task="judgement", question=self.question, answer="")] for _ in batch["name"]]
        seen = self.model.look(batch, turns)
        lean = self.model.backbone.lean(self.model.backbone.start(seen.inputs, seen.vision))
        return lean.sigmoid()[:, None].expand(-1, batch["video"].shape[1])
