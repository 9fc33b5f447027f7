"""The stages as LightningModules."""

from tvau.tasks.callbacks import HeatmapPictures, PredictionWriter, SaveBackbone
from tvau.tasks.dialog import DialogTask
from tvau.tasks.heatmap import HeatmapTask

__all__ = ["DialogTask", "HeatmapPictures", "HeatmapTask", "PredictionWriter", "SaveBackbone"]
