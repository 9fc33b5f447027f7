"""Does what is said of a target fit itself, its known category and its geometry? (The paper's third step.)"""

import re

from tvau.annotate.phrases import SLOWER, Description
from tvau.data.traces import Trace

GROUPS = {  # kinds of objects that cannot be mistaken for one another
    "person": "person people man woman lady gentleman boy girl child kid pedestrian guy student guard worker runner "
    "cyclist biker rider skateboarder skater motorcyclist bicycle bike motorcycle scooter",
    "vehicle": "car van truck bus suv taxi vehicle cart lorry tractor",
    "animal": "dog cat bird horse animal",
    "thing": "bag backpack suitcase box ball drone stroller pram fire flames smoke cloud",
}
MOVING = (
    "walking running jogging sprinting riding cycling biking skateboarding skating driving crossing chasing fleeing "
    "crawling flying rolling hurrying striding passing"
)
STILL = "standing sitting lying waiting sleeping parked parking lurking loitering"
BODILY = "walking running jogging sitting standing jumping dancing crawling fighting waving falling kneeling"
CLOTHES = "shirt trousers jacket coat dress skirt shorts jeans hat shoes sweater hoodie clothes clothing t-shirt"
PLACES = r"left|right|leftwards?|rightwards?|upwards?|downwards?|cent(?:er|re)|middle|corner|background|foreground|edge"
MOST = {"object": 6, "appearance": 40, "action": 8}  # words


def faults(said: Description, trace: Trace, category: str = "", ratio: float | None = None) -> list[str]:
    """Why a description cannot be trusted; empty where it can.

    Args:
        said: by a describer, or by a file of attributes.
        trace: of the target, in the frames that the description is used for.
        category: what the data set says that it is; "" where it says nothing.
        ratio: its speed over that of the others; None where there are none.
    """
    found = []
    if not said.object or not re.search(r"[a-z]{2}", said.object):
        found.append("names no object")
    for part, most in MOST.items():
        if len(getattr(said, part).split()) > most and said.provenance != "attributes":
            found.append(f"{part} of more than {most} words")
    whole = f"{said.object} {said.appearance} {said.action}".lower()
    if place := re.search(rf"\b(?:{PLACES})\b", whole):
        found.append(f"says {place[0]!r}; places and directions come from the geometry alone")
    kind, known = group(said.object), group(category)
    if kind and known and kind != known:
        found.append(f"says {said.object!r}, but the data set says {category!r}")
    if kind in ("vehicle", "thing") and (word := _named(said.action, BODILY)):
        found.append(f"a {kind} that is {word}")
    if kind in ("vehicle", "thing", "animal") and (word := _named(said.appearance, CLOTHES)):
        found.append(f"a {kind} that wears {word}")
    if (word := _named(said.action or said.object, MOVING)) and trace.stays:
        found.append(f"says {word!r}, but it stays in its place")
    if (word := _named(said.action, STILL)) and not trace.stays:
        found.append(f"says {word!r}, but it moves by {trace.reach:.0%} of the picture")
    if _named(said.action, "running sprinting speeding racing") and ratio is not None and ratio <= SLOWER:
        found.append(f"says {said.action!r}, but it is slower than the others ({ratio:.2f} of their speed)")
    return found


def group(noun: str) -> str:
    """The kind of object that the first known noun names ("a person with a dog": person); "" unknown."""
    for word in re.findall(r"[a-z]+", noun.lower()):
        for kind, nouns in GROUPS.items():
            if word in nouns.split() or (word.endswith("s") and word[:-1] in nouns.split()):
                return kind
    return ""


def _named(text: str, words: str) -> str:
    """The first of some words that a text holds, "" if none."""
    return next((word for word in re.findall(r"[a-z-]+", text.lower()) if word in words.split()), "")
