"""Ways over the ground of a scene: where somebody may stand, and which way he may go from there."""

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from tvau.world.camera import Points
from tvau.world.ground import zebra
from tvau.world.kinds import Kind
from tvau.world.scenes import Scene


@dataclass
class Ways:
    """Finds ways in one scene; `far` keeps to its most distant third."""

    random: np.random.Generator
    place: Scene
    far: bool

    def find(self, kind: Kind, moved: Points) -> tuple[Points, Points, float] | None:
        """A straight, slightly bent way through a visible spot, the best of up to sixty.

        `moved` [F] is the distance from that spot in every frame, metres. Returns positions [F, 2], headings [F]
        and the heading at the spot, or None where no spot of the zone is in view.
        """
        benches = [p for p in self.place.props if p.kind == "bench"]
        best: tuple[int, Points, Points, float] | None = None
        for _ in range(60):
            if kind.where == "bench" and benches:
                seat = benches[self.random.integers(len(benches))]
                spot: tuple[float, float] | None = (seat.x + self.random.uniform(-0.4, 0.4), seat.z - 0.25)
                angle, bend = -pi / 2 + seat.heading, 0.0
            else:
                spot, angle = self.spot(kind.where), self.direction(kind)
                bend = float(self.random.uniform(-0.05, 0.05)) * (1.0 if self.place.free else 0.03)
            if spot is None:
                return None
            heading = angle + bend * moved
            position = np.stack((spot[0] + moved * np.cos(heading), spot[1] + moved * np.sin(heading)), axis=1)
            wrong = self.wrong(position, kind)
            if best is None or wrong < best[0]:
                best = wrong, position, heading, angle
            if wrong == 0:
                break
        return None if best is None else best[1:]

    def spot(self, where: str) -> tuple[float, float] | None:
        """A visible ground position of a zone, where nothing stands; None if none was found."""
        near, far = self.place.camera.near + 0.7, self.place.far
        if not self.far:
            return self.between(where, near, far)
        distant = self.between(where, near + 0.62 * (far - near), far)
        if distant is not None:
            return distant
        found = [spot for _ in range(6) if (spot := self.between(where, near, far)) is not None]
        return max(found, key=lambda spot: spot[1], default=None)  # the zone ends before: its farthest part

    def between(self, where: str, nearest: float, farthest: float) -> tuple[float, float] | None:
        """A visible ground position of a zone between two depths, metres; None if none was found."""
        place, camera = self.place, self.place.camera
        for _ in range(60):
            low, high = (
                camera.horizon + camera.height * camera.pixels / (z * camera.size[0]) for z in (nearest, farthest)
            )
            v = self.random.uniform(min(low, high), max(low, high)) if self.random.uniform() < 0.6 else None
            z = self.random.uniform(nearest, farthest) if v is None else camera.ground(0.5, v)[1]
            x = self.random.uniform(-0.44, 0.44) * z / camera.focal
            zone = "road" if where == "across" else where
            fits = place.zone(x, z) == zone and nearest <= z <= farthest
            if fits and self.free(x, z) and (where != "across" or self.off_zebra(x, z)):
                return x, z
        return None

    def free(self, x: float, z: float) -> bool:
        return all((x - p.x) ** 2 + (z - p.z) ** 2 > p.radius**2 for p in self.place.props)

    def off_zebra(self, x: float, z: float) -> bool:
        crossing = zebra(self.place)
        along = x * cos(self.place.angle) + z * sin(self.place.angle)
        return crossing is None or abs(along - crossing) > 3.0

    def direction(self, kind: Kind) -> float:
        """A heading that fits the zone: along the strips, or any way on an open place."""
        along = self.place.angle + pi * int(self.random.integers(2))
        if kind.where == "across":
            return along + pi / 2 + float(self.random.uniform(-0.3, 0.3))
        if self.place.free and kind.where == "walk":
            return float(self.random.uniform(0, 2 * pi))
        return along + float(self.random.uniform(-0.03, 0.03))

    def wrong(self, position: np.ndarray, kind: Kind) -> int:
        """How badly a way leaves its ground: frames in view on other ground (three points each) or in a prop (one)."""
        camera, place = self.place.camera, self.place
        if kind.where == "bench":
            return 0
        x, z = position.T
        n = place.across(x, z)
        seen = (np.abs(x) * camera.focal < 0.6 * z) & (z > max(camera.near, 2.5))
        strips = [(n >= s.lo) & (n < s.hi) for s in place.strips if s.zone == kind.where]
        off = ~np.any(strips, axis=0) if strips else np.zeros(len(x), bool)
        hit = np.zeros(len(x), bool)
        for prop in place.props:
            hit |= (x - prop.x) ** 2 + (z - prop.z) ** 2 < prop.radius**2
        return int(3 * (seen & (off | (z > place.far + 1.0))).sum() + (seen & hit).sum())
