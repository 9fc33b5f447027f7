"""People: the figure drawn on a pose's joints, with clothes, hair, bags and shoes."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, sin

import cv2
import numpy as np

from tvau.world.camera import Canvas, Colour, Points, capsules
from tvau.world.poses import ELBOWS, FEET, HANDS, HEAD, HEIGHT, HIPS, KNEES, NECK, PELVIS, SHOULDERS


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
    """Joints of a pose in the world [15, 3] (x, y, z) of a person at (x, z) facing `heading` (0 right, pi/2 away)."""
    j = joints * (look.height / HEIGHT)
    c, s = cos(heading), sin(heading)
    return np.stack((x + j[:, 0] * c - j[:, 1] * s, j[:, 2], z + j[:, 0] * s + j[:, 1] * c), axis=1)


def hull(points: Points) -> Points:
    """Convex hull [M, 2] of points [N, 2]."""
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
    torso = (
        pixels[_TORSO][:, None] + _ROUND * np.maximum(np.array((0.07, 0.07, 0.09, 0.09)) * scale, 0.8)[:, None, None]
    )
    torso = hull(torso.reshape(-1, 2))
    parts.append((centre, lambda: canvas.fill(torso, look.top)))
    if scale > 12:  # one side of the body catches more light
        middle = torso.mean(0) + np.array((0.05 * scale, -0.02 * scale))
        parts.append(
            (centre - 1e-4, lambda: canvas.fill(middle + (torso - torso.mean(0)) * (0.55, 0.8), look.top, 1.13))
        )
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
