"""Pictures as players show them: files may say that theirs are to be turned."""

from dataclasses import dataclass
from typing import Any, Self, cast

import av
import numpy as np

from tvau.data.images import Image, Size


@dataclass(frozen=True)
class Upright:
    """How players turn the pictures of a file: its display matrix, to the nearest right angle."""

    transposed: bool = False
    mirrored: tuple[bool, bool] = (False, False)  # vertically, horizontally, after transposing

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Self:
        """What a frame says of it."""
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        # x' = a x + c y, y' = b x + d y
        a, b, _, c, d = np.frombuffer(memoryview(cast(Any, data)), np.int32)[:5].tolist()
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, (b < 0, c < 0))
        return cls(False, (d < 0, a < 0))

    def turned(self, size: Size) -> Size:
        """The upright size of a coded one, and the other way round."""
        return size[::-1] if self.transposed else size

    def __call__(self, picture: Image) -> Image:
        """The upright picture."""
        if self.transposed:
            picture = picture.transpose(1, 0, 2)
        rows, columns = (slice(None, None, -1 if mirrored else 1) for mirrored in self.mirrored)
        return np.ascontiguousarray(picture[rows, columns])
