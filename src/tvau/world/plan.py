"""The script of a clip: who walks where and what happens when, decided by one seed before anything is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import cos, pi, sin

import numpy as np

from tvau.errors import DataError
from tvau.world.actors import PEOPLE, Actor, spans
from tvau.world.camera import Points
from tvau.world.kinds import ACTIVITIES, KINDS, NORMAL, WORDS, Kind
from tvau.world.paths import Ways
from tvau.world.scenes import Scene, scene
from tvau.world.wardrobe import dress, paint

MOST_PEOPLE = 12
_NORMAL_SHARES = {"walking": 0.62, "standing": 0.1, "stopping": 0.1, "sitting": 0.09, "stroller": 0.09}


@dataclass(frozen=True)
class Plan:
    """A clip before it is drawn. `subtle` is "" or names ways: "far", "short", "far and low contrast"."""

    seed: int
    scene: int
    kind: str | None
    frames: int
    fps: float
    light: str
    weather: str
    subtle: str
    actors: tuple[Actor, ...]


def plan(
    seed: int, scene: int, kind: str | None, crowd: tuple[int, int] = (1, 12), frames: int = 32, fps: float = 5.0,
    activities: Sequence[str] = (), subtle: str = "", conditions: Sequence[tuple[str, str]] = (),
) -> Plan:  # fmt: skip
    """Write the script of a clip of `frames` frames.

    `crowd` bounds the number of normal people. `kind` (a key of KINDS) adds one abnormal event; `activities` (keys of
    ACTIVITIES) adds more actors that do these things without being the anomaly, for pretraining. Activities that do not
    fit the place are left out. `conditions` are (light, weather) to choose among instead of the scene's own. Raises
    DataError for an unknown kind or one that does not fit the scene.
    """
    return _Script(seed, scene, frames, fps, subtle).write(kind, crowd, activities, conditions)


class _Script:
    """One clip in the making."""

    def __init__(self, seed: int, number: int, frames: int, fps: float, subtle: str) -> None:
        self.random = np.random.default_rng((77, seed, number))
        self.seed, self.frames, self.fps, self.subtle = seed, frames, fps, subtle
        self.place: Scene = scene(number)
        self.actors: list[Actor] = []
        self.ways = Ways(self.random, self.place, False)

    def write(
        self, kind: str | None, crowd: tuple[int, int], activities: Sequence[str], conditions: Sequence[tuple[str, str]]
    ) -> Plan:
        conditions = conditions or self.place.conditions
        light, weather = conditions[int(self.random.integers(len(conditions)))]
        for name in (*([kind] if kind else []), *activities):
            if name not in ACTIVITIES or (name == kind and name not in KINDS):
                raise DataError(
                    f"unknown kind {name!r}; expected one of: {', '.join(ACTIVITIES if activities else KINDS)}"
                )
        if kind and self.place.kind not in KINDS[kind].places:
            raise DataError(
                f"{kind!r} does not fit scene {self.place.number}, {self.place.place}; "
                f"choose a scene among: {', '.join(KINDS[kind].places)}"
            )
        novel = [name for name in activities if ACTIVITIES[name].split == "novel"]
        if novel:
            raise DataError(
                f"{novel[0]!r} is a novel kind and stays out of pretraining; give it as `kind`, or leave it out"
            )
        for _ in range(6):  # until the event is in view
            if kind and not any(actor.track for actor in self.actors):
                self.actors.clear()
                self.event(kind, True)
        for name in activities:
            if self.place.kind in ACTIVITIES[name].places:
                self.event(name, False)
        self.crowd(int(self.random.integers(crowd[0], crowd[1] + 1)))
        return Plan(
            self.seed, self.place.number, kind, self.frames, self.fps, light, weather, self.subtle, tuple(self.actors)
        )

    @property
    def people(self) -> int:
        return sum(actor.person for actor in self.actors)

    def crowd(self, number: int) -> None:
        """Add people who do what is normal here, and the vehicles of the road and the cycle lane."""
        names, shares = list(_NORMAL_SHARES), np.array(list(_NORMAL_SHARES.values()))
        extras = {
            "campus": ("cycle lane",),
            "street": ("car on the road", "truck on the road"),
            "parking": ("car on the road",),
        }
        for name in extras.get(self.place.kind, ()):
            if self.random.uniform() < (0.2 if name.startswith("truck") else 0.5):
                self.event(name, False)
        seats = any(prop.kind == "bench" for prop in self.place.props)
        for name in self.random.choice(names, size=number, p=shares):
            if self.people < MOST_PEOPLE:
                self.event("standing" if name == "sitting" and not seats else str(name), False)

    # ---- one event ----

    def event(self, name: str, abnormal: bool) -> None:
        """Add the actors of one activity."""
        self.ways.far = abnormal and "far" in self.subtle  # the crowd must not give the event away
        kind = ACTIVITIES[name]
        first, last = self.interval(kind, abnormal)
        names = [kind.before or kind.pose] * self.frames
        names[first : last + 1] = [kind.pose] * (last + 1 - first)
        anchor = (first + last) // 2 if kind.before else int(self.random.integers(3, max(self.frames - 3, 4)))
        speed = [self.speed(kind if n == kind.pose else NORMAL.get(f"{n}ing", kind)) for n in dict.fromkeys(names)]
        pace = dict(zip(dict.fromkeys(names), speed, strict=True))
        if kind.noun in ("fire", "smoke"):
            self.thing(name, kind, first, abnormal)
            return
        actor = self.route(name, kind, names, pace, anchor)
        if actor is None:
            return
        active = actor.inside(self.place.camera)
        if kind.before:
            active &= (np.arange(self.frames) >= first) & (np.arange(self.frames) <= last)
        elif kind.where == "across":
            road = [self.place.zone(x, z) == "road" for x, z in actor.position]
            active &= road
            words = tuple(kind.action if there else "walking" for there in road)
            actor = replace(actor, words=words)
        during = np.flatnonzero(active)  # an event counts while it is in view
        track = (int(during[0]), int(during[-1])) if abnormal and len(during) else None
        self.actors.append(replace(actor, track=track))
        if name == "fighting":
            self.opponent(self.actors[-1])
        elif name == "bag":
            self.leave_bag(self.actors[-1], first, abnormal)

    def interval(self, kind: Kind, abnormal: bool) -> tuple[int, int]:
        """First and last frame of an event, anywhere in the clip."""
        longest = float(self.random.uniform(*kind.lasts)) * self.fps
        if "short" in self.subtle and abnormal and kind.lasts[0] < kind.lasts[1]:
            longest = float(self.random.integers(4, 7))
        length = int(min(max(longest, 4), self.frames))
        first = int(self.random.integers(0, self.frames - length + 1))
        return first, first + length - 1

    def speed(self, kind: Kind) -> float:
        return float(self.random.uniform(*kind.speed))

    def route(self, name: str, kind: Kind, names: list[str], pace: dict[str, float], anchor: int) -> Actor | None:
        """Somebody or something on a way that passes a visible spot at frame `anchor`."""
        still = {"lie", "fall", "fight", "leave", "stand", "sit", "dance", "jump", "wave", "spin"}
        step = np.array([0.0 if n in still else pace[n] for n in names]) / self.fps
        moved = np.concatenate(([0.0], np.cumsum(step[1:])))
        moved -= moved[anchor]
        look, colours = dress(self.random, kind, self.subtle) if kind.noun in PEOPLE else (None, ())
        colours = colours or paint(self.random, kind.noun)
        way = self.ways.find(kind, moved)
        if way is None:
            return None
        position, heading, angle = way
        if name == "staggering":
            t = np.arange(self.frames) / self.fps
            sway = np.array([n == kind.pose for n in names]) * 0.45 * np.sin(2.4 * t)
            position += sway[:, None] * np.array((-sin(angle), cos(angle)))
        return self.actor(name, kind, look, colours, position, heading, names, moved)

    def actor(  # type: ignore[no-untyped-def]
        self, name, kind: Kind, look, colours, position: Points, heading: Points, names: list[str], moved: Points
    ) -> Actor:
        """The record of one object; a pose that starts with the clip began three seconds before it."""
        stride = {"run": 2.4, "ride": 1.1, "crawl": 5.0, "stagger": 4.2}.get(kind.pose, 4.4)
        phase = moved * np.array([stride if n == kind.pose else 4.4 for n in names]) + self.random.uniform(0, 2 * pi)
        since = spans(names) / self.fps
        if names[0] in ("lie", "jump", "dance", "fight") and name not in NORMAL:
            lead = int(np.argmax(np.array([*names, ""]) != names[0]))
            since[:lead] += 3.0
        words = tuple(kind.action if n == kind.pose else WORDS.get(n, kind.action) for n in names)
        shown = position[:, 1] > (4.0 if kind.noun in ("car", "truck") else 2.2)
        return Actor(
            len(self.actors) + 1,
            kind.noun,
            colours,
            look,
            position,
            heading,
            tuple(names),
            words,
            phase,
            since,
            shown,
            None,
            name,
        )

    # ---- events of more than one object ----

    def opponent(self, one: Actor) -> None:
        """The second fighter, face to face with the first."""
        look, colours = dress(self.random, KINDS["fighting"], self.subtle)
        fights = np.array([p == "fight" for p in one.poses])
        first = int(np.argmax(fights))
        angle = float(one.heading[first]) if abs(sin(float(one.heading[first]))) < 0.8 else 0.0
        gap = 0.85 * np.array((cos(angle), sin(angle)))
        away = 2 * (one.position[first] - one.position)  # comes from the other side and leaves to it
        position = one.position + gap + np.where(fights[:, None], 0.0, away)
        facing = np.where(fights, angle, one.heading)
        self.actors[-1] = replace(one, heading=facing)
        other = np.where(fights, angle + pi, one.heading + pi)
        self.actors.append(
            replace(
                one,
                ident=one.ident + 1,
                look=look,
                colours=colours,
                position=position,
                heading=other,
                phase=one.phase + 2.0,
            )
        )

    def leave_bag(self, one: Actor, first: int, abnormal: bool) -> None:
        """The bag, from the moment it touches the ground."""
        down = min(first + int(0.6 * self.fps), self.frames - 1)
        at = one.position[down] + (0.3 * cos(one.heading[down]), -0.4)  # on the camera's side of the feet
        shown = np.arange(self.frames) >= down
        n = self.frames
        self.actors.append(
            Actor(
                one.ident + 1,
                "bag",
                paint(self.random, "bag"),
                None,
                np.tile(at, (n, 1)),
                np.full(n, 0.3),
                ("",) * n,
                ("abandoned",) * n,
                np.zeros(n),
                np.zeros(n),
                shown,
                (down, n - 1) if abnormal else None,
                "bag",
            )
        )

    def thing(self, name: str, kind: Kind, first: int, abnormal: bool) -> None:
        """Fire or smoke at one place, from a frame to the end of the clip."""
        at = self.ways.spot("walk")
        if at is None:
            return
        n = self.frames
        since = np.maximum(np.arange(n) - first + 1, 0) / self.fps
        drift = np.full(n, self.random.uniform(-0.5, 0.5))  # metres a second, kept where a body has its heading
        self.actors.append(
            Actor(
                len(self.actors) + 1,
                kind.noun,
                (),
                None,
                np.tile(np.array(at), (n, 1)),
                drift,
                ("",) * n,
                (kind.action,) * n,
                np.zeros(n),
                since,
                since > 0,
                (first, n - 1) if abnormal else None,
                name,
            )
        )


def abnormal(plan: Plan, ident: int) -> tuple[int, int] | None:
    """First and last frame in which an object is abnormal, inclusive; None for a normal one or an unknown id."""
    return next((actor.track for actor in plan.actors if actor.ident == ident), None)
