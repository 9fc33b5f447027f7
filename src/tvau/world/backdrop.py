"""The still picture of a scene: ground, buildings, sky and props under one light, made once and kept."""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.world.camera import Camera, Canvas, Colour
from tvau.world.ground import paint_ground
from tvau.world.scenery import draw_prop, draw_surroundings
from tvau.world.scenes import Scene, scene

Image = NDArray[np.uint8]
# brightness, tint, sky at the top and at the horizon, strength of shadows
LIGHTS: dict[str, tuple[float, Colour, Colour, Colour, float]] = {
    "daylight": (1.0, (1.02, 1.0, 0.97), (120, 168, 220), (206, 224, 238), 0.42),
    "overcast light": (0.86, (0.97, 0.99, 1.02), (188, 194, 202), (216, 219, 222), 0.16),
    "dusk": (0.66, (1.06, 0.95, 0.92), (92, 98, 140), (226, 160, 118), 0.12),
    "darkness": (0.5, (0.86, 0.94, 1.14), (14, 18, 34), (38, 42, 58), 0.08),
    "artificial light": (0.96, (1.02, 1.0, 0.96), (90, 94, 100), (120, 122, 126), 0.2),
}
_LAMP_REACH = 3.6  # metres


@dataclass(frozen=True)
class Occluder:
    """A prop of the backdrop: where it covers actors behind it."""

    z: float
    box: tuple[slice, slice]
    alpha: Image  # [h, w], 255 where it covers all
    solid: NDArray[np.bool_]  # [h, w]


@dataclass(frozen=True)
class Backdrop:
    """The picture without actors, what may hide them, and the light and fog at any depth."""

    scene: Scene
    camera: Camera
    image: Image
    occluders: tuple[Occluder, ...]
    light: str
    weather: str

    @property
    def shadow(self) -> float:
        """How much light a shadow takes, 0 to 1."""
        return LIGHTS[self.light][4]

    def brightness(self, x: float, z: float) -> float:
        """Light on a body at a ground position, 1 by day."""
        return float(_brightness(self.scene, self.light, np.array([x]), np.array([z]))[0])

    def haze(self, z: float) -> float:
        """Share of the fog's colour in what stands at depth z."""
        return float(_haze(self.weather, np.array(z)))

    @property
    def fog(self) -> Colour:
        """Colour of the fog."""
        share = min(LIGHTS[self.light][0] + 0.1, 1.0)
        return 196 * share, 200 * share, 205 * share


