"""Everything that is not a person: vehicles, strollers, dogs, drones, bags, fire and smoke."""

from math import cos, pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.world.camera import Canvas, Colour, Points

DARK: Colour = (32.0, 32.0, 36.0)
STEEL: Colour = (120.0, 122.0, 128.0)
_RING = np.linspace(0, 2 * np.pi, 16, endpoint=False)


class Local:
    """Coordinates of a thing: (forward, left, up) in metres to the world, for one position and heading."""

    def __init__(self, x: float, z: float, heading: float) -> None:
        self.x, self.z, self.c, self.s = x, z, cos(heading), sin(heading)

    def __call__(self, forward: float, left: float, up: float) -> tuple[float, float, float]:
        return self.x + forward * self.c - left * self.s, up, self.z + forward * self.s + left * self.c


def wheel(canvas: Canvas, at: Local, forward: float, left: float, radius: float, tyre: float = 0.06) -> None:
    """A spoked wheel standing along the heading: a ring of bars."""
    ring = np.array([at(forward + radius * cos(a), left, radius + radius * sin(a)) for a in _RING])
    pixels = canvas.camera.project(ring)
    scale = canvas.camera.scale(at.z)
    width = max(1, round(tyre * scale))
    points = (pixels * 16).round().astype(np.int32)
    cv2.polylines(canvas.image, [points], True, canvas.shade(DARK), width, cv2.LINE_AA, 4)
    cv2.polylines(canvas.ids, [points], True, canvas.ident, width, cv2.LINE_8, 4)


def bicycle(canvas: Canvas, x: float, z: float, heading: float, colour: Colour) -> None:
    """A bicycle of 1.75 m."""
    at = Local(x, z, heading)
    wheel(canvas, at, -0.52, 0, 0.34)
    wheel(canvas, at, 0.52, 0, 0.34)
    saddle, pedal, head = at(-0.22, 0, 0.85), at(-0.05, 0, 0.32), at(0.38, 0, 0.86)
    for a, b in (
        (saddle, pedal),
        (pedal, head),
        (saddle, head),
        (at(-0.52, 0, 0.34), pedal),
        (head, at(0.52, 0, 0.34)),
    ):
        canvas.line(a, b, 0.05, colour)
    canvas.line(at(0.36, 0.26, 1.0), at(0.36, -0.26, 1.0), 0.05, DARK)
    canvas.line(at(-0.34, 0, 0.92), at(-0.12, 0, 0.92), 0.09, DARK)


def motorcycle(canvas: Canvas, x: float, z: float, heading: float, colour: Colour) -> None:
    """A motorcycle of 2.1 m: thick wheels, tank and exhaust."""
    at = Local(x, z, heading)
    wheel(canvas, at, -0.68, 0, 0.32, 0.15)
    wheel(canvas, at, 0.72, 0, 0.32, 0.15)
    canvas.box(x, z, heading, (1.0, 0.34, 0.34), DARK, 0.28)
    tank = at(0.22, 0, 0)
    canvas.box(tank[0], tank[2], heading, (0.6, 0.36, 0.3), colour, 0.62)
    canvas.line(at(-0.85, 0, 0.72), at(-0.1, 0, 0.74), 0.2, DARK)
    canvas.line(at(0.72, 0, 0.32), at(0.45, 0, 1.05), 0.09, STEEL)
    canvas.line(at(0.42, 0.35, 1.05), at(0.42, -0.35, 1.05), 0.07, DARK)
    canvas.disc(at(0.62, 0, 0.85), 0.11, (250, 244, 200))


def skateboard(canvas: Canvas, x: float, z: float, heading: float) -> None:
    """A board of 0.9 m on four wheels."""
    at = Local(x, z, heading)
    for f in (-0.28, 0.28):
        canvas.disc(at(f, 0, 0.05), 0.06, (230, 226, 210))
    canvas.box(x, z, heading, (0.9, 0.24, 0.05), (176, 110, 50), 0.09)


def stroller(canvas: Canvas, x: float, z: float, heading: float, colour: Colour) -> None:
    """A stroller 0.85 m in front of who pushes it."""
    at = Local(x, z, heading)
    for f, side in ((0.55, 0.2), (0.55, -0.2), (1.1, 0.2), (1.1, -0.2)):
        wheel(canvas, at, f, side, 0.13, 0.05)
    middle = at(0.84, 0, 0)
    canvas.box(middle[0], middle[2], heading, (0.75, 0.44, 0.32), colour, 0.36)
    canvas.face(
        [at(0.55, 0.23, 0.68), at(0.9, 0.23, 1.0), at(1.2, 0.23, 0.7), at(1.2, -0.23, 0.7), at(0.9, -0.23, 1.0)],
        colour,
        0.8,
    )
    canvas.line(at(0.5, 0, 0.6), at(0.32, 0, 1.0), 0.05, STEEL)


