"""The ground of a scene, computed for every pixel of the picture from its position in metres."""

from math import cos, sin
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.world.camera import Camera, Colour
from tvau.world.scenes import Scene

Field = NDArray[np.float32]


def _noise(random: np.random.Generator, x: Field, z: Field, metres: float) -> Field:
    """Smooth noise in [-1, 1] whose blots are about `metres` wide."""
    lattice = random.uniform(-1, 1, (128, 128)).astype(np.float32)
    return cv2.remap(lattice, x / np.float32(metres), z / np.float32(metres), cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_WRAP)  # fmt: skip


def paint_ground(image: NDArray[np.uint8], place: Scene, camera: Camera, random: np.random.Generator) -> None:
    """Paint everything below the horizon of `image` [2 H, 2 W, 3], computed at the camera's size [H, W]."""
    height, width = camera.size
    top = max(int(camera.horizon * height) + 1, 0)
    rows = (np.arange(top, height) + 0.5 - camera.horizon * height).astype(np.float32)[:, None]
    z = np.broadcast_to(camera.pixels * camera.height / rows, (height - top, width)).astype(np.float32)
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2)[None] * z / camera.pixels
    n = -x * sin(place.angle) + z * cos(place.angle)
    d = x * cos(place.angle) + z * sin(place.angle)
    coarse = z * z / (camera.pixels * camera.height)  # metres of ground in one pixel row

    def line(distance: Any, width_: float) -> Any:
        """How much of each pixel a painted line covers, from the distance to its middle; metres."""
        return np.clip((width_ / 2 + coarse / 2 - np.abs(distance)) / coarse, 0, 1) * np.minimum(width_ / coarse, 1.0)

    blots, grain = _noise(random, x, z, 1.7), _noise(random, x, z, 0.09) * np.clip(0.05 / coarse, 0, 1)
    colour: Any = np.zeros((*z.shape, 3), np.float32)
    shares: dict[str, Any] = {}
    for strip in place.strips:
        shares[strip.zone] = np.maximum(
            shares.get(strip.zone, np.float32(0)),
            np.clip((n - strip.lo) / coarse + 0.5, 0, 1) * np.clip((strip.hi - n) / coarse + 0.5, 0, 1),
        )
    rest = 1 - np.sum(list(shares.values()), axis=0)
    shares["walk"] = shares.get("walk", np.zeros_like(z)) + np.clip(rest, 0, 1)
    for zone, share in shares.items():
        base = _material(random, place, zone, n, d, blots, grain, line)
        colour += base * share[..., None]
    white = np.array((226, 226, 220), np.float32)
    paint: Any = np.zeros_like(z)
    for strip in place.strips:
        lo, hi = line(n - strip.lo, 0.16), line(n - strip.hi, 0.16)
        inside = ((n > strip.lo) & (n < strip.hi)).astype(np.float32)
        if strip.zone == "road":
            dash = line(n - (strip.lo + strip.hi) / 2, 0.14) * (np.mod(d, 4.5) < 2.2)
            crossing = zebra(place)
            if crossing is not None:
                stripes = (np.abs(d - crossing) < 1.6).astype(np.float32)
                dash = dash * (1 - stripes) + stripes * (np.mod(n, 1.0) < 0.52) * inside
            paint = np.maximum(
                paint, np.maximum(dash, 0.8 * (line(n - strip.lo - 0.3, 0.1) + line(n - strip.hi + 0.3, 0.1)))
            )
            kerb = np.clip(lo + hi, 0, 1)[..., None]
            colour = colour * (1 - 0.5 * kerb) + np.array((168, 166, 160), np.float32) * 0.5 * kerb
        elif strip.zone == "cycle":
            paint = np.maximum(paint, np.clip(lo + hi, 0, 1))
            paint = np.maximum(paint, line(n - (strip.lo + strip.hi) / 2, 0.1) * (np.mod(d, 2.0) < 0.8))
        elif strip.zone == "bays":
            skew = np.mod(d, 2.7) - 1.35
            paint = np.maximum(paint, np.clip(line(skew, 0.12), 0, 1) * inside)
    paint = paint[..., None] * (0.85 + 0.15 * blots[..., None])
    colour = colour * (1 - paint) + white * paint
    if place.kind == "hall":  # lamps mirrored in a polished floor
        gleam = _noise(random, x / z * 30, np.zeros_like(z), 1.3) * _noise(random, x / z * 30, np.zeros_like(z), 4.0)
        colour += (np.clip(gleam, 0, 1) * 60 * np.clip(1.2 - rows / rows.max(), 0, 1))[..., None]
    part = np.clip(colour, 0, 255).astype(np.uint8)
    image[2 * top :] = cv2.resize(part, (2 * width, 2 * (height - top)), interpolation=cv2.INTER_LINEAR)


def zebra(place: Scene) -> float | None:
    """Coordinate along the road of a street's zebra crossing, in metres; None where there is none."""
    if place.kind != "street" or place.number % 3 == 0:
        return None
    return float(np.random.default_rng((41, place.number)).uniform(-6, 6))


_STONE: tuple[Colour, ...] = ((182, 172, 158), (160, 158, 156), (190, 182, 172), (148, 138, 128), (172, 156, 140))
_FLOOR: tuple[Colour, ...] = ((176, 176, 178), (196, 188, 176), (150, 152, 158))


def _material(
    random: np.random.Generator, place: Scene, zone: str, n: Any, d: Any, blots: Any, grain: Any, line: Any
) -> Any:
    """Colour of the ground of one zone in every pixel [h, w, 3], from its coordinates in metres."""
    if zone == "grass":
        green = np.array((92, 118, 62), np.float32) + random.uniform(-12, 12, 3).astype(np.float32)
        return green * (1 + 0.14 * blots + 0.26 * grain)[..., None]
    if zone == "cycle":
        return np.array((156, 88, 74), np.float32) * (1 + 0.05 * blots + 0.08 * grain)[..., None]
    if zone in ("road", "bays") or place.kind == "parking":
        tone = np.float32(random.uniform(84, 112)) if zone == "road" else np.float32(104)
        return np.array((1, 1, 1.03), np.float32) * tone * (1 + 0.07 * blots + 0.12 * grain)[..., None]
    stones = _FLOOR if place.kind == "hall" else _STONE
    base = np.array(stones[random.integers(len(stones))], np.float32)
    wide = float(random.choice((0.8, 1.2, 1.6, 2.4)))
    tall = wide * float(random.choice((0.5, 1.0)))
    row = np.floor(n / tall)
    shift = (row % 2) * wide / 2 if random.uniform() < 0.5 else 0.0
    tile = np.sin(np.floor((d + shift) / wide) * 12.9 + row * 78.2) * 43758.5
    tone = (tile - np.floor(tile) - 0.5) * random.uniform(0.03, 0.13)
    joint = np.maximum(line(np.mod(n, tall) - tall / 2, 0.05), line(np.mod(d + shift, wide) - wide / 2, 0.05))
    gloss = 0.3 if place.kind == "hall" else 1.0
    return base * (1 + tone + gloss * (0.07 * blots + 0.1 * grain) - 0.2 * np.clip(joint, 0, 1))[..., None]
