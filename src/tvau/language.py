"""What is said about a clip: the words, the sentences made from facts, and the slots read back out of sentences.

Sentences about position and movement are always made from geometry. The 3x3 cells follow the paper's regions; the
reader `slots` is the inverse of the templates and is what the slot accuracies of `tvau test` use, on references and on
answers alike.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import atan2, hypot, pi
from random import Random

from tvau.types import Turn

ROWS = ("upper", "center", "lower")
COLUMNS = ("left", "center", "right")
CELLS = tuple("center" if row == column else f"{row} {column}" for row in ROWS for column in COLUMNS)
DIRECTIONS = ("right", "down right", "down", "down left", "left", "up left", "up", "up right")  # clockwise on screen
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "gray", "white")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NOUNS = (
    "person", "cyclist", "skateboarder", "motorcyclist", "car", "truck", "stroller", "dog", "smoke", "fire", "bag",
    "drone", "ball",
)  # fmt: skip
ACTIONS = (
    "walking", "standing", "sitting", "running", "falling", "lying on the ground", "crawling", "jumping", "dancing",
    "fighting", "staggering", "leaving a bag", "abandoned", "crossing the road", "pushing a stroller", "riding",
    "driving", "parking", "burning", "rising", "spinning", "doing a cartwheel", "throwing a ball", "flying", "waving",
)  # fmt: skip
WITHOUT_ARTICLE = {"smoke": "a cloud of smoke", "fire": "a fire"}
JUDGEMENT = "Is there any anomaly in the video?"
TARGET = "Describe the features of the anomaly."
TRAJECTORY = "What is its movement trajectory?"
ENVIRONMENT = "Describe the environment of the video."
FLOW = (JUDGEMENT, TARGET, TRAJECTORY, ENVIRONMENT)  # the paper's dialog flow (figure 2, user interface)
OF_ANOMALIES = (TARGET, TRAJECTORY)  # asked only where one was seen
NORMAL = "No, there is no anomaly."


@dataclass(frozen=True)
class Target:
    """One object of a clip, in words. `colours` pairs a part ("top", "trousers", "body") with a colour."""

    noun: str
    action: str
    colours: tuple[tuple[str, str], ...]
    start: str  # cell in which it is first visible
    end: str  # cell in which it is last visible
    direction: str  # "" where it stays

    @property
    def name(self) -> str:
        """The target with its article and colours: "a person in a red top and blue trousers"."""
        parts = dict(self.colours)
        noun = WITHOUT_ARTICLE.get(self.noun, f"a {parts['body']} {self.noun}" if "body" in parts else f"a {self.noun}")
        noun = re.sub(r"^a (?=[aeiou])", "an ", noun)
        if "top" in parts:
            top = parts["top"]
            noun += f" in {'an' if top[0] in 'aeiou' else 'a'} {top} top and {parts['trousers']} trousers"
        return noun


@dataclass(frozen=True)
class Surroundings:
    """The scene of a clip, in words: "a plaza", "daylight", "rain" ("" where clear) and how many people are seen."""

    place: str
    light: str
    weather: str
    people: int


def cell(x: float, y: float) -> str:
    """The 3x3 cell that holds a point; x and y in [0, 1] from the upper left corner of the picture."""
    return CELLS[min(max(int(y * 3), 0), 2) * 3 + min(max(int(x * 3), 0), 2)]


def direction(dx: float, dy: float, least: float = 0.06) -> str:
    """One of eight screen directions of a displacement in picture sizes; "" below `least`: it stays."""
    if hypot(dx, dy) < least:
        return ""
    return DIRECTIONS[round(atan2(dy, dx) / (pi / 4)) % 8]


def way(first: tuple[float, float], last: tuple[float, float]) -> tuple[str, str, str]:
    """Start cell, end cell and direction ("": it stays) of the way from one point to another, in picture sizes.

    All that is said of a way is said from this. Who stays ends where it starts: one that trembles on the border of two
    cells goes nowhere.
    """
    towards = direction(last[0] - first[0], last[1] - first[1])
    start = cell(*first)
    return start, cell(*last) if towards else start, towards


def count(number: int) -> str:
    """A number as a word, up to twelve."""
    return NUMBERS[number] if number < len(NUMBERS) else "many"


def same(question: str, other: str) -> bool:
    """Whether two questions are the same but for case, spaces and marks at their ends."""
    return other.lower().strip(" ?.!") == question.lower().strip(" ?.!")


def task_of(question: str) -> str:
    """What a question of FLOW asks for, as in `Turn`; "" of any other."""
    tasks = {JUDGEMENT: "judgement", TARGET: "target", TRAJECTORY: "trajectory", ENVIRONMENT: "environment"}
    return next((task for known, task in tasks.items() if same(question, known)), "")


def follows(question: str, judged: bool | None) -> bool:
    """Whether a question of FLOW makes sense behind a judgement: abnormal, normal, or neither said (None).

    Features and movement of an anomaly are asked for unless there is none.
    """
    return judged is not False or question not in OF_ANOMALIES


# ---- answers of the anomaly dialog ----


def judgement(target: Target | None) -> str:
    """First answer of the paper's dialog: yes or no, target features, state of motion, from and to where."""
    if target is None:
        return NORMAL
    if not target.direction and target.start == target.end:
        return f"Yes, {target.name} is {target.action}, at the {target.start}."
    return f"Yes, {target.name} is {target.action}, from the {target.start} to the {target.end}."


