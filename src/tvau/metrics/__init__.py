"""How good the maps and the words are: pure functions, and thin torchmetrics classes around them.

`frame` scores frames, `events` events, `pixel` maps, `region` boxes and tracks (`merl` is another family of the same),
`text` answers; `boxes` and `events` hold the rules by which heatmaps become boxes and events. Every class gives a plain
dict that JSON can hold; a score that is not defined (one class only, nothing seen) is left out of it and never becomes
NaN.
"""

from tvau.metrics.events import EventScores
from tvau.metrics.frame import FrameScores
from tvau.metrics.merl import MerlScores
from tvau.metrics.pixel import PixelScores
from tvau.metrics.region_scores import RegionScores
from tvau.metrics.text import TextScores

__all__ = ["EventScores", "FrameScores", "MerlScores", "PixelScores", "RegionScores", "TextScores"]