def car(canvas: Canvas, x: float, z: float, heading: float, colour: Colour, truck: bool = False) -> None:
    """A car of 4.2 m, or a truck of 6.4 m: body, cabin with windows, wheels and lamps."""
    length, width = (6.4, 2.2) if truck else (4.2, 1.8)
    at = Local(x, z, heading)
    wheels = [(f * length, side * width / 2) for f in (-0.3, 0.31) for side in (1, -1)]
    toward = [(f, s, at(f, s, 0.0)) for f, s in wheels]
    toward.sort(key=lambda item: -item[2][2])

    def tyre(f: float, s: float) -> None:
        ring = [at(f + 0.34 * cos(a), s, 0.34 + 0.34 * sin(a)) for a in _RING]
        canvas.face(ring, DARK)
        canvas.face([at(f + 0.17 * cos(a), s, 0.34 + 0.17 * sin(a)) for a in _RING], STEEL)

    for f, s, _ in toward[:2]:
        tyre(f, s)
    if truck:
        back, front = at(-0.9, 0, 0), at(2.35, 0, 0)
        parts = [
            (back[2], lambda: canvas.box(back[0], back[2], heading, (4.4, width, 2.3), (222, 222, 216), 0.55)),
            (front[2], lambda: _cabin(canvas, front[0], front[2], heading, (1.7, width, 1.75), colour)),
        ]
        for _, draw in sorted(parts, key=lambda part: -part[0]):
            draw()
    else:
        canvas.box(x, z, heading, (length, width, 0.62), colour, 0.26)
        cabin(canvas, at, colour)
    for f, s, _ in toward[2:]:
        tyre(f, s)
    for s in (-0.34, 0.34):
        if sin(heading) < 0.1:
            canvas.disc(at(length / 2, s * width, 0.62), 0.14, (255, 250, 215))
        if sin(heading) > -0.1:
            canvas.disc(at(-length / 2, s * width, 0.66), 0.12, (200, 24, 24))


def _cabin(canvas: Canvas, x: float, z: float, heading: float, size: Colour, colour: Colour) -> None:
    canvas.box(x, z, heading, size, colour, 0.45)
    at = Local(x, z, heading)
    for side in (1, -1):
        pane = [
            at(-0.5, side * size[1] / 2, 1.35),
            at(0.7, side * size[1] / 2, 1.35),
            at(0.7, side * size[1] / 2, 2.0),
            at(-0.5, side * size[1] / 2, 2.0),
        ]
        if (at(0, side, 0)[2] - z) < 0:
            canvas.face(pane, (60, 72, 84))
    if sin(heading) < 0:
        canvas.face(
            [at(0.86, -0.95, 1.3), at(0.86, 0.95, 1.3), at(0.86, 0.95, 2.05), at(0.86, -0.95, 2.05)], (70, 84, 96)
        )


def cabin(canvas: Canvas, at: Local, colour: Colour) -> None:
    """The upper half of a car: a tapered glass box under a roof."""
    low = [(1.05, 0.84), (1.05, -0.84), (-1.75, -0.84), (-1.75, 0.84)]
    high = [(0.3, 0.66), (0.3, -0.66), (-1.25, -0.66), (-1.25, 0.66)]
    glass: Colour = (58.0, 70.0, 82.0)
    faces: list[tuple[Points, Colour, float]] = []
    for i in range(4):
        j = (i + 1) % 4
        quad = np.array([at(*low[i], 0.88), at(*low[j], 0.88), at(*high[j], 1.42), at(*high[i], 1.42)])
        faces.append((quad, glass, 0.9 + 0.15 * (i % 2)))
    roof = np.array([at(*p, 1.43) for p in high])
    faces.append((roof, colour, 1.1))
    for quad, shade, factor in sorted(faces, key=lambda face: -float(face[0][:, 2].mean())):
        canvas.face(quad, shade, factor)
    canvas.face(roof, colour, 1.1)


def dog(canvas: Canvas, x: float, z: float, heading: float, phase: float, colour: Colour) -> None:
    """A large running dog."""
    at = Local(x, z, heading)
    for i, (f, side) in enumerate(((0.36, 0.1), (0.36, -0.1), (-0.36, 0.1), (-0.36, -0.1))):
        swing = 0.32 * sin(phase * 1.6 + (0, 0.6, pi, pi + 0.6)[i])
        canvas.line(at(f, side, 0.45), at(f + swing, side, 0.03), 0.1, colour)
    lift = 0.06 * sin(phase * 1.6)
    canvas.line(at(-0.4, 0, 0.56 + lift), at(0.4, 0, 0.6 - lift), 0.32, colour)
    canvas.line(at(0.38, 0, 0.64), at(0.62, 0, 0.84), 0.2, colour)
    canvas.line(at(0.6, 0, 0.85), at(0.86, 0, 0.8), 0.17, colour)
    canvas.line(at(-0.42, 0, 0.66), at(-0.78, 0, 0.86), 0.07, colour)


