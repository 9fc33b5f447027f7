"""People: a small skeleton posed by angles for every activity, and the figure drawn on it.

A pose is 15 joints [15, 3] in metres for a person of 1.75 m: (forward, left, up) from the point on the ground.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from tvau.data.synthetic.camera import Canvas, Colour, Points, capsules

PELVIS, NECK, HEAD = 0, 1, 2
SHOULDERS, ELBOWS, HANDS, HIPS, KNEES, FEET = (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14)
HEIGHT = 1.75


@dataclass(frozen=True)
class Look:
    """What a person wears, all in RGB 0-255; `bag` is "", "backpack" or "handbag"."""

    top: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    height: float  # metres
    bag: str = ""
    bag_colour: Colour = (60.0, 50.0, 40.0)
    skirt: bool = False
    helmet: Colour | None = None


Pair = tuple[float, float]


def skeleton(
    lean: float = 0.0, thighs: Pair = (0.0, 0.0), knees: Pair = (0.1, 0.1), arms: Pair = (0.05, -0.05),
    spread: Pair = (0.12, 0.12), elbows: Pair = (0.25, 0.25), legs: Pair = (0.03, 0.03), sway: float = 0.0,
    hip: float | None = None,
) -> Points:  # fmt: skip
    """Joints from angles in radians: forward lean, leg and arm swing, sideways spread, bends of knees and elbows.

    With `hip` None the lower foot stands on the ground; else the pelvis is `hip` metres above it.
    """
    j = np.zeros((15, 3))
    up = np.array((sin(lean), sin(sway), cos(lean) * cos(sway)))
    j[NECK] = 0.52 * up
    j[HEAD] = j[NECK] + 0.17 * np.array((sin(lean * 0.6) + 0.03, sin(sway), cos(lean * 0.6)))
    for i, side in enumerate((1.0, -1.0)):
        j[SHOULDERS[i]] = j[NECK] + (0.0, side * 0.175, 0.0) - 0.06 * up
        a, s, e = arms[i], spread[i], elbows[i]
        j[ELBOWS[i]] = j[SHOULDERS[i]] + 0.29 * np.array((sin(a) * cos(s), side * sin(s), -cos(a) * cos(s)))
        j[HANDS[i]] = j[ELBOWS[i]] + 0.29 * np.array((sin(a + e) * cos(s), side * sin(s), -cos(a + e) * cos(s)))
        j[HIPS[i]] = (0.0, side * 0.09, -0.02)
        t, k, w = thighs[i], knees[i], legs[i]
        j[KNEES[i]] = j[HIPS[i]] + 0.42 * np.array((sin(t) * cos(w), side * sin(w), -cos(t) * cos(w)))
        j[FEET[i]] = j[KNEES[i]] + 0.43 * np.array((sin(t - k) * cos(w), side * sin(w), -cos(t - k) * cos(w)))
    j[:, 2] += hip if hip is not None else 0.04 - min(j[13, 2], j[14, 2])
    return j


def turn(joints: Points, angle: float, axes: tuple[int, int], about: float) -> Points:
    """Turn a pose in the plane of two axes (0 forward, 1 left, 2 up) about a point `about` metres above the ground."""
    out = joints - (0.0, 0.0, about)
    a, b = out[:, axes[0]].copy(), out[:, axes[1]].copy()
    out[:, axes[0]], out[:, axes[1]] = a * cos(angle) + b * sin(angle), b * cos(angle) - a * sin(angle)
    return out + (0.0, 0.0, about)


def _walk(phase: float, since: float) -> Points:
    s, c = sin(phase), cos(phase)
    return skeleton(0.04, (0.5 * s, -0.5 * s), (0.1 + 0.6 * max(c, 0), 0.1 + 0.6 * max(-c, 0)), (-0.5 * s, 0.5 * s))


def _stand(phase: float, since: float) -> Points:
    s = 0.05 * sin(since * 1.3 + phase)
    return skeleton(s / 2, (0.05, -0.06), (0.05, 0.05), (s, -s), sway=s / 2)


def _run(phase: float, since: float) -> Points:
    s, c = sin(phase), cos(phase)
    j = skeleton(
        0.28, (0.2 + 0.95 * s, 0.2 - 0.95 * s), (0.3 + 1.4 * max(c, 0), 0.3 + 1.4 * max(-c, 0)), (-1.1 * s, 1.1 * s),
        elbows=(1.5, 1.5),
    )  # fmt: skip
    j[:, 2] += 0.09 * abs(c)
    return j


def _sit(phase: float, since: float) -> Points:
    return skeleton(-0.05, (1.5, 1.5), (1.5, 1.5), (0.5, 0.5), elbows=(0.8, 0.8), legs=(0.1, 0.1), hip=0.5)


def _lie(phase: float, since: float) -> Points:
    down = min(since / 1.0, 1.0)
    bend = sin(phase + since * 0.7) * 0.1
    j = skeleton(0.0, (0.25 + bend, 0.0), (0.5, 0.1), (0.3, -0.2), (0.7, 0.35), (0.4, 0.3), (0.1, 0.15))
    j = turn(j, -pi / 2 * down, (0, 2), 0.1)
    j[:, 2] = np.maximum(j[:, 2] + 0.05 * down, 0.06)
    j[:, 0] += 0.85 * down
    return j


def _fall(phase: float, since: float) -> Points:
    """Topple in 0.8 s, lie for a second, get up again."""
    tip = min(since / 0.8, 1.0) ** 1.6 if since < 1.8 else max(1.0 - (since - 1.8) / 1.0, 0.0)
    flail = 1.0 - abs(2 * tip - 1)
    j = skeleton(
        0.3 * flail, (0.7 * flail, -0.4 * flail), (0.9 * flail + 0.1, 0.4), (2.4 * flail, 1.8 * flail), (0.5, 0.6),
    )  # fmt: skip
    j = turn(j, pi / 2 * tip, (0, 2), 0.1)
    j[:, 2] = np.maximum(j[:, 2] + 0.04 * tip, 0.06)
    return j


def _crawl(phase: float, since: float) -> Points:
    s = sin(phase)
    return skeleton(
        1.42, (0.25 + 0.4 * s, 0.25 - 0.4 * s), (1.75, 1.75), (0.1 - 0.45 * s, 0.1 + 0.45 * s), elbows=(0.1, 0.1),
        hip=0.5,
    )  # fmt: skip


def _jump(phase: float, since: float) -> Points:
    t = (since / 0.8) % 1.0
    if t < 0.25:  # crouch
        c = sin(pi * t / 0.25)
        return skeleton(0.5 * c, (1.0 * c, 1.0 * c), (1.7 * c, 1.7 * c), (-0.8 * c, -0.8 * c))
    a = (t - 0.25) / 0.75
    tuck = sin(pi * a)
    j = skeleton(0.0, (0.5 * tuck, 0.5 * tuck), (0.9 * tuck, 0.9 * tuck), (2.8, 2.8), (0.3, 0.3), (0.1, 0.1))
    j[:, 2] += 0.6 * 4 * a * (1 - a)
    return j


def _dance(phase: float, since: float) -> Points:
    s, c = sin(since * 7 + phase), cos(since * 7 + phase)
    j = skeleton(
        0.1 * c, (0.35 * s, -0.35 * s), (0.3 + 0.3 * c, 0.3 - 0.3 * c), (2.2 + 0.7 * s, 2.2 - 0.7 * s),
        (0.8 + 0.3 * c, 0.8 - 0.3 * c), (0.7, 0.7), (0.2 + 0.2 * s, 0.2 - 0.2 * s), sway=0.3 * s,
    )  # fmt: skip
    j[:, 1] += 0.14 * s
    return j


def _fight(phase: float, since: float) -> Points:
    s = sin(since * 9 + phase)
    kick = max(sin(since * 3.1 + phase), 0.0) ** 4
    return skeleton(
        0.18 - 0.3 * kick, (0.45 + 0.9 * kick, -0.45), (0.5 - 0.4 * kick, 0.3), (1.0 + 0.6 * s, 1.0 - 0.6 * s),
        elbows=(max(0.1, 1.4 * (0.5 - s)), max(0.1, 1.4 * (0.5 + s))),
    )  # fmt: skip


def _stagger(phase: float, since: float) -> Points:
    s, c = sin(phase), cos(phase)
    w = sin(since * 3.2 + phase * 0.3)
    return skeleton(
        0.3 + 0.25 * sin(since * 2.1), (0.5 * s, -0.35 * s), (0.35 + 0.5 * max(c, 0), 0.35 + 0.5 * max(-c, 0)),
        (0.5 * w, -0.7 * w), (0.5 + 0.4 * w, 0.5 - 0.4 * w), (0.3, 0.3), (0.2, 0.2), sway=0.45 * w,
    )  # fmt: skip


def _ride(phase: float, since: float) -> Points:
    s, c = sin(phase), cos(phase)
    return skeleton(
        0.55, (0.85 + 0.35 * s, 0.85 - 0.35 * s), (1.0 - 0.4 * c, 1.0 + 0.4 * c), (1.0, 1.0), elbows=(0.2, 0.2), hip=0.95
    )


def _motor(phase: float, since: float) -> Points:
    return skeleton(0.3, (1.2, 1.2), (1.3, 1.3), (0.95, 0.95), elbows=(0.25, 0.25), legs=(0.2, 0.2), hip=0.82)


def _skate(phase: float, since: float) -> Points:
    w = sin(since * 2.0 + phase)
    j = skeleton(0.15, (0.45, 0.45), (0.7, 0.7), (0.3 * w, -0.3 * w), (1.0, 1.0), (0.4, 0.4), (0.38, 0.38), sway=0.12 * w)
    j = turn(j, pi / 2, (0, 1), 0.0)  # stands sideways on the board
    j[:, 2] += 0.14
    return j


def _push(phase: float, since: float) -> Points:
    s, c = sin(phase), cos(phase)
    return skeleton(
        0.12, (0.45 * s, -0.45 * s), (0.1 + 0.5 * max(c, 0), 0.1 + 0.5 * max(-c, 0)), (0.8, 0.8), elbows=(0.4, 0.4)
    )


def _leave(phase: float, since: float) -> Points:
    b = sin(min(since / 1.2, 1.0) * pi)
    return skeleton(1.25 * b, (0.5 * b, 0.3 * b), (0.9 * b, 0.8 * b), (0.7 * b, 0.3 * b), elbows=(0.1, 0.1))


def _wave(phase: float, since: float) -> Points:
    return skeleton(0.0, arms=(2.7, 0.0), spread=(0.5 + 0.35 * sin(since * 8), 0.1), elbows=(0.3, 0.1))


def _cartwheel(phase: float, since: float) -> Points:
    j = skeleton(0.0, knees=(0.0, 0.0), arms=(pi, pi), spread=(-0.45, -0.45), elbows=(0.0, 0.0), legs=(0.5, 0.5))
    j = turn(j, 2 * pi * since / 1.1, (1, 2), 0.9)
    j = turn(j, pi / 2, (0, 1), 0.0)
    j[:, 2] += 0.03 - min(j[:, 2].min(), 0.0)
    return j


def _spin(phase: float, since: float) -> Points:
    j = skeleton(0.0, (0.1, -0.1), (0.1, 0.3), (0.0, 0.0), (1.4, 1.4), (0.0, 0.0), (0.1, 0.1))
    return turn(j, 2 * pi * 1.1 * since, (0, 1), 0.0)


POSES: dict[str, Callable[[float, float], Points]] = {
    "walk": _walk, "stand": _stand, "run": _run, "sit": _sit, "lie": _lie, "fall": _fall, "crawl": _crawl,
    "jump": _jump, "dance": _dance, "fight": _fight, "stagger": _stagger, "ride": _ride, "motor": _motor,
    "skate": _skate, "push": _push, "leave": _leave, "wave": _wave, "cartwheel": _cartwheel, "spin": _spin,
}  # fmt: skip

# joint a, joint b, radius at a, radius at b (metres), what is worn there
_LIMBS = (
    [(HIPS[i], KNEES[i], 0.088, 0.068, "trousers") for i in (0, 1)]
    + [(KNEES[i], FEET[i], 0.064, 0.05, "trousers") for i in (0, 1)]
    + [(SHOULDERS[i], ELBOWS[i], 0.062, 0.05, "top") for i in (0, 1)]
    + [(ELBOWS[i], HANDS[i], 0.048, 0.04, "top") for i in (0, 1)]
)
_A, _B = np.array([limb[0] for limb in _LIMBS]), np.array([limb[1] for limb in _LIMBS])
_RADII = np.array([limb[2:4] for limb in _LIMBS])
_TORSO = np.array([*SHOULDERS, *HIPS])
_OUTLINE = np.linspace(0, 2 * np.pi, 8, endpoint=False)
_ROUND = np.stack((np.cos(_OUTLINE), np.sin(_OUTLINE)), axis=1)


def place(joints: Points, look: Look, x: float, z: float, heading: float) -> Points:
    """Joints of a pose in the world [15, 3] (x, y, z) for a person at (x, z) who faces `heading` (0 right, pi/2 away)."""
    j = joints * (look.height / HEIGHT)
    c, s = cos(heading), sin(heading)
    return np.stack((x + j[:, 0] * c - j[:, 1] * s, j[:, 2], z + j[:, 0] * s + j[:, 1] * c), axis=1)


def hull(points: Points) -> Points:
    """Convex hull [M, 2] of points [N, 2]."""
    import cv2

    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)


def draw_person(canvas: Canvas, look: Look, world: Points, heading: float) -> None:
    """Draw a figure on its joints in the world [15, 3], far limbs first."""
    camera = canvas.camera
    scale = camera.scale(float(world[PELVIS, 2])) * look.height / HEIGHT
    pixels = camera.project(world)
    radii = np.maximum(_RADII * scale, 0.75)
    outlines = capsules(np.stack((pixels[_A], pixels[_B]), axis=1), radii)
    centre = world[PELVIS, 2]
    parts: list[tuple[float, Callable[[], None]]] = []
    for i, (a, b, _, _, worn) in enumerate(_LIMBS):
        depth = (world[a, 2] + world[b, 2]) / 2
        far = 0.8 if depth > centre + 0.02 else 1.0
        parts.append((depth, lambda i=i, worn=worn, far=far: canvas.fill(outlines[i], getattr(look, worn), far)))  # type: ignore[misc]
    torso = (pixels[_TORSO][:, None] + _ROUND * np.maximum(np.array((0.1, 0.1, 0.1, 0.1)) * scale, 0.8)[:, None, None])
    torso = hull(torso.reshape(-1, 2))
    parts.append((centre, lambda: canvas.fill(torso, look.top)))
    if look.skirt:
        knees = pixels[list(KNEES)][:, None] + _ROUND * max(0.1 * scale, 0.8)
        hips = pixels[list(HIPS)][:, None] + _ROUND * max(0.11 * scale, 0.8)
        skirt = hull(np.concatenate((knees, hips)).reshape(-1, 2))
        parts.append((centre + 0.001, lambda: canvas.fill(skirt, look.trousers)))
    parts.append((float(world[HEAD, 2]) - 0.02, lambda: _head(canvas, look, pixels, scale, heading)))
    if look.bag == "backpack":
        forward = np.array((cos(heading), 0.0, sin(heading)))
        back = (world[NECK] * 0.62 + world[PELVIS] * 0.38) - forward * 0.17
        at = camera.project(back)
        bag = at + _ROUND * (0.14 * scale, 0.22 * scale)
        parts.append((float(back[2]), lambda: canvas.fill(bag, look.bag_colour)))
    elif look.bag == "handbag":
        hand = pixels[HANDS[0]] + (0, 0.14 * scale)
        square = hand + np.array(((-0.13, -0.12), (0.13, -0.12), (0.16, 0.14), (-0.16, 0.14))) * scale
        parts.append((float(world[HANDS[0], 2]), lambda: canvas.fill(square, look.bag_colour)))
    if scale > 12:  # hands and shoes are seen near the camera only
        for hand_, foot in zip(HANDS, FEET, strict=True):
            dot = pixels[hand_] + _ROUND * max(0.05 * scale, 0.6)
            toe = pixels[foot] + np.array((cos(heading), -sin(heading) * 0.3)) * 0.09 * scale
            shoe = capsules(np.stack((pixels[foot], toe))[None], np.full((1, 2), 0.05 * scale))[0]
            parts.append((float(world[hand_, 2]), lambda dot=dot: canvas.fill(dot, look.skin)))  # type: ignore[misc]
            parts.append((float(world[foot, 2]), lambda shoe=shoe: canvas.fill(shoe, (38.0, 34.0, 32.0))))  # type: ignore[misc]
    for _, draw in sorted(parts, key=lambda part: -part[0]):
        draw()


def _head(canvas: Canvas, look: Look, pixels: Points, scale: float, heading: float) -> None:
    at, neck = pixels[HEAD], pixels[NECK]
    up = at - neck
    up /= max(float(np.hypot(*up)), 1e-6)
    canvas.fill(capsules(np.stack((neck, at))[None], np.full((1, 2), max(0.05 * scale, 0.6)))[0], look.skin, 0.85)
    radius = max(0.115 * scale, 0.9)
    hair = look.helmet or look.hair
    canvas.fill(at + up * 0.03 * scale + _ROUND * radius * 1.06, hair)
    if sin(heading) < 0.55:  # the face is seen unless the person walks away
        face = at + np.array((cos(heading), 0.0)) * 0.045 * scale - up * 0.035 * scale
        canvas.fill(face + _ROUND * radius * 0.8, look.skin)
