"""The prompts of the decoder: three nested levels, two classes that say different things."""

from typing import Any, cast

import pytest

from tvau.errors import OptionError
from tvau.prompts import ABNORMAL, LEVELS, NORMAL, PROMPTS, nested
from tvau.tasks import HeatmapTask


def test_every_word_stands_inside_every_level() -> None:
    for name, words in (("normal", NORMAL), ("abnormal", ABNORMAL)):
        assert len(PROMPTS[name]) == len(words) * len(LEVELS)
        for word in words:
            assert sum(word in prompt for prompt in PROMPTS[name]) >= len(LEVELS)


def test_levels_grow_from_word_to_sentence() -> None:
    assert list(LEVELS) == ["word", "phrase", "sentence"]
    word, phrase, sentence = nested(("a dog",))
    assert word == "a dog"
    assert phrase != word
    assert phrase.endswith(word)
    assert sentence.endswith(".")
    assert len(word) < len(phrase) < len(sentence)


@pytest.mark.parametrize("level", LEVELS)
def test_levels_can_be_chosen(level: str) -> None:
    assert nested(("a", "b"), (level,)) == [LEVELS[level].format("a"), LEVELS[level].format("b")]


@pytest.mark.parametrize("prompts", [
    {"abnormal": ["a red box"]}, {"normal": [], "abnormal": ["a"]}, {"normal": [" "], "abnormal": ["a"]},
    {"normal": "road", "abnormal": ["a"]}, {"normal": ["a"], "abnormal": ["b"], "odd": ["c"]},
])  # fmt: skip
def test_prompts_that_lack_a_side_or_a_text_are_refused(prompts: Any) -> None:
    with pytest.raises(OptionError, match=r"expected (a list of texts for both|normal and abnormal alone)"):
        HeatmapTask(cast(Any, None), prompts=prompts)


def test_classes_share_no_prompt() -> None:
    assert set(PROMPTS) == {"normal", "abnormal"}
    assert not set(PROMPTS["normal"]) & set(PROMPTS["abnormal"])
