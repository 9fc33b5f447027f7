"""The kinds of data sets that are read, each by its name on the command line."""

from tvau.data.avenue import AvenueFiles
from tvau.data.folder import FolderFiles
from tvau.data.layout import Layout
from tvau.data.shanghaitech import ShanghaiTechFiles
from tvau.data.ubnormal import UBnormalFiles
from tvau.data.ucsd import UCSDPedFiles
from tvau.errors import OptionError
from tvau.types import Kind


def open_layout(kind: Kind, root: str, tracks: str | None = None) -> Layout:
    """A data set of a kind, with its official splits.

    Args:
        kind: "folder" is any folder of videos, with or without masks.
        root: the data set's folder.
        tracks: the folder of ShanghaiTech's track files, where it is not `testing/tracks`.

    Raises:
        DataError: no such folder, or another layout.
        OptionError: `tracks` of another data set.
    """
    if tracks is not None and kind != "shanghaitech":
        raise OptionError(f"--tracks {tracks}: track files are ShanghaiTech's, and {kind} has none")
    match kind:
        case "shanghaitech":
            return ShanghaiTechFiles(root, tracks=tracks)
        case "ubnormal":
            return UBnormalFiles(root)
        case "avenue":
            return AvenueFiles(root)
        case "ucsd_ped1" | "ucsd_ped2":
            return UCSDPedFiles(root, "ped1" if kind == "ucsd_ped1" else "ped2")
        case "folder":
            return FolderFiles(root)
