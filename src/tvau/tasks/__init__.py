"""The stages as LightningModules."""

from tvau.tasks.callbacks import Cost, HeatmapPictures, OwnWords, Serve
from tvau.tasks.dialog import DialogTask
from tvau.tasks.heatmap import HeatmapTask
from tvau.tasks.neighbours import NeighbourTask
from tvau.tasks.resume import LastCheckpoint, MetricsLogger
from tvau.tasks.sharded import Sharded
from tvau.tasks.writer import PredictionWriter

__all__ = [
    "Cost", "DialogTask", "HeatmapPictures", "HeatmapTask", "LastCheckpoint", "MetricsLogger", "NeighbourTask",
    "OwnWords", "PredictionWriter", "Serve", "Sharded",
]  # fmt: skip
