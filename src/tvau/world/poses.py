"""Poses: a small skeleton bent by angles for every activity.

A pose is 15 joints [15, 3] in metres for a person of 1.75 m: (forward, left, up) from the point on the ground.
"""

from collections.abc import Callable
from math import cos, pi, sin

import numpy as np

from tvau.world.camera import Points

PELVIS, NECK, HEAD = 0, 1, 2
SHOULDERS, ELBOWS, HANDS, HIPS, KNEES, FEET = (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14)
HEIGHT = 1.75
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
    j[HEAD] = j[NECK] + 0.2 * np.array((sin(lean * 0.6) + 0.03, sin(sway), cos(lean * 0.6)))
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
    return out + np.array((0.0, 0.0, about))


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
        0.55,
        (0.85 + 0.35 * s, 0.85 - 0.35 * s),
        (1.0 - 0.4 * c, 1.0 + 0.4 * c),
        (1.0, 1.0),
        elbows=(0.2, 0.2),
        hip=0.95,
    )


def _motor(phase: float, since: float) -> Points:
    return skeleton(0.3, (1.2, 1.2), (1.3, 1.3), (0.95, 0.95), elbows=(0.25, 0.25), legs=(0.2, 0.2), hip=0.82)


def _skate(phase: float, since: float) -> Points:
    w = sin(since * 2.0 + phase)
    j = skeleton(
        0.15, (0.45, 0.45), (0.7, 0.7), (0.3 * w, -0.3 * w), (1.0, 1.0), (0.4, 0.4), (0.38, 0.38), sway=0.12 * w
    )
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
