"""Words: geometry to cells and directions, templates and their inverse, questions that have one answer."""

import re
from math import cos, pi, sin
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvau import language
from tvau.language import (
    ACTIONS,
    CELLS,
    COLOURS,
    DIRECTIONS,
    ENVIRONMENT,
    FLOW,
    JUDGEMENT,
    NORMAL,
    NOUNS,
    TARGET,
    TRAJECTORY,
    Surroundings,
    Target,
    anomaly_turns,
    cell,
    direction,
    disagreements,
    follows,
    judgement,
    placed,
    same,
    scene_turns,
    slots,
    way,
)

DRESSED = ("person", "cyclist", "skateboarder", "motorcyclist")
BARE = ("smoke", "fire")
COLOUR = st.sampled_from(COLOURS)
SCENE = st.builds(
    Surroundings, st.just("a plaza"), st.just("daylight"), st.sampled_from(["", "rain"]), st.integers(0, 12)
)


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """As the synthetic world has them: who wears clothes has two colours, things have one, smoke and fire none."""
    noun = draw(st.sampled_from(NOUNS))
    colours: tuple[tuple[str, str], ...] = ()
    if noun in DRESSED:
        colours = (("top", draw(COLOUR)), ("trousers", draw(COLOUR)))
    elif noun not in BARE:
        colours = (("body", draw(COLOUR)),)
    start, end = draw(st.sampled_from(CELLS)), draw(st.sampled_from(CELLS))
    return Target(noun, draw(st.sampled_from(ACTIONS)), colours, start, end, draw(st.sampled_from(["", *DIRECTIONS])))


# ---- geometry ----


def test_cells_lie_on_a_grid_of_three_by_three() -> None:
    names = [[cell((x + 0.5) / 3, (y + 0.5) / 3) for x in range(3)] for y in range(3)]
    assert names == [
        ["upper left", "upper center", "upper right"],
        ["center left", "center", "center right"],
        ["lower left", "lower center", "lower right"],
    ]


@given(st.floats(-2, 3), st.floats(-2, 3))
def test_points_outside_belong_to_the_nearest_cell(x: float, y: float) -> None:
    assert cell(x, y) == cell(min(max(x, 0), 0.999), min(max(y, 0), 0.999))


@pytest.mark.parametrize(
    ("dx", "dy", "name"),
    [(1, 0, "right"), (1, 1, "down right"), (0, 1, "down"), (-1, 1, "down left"), (-1, 0, "left"), (-1, -1, "up left"),
     (0, -1, "up"), (1, -1, "up right")],
)  # fmt: skip
def test_directions_are_those_seen_on_the_screen(dx: float, dy: float, name: str) -> None:
    assert direction(dx, dy) == name


@given(st.integers(0, 7), st.floats(-0.9, 0.9), st.floats(0.07, 2))
def test_a_direction_covers_an_eighth_of_the_circle(index: int, share: float, length: float) -> None:
    angle = (index + share / 2) * pi / 4
    assert direction(length * cos(angle), length * sin(angle)) == DIRECTIONS[index]


def test_what_hardly_moves_stays() -> None:
    assert direction(0.05, 0.01) == direction(0, 0) == ""
    assert direction(0.05, 0.01, least=0.01) == "right"


# ---- templates and their inverse ----


@given(targets(), SCENE)
def test_slots_read_back_what_the_templates_say(target: Target, scene: Surroundings) -> None:
    parts = dict(target.colours)
    who = {"class": target.noun, "action": target.action, **parts}
    where = {"start": target.start, "end": target.end}
    still = target.start == target.end and not target.direction
    moved = {"direction": "stays"} if still else {"direction": target.direction} if target.direction else {}
    said = {turn["task"]: slots(turn["answer"]) for turn in anomaly_turns(target, scene)}
    assert said["judgement"] == {**who, **where}
    assert said["target"] == who
    assert said["trajectory"] == {**where, **moved}


