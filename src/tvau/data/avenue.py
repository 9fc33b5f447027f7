"""CUHK Avenue (Lu et al., ICCV 2013).

    root/training_videos/01.avi ... 16.avi                      normal videos
    root/testing_videos/01.avi ... 21.avi
    root/ground_truth_demo/testing_label_mask/1_label.mat       `volLabel`, (1, T) masks; the number is not zero-padded
    root/avenue.mat                                             instead of the masks: `gt`, the abnormal frames only
    root/dialogs.jsonl                                          optional, see `tvau.data.dialogs`

Some mirrors hold frames: root/training/frames/01/0000.jpg, root/testing/frames/01/0000.jpg. Training and test videos
have the same names: here the training videos are called "train_01", ....
"""

import os
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
from scipy.io import loadmat

from tvau.data.folder import find_videos
from tvau.data.layout import LabelledVideos, Layout, expect_split, found_in, subfolder
from tvau.data.masks import FrameLabels, Normal, Truth
from tvau.data.stacks import MatStack
from tvau.errors import DataError

TRAINING = "train_"


class AvenueFiles(Layout):
    """Where everything of one Avenue folder is.

    Args:
        root: the folder with `training_videos` and `testing_videos`; either may be absent.

    Raises:
        DataError: no such folder, or another layout.
    """

    expected = MappingProxyType({"training videos": 16, "test videos": 21})
    splits = ("training", "test")

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        inner = [path for path in (subfolder(self.root, "Avenue Dataset"), subfolder(self.root, "avenue")) if path]
        if inner and not _part(self.root, "testing"):
            self.root = inner[0]
        training, testing = _part(self.root, "training"), _part(self.root, "testing")
        if training is None and testing is None:
            raise DataError(
                f"{root}: expected Avenue's layout, with training_videos/01.avi, testing_videos/01.avi and "
                "ground_truth_demo/testing_label_mask/1_label.mat, or with training/frames/01, testing/frames/01 and "
                f"avenue.mat; {found_in(self.root)}."
            )
        self._normal = {f"{TRAINING}{name}": path for name, path in (find_videos(training) if training else {}).items()}
        self._test = find_videos(testing) if testing else {}
        demo = subfolder(self.root, "ground_truth_demo") or self.root
        self.masks = subfolder(demo, "testing_label_mask") or demo / "testing_label_mask"
        self.ranges = self.root / "avenue.mat"

    def names(self, split: str) -> dict[str, bool]:
        """The videos of a split."""
        remedy = " Its training videos are all normal, so nothing can be trained on labels here."
        expect_split(split, self.splits, self.root, remedy)
        return dict.fromkeys(self._normal, False) if split == "training" else dict.fromkeys(self._test, True)

    def video(self, name: str) -> Path:
        """The file of a video."""
        return self._test.get(name) or self._normal.get(name) or self.root / "testing_videos" / f"{name}.avi"

    def truth(self, name: str) -> Truth:
        """The masks of a test video, or the labels of its frames where there are no masks at all."""
        if name in self._normal:
            return Normal()
        number = int(name) if name.isdecimal() else name
        path = self.masks / f"{number}_label.mat"
        if not self.masks.is_dir() and self.ranges.is_file():
            return self._labels(name)
        if not path.is_file():
            raise DataError(
                f"{path}: no such file; expected the masks of the test video {name}; {found_in(self.masks)}."
            )
        return MatStack(path)

    def _labels(self, name: str) -> FrameLabels:
        """What `avenue.mat` says of a test video; it counts them by their numbers."""
        if len(self._ranges) != len(self._test):
            raise DataError(
                f"{self.ranges}: abnormal frames of {len(self._ranges)} videos, but there are {len(self._test)}."
            )
        order = sorted(self._test, key=lambda name: (int(name) if name.isdecimal() else 0, name))  # 2 before 10
        return FrameLabels.of_ranges(self._ranges[order.index(name)], self.ranges)

    @cached_property
    def _ranges(self) -> list[list[tuple[int, int]]]:
        return read_mat_ranges(self.ranges)

    def problems(self) -> list[str]:
        """Masks without a video."""
        known = {f"{int(name) if name.isdecimal() else name}_label" for name in self._test}
        masks = sorted(self.masks.glob("[!.]*.mat")) if self.masks.is_dir() else []
        return [f"{path}: there is no such test video" for path in masks if path.stem not in known]


def _part(root: Path, name: str) -> Path | None:
    """The folder of the "training" or "testing" videos: {name}_videos, {name}/frames or {name}/videos."""
    if found := subfolder(root, f"{name}_videos"):
        return found
    inside = subfolder(root, name)
    return (subfolder(inside, "frames") or subfolder(inside, "videos") or inside) if inside else None


def read_mat_ranges(path: Path) -> list[list[tuple[int, int]]]:
    """The abnormal frames of a list like avenue.mat: `gt`, for each video [2, n] first and last frames, from 1.

    Returns:
        For each video pairs of frames, 0-based and inclusive.

    Raises:
        DataError: anything else.
    """
    try:
        gt = loadmat(path, variable_names=["gt"])["gt"]
        if gt.dtype != object:  # one video
            gt = np.array([gt, None], object)[:1]
        tables = [np.asarray(cell).reshape(2, -1) for cell in gt.ravel()]
        if any((table < 1).any() or (table[0] > table[1]).any() or (table % 1).any() for table in tables):
            raise ValueError("its ranges are not first and last frames, from 1")
        return [[(int(first) - 1, int(last) - 1) for first, last in table.T] for table in tables]
    except Exception as error:  # a damaged or foreign file may raise anything
        raise DataError(
            f"{path}: expected 'gt', for each video an array (2, n) of first and last abnormal frames "
            f"({type(error).__name__}: {error})."
        ) from error


class Avenue(LabelledVideos):
    """CUHK Avenue as clips with masks and dialogs; `test` only, since its training videos are all normal."""

    def layout(self) -> AvenueFiles:
        """The folder's files."""
        return AvenueFiles(self.root)
