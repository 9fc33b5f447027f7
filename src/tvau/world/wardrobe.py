"""Colours of clothes and things."""

import numpy as np

from tvau.world.kinds import RGB, Kind
from tvau.world.people import Look

Colours = tuple[tuple[str, str], ...]  # of language.Target: (part, colour)
_SKIN = ((236, 196, 164), (214, 166, 130), (168, 116, 82), (112, 74, 52))
_HAIR = ((34, 26, 22), (70, 46, 30), (120, 84, 50), (150, 146, 142), (190, 150, 90))
_DULL = ("gray", "brown", "black")


def dress(random: np.random.Generator, kind: Kind, subtle: str) -> tuple[Look, Colours]:
    """Clothes in two different colours."""
    pool = _DULL if "low contrast" in subtle and kind.split != "normal" else tuple(RGB)
    top, trousers = (str(c) for c in random.choice(pool, 2, replace=False))
    bag = str(random.choice(("", "", "", "backpack", "handbag")))
    helmet = RGB[str(random.choice(("red", "white", "black")))] if kind.noun == "motorcyclist" else None
    wear = (60.0, 50.0, 42.0) if random.uniform() < 0.5 else (52.0, 58.0, 72.0)
    look = Look(
        RGB[top],
        RGB[trousers],
        _SKIN[random.integers(len(_SKIN))],
        _HAIR[random.integers(len(_HAIR))],
        float(random.uniform(1.58, 1.9)),
        bag if kind.pose in ("walk", "stand", "run") else "",
        wear,
        bool(random.uniform() < 0.15) and kind.pose in ("walk", "stand"),
        helmet,
    )
    return look, (("top", top), ("trousers", trousers))


def paint(random: np.random.Generator, noun: str) -> Colours:
    """Colour of a thing, one that such a thing has."""
    pools = {"dog": ("brown", "black", "white"), "drone": ("black", "white", "red"), "fire": (), "smoke": ()}
    pool = pools.get(noun, ("red", "blue", "green", "yellow", "white", "black", "orange", "gray"))
    return (("body", str(random.choice(pool))),) if pool else ()