@given(targets())
def test_case_and_spaces_do_not_change_slots(target: Target) -> None:
    for sentence in (language.judgement(target), language.trajectory(target)):
        assert slots(sentence.upper().replace(" ", "  ")) == slots(sentence)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("", {}), (language.NORMAL, {}), ("gibberish, of no kind", {}),
        ("A motorcyclist is riding.", {"class": "motorcyclist", "action": "riding"}),  # and no cyclist
        ("It moves up left.", {"direction": "up left"}),
        ("It starts at the center and moves up.", {"start": "center", "direction": "up"}),  # no end is named
        ("It ends at the center.", {"end": "center"}),
        ("A red car and a blue truck.", {"class": "car", "body": "red"}),  # the first mention counts
    ],
)  # fmt: skip
def test_slots_of_other_sentences(sentence: str, expected: dict[str, str]) -> None:
    assert slots(sentence) == expected


@given(targets(), SCENE)
def test_the_dialog_follows_the_papers_flow(target: Target, scene: Surroundings) -> None:
    assert [turn["question"] for turn in anomaly_turns(target, scene)] == list(FLOW)
    quiet = anomaly_turns(None, scene)
    assert [turn["task"] for turn in quiet] == ["judgement", "environment"]
    assert quiet[0]["answer"] == language.NORMAL


def test_sentences_are_plain_english() -> None:
    target = Target("person", "running", (("top", "orange"), ("trousers", "blue")), "upper left", "center", "right")
    assert language.judgement(target) == (
        "Yes, a person in an orange top and blue trousers is running, from the upper left to the center."
    )
    car = Target("car", "parking", (("body", "orange"),), "center", "center", "")
    assert language.features(car) == "An orange car is parking."
    assert language.trajectory(car) == "It stays at the center."
    scene = Surroundings("a plaza", "dusk", "rain", 1)
    assert language.environment(scene) == "A plaza in dusk with rain; one person is in the picture."


# ---- questions for pretraining ----

ASKED = {
    "trajectory": r"What is the movement trajectory of (.+)\?", "direction": r"Which way does (.+) move\?",
    "start": r"Where does (.+) start\?", "end": r"Where does (.+) end\?", "action": r"What is (.+) doing\?",
    "target": r"Describe the features of (.+)\.", "class": r"What is (.+)\?",
    "colour": r"What is the colour of (?:the (top|trousers) of )?(.+)\?",
}  # fmt: skip


def pointed(words: str, targets: list[Target]) -> list[Target]:
    """All targets that words of a question can mean."""
    if found := re.fullmatch(r"the one (first|last) seen at the (.+)", words):
        return [t for t in targets if (t.start if found[1] == "first" else t.end) == found[2]]
    if found := re.fullmatch(r"the (.+) that is (.+)", words):
        return [t for t in targets if (t.noun, t.action) == (found[1], found[2])]
    return [t for t in targets if re.sub("^an? ", "the ", t.name) == words]


def right_answer(task: str, target: Target, part: str | None) -> str:
    return {
        "trajectory": language.trajectory(target), "target": language.features(target),
        "direction": f"{target.direction or 'it stays'}.", "start": f"at the {target.start}.",
        "end": f"at the {target.end}.", "action": f"{target.action}.", "class": f"{target.noun}.",
        "colour": f"{dict(target.colours).get(part or 'body')}.",
    }[task]  # fmt: skip


@given(st.lists(targets(), max_size=5), SCENE, st.integers(0, 99))
def test_every_question_has_one_right_answer(targets: list[Target], scene: Surroundings, seed: int) -> None:
    for turn in scene_turns([*enumerate(targets, 1)], scene, Random(seed), 100):
        task, question, answer = turn["task"], turn["question"], turn["answer"]
        if task == "count":
            assert answer == f"{language.count(scene.people)}."
        elif task == "environment":
            assert answer == language.environment(scene)
        elif task == "exists":
            assert answer.startswith(("No", "Yes"))
        else:
            found = re.fullmatch(ASKED[task], question)
            assert found, question
            assert targets[turn["about"] - 1] in pointed(found[found.re.groups], targets)
            (target,) = pointed(found[found.re.groups], targets)
            assert answer == right_answer(task, target, found[1] if task == "colour" else None)