def placed(sentence: str, start: str, end: str, towards: str) -> str:
    """A judgement whose places, or place, are those of a way, see `way`; a sentence that names none stays as it is."""
    where = f"at the {start}" if not towards and start == end else f"from the {start} to the {end}"
    return re.sub(rf"\b(?:from the {_CELL} to|from|at) the {_CELL}(?=[.,;]|$)", where, sentence, count=1)


def features(target: Target) -> str:
    """Appearance and action of one target."""
    return f"{target.name[0].upper()}{target.name[1:]} is {target.action}."


def trajectory(target: Target) -> str:
    """Start, direction and end of one target."""
    if not target.direction:
        return (
            f"It stays at the {target.start}."
            if target.start == target.end
            else (f"It starts at the {target.start} and ends at the {target.end}.")
        )
    return f"It starts at the {target.start}, moves {target.direction} and ends at the {target.end}."


def environment(scene: Surroundings) -> str:
    """Place, light, weather and number of people."""
    weather = f" with {scene.weather}" if scene.weather else ""
    people = "one person is" if scene.people == 1 else f"{count(scene.people)} people are"
    return f"{scene.place[0].upper()}{scene.place[1:]} in {scene.light}{weather}; {people} in the picture."


def anomaly_turns(target: Target | None, scene: Surroundings) -> list[Turn]:
    """The reference dialog of one clip in the paper's flow; without a target only judgement and environment."""
    turns: list[Turn] = [{"task": "judgement", "question": JUDGEMENT, "answer": judgement(target)}]
    if target is not None:
        turns.append({"task": "target", "question": TARGET, "answer": features(target)})
        turns.append({"task": "trajectory", "question": TRAJECTORY, "answer": trajectory(target)})
    turns.append({"task": "environment", "question": ENVIRONMENT, "answer": environment(scene)})
    return turns


# ---- reading sentences back ----

_CELL = "(" + "|".join(sorted(CELLS, key=len, reverse=True)) + ")"
_COLOUR = "(" + "|".join(COLOURS) + ")"
_PATTERNS = {
    "class": rf"\b({'|'.join(NOUNS)})\b",
    "top": rf"\b{_COLOUR} top\b",
    "trousers": rf"\b{_COLOUR} trousers\b",
    "body": rf"\b{_COLOUR} (?:{'|'.join(NOUNS)})\b",
    "action": rf"\b({'|'.join(sorted(ACTIONS, key=len, reverse=True))})\b",
    "start": rf"(?<!\bends )\b(?:from|at) the {_CELL}\b",
    "end": rf"\b(?:to|ends at) the {_CELL}\b",
    "direction": r"\bmoves ((?:up|down) (?:left|right)|up|down|left|right)\b",
}
SLOTS = tuple(_PATTERNS)


def slots(sentence: str) -> dict[str, str]:
    """What a sentence names: class, top, trousers, body, action, start, end, direction; absent slots are left out.

    The first mention counts. A target that stays ("at the center", "stays at the center") ends where it starts and has
    direction "stays".
    """
    text = " ".join(sentence.lower().split())
    found = {slot: match[1] for slot, pattern in _PATTERNS.items() if (match := re.search(pattern, text))}
    if "start" in found and "end" not in found and re.search(rf"(?<!\bstarts )\bat the {_CELL}\b", text):
        found["end"] = found["start"]
        if "stays at" in text:
            found["direction"] = "stays"
    return found


