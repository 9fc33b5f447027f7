"""The stages as LightningModules."""

from tvau.tasks.asked import AskedTask
from tvau.tasks.attention import AttentionTask
from tvau.tasks.callbacks import Cost, HeatmapPictures, OwnWords, Serve
from tvau.tasks.dialog import DialogTask
from tvau.tasks.heatmap import HeatmapTask
from tvau.tasks.neighbours import NeighbourTask
from tvau.tasks.normal import NormalVideo
from tvau.tasks.probe import ProbeTask
from tvau.tasks.resume import LastCheckpoint, MetricsLogger
from tvau.tasks.sharded import Sharded
from tvau.tasks.writer import PredictionWriter

__all__ = [
    "AskedTask", "AttentionTask", "Cost", "DialogTask", "HeatmapPictures", "HeatmapTask", "LastCheckpoint",
    "MetricsLogger", "NeighbourTask", "NormalVideo", "OwnWords", "PredictionWriter", "ProbeTask", "Serve", "Sharded",
]  # fmt: skip
