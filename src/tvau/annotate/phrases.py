"""The sentences of the dialogs: questions in several phrasings, and answers from geometry and descriptions.

What is said about places and movements is made from a `Trace` alone. The sentences keep to the patterns that
`tvau.language.slots` reads back.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tvau import language
from tvau.data.traces import Trace

QUESTIONS: dict[str, tuple[str, ...]] = {  # {it}: words that point at one target; the first phrasing is the paper's
    "judgement": (
        language.JUDGEMENT, "Does anything abnormal happen in this clip?", "Is something in the video not normal?",
        "Do you see an anomaly?",
    ),
    "target": (
        "Describe the features of {it}.", "What does {it} look like?", "Describe {it} in detail.",
        "Who or what is {it}?",
    ),
    "motion": ("How does {it} move?", "Describe the state of motion of {it}.", "Is {it} moving, and how?"),
    "trajectory": (
        "What is the movement trajectory of {it}?", "Where does {it} come from, and where does it go?",
        "Describe the way that {it} takes through the picture.",
    ),
    "environment": (
        language.ENVIRONMENT, "What is around it in the picture?", "What does the scene of the video show?",
    ),
}  # fmt: skip
NO = (language.NORMAL, "No, everything in the video is normal.", "No, nothing abnormal happens.")
FASTER, SLOWER = 1.5, 1 / 1.5  # of the others' speed


@dataclass(frozen=True)
class Description:
    """What is known of a target besides its geometry; "" where it is not.

    Attributes:
        object: a noun, "cyclist".
        appearance: what follows the noun, "in dark clothes with a backpack".
        action: a present participle, "riding".
        provenance: where it comes from.
    """

    object: str = ""
    appearance: str = ""
    action: str = ""
    provenance: str = ""

    @property
    def name(self) -> str:
        """The target with its article: "a cyclist in dark clothes"; "something" where nothing is known."""
        if not self.object:
            return "something"
        noun = language.WITHOUT_ARTICLE.get(self.object, with_article(self.object))
        return f"{noun} {self.appearance}".strip()


def with_article(noun: str) -> str:
    """A noun with "a" or "an"; one that has an article keeps it."""
    if re.match(r"(an?|the|some|two|several) ", noun):
        return noun
    return f"{'an' if noun[:1].lower() in tuple('aeiou') else 'a'} {noun}"


def question(task: str, random: Random, it: str = "the anomaly") -> str:
    """One of the phrasings of a task, drawn by `random`."""
    return random.choice(QUESTIONS[task]).format(it=it)


def yes(targets: Sequence[tuple[Description, Trace]]) -> str:
    """The first answer of the paper's dialog: yes, the targets' features, states of motion, from and to where."""
    said = [_seen(*target) for target in targets]
    names = [known.name for known, _ in targets]
    for at, name in enumerate(names):
        if name in names[:at]:
            said[at] = re.sub(r"^an? ", "another ", said[at])
    return f"Yes, {'; and '.join(said)}."


def _seen(known: Description, trace: Trace) -> str:
    what = f"{known.name} is {known.action or ('in one place' if trace.stays else 'moving')}"
    if not trace.direction:
        return f"{what}, at the {trace.start}"
    return f"{what}, from the {trace.start} to the {trace.end}"


def features(known: Description) -> str:
    """Appearance and action; "" where not even the object is known."""
    if not known.object:
        return ""
    name = f"{known.name[0].upper()}{known.name[1:]}"
    if known.action:
        return f"{name} is {known.action}."
    return f"It is {known.name}."


def trajectory(trace: Trace) -> str:
    """Start, direction and end, and whether it leaves the picture."""
    said = language.trajectory(language.Target("", "", (), *trace.way))
    if not (trace.direction or trace.stays):
        said = f"It starts at the {trace.start} and ends at the {trace.end}."
    return f"{said[:-1]}, where it leaves the picture." if trace.leaves else said


def motion(trace: Trace, ratio: float | None) -> str:
    """The directions it takes one after the other, its speed beside that of the others, entering and leaving.

    Args:
        trace: of the target within the clip.
        ratio: its speed over that of the others, None where there are none.
    """
    ends = " and ".join(word for word, true in (("enters", trace.enters), ("leaves", trace.leaves)) if true)
    if not trace.moves:
        return f"It {ends} the picture." if ends else "It stays in its place."
    legs = trace.legs
    said = f"It moves {', then '.join(legs)}" if legs else "It moves and comes back"
    if ratio is not None:
        said += (
            ", faster than the others" if ratio >= FASTER
            else ", slower than the others" if ratio <= SLOWER
            else ", about as fast as the others"
        )  # fmt: skip
    return f"{said}; it {ends} the picture." if ends else f"{said}."


def surroundings(categories: Sequence[str]) -> str:
    """What is in the picture, from the categories of all its objects: "Two people and one car are in the picture."."""
    if not categories:
        return "Nobody is in the picture."
    # "a cloud of smoke" is counted as "one cloud of smoke"
    nouns = [re.sub(r"^an? ", "", language.WITHOUT_ARTICLE.get(noun, noun)) for noun in categories]
    counted = Counter(nouns).most_common()
    parts = [f"{language.count(n)} {noun if n == 1 else _plural(noun)}" for noun, n in counted]
    said = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"{said[0].upper()}{said[1:]} {'is' if len(categories) == 1 else 'are'} in the picture."


def _plural(noun: str) -> str:
    if noun == "person":
        return "people"
    if noun.startswith("cloud of"):
        return noun.replace("cloud", "clouds", 1)
    return f"{noun}es" if noun.endswith(("s", "sh", "ch", "x")) else f"{noun}s"


def pointers(traces: Sequence[Trace]) -> list[str]:
    """Words that point at each of some targets and at no other; "" where there are none.

    A single target is "the anomaly". Several are told apart by where they are first or last seen, never by what they
    are: that is what is asked.
    """
    if len(traces) == 1:
        return ["the anomaly"]
    ways = [
        [f"the anomaly first seen at the {trace.start}" for trace in traces],
        [f"the anomaly last seen at the {trace.end}" for trace in traces],
    ]
    return [next((way[at] for way in ways if way.count(way[at]) == 1), "") for at in range(len(traces))]
