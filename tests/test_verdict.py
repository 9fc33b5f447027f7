"""Yes or no, read out of answers as models give them."""

import pytest

from tvau import language
from tvau.annotate.phrases import NO
from tvau.verdict import yes_no

YES = (
    "Yes, a car.", "I say yes", "**Yes**", "YES", "Sure! Yes, a man falls.", "Certainly. Yes, there is an anomaly.",
    "<think>No, I see nothing. There is no anomaly.</think>\n\nYes, somebody runs.", "Answer: Yes",
    "The answer is yes.", "<answer>Yes</answer>", "\\boxed{Yes}", "No doubt: yes, there is one.",
    "No problem! Yes, there is an anomaly.", "Okay, let me look. There is an anomaly here.",
    "I see something unusual.", "This is not normal.", "The video isn't normal: a car drives on the path.",
    "Yes or no? Yes.", "Hmm... no question about it, yes.", "I can see an anomaly in the video.",
    "Thinking it over.</think>Yes.", "<think>\nNo.\n</think>\n<think>no</think> yes", "Not normal",
    "In camera no. 3 an anomaly is visible.", "1. Yes", "- yes", "An anomaly is visible.",
)  # fmt: skip
NOES = (
    "  no.", '"NO"', "There is no anomaly in the video.", "No, or yes.", "I do not see any anomaly.",
    "I don\u2019t see anything unusual.", "Sure! No, everything is fine.", "Nothing abnormal happens.",
    "Everything in the video is normal.", "<think>Yes? A car... yes.</think>No.", "The answer is: no",
    "The video shows no signs of an anomaly.", "There isn't any anomaly.", "I cannot see any anomaly.",
    "Of course! There is nothing out of the ordinary.", "Absolutely. Everything seems normal.",
    "People walk on the path. I do not see any anomaly.", "None of this is abnormal.", "Yes or no: no",
    "The scene is free of anomalies.", "Based on the video, no anomaly can be seen.", "It looks like an ordinary day.",
    "This isn't unusual.", "Without any anomaly.",
    "There is nothing wrong.", "I see no incident here.", "NO ANOMALY", *NO, language.NORMAL,
)  # fmt: skip
NEITHER = (
    "", "Nothing", "A person falls. There is no car.",
    "It is hard to say yes or no.", "A person falls.", "Yesterday it rained.", "I know that man.",
    "<think>Yes, there is an anomaly", "I am not sure whether there is an anomaly.", "Is there an anomaly?",
    "I cannot tell if there is an anomaly.", "Maybe there is an anomaly.", "Noon in November.", "<think>no</think>",
    "The yes/no question is hard.", "Note that eyes are closed.", "...",
)  # fmt: skip


@pytest.mark.parametrize(("read", "answer"), [
    *(("yes", answer) for answer in YES), *(("no", answer) for answer in NOES), *(("", answer) for answer in NEITHER),
])  # fmt: skip
def test_what_an_answer_says(read: str, answer: str) -> None:
    assert yes_no(answer) == read
