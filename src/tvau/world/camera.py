"""A fixed surveillance camera over a flat ground, and a canvas that draws a picture and its id map by the same calls.

World: metres, x to the right, y up, z away from the camera, ground at y = 0. The camera stands at (0, height, 0), looks
along z and has a shifted lens, so that verticals stay vertical and a body at depth z is focal / z pixels a metre tall.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]
Colour = tuple[float, float, float]
_SHIFT = 4  # sub-pixel bits of cv2's drawing calls


@dataclass(frozen=True)
class Camera:
    """Pinhole camera; `focal` in picture widths, `horizon` in picture heights from the top, `height` in metres."""

    focal: float
    horizon: float
    height: float
    size: tuple[int, int] = (192, 320)  # H, W in pixels

    def at(self, size: tuple[int, int]) -> "Camera":
        """The same camera with a picture of another size (H, W)."""
        return Camera(self.focal, self.horizon, self.height, size)

    @property
    def pixels(self) -> float:
        """Focal length in pixels."""
        return self.focal * self.size[1]

    def scale(self, z: float) -> float:
        """Pixels a metre at depth z."""
        return self.pixels / max(z, 0.5)

    def project(self, points: ArrayLike) -> Points:
        """World points [..., 3] (x, y, z) to pixels [..., 2]; depths below half a metre are clamped."""
        p = np.asarray(points, dtype=np.float64)
        scale = self.pixels / np.maximum(p[..., 2], 0.5)
        u = self.size[1] / 2 + p[..., 0] * scale
        v = self.horizon * self.size[0] + (self.height - p[..., 1]) * scale
        return np.stack((u, v), axis=-1)

    def ground(self, u: float, v: float) -> tuple[float, float]:
        """Ground position (x, z) seen at relative picture position (u, v) in [0, 1]; v must be below the horizon."""
        z = self.pixels * self.height / ((v - self.horizon) * self.size[0])
        return (u - 0.5) * self.size[1] * z / self.pixels, z

    @property
    def near(self) -> float:
        """Depth of the ground at the lower border of the picture, metres."""
        return self.ground(0.5, 1.0)[1]


@dataclass
class Canvas:
    """A picture [H, W, 3] and its id map [H, W], both uint8, drawn together: antialiased and not."""

    image: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    camera: Camera
    ident: int = 0
    light: float = 1.0  # brightness of what is drawn now
    haze: float = 0.0  # how much of it is lost in fog
    tint: Colour = (1.0, 1.0, 1.0)
    fog: Colour = field(default=(190.0, 194.0, 198.0))

    def shade(self, colour: Colour, factor: float = 1.0) -> Colour:
        """A colour under the present light and fog."""
        r, g, b = (min(c * t * self.light * factor, 255.0) for c, t in zip(colour, self.tint, strict=True))
        h = self.haze
        return r + (self.fog[0] - r) * h, g + (self.fog[1] - g) * h, b + (self.fog[2] - b) * h

    def fill(self, pixels: Points, colour: Colour, factor: float = 1.0) -> None:
        """Fill a convex polygon given in pixels [N, 2]."""
        corners = np.clip(pixels * (1 << _SHIFT), -2e5, 2e5).round().astype(np.int32)
        cv2.fillConvexPoly(self.image, corners, self.shade(colour, factor), cv2.LINE_AA, _SHIFT)
        cv2.fillConvexPoly(self.ids, corners, self.ident, cv2.LINE_8, _SHIFT)

    def face(self, points: ArrayLike, colour: Colour, factor: float = 1.0) -> None:
        """Fill a convex polygon given in the world [N, 3]."""
        self.fill(self.camera.project(points), colour, factor)

    def line(self, a: ArrayLike, b: ArrayLike, width: float, colour: Colour) -> None:
        """A straight bar between two world points, `width` metres thick and at least one pixel wide."""
        ends = np.asarray([a, b], dtype=np.float64)
        scale = self.camera.scale(float(ends[:, 2].mean()))
        self.fill(capsules(self.camera.project(ends)[None], np.full((1, 2), max(width / 2 * scale, 0.55)))[0], colour)

    def disc(self, centre: ArrayLike, radius: float, colour: Colour, squash: float = 1.0) -> None:
        """A disc facing the camera, radius in metres; `squash` is its height over its width."""
        c = np.asarray(centre, dtype=np.float64)
        r = max(radius * self.camera.scale(float(c[2])), 0.6)
        self.fill(self.camera.project(c) + _CIRCLE * (r, r * squash), colour)

    def box(self, x: float, z: float, heading: float, size: Colour, colour: Colour, base: float = 0.0) -> None:
        """A box on the ground: size (length along the heading, width, height) in metres, `base` metres above it."""
        for corners, factor in box_faces(x, z, heading, size, base):
            pixels = self.camera.project(corners)
            if area(pixels) > 0:
                self.fill(pixels, colour, factor)


_ANGLES = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_CIRCLE = np.stack((np.cos(_ANGLES), np.sin(_ANGLES)), axis=1)
_HALF = np.linspace(np.pi / 2, 3 * np.pi / 2, 5)


def area(pixels: Points) -> float:
    """Signed area of a polygon in pixels; positive where it runs clockwise on screen (its front is seen)."""
    x, y = pixels[:, 0], pixels[:, 1]
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def capsules(ends: Points, radii: Points) -> Points:
    """Outlines [N, 10, 2] of tapered bars with round ends from their ends [N, 2, 2] and radii [N, 2], all in pixels."""
    delta = ends[:, 1] - ends[:, 0]
    angle = np.arctan2(delta[:, 1], delta[:, 0])[:, None] + _HALF
    round_ = np.stack((np.cos(angle), np.sin(angle)), axis=-1)  # [N, 5, 2]
    first = ends[:, :1] + radii[:, :1, None] * round_
    second = ends[:, 1:] - radii[:, 1:, None] * round_
    return np.concatenate((first, second), axis=1)


def box_faces(x: float, z: float, heading: float, size: Colour, base: float) -> list[tuple[Points, float]]:
    """The faces of a box as (corners [4, 3], brightness), clockwise on screen when seen from outside."""
    length, width, height = size
    forward = np.array((np.cos(heading), np.sin(heading))) * length / 2
    side = np.array((-np.sin(heading), np.cos(heading))) * width / 2
    corners = [forward + side, forward - side, -forward - side, -forward + side]
    low = np.array([(x + c[0], base, z + c[1]) for c in corners])
    high = low + np.array((0, height, 0))
    faces = [(high, 1.12)]
    for i, factor in enumerate((0.8, 0.92, 0.74, 0.86)):
        j = (i + 1) % 4
        faces.append((np.array([low[i], low[j], high[j], high[i]]), factor))
    return faces
