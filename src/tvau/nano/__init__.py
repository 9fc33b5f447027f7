"""The embedded LVLM: its blueprint, the endless scenes that it learns from, and its pretraining."""

from tvau.nano.stream import Stage, SyntheticStream
from tvau.nano.task import PretrainTask, SaveBackbone

__all__ = ["PretrainTask", "SaveBackbone", "Stage", "SyntheticStream"]