def _brightness(place: Scene, light: str, x: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    level = np.full(np.broadcast(x, z).shape, LIGHTS[light][0])
    if light in ("dusk", "darkness"):
        for prop in place.props:
            if prop.kind == "lamp":
                near = ((x - prop.x) ** 2 + (z - prop.z) ** 2) / (2 * _LAMP_REACH**2)
                level = level + (0.5 if light == "darkness" else 0.2) * np.exp(-near)
    return np.minimum(level, 1.05)


def _haze(weather: str, z: NDArray[np.float64]) -> NDArray[np.float64]:
    thick = {"fog": 0.024, "rain": 0.007}.get(weather, 0.0)
    return np.minimum(1.0 - np.exp(-thick * np.maximum(z - 2.0, 0.0)), 0.5 if weather == "fog" else 0.25)


@lru_cache(maxsize=1024)
def backdrop(number: int, light: str, weather: str, size: tuple[int, int]) -> Backdrop:
    """The backdrop of a scene under one light and weather, for pictures of `size` (H, W)."""
    place = scene(number)
    camera, fine = place.camera.at(size), place.camera.at((size[0] * 2, size[1] * 2))
    random = np.random.default_rng((31, number))
    height, width = fine.size
    canvas = Canvas(np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8), fine)
    _, _, zenith, low, _ = LIGHTS[light]
    ramp = np.linspace(0, 1, max(int(fine.horizon * height), 0))[:, None, None]
    canvas.image[: len(ramp)] = np.array(zenith) * (1 - ramp) + np.array(low) * ramp
    if place.kind != "hall":
        canvas.ids[: len(ramp)] = 255  # the sky is its own light
    paint_ground(canvas.image, place, camera, random)
    lit = light in ("dusk", "darkness", "artificial light")
    draw_surroundings(canvas, place, random, lit)
    glowing = canvas.ids
    masks: list[Image] = []
    _prop_shadows(canvas, place, max(LIGHTS[light][4], 0.15))
    for prop in place.props:
        canvas.ids = np.zeros((height, width), np.uint8)
        canvas.ident = 255
        head = draw_prop(canvas, prop, np.random.default_rng((37, number, len(masks))), lit)
        glowing[canvas.ids > 0] = 0
        if head is not None and lit:
            glowing[head] = 255
        masks.append(canvas.ids)
    image = cv2.resize(canvas.image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    glow = cv2.resize(glowing, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    image = _worn(image, random)
    image = _light(image, glow, place, camera, light, weather)
    occluders = tuple(o for p, m in zip(place.props, masks, strict=True) if (o := _occluder(p.z, m, size)) is not None)
    return Backdrop(place, camera, image, occluders, light, weather)


def _light(image: Image, glow: Image, place: Scene, camera: Camera, light: str, weather: str) -> Image:
    height, width = camera.size
    rows = np.arange(height) + 0.5
    below = np.maximum(rows - camera.horizon * height, 0.1)
    z = np.minimum(camera.pixels * camera.height / below, place.far + 6.0)[:, None]
    x = (np.arange(width) + 0.5 - width / 2)[None] * z / camera.pixels
    level = _brightness(place, light, x, z)[..., None] * np.array(LIGHTS[light][1])
    shine = (glow / 255.0)[..., None]
    lit = image * (level * (1 - shine) + shine)
    if light in ("dusk", "darkness"):  # light spills around lamps and windows, not from the sky
        shine[rows < np.argmax((glow < 128).any(1))] = 0
        lit = lit + 0.3 * cv2.GaussianBlur(image * shine, (0, 0), 0.012 * width)
    haze = _haze(weather, z)[..., None]
    share = min(LIGHTS[light][0] + 0.1, 1.0)
    lit = lit * (1 - haze) + np.array((196, 200, 205)) * share * haze
    return np.clip(lit, 0, 255).astype(np.uint8)


def _occluder(z: float, mask: Image, size: tuple[int, int]) -> Occluder | None:
    alpha = cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    if not len(rows):
        return None
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    part = alpha[box]
    return Occluder(z, box, part.copy(), part > 127)


def _worn(image: Image, random: np.random.Generator) -> Image:
    """Stains, grain and the darker corners of a lens, so that no surface is flat."""
    height, width = image.shape[:2]
    tone = np.zeros((height, width), np.float32)
    for cells, strength in ((5, 0.035), (24, 0.03), (96, 0.025)):
        blots = random.standard_normal((cells, cells * 2)).astype(np.float32)
        tone += strength * cv2.resize(blots, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    gain = (1 + tone) * (1.03 - 0.1 * (x**2 + y**2))
    return np.clip(image * gain[..., None], 0, 255).astype(np.uint8)


def _prop_shadows(canvas: Canvas, place: Scene, strength: float) -> None:
    """What the props take of the light on the ground."""
    mask = np.zeros(canvas.image.shape[:2], np.uint8)
    for prop in place.props:
        wide = {"tree": 1.3, "bush": 0.8, "car": 2.0, "pillar": 0.5, "bench": 0.9}.get(prop.kind, 0.25)
        tall = prop.size * 0.6 if prop.kind in ("tree", "lamp", "pillar") else 0.4
        spots = [(0.0, wide * 0.7)] if prop.kind != "tree" else [(0.0, 0.4), (0.5, 0.5), (1.0, wide)]
        for share, radius in spots:
            x, z = prop.x + place.sun[0] * tall * share, prop.z + place.sun[1] * tall * share
            ring = np.array([(x + radius * cos(a), 0.0, z + radius * 0.8 * sin(a)) for a in _CIRCLE])
            cv2.fillConvexPoly(mask, (canvas.camera.project(ring) * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    rows = np.flatnonzero(mask.any(1))
    if len(rows):
        part = slice(rows[0], rows[-1] + 1)
        share_ = cv2.GaussianBlur(mask[part], (9, 9), 0)[..., None] * np.float32(strength / 255)
        canvas.image[part] = (canvas.image[part] * (1 - share_)).astype(np.uint8)


_CIRCLE = np.linspace(0, 2 * np.pi, 20, endpoint=False)
