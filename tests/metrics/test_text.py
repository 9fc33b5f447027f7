import json

import pytest
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu

from tvau.data import language
from tvau.errors import DataError
from tvau.metrics import TextScores
from tvau.metrics.text import bleu4, bleu4_sentence, exact, slot_scores, text_scores, tokens, yes_no, yes_no_scores

REFERENCES = [
    "It starts at the upper left, moves down right and ends at the lower right.",
    "It starts at the upper left, moves right and ends at the upper right.",
    "It stays at the center.",
]
ANSWERS = [
    "It starts at the upper left, moves right and ends at the lower right.",
    "It starts at the upper left, moves right and ends at the upper right.",
    "It starts at the lower left, moves up and ends at the center.",
]


def test_tokens_are_small_words_and_single_marks() -> None:
    assert tokens("Yes,  a Person!?") == ["yes", ",", "a", "person", "!", "?"]


def test_bleu_agrees_with_nltk() -> None:
    cut = [[tokens(text) for text in texts] for texts in (REFERENCES, ANSWERS)]
    assert bleu4(ANSWERS, REFERENCES) == pytest.approx(corpus_bleu([[r] for r in cut[0]], cut[1]))
    smooth = SmoothingFunction().method1
    each = [sentence_bleu([r], a, smoothing_function=smooth) for r, a in zip(*cut, strict=True)]
    assert bleu4_sentence(ANSWERS, REFERENCES) == pytest.approx(sum(each) / 3)
    assert bleu4(REFERENCES, REFERENCES) == pytest.approx(1)


def test_bleu_of_empty_or_foreign_answers_is_zero_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert bleu4(["", "nothing here agrees at all"], REFERENCES[:2]) == 0
    assert bleu4_sentence(["", ""], REFERENCES[:2]) == 0
    assert not [w for w in recwarn if "BLEU" in str(w.message)]


def test_exact_match_ignores_case_and_spaces_only() -> None:
    assert exact(["YES ,  it is.", "no"], ["yes, it is.", "no."]) == 0.5


@pytest.mark.parametrize(
    ("answer", "read"),
    [("Yes, a car.", "yes"), ("  no.", "no"), ('"NO"', "no"), ("Nothing", ""), ("I say yes", ""), ("", "")],
)
def test_yes_no_is_the_first_word(answer: str, read: str) -> None:
    assert yes_no(answer) == read


def test_yes_no_by_hand() -> None:
    scores = yes_no_scores(["yes", "no", "maybe", "no"], ["yes", "yes", "yes", "no"])
    assert scores == {"yes_no": 0.5, "yes_no_balanced": pytest.approx((1 / 3 + 1) / 2)}
    assert yes_no_scores(["yes"], ["yes"]) == {"yes_no": 1.0}


def test_slots_count_where_the_reference_names_them() -> None:
    accuracy, floor = slot_scores(ANSWERS, REFERENCES)
    assert accuracy == {"start": pytest.approx(2 / 3), "end": 1.0, "direction": pytest.approx(1 / 3)}
    assert floor == {"start": pytest.approx(2 / 3), "end": pytest.approx(1 / 3), "direction": pytest.approx(1 / 3)}
    accuracy, _ = slot_scores([""], [REFERENCES[0]])
    assert accuracy == {"start": 0.0, "end": 0.0, "direction": 0.0}


def test_judgement_scores_and_their_floor() -> None:
    clothes = (("top", "red"), ("trousers", "blue"))
    target = language.Target("person", "running", clothes, "upper left", "center", "down")
    yes = language.judgement(target)
    scores = text_scores("judgement", [yes, language.NORMAL, yes], [yes, language.NORMAL, language.NORMAL])
    assert scores["yes_no"] == pytest.approx(2 / 3)
    assert scores["yes_no_balanced"] == pytest.approx(0.75)
    assert scores["slots"] == dict.fromkeys(("class", "top", "trousers", "action", "start", "end"), 1.0)
    floor = scores["floor"]
    assert [floor["exact"], floor["yes_no"], floor["yes_no_balanced"]] == pytest.approx([2 / 3, 2 / 3, 0.5])


def test_floor_is_what_the_constant_answer_gets() -> None:
    scores = text_scores("trajectory", ANSWERS, [REFERENCES[0], REFERENCES[0], REFERENCES[2]])
    assert scores["floor"]["answer"] == REFERENCES[0]
    assert scores["floor"]["exact"] == pytest.approx(2 / 3)
    assert 0 < scores["floor"]["bleu4"] < 1


def test_metric_groups_by_task_and_gives_plain_json() -> None:
    metric = TextScores()
    metric.update(["trajectory"] * 3, ANSWERS, REFERENCES)
    metric.update(["judgement", "environment"], ["Yes.", "A plaza"], ["No, there is no anomaly.", ""])
    result = metric.compute()
    assert list(result) == ["judgement", "trajectory"]  # an answer without a reference is passed over
    order = sorted(range(3), key=lambda i: ANSWERS[i])  # any fixed order will do
    assert result["trajectory"] == text_scores(
        "trajectory", [ANSWERS[i] for i in order], [REFERENCES[i] for i in order]
    )
    assert json.loads(json.dumps(result)) == result


def test_a_repeated_clip_counts_once_and_merged_states_equal_one() -> None:
    whole, one, two = TextScores(), TextScores(), TextScores()
    clips = ["a:0", "b:0", "c:0"]
    whole.update(["trajectory"] * 3, ANSWERS, REFERENCES, clips)
    one.update(["trajectory"] * 2, ANSWERS[:2], REFERENCES[:2], clips[:2])
    two.update(["trajectory"] * 2, ANSWERS[1:], REFERENCES[1:], clips[1:])
    one.merge_state(two)
    assert one.compute() == whole.compute()
    assert whole.compute()["trajectory"]["count"] == 3


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="2 tasks, 1 answers"):
        TextScores().update(["a", "b"], ["x"], ["y", "z"])


def test_letters_of_any_script_survive() -> None:
    metric = TextScores()
    metric.update(["target"], ["Straße \u2028 \n 行人"], ["straße 行人"])
    assert metric.compute()["target"]["exact"] == 1.0
