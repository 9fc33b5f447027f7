"""Folds of a data set by its scenes, for what must not be judged by its own training clips."""

import re
import zlib


def fold(name: str, folds: int) -> int:
    """Which of `folds` parts a video belongs to: 0 to `folds` - 1, the same in every run, process and stage.

    Videos of one scene are in one part. The scene is the first number in a video's name, as UBnormal
    (`abnormal_scene_3_scenario_2`), ShanghaiTech (`01_0014`) and `tvau synth` have it; a name without a number stands
    for itself.
    """
    number = re.search(r"\d+", name)
    return (zlib.crc32((number[0] if number else name).encode()) >> 16) % folds  # its lowest bits know hardly a digit
