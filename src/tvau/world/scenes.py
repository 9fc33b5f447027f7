"""Places: the layout of the ground, what stands on it and the camera, each made from one number."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, radians, sin
from typing import Any

import numpy as np

from tvau.world.camera import Camera, Colour

PLACE_WORDS = {
    "plaza": "a plaza", "street": "a street", "park": "a park", "courtyard": "a courtyard", "parking": "a parking lot",
    "campus": "a campus path", "hall": "a station hall",
}  # fmt: skip
_TYPES = tuple(PLACE_WORDS)
SCENES: dict[str, tuple[int, ...]] = {
    "train": tuple(range(1, 15)),
    "validation": tuple(range(15, 19)),
    "test": tuple(range(19, 30)),
}
_FIRST_PRETRAINING = 1000  # numbers from here on belong to no data set


ZONES = ("walk", "road", "cycle", "grass", "bays")


@dataclass(frozen=True)
class Strip:
    """A band of ground: lo <= n < hi metres across the scene's direction."""

    zone: str  # of ZONES
    lo: float
    hi: float


@dataclass(frozen=True)
class Prop:
    """Something that stands at (x, z) and hides who is behind it."""

    kind: str  # "tree", "lamp", "bush", "bench", "bollard", "car", "pillar", "bin", "hedge"
    x: float
    z: float
    heading: float
    size: float
    colour: Colour
    radius: float  # metres around it where nobody walks


