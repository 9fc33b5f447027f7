"""What is true of a rendered clip, in the words of `tvau.language`."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tvau.language import Surroundings, Target, way
from tvau.world.plan import Plan
from tvau.world.render import Clip
from tvau.world.scenes import scene

LEAST = 0.0003  # share of the picture that an object must cover in a frame to count as visible (18 pixels of 192x320)


def visible(clip: Clip, ident: int) -> np.ndarray:
    """[T] in which frames of a clip an object covers at least LEAST of the picture."""
    return np.count_nonzero(clip.ids == ident, axis=(1, 2)) >= LEAST * clip.ids[0].size


def targets(plan: Plan, clip: Clip, frames: Sequence[int]) -> list[tuple[int, Target]]:
    """Id and facts of every object visible in the clip that `render(plan, frames)` made.

    Start and end are the cells of the centre of its mask's bounding box in the first and last frame in which it is
    visible and the direction is that of the way between them (see `language.way`); the action is the most frequent one
    in its visible frames.
    """
    found = []
    for actor in plan.actors:
        seen = np.flatnonzero(visible(clip, actor.ident))
        if not len(seen):
            continue
        first, last = (_centre(clip.ids[i] == actor.ident) for i in (seen[0], seen[-1]))
        action = Counter(actor.words[frames[int(i)]] for i in seen).most_common(1)[0][0]
        found.append((actor.ident, Target(actor.noun, action, actor.colours, *way(first, last))))
    return found


def _centre(mask: np.ndarray) -> tuple[float, float]:
    """Centre of a mask's bounding box in [0, 1]."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (columns[0] + columns[-1] + 1) / 2 / mask.shape[1], (rows[0] + rows[-1] + 1) / 2 / mask.shape[0]


def surroundings(plan: Plan, clip: Clip, frames: Sequence[int]) -> Surroundings:
    """Place, light, weather and people: those visible in at least one of the frames, riders included, drivers not."""
    people = sum(actor.person and bool(visible(clip, actor.ident).any()) for actor in plan.actors)
    return Surroundings(scene(plan.scene).place, plan.light, plan.weather, people)