@given(st.lists(targets(), max_size=5), SCENE, st.integers(0, 99))
def test_what_is_said_to_exist_does_and_nothing_else(targets: list[Target], scene: Surroundings, seed: int) -> None:
    for turn in scene_turns([*enumerate(targets, 1)], scene, Random(seed), 100):
        if turn["task"] != "exists":
            continue
        if found := re.fullmatch(r"Is there anybody or anything (.+)\?", turn["question"]):
            doing = [language.judgement(t) for t in targets if t.action == found[1]]
            assert turn["answer"] in (doing or ["No."])
        elif found := re.fullmatch(r"Is there a person in a (\w+) top\?", turn["question"]):
            assert turn["answer"] == "No."
            assert all(dict(t.colours).get("top") != found[1] for t in targets)
        elif found := re.fullmatch(r"Is there any (\w+) in the video\?", turn["question"]):
            assert turn["answer"] == f"No, there is no {found[1]}."
            assert all(t.noun != found[1] for t in targets)
        else:
            assert turn["answer"] == "Yes."
            assert any(turn["question"] == f"Is there {t.name}?" for t in targets)


@given(st.lists(targets(), max_size=4), SCENE, st.integers(0, 99), st.integers(0, 12))
def test_questions_are_bounded_different_and_never_a_verdict(
    targets: list[Target], scene: Surroundings, seed: int, most: int
) -> None:
    turns = scene_turns([*enumerate(targets, 1)], scene, Random(seed), most)
    assert turns == scene_turns([*enumerate(targets, 1)], scene, Random(seed), most)
    assert len(turns) <= most
    assert len({turn["question"] for turn in turns}) == len(turns)
    assert not any("normal" in turn["question"] + turn["answer"] or "anomal" in turn["question"] for turn in turns)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("Yes, a car is driving, from the center left to the lower right.",
         "Yes, a car is driving, from the upper left to the center."),
        ("Yes, a fire is burning, at the center.", "Yes, a fire is burning, from the upper left to the center."),
        ("Yes, a fire is burning, from the center.", "Yes, a fire is burning, from the upper left to the center."),
        ("Yes, a person is lying on the ground.", "Yes, a person is lying on the ground."),
        (NORMAL, NORMAL),
        ("Yes, a car is driving, from the center left to the lower right; and a dog is running, at the center.",
         "Yes, a car is driving, from the upper left to the center; and a dog is running, at the center."),
    ],
)  # fmt: skip
def test_a_judgement_is_given_the_places_of_a_way(said: str, right: str) -> None:
    assert placed(said, "upper left", "center", "down right") == right
    stays = placed(said, "lower center", "lower center", "")
    assert slots(stays).get("start") == slots(stays).get("end") == ("lower center" if right != said else None)


def test_placed_writes_what_a_judgement_of_that_way_would_say() -> None:
    for first, last in (((0.1, 0.1), (0.9, 0.9)), ((0.5, 0.5), (0.52, 0.5)), ((0.34, 0.5), (0.3, 0.52))):
        target = Target("person", "running", (("top", "red"), ("trousers", "blue")), *way(first, last))
        other = Target("person", "running", target.colours, "upper right", "lower left", "down left")
        assert placed(judgement(other), *way(first, last)) == judgement(target)


def test_questions_about_an_anomaly_follow_unless_there_is_none() -> None:
    assert [q for q in FLOW if follows(q, False)] == [JUDGEMENT, ENVIRONMENT]
    assert [q for q in FLOW if follows(q, True)] == [q for q in FLOW if follows(q, None)] == list(FLOW)
    assert same("is there any anomaly in the video", JUDGEMENT)
    assert not same("Is there any car in the video?", JUDGEMENT)


def test_what_answers_say_differently_is_named() -> None:
    said = [
        (JUDGEMENT, "Yes, a person in a red top and blue trousers is running, from the center to the upper left."),
        (TARGET, "A person in a red top and gray trousers is running."),
        (TRAJECTORY, "It starts at the center, moves up left and ends at the lower left."),
        (ENVIRONMENT, "A plaza in daylight; two people are in the picture."),
    ]
    assert disagreements(said) == [
        "trousers: blue at first, then gray", "end: upper left at first, then lower left",
    ]  # fmt: skip
    assert disagreements([(JUDGEMENT, NORMAL), said[3]]) == []