@dataclass(frozen=True)
class Scene:
    """One place. Across coordinate n = -x sin(angle) + z cos(angle), along it d = x cos(angle) + z sin(angle)."""

    number: int
    kind: str
    camera: Camera
    angle: float  # radians, direction of the strips on the ground
    strips: tuple[Strip, ...]
    far: float  # metres, nobody walks beyond
    props: tuple[Prop, ...]
    conditions: tuple[tuple[str, str], ...]  # (light, weather) that this place is filmed in
    sun: tuple[float, float]  # shadow of one metre of height, metres in x and z
    clock: bool  # a time stamp in the picture
    quality: int  # JPEG quality of the sensor, 0 without compression
    noise: float  # standard deviation of the sensor noise by day, in grey levels
    blur: float  # Gaussian blur of the lens, pixels at 320

    @property
    def place(self) -> str:
        """The place in words: "a plaza"."""
        return PLACE_WORDS[self.kind]

    @property
    def free(self) -> bool:
        """Whether people cross it in every direction."""
        return self.kind in ("plaza", "courtyard", "parking", "hall")

    def under(self, conditions: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Those of some (light, weather) that this place can have: lamps in a hall, the sky's light elsewhere."""
        return tuple(c for c in conditions if (c[0] == "artificial light") == (self.kind == "hall"))

    def across(self, x: Any, z: Any) -> Any:
        """Coordinate across the strips, metres; numbers or arrays."""
        return -x * sin(self.angle) + z * cos(self.angle)

    def zone(self, x: float, z: float) -> str:
        """The zone at a ground position; "" beyond the last strip."""
        n = self.across(x, z)
        return next((strip.zone for strip in self.strips if strip.lo <= n < strip.hi), "")


def scene_for_pretraining(seed: int) -> int:
    """Number of a scene that no data set uses, any number of them."""
    return _FIRST_PRETRAINING + seed % 1_000_000


def _conditions(random: np.random.Generator, kind: str) -> tuple[tuple[str, str], ...]:
    if kind == "hall":
        return (("artificial light", ""),) * 2
    day = [
        ("daylight", ""),
        ("overcast light", ""),
        ("daylight", ""),
        ("overcast light", "rain"),
        ("overcast light", "fog"),
    ]
    dark = [("dusk", ""), ("darkness", ""), ("darkness", ""), ("dusk", "fog"), ("darkness", "rain")]
    return (day[random.integers(5)], (day + dark)[random.integers(10)], dark[random.integers(5)])


def _strips(random: np.random.Generator, kind: str, near: float) -> tuple[Strip, ...]:
    u = random.uniform
    lo = near * 0.6
    if kind == "street":
        a = near + u(1.5, 3.0)
        b = a + u(6.0, 7.5)
        return (Strip("walk", -90, a), Strip("road", a, b), Strip("walk", b, b + u(3.0, 4.0)))
    if kind == "campus":
        a = near + u(3.5, 5.0)
        b = a + u(2.0, 2.6)
        return (Strip("walk", lo, a), Strip("cycle", a, b), Strip("grass", b, 90), Strip("grass", -90, lo))
    if kind == "park":
        a = near + u(0.5, 1.5)
        return (Strip("grass", -90, a), Strip("walk", a, a + u(4.0, 6.0)), Strip("grass", a + 4, 90))
    if kind == "parking":
        a = near + u(5.0, 7.0)
        return (
            Strip("walk", -90, a),
            Strip("road", a, a + 5),
            Strip("bays", a + 5, a + 10.5),
            Strip("walk", a + 10.5, 90),
        )
    return (Strip("walk", -90, 90),)


_GREENS: tuple[Colour, ...] = ((58, 92, 44), (70, 104, 52), (48, 80, 46), (92, 108, 50), (118, 92, 40))
_CARS: tuple[Colour, ...] = (
    (150, 152, 156),
    (60, 62, 68),
    (186, 188, 190),
    (92, 104, 122),
    (110, 84, 72),
    (70, 92, 80),
)
# kind: how many by place, (size range), keep-out radius
_PROPS: dict[str, tuple[tuple[str, int, tuple[float, float], float], ...]] = {
    "plaza": (
        ("tree", 3, (4.0, 6.5), 0.6),
        ("lamp", 2, (4.0, 5.5), 0.3),
        ("bench", 2, (1.0, 1.0), 0.8),
        ("bin", 1, (1, 1), 0.5),
    ),
    "street": (
        ("tree", 3, (4.5, 7.0), 0.5),
        ("lamp", 2, (5.0, 6.5), 0.3),
        ("bollard", 3, (1, 1), 0.3),
        ("bin", 1, (1, 1), 0.4),
    ),
    "park": (
        ("tree", 8, (4.0, 7.5), 0.6),
        ("bush", 4, (0.8, 1.4), 1.0),
        ("bench", 2, (1, 1), 0.8),
        ("lamp", 2, (3.5, 4.5), 0.3),
    ),
    "courtyard": (
        ("tree", 2, (3.5, 5.0), 0.6),
        ("bush", 4, (0.7, 1.2), 0.9),
        ("bench", 2, (1, 1), 0.8),
        ("bin", 1, (1, 1), 0.4),
    ),
    "parking": (("lamp", 2, (5.0, 6.5), 0.3), ("car", 7, (1, 1), 2.3), ("tree", 2, (4.0, 6.0), 0.6)),
    "campus": (
        ("tree", 6, (4.0, 7.0), 0.6),
        ("lamp", 2, (4.0, 5.0), 0.3),
        ("bush", 3, (0.7, 1.2), 0.9),
        ("bench", 1, (1, 1), 0.8),
    ),
    "hall": (("pillar", 3, (5.5, 7.0), 0.7), ("bench", 2, (1, 1), 0.8), ("bin", 2, (1, 1), 0.4)),
}


@lru_cache(maxsize=4096)
def scene(number: int) -> Scene:
    """The scene of a number: one of SCENES or of `scene_for_pretraining`; the same number is the same place forever."""
    random = np.random.default_rng((20240, number))
    known = number < _FIRST_PRETRAINING
    kind = _TYPES[(number - 1) % len(_TYPES)] if known else _TYPES[random.integers(len(_TYPES))]
    u = random.uniform
    steep = kind != "hall" and u() < 0.4  # from a roof, the horizon above the picture
    height = u(2.8, 4.2) if kind == "hall" else u(6.5, 9.5) if steep else u(3.2, 7.0)
    horizon = u(-0.6, -0.1) if steep else u(0.02, 0.18) if height > 5 else u(0.1, 0.27)
    camera = Camera(u(0.78, 1.1), horizon, height)
    angle = radians(u(-22, 22)) if kind != "street" or u() < 0.5 else radians(u(18, 38) * random.choice((-1, 1)))
    near = camera.near
    strips = _strips(random, kind, near * cos(angle))
    far = min(near + u(11, 17), camera.pixels * 1.6 / 15)
    bare = Scene(number, kind, camera, angle, strips, far, (), _conditions(random, kind), (u(-0.9, 0.9), u(-0.2, 0.9)),
                 bool(u() < 0.35), int(random.choice((0, 40, 60, 75))), u(1.0, 3.5), u(0.0, 0.8))  # fmt: skip
    props = tuple(_place_props(random, bare))
    return Scene(**{**bare.__dict__, "props": props})


def _place_props(random: np.random.Generator, place: Scene) -> list[Prop]:
    camera = place.camera
    props: list[Prop] = []
    u = random.uniform
    for kind, most, (small, large), radius in _PROPS[place.kind]:
        for _ in range(int(random.integers(max(1, most // 2), most + 1))):
            for _ in range(30):
                z = u(camera.near + 0.8, place.far + 4.0)
                x = u(-0.55, 0.55) * z / camera.focal
                zone = place.zone(x, z)
                green = kind in ("tree", "bush") and place.kind in ("park", "campus")
                wanted = {"car": ("bays",)}.get(kind, ("grass",) if green else ("walk", "grass"))
                shut = place.kind in ("courtyard", "hall") and z > place.far
                n = [place.across(x, z) - edge for strip in place.strips for edge in (strip.lo, strip.hi)]
                middle = abs(x) * camera.focal / z < 0.2 and z < camera.near + 3  # keep the foreground open
                crowded = any((x - p.x) ** 2 + (z - p.z) ** 2 < (p.radius + radius + 0.7) ** 2 for p in props)
                beside = place.free or kind == "car" or zone == "grass" or min(abs(e) for e in n) < 0.9
                if zone in wanted and beside and not shut and not middle and not crowded:
                    break
            else:
                continue
            heading = place.angle + (pi / 2 if kind == "car" else 0.0) + u(-0.04, 0.04)
            colours = {"tree": _GREENS, "bush": _GREENS, "car": _CARS}.get(
                kind, ((84, 74, 66), (70, 76, 80), (104, 88, 70))
            )
            props.append(Prop(kind, x, z, heading, u(small, large), colours[random.integers(len(colours))], radius))
    return sorted(props, key=lambda p: -p.z)
