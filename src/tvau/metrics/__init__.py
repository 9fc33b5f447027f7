"""How good the maps and the words are: pure functions, and thin torchmetrics classes around them.

`frame` scores frames, `pixel` scores maps, `text` scores answers. Every class gives a plain dict that JSON can hold; a
score that is not defined (one class only, nothing seen) is left out of it and never becomes NaN.
"""

from tvau.metrics.frame import FrameScores
from tvau.metrics.pixel import PixelScores
from tvau.metrics.region_scores import RegionScores
from tvau.metrics.text import TextScores

__all__ = ["FrameScores", "PixelScores", "RegionScores", "TextScores"]
