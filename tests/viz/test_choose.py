"""Which clips are shown, by which rule, and what is said of them."""

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from tvau.errors import DataError
from tvau.language import FLOW
from tvau.viz.cases import load_cases, save_case
from tvau.viz.choose import choose, described, found, precision, verdict
from tvau.viz.report import Case
from tvau.viz.sentences import sentences

RUNS = "Yes, a person in a red top and blue trousers is running, from the center to the lower right."
WALKS = RUNS.replace("running", "walking")


def clip(
    split: str = "test_seen", hot: tuple[int, int] | None = (5, 5), noise: float = 0.0, said: str = RUNS,
    normal: bool = False, name: str = "",
) -> Case:  # fmt: skip
    """Two frames of 40x40 with a target in rows and columns 4 to 7, and a map of 20x20 cells, hot at a pixel."""
    mask, maps = np.zeros((2, 40, 40), bool), np.zeros((2, 20, 20))
    mask[1, 4:8, 4:8] = not normal
    maps[0] = noise
    if hot is not None:
        maps[1, hot[0] // 2, hot[1] // 2] = 0.9
    pictures = np.zeros((2, 40, 40, 3), np.uint8)
    turns = [(FLOW[0], said, "No, there is no anomaly." if normal else RUNS)]
    return Case(name, split, np.arange(2), pictures, maps, mask, maps.max((1, 2)), None, turns)


def test_found_is_where_the_hottest_point_lies_on_the_target() -> None:
    assert found(clip())
    assert found(clip(hot=(9, 5)))  # within 5 % of the width
    assert not found(clip(hot=(30, 30)))
    assert not found(replace(clip(), heatmaps=clip().heatmaps * 0.4))  # nothing is marked


def test_described_needs_yes_class_and_action() -> None:
    assert described(clip())
    assert not described(clip(said=WALKS))
    assert not described(clip(said="No, there is no anomaly."))
    assert described(clip(said=RUNS.replace("red", "green")))  # colours do not count here


def test_what_another_run_said_is_not_held_against_a_clip(tmp_path: Path) -> None:
    for folder, said in (("ours", RUNS), ("theirs", WALKS)):
        save_case(tmp_path / folder, clip(said=said))
    (beside,) = load_cases(tmp_path / "ours", [("theirs", tmp_path / "theirs")])
    assert [said for _, said, _ in beside.beside] == [WALKS]
    assert described(beside)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (clip(), "found, described"),
        (clip(said=WALKS), "found, described wrongly"),
        (clip(hot=(30, 30), said="No."), "not found, denied"),
        (clip(normal=True, hot=None, said="No."), "rightly left alone"),
        (clip(normal=True, said="No."), "false alarm of the map"),
        (clip(normal=True, hot=None), "false alarm of the words"),
        (clip(normal=True), "false alarm"),
    ],
)
def test_each_clip_is_named_as_what_it_is(case: Case, words: str) -> None:
    assert verdict(case) == words


def test_the_medians_are_shown_and_neither_the_best_nor_the_worst() -> None:
    good = [clip(noise=noise, name=f"good {noise}") for noise in (0.0, 0.2, 0.4)]
    good = [
        replace(case, mask=case.mask | (np.arange(40) < 4 * i)) for i, case in enumerate(good) if case.mask is not None
    ]
    assert len({precision(case) for case in good}) == 3
    middle = sorted(good, key=precision)[1].name
    never = [clip("test", said=WALKS, name="found")]
    missed = [clip("test", hot=(30, 30), said="No.", name="missed")]
    calm = [clip("test", normal=True, hot=None, said="No.", name="calm")]
    shown = choose([*calm, *missed, *good[::-1], *never])
    assert [case.name for case in shown] == [middle, "found", "missed", "calm"]
    assert shown[0].why == "found, described: a known kind, median of 3 of 3"
    assert shown[1].why == "found, described wrongly: a kind that training never saw, median of 1 of 2"
    assert shown[2].why == "not found, denied: a miss, median of 1 of 5"
    assert shown[3].why == "rightly left alone: the median of 1 normal clips of test"
    assert not good[0].why
    assert [case.name for case in choose(never, open_set=[])] == ["found"]
    assert choose([]) == []


def test_sentences_say_what_was_gained_and_where_least() -> None:
    judged = {"yes_no": 0.7, "floor": {"yes_no": 0.6}}
    results: dict[str, dict[str, Any]] = {
        "T-VAU": {"test": {"frame": {"micro_auc": 0.8}, "text": {"judgement": judged}}, "novel": {"frame": {}}},
        "median difference": {"test": {"frame": {"micro_auc": 0.5}}},
        "squared difference": {"test": {"frame": {"micro_auc": 0.62}}},
    }
    assert sentences(results) == [
        "Frames are ranked by the maps with an AUC of 0.80 on test (squared difference: 0.62).",
        "Yes or No is right in 0.70 on test (a constant answer: 0.60).",
        "Least is gained on test in Yes or No: 0.10 above a constant answer.",
    ]
    judged["yes_no"] = 0.5
    assert sentences(results)[-1] == "Least is gained on test in Yes or No: 0.10 below a constant answer."
    alone = {"T-VAU": {"test": {"frame": {"micro_auc": 0.8}}}}
    assert sentences(alone)[0] == "Frames are ranked by the maps with an AUC of 0.80 on test (chance: 0.50)."
    assert sentences({}) == []


# ---- the README's picture ----


def test_the_picture_moves_and_keeps_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for case in (clip(name="good"), clip("test", name="open"), clip(hot=(30, 30), said="No.", name="missed")):
        save_case(tmp_path / "cases", case)
    script = Path(__file__).parents[2] / "benchmarks" / "cases.py"
    words = [script.name, str(tmp_path / "cases"), str(tmp_path / "demo.webp"), "--most"]
    monkeypatch.setattr("sys.argv", [*words, "100000"])
    runpy.run_path(str(script), run_name="__main__")
    picture = Image.open(tmp_path / "demo.webp")
    assert len(list(ImageSequence.Iterator(picture))) == 3 * 2
    assert (tmp_path / "demo.webp").stat().st_size <= 100_000
    monkeypatch.setattr("sys.argv", [*words, "99"])
    with pytest.raises(DataError, match="more than 99"):
        runpy.run_path(str(script), run_name="__main__")
