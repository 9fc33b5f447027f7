"""Buildings, walls and skylines behind a scene, and the props that stand in it."""

from collections.abc import Sequence
from math import cos, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.world.camera import Canvas, Colour
from tvau.world.scenes import Prop, Scene
from tvau.world.things import car

_WALLS: tuple[Colour, ...] = (
    (158, 96, 74),
    (188, 178, 160),
    (140, 140, 144),
    (206, 196, 176),
    (120, 88, 72),
    (172, 150, 128),
    (96, 104, 116),
)
_GLASS: Colour = (70, 88, 104)
_LAMPLIT: Colour = (255, 220, 150)
_SIGNS: tuple[Colour, ...] = (
    (186, 60, 50),
    (40, 90, 150),
    (220, 170, 50),
    (60, 130, 100),
    (210, 210, 206),
    (60, 60, 70),
)


def _dim(colour: Sequence[float] | NDArray[np.float64], factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def draw_surroundings(canvas: Canvas, place: Scene, random: np.random.Generator, lit: bool) -> None:
    """Draw what bounds the scene; lit windows are marked 255 in the canvas's id map."""
    last = place.strips[-1].lo if place.strips[-1].zone == "grass" else 0.0
    if place.kind == "hall":
        _hall(canvas, place, random)
        return
    _skyline(canvas, random, lit)
    if place.kind in ("park", "campus"):
        _treeline(canvas, place, random)
        return
    if place.kind == "street":
        _facades(canvas, place, place.strips[-1].hi, random, lit, (6, 14))
    elif place.kind == "parking":
        _treeline(canvas, place, random)
    else:
        low = (4.0, 8.0) if place.kind == "courtyard" else (6.0, 15.0)
        _facades(canvas, place, max(place.far + 2.0, last), random, lit, low)


def _skyline(canvas: Canvas, random: np.random.Generator, lit: bool) -> None:
    x = -90.0
    while x < 90:
        wide = random.uniform(8, 22)
        tone = random.uniform(0.55, 0.9) if not lit else random.uniform(0.3, 0.5)
        canvas.ident = 0
        colour = (168 * tone + 30, 178 * tone + 30, 192 * tone + 30)
        canvas.face([(x, 0, 110), (x + wide, 0, 110), (x + wide, h := random.uniform(8, 30), 110), (x, h, 110)], colour)
        x += wide


def _facades(
    canvas: Canvas, place: Scene, n: float, random: np.random.Generator, lit: bool, tall: tuple[float, float]
) -> None:
    """A row of buildings along the line at `n` metres across the scene's direction."""

    def at(d: float, up: float) -> tuple[float, float, float]:
        c, s = cos(place.angle), sin(place.angle)
        return d * c - n * s, up, n * c + d * s

    d = -70.0
    while d < 70:
        wide, height = random.uniform(6, 14), random.uniform(*tall)
        colour = np.array(_WALLS[random.integers(len(_WALLS))]) * random.uniform(0.85, 1.1)
        floor, step = random.uniform(2.8, 3.4), random.uniform(1.7, 2.8)
        shop = random.uniform() < 0.5
        sign = _SIGNS[random.integers(len(_SIGNS))]
        seed = int(random.integers(1 << 30))
        if min(at(d, 0)[2], at(d + wide, 0)[2]) > 2.5:
            _facade(
                canvas, at, d, wide, height, tuple(colour), floor, step, shop, sign, lit, np.random.default_rng(seed)
            )
        d += wide


def _facade(canvas, at, d, wide, height, colour: Colour, floor, step, shop, sign, lit, random) -> None:  # type: ignore[no-untyped-def]
    def quad(a: float, b: float, low: float, high: float, colour_: Colour, glow: bool = False) -> None:
        canvas.ident = 255 if glow else 0
        canvas.face([at(d + a, low), at(d + b, low), at(d + b, high), at(d + a, high)], colour_)
        canvas.ident = 0

    quad(0, wide, 0, height, colour)
    quad(0, wide, height - 0.35, height, _dim(colour, 0.7))
    quad(0, wide, 0, 0.5, _dim(colour, 0.6))
    if shop:
        glow = lit and random.uniform() < 0.7
        quad(0.5, wide - 0.5, 0.5, 2.6, _LAMPLIT if glow else (64, 74, 84), glow)
        quad(0.4, wide - 0.4, 2.7, 3.3, sign)
        for post in np.arange(0.5, wide - 0.5, 1.8):
            quad(post, post + 0.12, 0.3, 2.6, (50, 48, 46))
    else:
        quad(wide / 2 - 0.6, wide / 2 + 0.6, 0, 2.3, (72, 52, 40))
    for low in np.arange(floor + 0.9 if shop else 0.95, height - 2.0, floor):
        for a in np.arange(0.7, wide - 1.4, step):
            if not shop and low < 2 and abs(a + 0.5 - wide / 2) < 1.3:
                continue
            glow = lit and random.uniform() < 0.3
            tone = random.uniform(0.7, 1.25)
            r, g, b = (min(1.2 * c, 235.0) for c in colour)
            pane = _dim(_GLASS, tone)
            quad(a - 0.08, a + 1.08, low - 0.1, low + 1.6, (r, g, b))
            quad(a, a + 1.0, low, low + 1.5, _LAMPLIT if glow else pane, glow)
            quad(a + 0.47, a + 0.53, low, low + 1.5, _dim(colour, 0.8))


def _treeline(canvas: Canvas, place: Scene, random: np.random.Generator) -> None:
    z = place.far + 9.0
    half = 0.62 * z / place.camera.focal
    for row in range(2):
        for x in np.arange(-half, half, 1.6):
            tall = random.uniform(2.5, 6.0) * (1.2 - 0.4 * row)
            green = np.array((62, 88, 48)) * random.uniform(0.75, 1.2) * (0.8 + 0.25 * row)
            _crown(canvas, x, tall * 0.5, z - 2.0 * row, tall * 0.55, tuple(green), random, 10)
    canvas.face([(-half, 0, z - 4), (half, 0, z - 4), (half, 0.9, z - 4), (-half, 0.9, z - 4)], (56, 76, 44))


def _crown(
    canvas: Canvas,
    x: float,
    y: float,
    z: float,
    radius: float,
    colour: Colour,
    random: np.random.Generator,
    leaves: int,
) -> None:
    whole, canvas.ids = canvas.ids, np.zeros_like(canvas.ids)
    ident, canvas.ident = canvas.ident, 1
    canvas.disc((x, y, z), radius * 0.85, colour, 0.9)
    for _ in range(leaves):
        a, r = random.uniform(0, 2 * np.pi), radius * np.sqrt(random.uniform(0.05, 1.0))
        up = r * sin(a) * 0.85
        tone = 0.8 + 0.35 * (up / radius + 1) / 2 + random.uniform(-0.12, 0.12)
        canvas.disc((x + r * cos(a), y + up, z), radius * random.uniform(0.14, 0.34), _dim(colour, tone), 0.9)
    rows, columns = np.flatnonzero(canvas.ids.any(1)), np.flatnonzero(canvas.ids.any(0))
    if len(rows):  # leaves: light and dark specks within the outline
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        mask, image = canvas.ids[part] > 0, canvas.image[part]
        fine = random.standard_normal(mask.shape).astype(np.float32)
        specks = 1 + 0.55 * cv2.GaussianBlur(fine, (0, 0), 1.1) + 0.12 * fine
        image[mask] = np.clip(image[mask] * specks[mask][:, None], 0, 255).astype(np.uint8)
        whole[part][mask] = ident
    canvas.ids, canvas.ident = whole, ident


def _hall(canvas: Canvas, place: Scene, random: np.random.Generator) -> None:
    z, roof = place.far + 2.5, max(place.camera.height + 2.0, 6.0)
    half = 0.8 * z / place.camera.focal
    wall = np.array(((196, 194, 188), (150, 158, 168), (208, 200, 184))[random.integers(3)])
    near = 3.0
    for i, depth in enumerate(np.linspace(near, z, 9)[:-1]):
        step = (z - near) / 8
        tone = 0.62 + 0.1 * (i % 2)
        canvas.face(
            [(-60, roof, depth), (60, roof, depth), (60, roof, depth + step), (-60, roof, depth + step)],
            _dim(wall, tone),
        )
        for x in np.arange(-21, 22, 7.0):
            canvas.ident = 255
            canvas.face(
                [
                    (x, roof - 0.02, depth + 0.3),
                    (x + 1.0, roof - 0.02, depth + 0.3),
                    (x + 1.0, roof - 0.02, depth + step - 0.3),
                    (x, roof - 0.02, depth + step - 0.3),
                ],
                (252, 250, 240),
            )
            canvas.ident = 0
    canvas.face([(-half, 0, z), (half, 0, z), (half, roof, z), (-half, roof, z)], tuple(wall))
    canvas.face([(-half, 0, z), (half, 0, z), (half, 0.3, z), (-half, 0.3, z)], (70, 70, 74))
    x = -half
    while x < half:
        wide = random.uniform(2.0, 4.5)
        sign = _SIGNS[random.integers(len(_SIGNS))]
        canvas.ident = 255
        canvas.face(
            [(x + 0.2, 0.3, z), (x + wide - 0.2, 0.3, z), (x + wide - 0.2, 2.5, z), (x + 0.2, 2.5, z)],
            ((86, 100, 112), (224, 214, 190), (120, 110, 100))[random.integers(3)],
        )
        canvas.face([(x + 0.2, 2.6, z), (x + wide - 0.2, 2.6, z), (x + wide - 0.2, 3.2, z), (x + 0.2, 3.2, z)], sign)
        canvas.ident = 0
        for post in np.arange(x + 0.2, x + wide, 0.9):
            canvas.line((post, 0.2, z), (post, 2.5, z), 0.07, (60, 62, 66))
        x += wide
    canvas.ident = 255
    for x in (random.uniform(-half / 2, 0), random.uniform(0, half / 2)):  # boards of departures
        canvas.face([(x, 3.5, z - 1), (x + 3, 3.5, z - 1), (x + 3, 4.9, z - 1), (x, 4.9, z - 1)], (24, 34, 62))
        for up in np.arange(3.7, 4.8, 0.28):
            canvas.line((x + 0.2, up, z - 1), (x + random.uniform(1.6, 2.8), up, z - 1), 0.1, (236, 200, 80))
    canvas.ident = 0


def draw_prop(canvas: Canvas, prop: Prop, random: np.random.Generator, lit: bool) -> NDArray[np.bool_] | None:
    """Draw one prop; returns where it shines (a lamp's head), or None."""
    x, z, size = prop.x, prop.z, prop.size
    if prop.kind == "tree":
        canvas.line((x, 0, z), (x, size * 0.55, z), 0.16 + 0.03 * size, (84, 66, 50))
        for side in (-1, 1):
            canvas.line((x, size * 0.38, z), (x + side * 0.16 * size, size * 0.62, z), 0.12, (80, 62, 48))
        _crown(canvas, x, size * 0.72, z, size * 0.3, prop.colour, random, 46)
    elif prop.kind == "bush":
        _crown(canvas, x, size * 0.42, z, size * 0.62, prop.colour, random, 26)
        _crown(canvas, x + 0.6 * size, size * 0.34, z, size * 0.45, prop.colour, random, 16)
    elif prop.kind == "lamp":
        canvas.line((x, 0, z), (x, size, z), 0.11, (62, 66, 70))
        arm = 0.9 if x < 0 else -0.9
        canvas.line((x, size, z), (x + arm, size + 0.1, z), 0.09, (62, 66, 70))
        before = canvas.image.copy()
        canvas.line(
            (x + arm * 0.7, size + 0.03, z),
            (x + arm * 1.2, size + 0.03, z),
            0.2,
            (255, 240, 196) if lit else (210, 212, 210),
        )
        return (canvas.image != before).any(-1)
    elif prop.kind == "bench":
        canvas.box(x, z, prop.heading, (1.7, 0.12, 0.45), (92, 64, 42), 0.45)
        canvas.box(x, z - 0.2, prop.heading, (1.7, 0.45, 0.08), (112, 78, 50), 0.4)
        for end in (-0.7, 0.7):
            canvas.line((x + end, 0, z - 0.25), (x + end, 0.42, z - 0.25), 0.09, (50, 50, 52))
    elif prop.kind == "bollard":
        canvas.line((x, 0, z), (x, 0.8, z), 0.18, (70, 70, 74))
        canvas.line((x, 0.66, z), (x, 0.72, z), 0.18, (220, 220, 216))
    elif prop.kind == "bin":
        canvas.box(x, z, prop.heading, (0.5, 0.5, 0.95), (58, 78, 66))
        canvas.box(x, z, prop.heading, (0.56, 0.56, 0.1), (40, 44, 46), 0.95)
    elif prop.kind == "pillar":
        canvas.box(x, z, 0.5, (0.62, 0.62, size + 3.0), (184, 184, 182))
        canvas.box(x, z, 0.5, (0.74, 0.74, 0.28), (96, 96, 98))
    elif prop.kind == "car":
        car(canvas, x, z, prop.heading, prop.colour)
    return None
