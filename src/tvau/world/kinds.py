"""What can happen in the synthetic world: the abnormal kinds of every split, and the activities of normal life.

The kinds of train, validation and test are disjoint, as UBnormal's are. `novel` kinds are kept out of pretraining too;
all others may be seen there, as described activities and never as a verdict.
"""

from dataclasses import dataclass

PLACES = ("plaza", "street", "park", "courtyard", "parking", "campus", "hall")
_OPEN = ("plaza", "street", "park", "courtyard", "campus", "hall")  # nothing drives where people walk
_OUTDOOR = ("plaza", "street", "park", "courtyard", "parking", "campus")


@dataclass(frozen=True)
class Kind:
    """One activity: who does it, what it is called (in the words of tvau.language), its look and its places."""

    split: str  # "train", "validation", "test", "novel"; "normal" for normal life
    noun: str
    action: str
    pose: str  # people.POSES; "" for things without a body
    where: str = "walk"  # zone of the ground: "walk", "road", "cycle", "across" (over the road), "bench"
    speed: tuple[float, float] = (0.0, 0.0)  # metres a second
    before: str = ""  # normal pose before and after the event; "" where it lasts as long as it is in view
    lasts: tuple[float, float] = (2.0, 5.0)  # seconds
    places: tuple[str, ...] = PLACES


_WALK = (1.0, 1.5)
KINDS: dict[str, Kind] = {
    # abnormal, seen in training
    "running": Kind("train", "person", "running", "run", speed=(3.2, 4.6), before="walk", lasts=(1.4, 3.2)),
    "lying": Kind("train", "person", "lying on the ground", "lie", before="walk", lasts=(2.5, 6.4)),
    "cycling": Kind("train", "cyclist", "riding", "ride", speed=(2.6, 4.2), places=_OPEN),
    "fighting": Kind("train", "person", "fighting", "fight", before="walk", lasts=(2.0, 4.0)),
    "bag": Kind("train", "person", "leaving a bag", "leave", before="walk", lasts=(1.4, 1.4)),
    "fire": Kind("train", "fire", "burning", "", lasts=(3.0, 6.4)),
    "dancing": Kind("train", "person", "dancing", "dance", before="stand", lasts=(2.0, 5.0)),
    # abnormal, seen in validation
    "staggering": Kind(
        "validation", "person", "staggering", "stagger", speed=(0.5, 0.9), before="walk", lasts=(2.5, 5.0)
    ),
    "motorcycle": Kind("validation", "motorcyclist", "riding", "motor", speed=(4.0, 6.0), places=_OPEN),
    # abnormal, seen in the test only
    "falling": Kind("test", "person", "falling", "fall", before="walk", lasts=(2.8, 2.8)),
    "crawling": Kind("test", "person", "crawling", "crawl", speed=(0.5, 0.9), before="stand", lasts=(3.0, 6.4)),
    "jumping": Kind("test", "person", "jumping", "jump", before="stand", lasts=(1.6, 4.0)),
    "car": Kind("test", "car", "driving", "", speed=(3.5, 6.0), places=_OPEN),
    "smoke": Kind("test", "smoke", "rising", "", lasts=(3.0, 6.4)),
    "skateboarding": Kind("test", "skateboarder", "riding", "skate", speed=(2.5, 4.0)),
    "jaywalking": Kind("test", "person", "crossing the road", "walk", "across", speed=(1.2, 1.7), places=("street",)),
    # abnormal, never met in pretraining
    "dog": Kind("novel", "dog", "running", "", speed=(2.5, 4.0)),
    "cartwheel": Kind(
        "novel", "person", "doing a cartwheel", "cartwheel", speed=(1.2, 1.6), before="walk", lasts=(1.1, 2.2)
    ),
    "drone": Kind("novel", "drone", "flying", "", speed=(1.0, 2.5), places=_OUTDOOR),
    "spinning": Kind("novel", "person", "spinning", "spin", before="stand", lasts=(2.0, 4.5)),
}  # fmt: skip

NORMAL: dict[str, Kind] = {
    "walking": Kind("normal", "person", "walking", "walk", speed=_WALK),
    "standing": Kind("normal", "person", "standing", "stand"),
    "stopping": Kind("normal", "person", "standing", "stand", before="walk", lasts=(2.0, 5.0)),
    "sitting": Kind("normal", "person", "sitting", "sit", "bench"),
    "stroller": Kind("normal", "person", "pushing a stroller", "push", speed=(0.9, 1.3)),
    "cycle lane": Kind("normal", "cyclist", "riding", "ride", "cycle", speed=(3.0, 4.5), places=("campus",)),
    "car on the road": Kind("normal", "car", "driving", "", "road", speed=(3.5, 7.0), places=("street", "parking")),
    "truck on the road": Kind("normal", "truck", "driving", "", "road", speed=(3.0, 5.0), places=("street",)),
}

ACTIVITIES: dict[str, Kind] = {**NORMAL, **KINDS}
PRETRAINING: tuple[str, ...] = tuple(name for name, kind in ACTIVITIES.items() if kind.split != "novel")

WORDS = {  # what a pose is called when it is not the event itself
    "walk": "walking", "stand": "standing", "sit": "sitting", "push": "pushing a stroller",
}  # fmt: skip


def kinds_of(split: str) -> tuple[str, ...]:
    """Names of the kinds of one split, in the table's order."""
    return tuple(name for name, kind in KINDS.items() if kind.split == split)


RGB: dict[str, tuple[float, float, float]] = {
    "red": (206, 32, 36), "orange": (242, 132, 22), "yellow": (246, 216, 44), "green": (38, 150, 62),
    "blue": (34, 78, 205), "purple": (126, 48, 168), "pink": (248, 136, 188), "brown": (116, 70, 34),
    "black": (24, 24, 28), "gray": (130, 133, 138), "white": (240, 240, 240),
}  # fmt: skip
