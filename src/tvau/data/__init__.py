"""Videos, masks and dialogs on disk, and the synthetic world."""

from tvau.data.folder import VideoFolder
from tvau.data.stream import Stage, SyntheticStream
from tvau.data.ubnormal import UBnormal

__all__ = ["Stage", "SyntheticStream", "UBnormal", "VideoFolder"]
