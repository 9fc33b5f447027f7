"""What moves in a clip: one record per object, with its place, heading, pose and words in every frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvau.world.camera import Camera
from tvau.world.people import Look


@dataclass(frozen=True, eq=False)
class Actor:
    """One object of a clip; arrays have one row a frame."""

    ident: int  # value in the id map, from 1
    noun: str  # of language.NOUNS
    colours: tuple[tuple[str, str], ...]  # ("top", "red"), ("trousers", "blue") or ("body", "white")
    look: Look | None  # clothes, where there is a body
    position: NDArray[np.float64]  # [F, 2] metres (x, z)
    heading: NDArray[np.float64]  # [F] radians, 0 right, pi/2 away from the camera
    poses: tuple[str, ...]  # pose of every frame, "" for things
    words: tuple[str, ...]  # what it does in every frame, of language.ACTIONS
    phase: NDArray[np.float64]  # [F] radians of gait, wheel or propeller
    since: NDArray[np.float64]  # [F] seconds since the present pose began
    shown: NDArray[np.bool_]  # [F] whether it is there at all
    track: tuple[int, int] | None = None  # frames in which it is abnormal, inclusive
    activity: str = ""  # key of kinds.ACTIVITIES

    @property
    def person(self) -> bool:
        """Whether it counts as one of the people of the scene."""
        return self.noun in PEOPLE

    def inside(self, camera: Camera) -> NDArray[np.bool_]:
        """[F] whether a part of it lies inside the picture."""
        x, z = self.position.T
        middle = camera.project(np.stack((x, np.full(len(x), 0.7), z), axis=1)) / (camera.size[1], camera.size[0])
        half = EXTENT.get(self.noun, 0.2) * camera.focal / np.maximum(z, 0.5)  # picture widths
        return self.shown & (np.abs(middle[:, 0] - 0.5) < 0.49 + half) & (np.abs(middle[:, 1] - 0.5) < 0.49 + half)


PEOPLE = ("person", "cyclist", "skateboarder", "motorcyclist")
EXTENT = {"car": 1.9, "truck": 2.9, "motorcyclist": 0.9, "cyclist": 0.8}  # half lengths, metres


def spans(names: list[str]) -> NDArray[np.int64]:
    """Frames since the present name began, for every frame."""
    out = np.zeros(len(names), np.int64)
    for i in range(1, len(names)):
        out[i] = out[i - 1] + 1 if names[i] == names[i - 1] else 0
    return out
