"""From a script to pixels: any frames of a plan, with the id map of every object and the traces of a cheap sensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import pi

import cv2
import numpy as np
from numpy.typing import NDArray

from tvau.errors import DataError
from tvau.world import things
from tvau.world.actors import Actor
from tvau.world.backdrop import LIGHTS, Backdrop, backdrop
from tvau.world.camera import Canvas
from tvau.world.kinds import RGB
from tvau.world.people import draw_person, place
from tvau.world.plan import Plan
from tvau.world.poses import POSES


@dataclass(frozen=True)
class Clip:
    """Rendered frames: `video` uint8 [T, H, W, 3] RGB, `ids` uint8 [T, H, W] with 0 background, `fps` of the plan."""

    video: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    fps: float


def render(plan: Plan, frames: Sequence[int], size: tuple[int, int] = (192, 320)) -> Clip:
    """Draw frames of a plan, in any order, in pictures of `size` (H, W).

    Raises DataError for a frame that the plan does not have.
    """
    wrong = [f for f in frames if not 0 <= f < plan.frames]
    if wrong:
        raise DataError(f"frame {wrong[0]} of a plan of {plan.frames} frames; ask for 0 to {plan.frames - 1}")
    scene = backdrop(plan.scene, plan.light, plan.weather, size)
    video = np.empty((len(frames), *size, 3), np.uint8)
    ids = np.empty((len(frames), *size), np.uint8)
    for i, frame in enumerate(frames):
        canvas = Canvas(
            scene.image.copy(), np.zeros(size, np.uint8), scene.camera, tint=LIGHTS[plan.light][1], fog=scene.fog
        )
        _shadows(canvas, plan, frame, scene)
        _draw(canvas, plan, frame, scene)
        video[i] = _sense(canvas.image, plan, frame, scene)
        ids[i] = canvas.ids
    return Clip(video, ids, plan.fps)


def _draw(canvas: Canvas, plan: Plan, frame: int, scene: Backdrop) -> None:
    """Actors and what may hide them, far ones first."""
    layers: list[tuple[float, Actor | int]] = [(float(a.position[frame, 1]), a) for a in plan.actors if a.shown[frame]]
    farthest = max((z for z, _ in layers), default=0.0)
    layers += [(o.z, i) for i, o in enumerate(scene.occluders) if o.z < farthest]
    for z, layer in sorted(layers, key=lambda item: -item[0]):
        if isinstance(layer, Actor):
            canvas.ident = layer.ident
            canvas.light = scene.brightness(*layer.position[frame])
            canvas.haze = scene.haze(z)
            draw_actor(canvas, layer, frame, plan.seed)
        else:
            cover = scene.occluders[layer]
            part = canvas.ids[cover.box]
            if part.any():
                image = canvas.image[cover.box]
                share = cover.alpha[..., None] * np.float32(1 / 255)
                image[:] = image + (scene.image[cover.box] - image.astype(np.float32)) * share
                part[cover.solid] = 0


def draw_actor(canvas: Canvas, actor: Actor, frame: int, seed: int) -> None:
    """Draw one object as it is in one frame."""
    x, z = (float(v) for v in actor.position[frame])
    heading, phase, since = float(actor.heading[frame]), float(actor.phase[frame]), float(actor.since[frame])
    colour = RGB[dict(actor.colours).get("body", "gray")]
    if actor.noun in ("car", "truck"):
        things.car(canvas, x, z, heading, colour, actor.noun == "truck")
    elif actor.noun == "dog":
        things.dog(canvas, x, z, heading, phase, colour)
    elif actor.noun == "drone":
        things.drone(canvas, x, z, heading, phase, colour)
    elif actor.noun == "bag":
        things.bag(canvas, x, z, heading, colour)
    elif actor.noun == "fire":
        things.fire(canvas, x, z, since, seed)
    elif actor.noun == "smoke":
        things.smoke(canvas, x, z, since, seed, heading)
    else:
        _person(canvas, actor, actor.poses[frame], x, z, heading, phase, since)


def _person(
    canvas: Canvas, actor: Actor, pose: str, x: float, z: float, heading: float, phase: float, since: float
) -> None:
    assert actor.look is not None
    if actor.noun == "cyclist":
        things.bicycle(canvas, x, z, heading, (150.0, 30.0, 34.0) if actor.ident % 2 else (40.0, 90.0, 120.0))
    elif actor.noun == "motorcyclist":
        things.motorcycle(canvas, x, z, heading, (180.0, 30.0, 30.0) if actor.ident % 2 else (40.0, 60.0, 140.0))
    elif actor.noun == "skateboarder":
        things.skateboard(canvas, x, z, heading)
    cart = pose == "push"
    away = np.sin(heading) > 0.1
    if cart and away:
        things.stroller(canvas, x, z, heading, (70.0, 80.0, 110.0))
    joints = POSES[pose](phase, since)
    if actor.noun in ("cyclist", "motorcyclist"):
        joints[:, 0] -= 0.22
    draw_person(
        canvas, actor.look, place(joints, actor.look, x, z, heading), heading + (pi / 2 if pose == "skate" else 0.0)
    )
    if cart and not away:
        things.stroller(canvas, x, z, heading, (70.0, 80.0, 110.0))


def _shadows(canvas: Canvas, plan: Plan, frame: int, scene: Backdrop) -> None:
    """Soft shadows on the ground: where the sun throws the body, and dark contact below it."""
    mask = np.zeros(canvas.ids.shape, np.uint8)
    reach = 1.0 if plan.light == "daylight" else 0.25
    for actor in plan.actors:
        if not actor.shown[frame] or actor.noun in ("fire", "smoke"):
            continue
        x, z = actor.position[frame]
        if actor.noun in ("car", "truck"):
            length, width = (6.4, 2.2) if actor.noun == "truck" else (4.2, 1.8)
            at = things.Local(x, z, actor.heading[frame])
            ring = [at(f * length * 0.53, s * width * 0.55, 0) for f, s in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
        else:
            flat = actor.poses[frame] in ("lie", "crawl") or actor.noun in ("bag", "dog")
            tall = 0.3 if flat else 1.5
            sun = np.array(scene.scene.sun) * tall * reach
            wide = 0.7 if flat or actor.noun in ("cyclist", "motorcyclist") else 0.26
            spine = np.array([(x, z), (x + sun[0], z + sun[1])])
            ring = [(p[0] + wide * c, 0.0, p[1] + wide * 0.7 * s) for p in spine for c, s in _SPOKES]
        outline = cv2.convexHull((canvas.camera.project(ring) * 16).clip(-2e5, 2e5).astype(np.int32))
        cv2.fillConvexPoly(mask, outline, 255, cv2.LINE_AA, 4)
    rows = np.flatnonzero(mask.any(1))
    if len(rows):
        part = slice(max(rows[0] - 2, 0), rows[-1] + 3)
        soft = 255 - cv2.multiply(cv2.GaussianBlur(mask[part], (5, 5), 0), 1.0, scale=max(scene.shadow, 0.12))
        canvas.image[part] = cv2.multiply(canvas.image[part], cv2.merge((soft, soft, soft)), scale=1 / 255)


_SPOKES = [(float(np.cos(a)), float(np.sin(a))) for a in np.linspace(0, 2 * np.pi, 10, endpoint=False)]


@lru_cache(maxsize=8)
def _grain(size: tuple[int, int]) -> NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal((size[0] + 64, size[1] + 64, 3)).astype(np.float32)


@lru_cache(maxsize=16)
def _rain(size: tuple[int, int], layer: int) -> NDArray[np.uint8]:
    random, streaks = np.random.default_rng((6, layer)), np.zeros((*size, 3), np.uint8)
    for _ in range(110):
        x, y, length = random.uniform(0, size[1]), random.uniform(0, size[0]), random.uniform(0.03, 0.09) * size[0]
        tone = random.uniform(25, 70)
        cv2.line(
            streaks,
            (int(x * 16), int(y * 16)),
            (int((x - 0.2 * length) * 16), int((y + length) * 16)),
            (tone,) * 3,
            1,
            cv2.LINE_AA,
            4,
        )
    return streaks


def _sense(image: NDArray[np.uint8], plan: Plan, frame: int, scene: Backdrop) -> NDArray[np.uint8]:
    """Rain, lens blur, noise, a clock and compression, all decided by the scene, the seed and the frame."""
    random = np.random.default_rng((9, plan.seed, frame))
    place, size = scene.scene, (image.shape[0], image.shape[1])
    if plan.weather == "rain":
        image = cv2.add(image, _rain(size, int(random.integers(12))))
    blur = place.blur * size[1] / 320
    if blur > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    level = place.noise * (2.2 if plan.light == "darkness" else 1.4 if plan.light == "dusk" else 1.0)
    y, x = random.integers(0, 64, 2)
    grain = _grain(size)[y : y + size[0], x : x + size[1]]
    image = cv2.addWeighted(image, 1.0, grain, level, 0.0, dtype=cv2.CV_8U)
    if place.clock:
        _stamp(image, plan, frame)
    if place.quality:
        packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, place.quality])[1]
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return image


def _stamp(image: NDArray[np.uint8], plan: Plan, frame: int) -> None:
    second = plan.seed % 3600 + int(frame / plan.fps)
    text = f"CAM {plan.scene % 100:02d}  {plan.seed % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    scale = image.shape[1] / 320 * 0.3
    at = (int(0.02 * image.shape[1]), int(0.05 * image.shape[0]))
    cv2.putText(image, text, (at[0] + 1, at[1] + 1), cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (235, 235, 235), 1, cv2.LINE_AA)