def disagreements(said: Sequence[tuple[str, str]]) -> list[str]:
    """What the answers of one dialog, (question, answer), name differently about its one event; [] where they agree.

    "start: center at first, then upper left". Each answer is set against those before it; one about the environment
    is passed over, as the people it counts are others.
    """
    found, known = [], dict[str, str]()
    for question, answer in said:
        if not same(question, ENVIRONMENT):
            for slot, value in slots(answer).items():
                if known.setdefault(slot, value) != value:
                    found.append(f"{slot}: {known[slot]} at first, then {value}")
    return found


# ---- questions about all objects, for pretraining ----

Fact = tuple[str, str, str, int]  # task, question, answer, id of the object that is meant (0: none)


def _references(target: Target, others: Sequence[Target]) -> list[tuple[str, str]]:
    """Ways to point at one target and at no other: (what the reference uses, words)."""
    the = re.sub(r"^an? ", "the ", target.name)
    ways = [("colour", the)] if all(o.name != target.name for o in others) else []
    if all((o.noun, o.action) != (target.noun, target.action) for o in others):
        ways.append(("action", f"the {target.noun} that is {target.action}"))
    for when, seen in (("start", "first"), ("end", "last")):
        where = getattr(target, when)
        if all(getattr(o, when) != where for o in others):
            ways.append((when, f"the one {seen} seen at the {where}"))
    return ways


def scene_turns(targets: Sequence[tuple[int, Target]], scene: Surroundings, random: Random, most: int) -> list[Turn]:
    """Up to `most` questions about everything in a clip, and never about what is abnormal.

    Tasks: class, colour, action, start, end, direction, count, exists, target, trajectory, environment. A question is
    asked only where its words point at exactly one target; `targets` pairs each with the id that `about` names.
    """
    facts: list[Fact] = [("environment", ENVIRONMENT, environment(scene), 0)]
    facts.append(("count", "How many people are in the video?", f"{count(scene.people)}.", 0))
    for i, (ident, target) in enumerate(targets):
        others = [other for j, (_, other) in enumerate(targets) if j != i]
        facts += [(*fact, ident) for fact in _questions(target, others)]
    known = [target for _, target in targets]
    if targets:
        ident, one = random.choice(targets)
        facts.append(("exists", f"Is there {one.name}?", "Yes.", ident))
        # the answer names that one, so nobody else may do the same
        if sum(target.action == one.action for target in known) == 1:
            facts.append(("exists", f"Is there anybody or anything {one.action}?", judgement(one), ident))
    absent = [a for a in ACTIONS if all(t.action != a for t in known)]
    facts.append(("exists", f"Is there anybody or anything {random.choice(absent)}?", "No.", 0))
    tops = [c for c in COLOURS if all(dict(t.colours).get("top") != c for t in known)]
    if tops:
        facts.append(("exists", f"Is there a person in a {random.choice(tops)} top?", "No.", 0))
    nouns = [n for n in NOUNS if all(t.noun != n for t in known)]
    noun = random.choice(nouns)
    facts.append(("exists", f"Is there any {noun} in the video?", f"No, there is no {noun}.", 0))
    random.shuffle(facts)
    by_task: dict[str, list[Fact]] = {}
    for fact in facts:
        by_task.setdefault(fact[0], []).append(fact)
    kept: list[Fact] = []  # round robin over tasks, so that rare kinds are asked as often as common ones
    while len(kept) < most and any(by_task.values()):
        for task in list(by_task):
            if by_task[task] and len(kept) < most:
                kept.append(by_task[task].pop())
    random.shuffle(kept)
    return [{"task": task, "question": asked, "answer": answer, "about": about} for task, asked, answer, about in kept]


def _questions(target: Target, others: Sequence[Target]) -> Iterator[tuple[str, str, str]]:
    """Task, question and answer of all that can be asked about one target, by each way to point at it."""
    parts = dict(target.colours)
    for way, words in _references(target, others):
        yield "trajectory", f"What is the movement trajectory of {words}?", trajectory(target)
        yield "direction", f"Which way does {words} move?", f"{target.direction or 'it stays'}."
        if way != "start":
            yield "start", f"Where does {words} start?", f"at the {target.start}."
        if way != "end":
            yield "end", f"Where does {words} end?", f"at the {target.end}."
        if way != "action":
            yield "action", f"What is {words} doing?", f"{target.action}."
        if way != "colour":
            yield "target", f"Describe the features of {words}.", features(target)
            for part, colour in parts.items():
                thing = "colour" if part == "body" else f"colour of the {part}"
                yield "colour", f"What is the {thing} of {words}?", f"{colour}."
        if way in ("start", "end"):
            yield "class", f"What is {words}?", f"{target.noun}."
