"""CUHK Avenue (Lu et al., ICCV 2013).

    root/training_videos/01.avi ... 16.avi                      normal videos
    root/testing_videos/01.avi ... 21.avi
    root/ground_truth_demo/testing_label_mask/1_label.mat       `volLabel`, (1, T) masks; the number is not zero-padded
    root/dialogs.jsonl                                          optional, see `tvau.data.dialogs`

Training and test videos have the same file names: here the training videos are called "train_01", ....
"""

import os
from pathlib import Path
from types import MappingProxyType

from tvau.data.folder import find_videos
from tvau.data.layout import LabelledVideos, Layout, expect_split, found_in, subfolder
from tvau.data.masks import Normal, Truth
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
        if inner and not subfolder(self.root, "testing_videos"):
            self.root = inner[0]
        training, testing = subfolder(self.root, "training_videos"), subfolder(self.root, "testing_videos")
        if training is None and testing is None:
            raise DataError(
                f"{root}: expected Avenue's layout, with training_videos/01.avi, testing_videos/01.avi and "
                f"ground_truth_demo/testing_label_mask/1_label.mat; {found_in(self.root)}."
            )
        self._normal = {f"{TRAINING}{name}": path for name, path in (find_videos(training) if training else {}).items()}
        self._test = find_videos(testing) if testing else {}
        demo = subfolder(self.root, "ground_truth_demo") or self.root
        self.masks = subfolder(demo, "testing_label_mask") or demo / "testing_label_mask"

    def names(self, split: str) -> dict[str, bool]:
        """The videos of a split."""
        remedy = " Its training videos are all normal, so nothing can be trained on labels here."
        expect_split(split, self.splits, self.root, remedy)
        return dict.fromkeys(self._normal, False) if split == "training" else dict.fromkeys(self._test, True)

    def video(self, name: str) -> Path:
        """The file of a video."""
        return self._test.get(name) or self._normal.get(name) or self.root / "testing_videos" / f"{name}.avi"

    def truth(self, name: str) -> Truth:
        """The masks of a test video."""
        if name in self._normal:
            return Normal()
        number = int(name) if name.isdecimal() else name
        path = self.masks / f"{number}_label.mat"
        if not path.is_file():
            raise DataError(
                f"{path}: no such file; expected the masks of the test video {name}; {found_in(self.masks)}."
            )
        return MatStack(path)

    def problems(self) -> list[str]:
        """Masks without a video."""
        known = {f"{int(name) if name.isdecimal() else name}_label" for name in self._test}
        masks = sorted(self.masks.glob("[!.]*.mat")) if self.masks.is_dir() else []
        return [f"{path}: there is no such test video" for path in masks if path.stem not in known]


class Avenue(LabelledVideos):
    """CUHK Avenue as clips with masks and dialogs; `test` only, since its training videos are all normal."""

    def layout(self) -> AvenueFiles:
        """The folder's files."""
        return AvenueFiles(self.root)
