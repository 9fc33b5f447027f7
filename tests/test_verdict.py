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
    "There is an anomaly, a person without a helmet.", "I can see an anomaly: a car that does not stop.",
    "The person is not walking normally, which is an anomaly.", "Without doubt, there is an anomaly.", "Yep.",
    "An anomaly is present: no one is driving the car.", "There is an anomaly with a man who is not at his post.",
    "The man does not stop, this is unusual.", "There's an anomaly - the guard isn't there.", "Not only is it odd.",
    "An unusual person is not moving.", "There is an anomaly because the rider has no helmet.",
    "Nobody helps; an incident takes place.", "People do not walk normally here.",
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
    "There is nothing wrong.", "I see no incident here.", "NO ANOMALY", "Nope", "Nah, nothing.",
    "An anomaly is not visible.", "Anomalies cannot be seen in this video.", "Abnormal events: none.",
    "There are no people, vehicles, or unusual activities.", "I do not see anything that is unusual.",
    "There is nothing that could count as abnormal.", "I would not say that there is an anomaly.",
    "There is no car and everything is normal.", "Suspicious behaviour is absent.", "Not a single anomaly.",
    "I see no suspicious persons, unusual objects or anomalies.", "Anomalous behaviour does not occur.",
    *NO, language.NORMAL,
)  # fmt: skip
NEITHER = (
    "", "Nothing", "A person falls. There is no car.",
    "It is hard to say yes or no.", "A person falls.", "Yesterday it rained.", "I know that man.",
    "<think>Yes, there is an anomaly", "I am not sure whether there is an anomaly.", "Is there an anomaly?",
    "I cannot tell if there is an anomaly.", "Maybe there is an anomaly.", "Noon in November.", "<think>no</think>",
    "The yes/no question is hard.", "Note that eyes are closed.", "...",
    "At first everything seems normal, but then a car drives onto the pavement.", "Everything else is normal.",
    "I see nothing strange, but there is an anomaly.", "An anomaly cannot be ruled out.",
)  # fmt: skip


@pytest.mark.parametrize(("read", "answer"), [
    *(("yes", answer) for answer in YES), *(("no", answer) for answer in NOES), *(("", answer) for answer in NEITHER),
])  # fmt: skip
def test_what_an_answer_says(read: str, answer: str) -> None:
    assert yes_no(answer) == read
