"""Videos, masks and dialogs on disk, and the synthetic world."""

from tvau.data.avenue import Avenue
from tvau.data.folder import VideoFolder
from tvau.data.shanghaitech import ShanghaiTech
from tvau.data.stream import Stage, SyntheticStream
from tvau.data.ubnormal import UBnormal
from tvau.data.ucsd import UCSDPed

__all__ = ["Avenue", "ShanghaiTech", "Stage", "SyntheticStream", "UBnormal", "UCSDPed", "VideoFolder"]
