import json
import random
import warnings

import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu

from tvau import language
from tvau.errors import DataError
from tvau.metrics import TextScores
from tvau.metrics.motion import closest, heat_way, track_ways
from tvau.metrics.text import slot_scores, text_scores
from tvau.metrics.wording import bleu4, is_exact, meteor, rouge_l, sentence_bleu4, tokens

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
    assert text_scores("trajectory", ANSWERS, REFERENCES)["bleu4_sentence"] == pytest.approx(sum(each) / 3)
    assert bleu4(REFERENCES, REFERENCES) == pytest.approx(1)


def test_bleu_agrees_with_nltk_on_any_words() -> None:
    draw = random.Random(0)
    for _ in range(20):
        said, right = ([" ".join(draw.choices("abcd,", k=draw.randint(1, 9))) for _ in range(4)] for _ in range(2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = corpus_bleu([[tokens(r)] for r in right], [tokens(a) for a in said])
        assert bleu4(said, right) == pytest.approx(expected, abs=1e-9)


def test_rouge_l_and_meteor_by_hand() -> None:
    # longest common subsequence "a car is parking": 4 of 5 and 4 of 6 words
    assert rouge_l("A red car is parking.", "a blue car is parking here") == pytest.approx(8 / 11)
    # 3 of 4 words match, one of them by its stem, in 2 chunks: P = R = 3/4, penalty 0.5 (2/3)^3
    assert meteor("a man walking fast", "a dog walks fast") == pytest.approx(0.75 * (1 - 0.5 * (2 / 3) ** 3))
    assert rouge_l("", "a dog") == meteor("", "a dog") == meteor("a dog", "") == 0


def test_bleu_of_empty_or_foreign_answers_is_zero_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert bleu4(["", "nothing here agrees at all"], REFERENCES[:2]) == 0
    assert sentence_bleu4("", REFERENCES[0]) == 0
    assert not [w for w in recwarn if "BLEU" in str(w.message)]


def test_exact_match_ignores_case_and_spaces_only() -> None:
    assert is_exact("YES ,  it is.", "yes, it is.")
    assert not is_exact("no", "no.")


def test_yes_no_by_hand() -> None:
    scores = text_scores("judgement", ["yes", "no", "maybe", "no"], ["yes", "yes", "yes", "no"])
    given = {name: score for name, score in scores.items() if name.startswith("yes_no")}
    assert given == {"yes_no": 0.5, "yes_no_balanced": pytest.approx((1 / 3 + 1) / 2), "yes_no_read": 0.75}
    scores = text_scores("judgement", ["yes"], ["yes"])  # nothing to balance
    assert {name: score for name, score in scores.items() if name.startswith("yes_no")} == {
        "yes_no": 1,
        "yes_no_read": 1,
    }


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


def test_two_turns_of_a_clip_that_are_worded_alike_are_two_and_a_clip_seen_again_is_none() -> None:
    metric = TextScores()
    for sure in (0.5, 0.5 + 1e-7):  # the second time in another batch
        metric.update(["target"] * 2, ["A red car.", "A red car."], ["A red car."] * 2, ["a:0"] * 2)
        metric.update(["judgement"], ["Yes."], ["Yes."], ["a:0"], [{"yes_no_auc": sure}])
    found = metric.compute()
    assert (found["target"]["count"], found["judgement"]["count"]) == (2, 1)


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="2 tasks, 1 answers"):
        TextScores().update(["a", "b"], ["x"], ["y", "z"])


def test_letters_of_any_script_survive() -> None:
    metric = TextScores()
    metric.update(["target"], ["Straße \u2028 \n 行人"], ["straße 行人"])
    assert metric.compute()["target"]["exact"] == 1.0


def test_intervals_draw_videos_not_answers() -> None:
    answers, references = ANSWERS * 4, REFERENCES * 4
    result = text_scores("trajectory", answers, references, [f"v{i // 3}" for i in range(12)], bootstrap=30)
    assert result["interval"]["bleu4"] == pytest.approx([result["bleu4"]] * 2)  # each video holds the same answers
    result = text_scores("trajectory", answers, references, None, bootstrap=200)
    for name in ("bleu4", "bleu4_sentence", "rouge_l", "meteor", "exact", "start"):
        low, high = result["interval"][name]
        assert low < (result["slots"] | result)[name] < high


SIZE = (30, 60)


def test_a_track_becomes_the_sentence_that_the_answers_are_read_by() -> None:
    tracks = np.array([[1, 5, 50, 22, 59, 29], [1, 0, 0, 0, 9, 7], [2, 3, 25, 12, 34, 17]])
    assert track_ways(tracks, SIZE) == [
        "It starts at the upper left, moves down right and ends at the lower right.",
        "It stays at the center.",
    ]
    assert track_ways(tracks[:0], SIZE) == []
    assert closest("It stays at the center.", track_ways(tracks, SIZE)) == "It stays at the center."
    assert closest("nothing", []) == ""


def test_the_heat_goes_from_the_first_frame_with_a_region_to_the_last() -> None:
    empty, left, right = (
        np.empty((0, 5)),
        np.array([[0, 12, 5, 17, 0.8]]),
        np.array([[50, 12, 59, 17, 0.9], [0, 0, 1, 1, 0.7]]),
    )
    assert heat_way([empty, left, empty, right, empty], SIZE) == (
        "It starts at the center left, moves right and ends at the center right."
    )
    assert heat_way([empty, empty], SIZE) == ""


def test_answers_are_set_against_facts_by_what_they_say_only() -> None:
    metric = TextScores()
    metric.update(["heatmap"] * 3, ["Yes, a car.", "No.", ANSWERS[0]], ["Yes.", "Yes.", REFERENCES[1]])
    result = metric.compute()["heatmap"]
    assert {key: result[key] for key in ("count", "yes_no", "yes_no_read")} == {
        "count": 3,
        "yes_no": 0.5,
        "yes_no_read": 1,
    }
    assert result["slots"] == {"start": 1.0, "end": 0.0, "direction": 1.0}
    assert "bleu4" not in result
    assert result["floor"] == {"slots": {"start": 1.0, "end": 1.0, "direction": 1.0}, "yes_no": 1.0}