def drone(canvas: Canvas, x: float, z: float, heading: float, phase: float, colour: Colour) -> None:
    """A quadcopter of 1.1 m, 2.6 m above the ground."""
    at, up = Local(x, z, heading), 2.6 + 0.15 * sin(phase * 0.4)
    for f, side in ((0.5, 0.5), (0.5, -0.5), (-0.5, 0.5), (-0.5, -0.5)):
        canvas.line(at(0, 0, up), at(f, side, up + 0.1), 0.08, colour)
        turn = phase * 3 + f
        canvas.line(
            at(f - 0.3 * cos(turn), side - 0.3 * sin(turn), up + 0.16),
            at(f + 0.3 * cos(turn), side + 0.3 * sin(turn), up + 0.16),
            0.05,
            STEEL,
        )
    canvas.disc(at(0, 0, up), 0.26, colour, 0.6)
    canvas.disc(at(0, 0, up - 0.16), 0.1, DARK)


def bag(canvas: Canvas, x: float, z: float, heading: float, colour: Colour) -> None:
    """A travel bag left on the ground."""
    canvas.box(x, z, heading, (0.75, 0.4, 0.46), colour)
    at = Local(x, z, heading)
    canvas.line(at(-0.2, 0, 0.48), at(-0.1, 0, 0.64), 0.05, DARK)
    canvas.line(at(-0.1, 0, 0.64), at(0.12, 0, 0.64), 0.05, DARK)
    canvas.line(at(0.12, 0, 0.64), at(0.2, 0, 0.48), 0.05, DARK)


def fire(canvas: Canvas, x: float, z: float, since: float, seed: int) -> None:
    """Flames that grow for a second and flicker; they light themselves."""
    random = np.random.default_rng((seed, int(since * 30)))
    size = min(0.35 + since * 0.7, 1.25)
    light, tint, canvas.light, canvas.tint = canvas.light, canvas.tint, 1.0, (1.0, 1.0, 1.0)
    for colour, share in (((214, 58, 10), 1.0), ((250, 130, 16), 0.72), ((255, 218, 80), 0.42), ((255, 246, 190), 0.2)):
        for offset in np.linspace(-0.55, 0.55, 7):
            tall = size * share * random.uniform(0.7, 1.6) * (1.25 - abs(offset))
            wide, bend = 0.2 * size * share + 0.05, random.uniform(-0.25, 0.25) * size * share
            foot = x + offset * size * share
            lean = foot + 0.4 * bend
            left = [(foot - 0.7 * wide, 0.0, z), (foot - wide, tall * 0.25, z), (lean - 0.6 * wide, tall * 0.6, z)]
            right = [(lean + 0.6 * wide, tall * 0.6, z), (foot + wide, tall * 0.25, z), (foot + 0.7 * wide, 0.0, z)]
            canvas.face([*left, (foot + bend, tall, z), *right], colour)
    canvas.light, canvas.tint = light, tint
    (u, v), scale = canvas.camera.project((x, 0.9, z)), canvas.camera.scale(z)
    height, width = canvas.ids.shape
    rows = slice(max(int(v - 1.8 * scale), 0), min(max(int(v + 1.2 * scale), 0), height))
    columns = slice(max(int(u - 1.6 * scale), 0), min(max(int(u + 1.6 * scale), 0), width))
    part = canvas.image[rows, columns]
    if part.size:
        part[:] = cv2.GaussianBlur(part, (0, 0), max(0.045 * scale, 0.4))


def smoke(canvas: Canvas, x: float, z: float, since: float, seed: int, drift: float) -> None:
    """A plume of soft puffs; pixels covered by more than a third are its own."""
    height, width = canvas.ids.shape
    random = np.random.default_rng(seed)
    tone = float(random.choice((58.0, 84.0, 214.0, 232.0)))  # of what burns
    alpha: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
    scale, camera = canvas.camera.scale(z), canvas.camera
    life = 3.4
    for start in np.arange(-life if since > 0 else 0, since, 0.22):
        jitter, swell, thick = random.uniform(-0.3, 0.3), random.uniform(0.8, 1.3), random.uniform(0.65, 0.95)
        age = since - start
        if start < 0 or age > life:
            continue
        centre = camera.project((x + jitter + drift * age, 0.3 + 1.1 * age, z))
        radius = (0.35 + 0.42 * age) * swell * scale
        puff = np.zeros_like(alpha)
        cv2.circle(
            puff,
            (int(centre[0] * 16), int(centre[1] * 16)),
            int(radius * 16),
            255 * thick * (1 - age / life) ** 0.7,
            -1,
            cv2.LINE_AA,
            4,
        )
        alpha = cv2.add(alpha, cv2.multiply(puff, 255 - alpha, scale=1 / 255))
    if not alpha.any():
        return
    blur = max(1, int(0.12 * scale)) * 2 + 1
    soft = cv2.GaussianBlur(alpha, (blur, blur), 0)
    share = soft[..., None].astype(np.float32) / 255 * 0.92
    shade = np.array(canvas.shade((tone, tone, tone)), np.float32)
    canvas.image[:] = (canvas.image * (1 - share) + shade * share).astype(np.uint8)
    canvas.ids[soft > 85] = canvas.ident
