"""Videos, masks, tracks and dialogs on disk."""

from tvau.data.avenue import Avenue
from tvau.data.folder import VideoFolder
from tvau.data.shanghaitech import ShanghaiTech
from tvau.data.ubnormal import UBnormal
from tvau.data.ucsd import UCSDPed

__all__ = ["Avenue", "ShanghaiTech", "UBnormal", "UCSDPed", "VideoFolder"]
