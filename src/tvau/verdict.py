"""Yes or no: what an answer to "Is there any anomaly?" says, whoever gave it and however it is dressed.

Thoughts (`<think>...</think>`) are no answer. Of what is left the first sentence that says yes or no decides:

1. by its first word, if that is yes or no;
2. else by a yes in it, or a no at its end, if it does not hold both ("The answer is no.");
3. else by what it states: an anomaly seen, not seen or denied ("I do not see any anomaly.", "There is no anomaly."), or
   everything normal. "There is no car." states nothing of the kind.

A sentence that doubts, asks or offers both words says nothing. Case and marks do not count.
"""

import re

_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)\b[^>]*>.*?(</\1\s*>|\Z)", re.DOTALL)
_IDLE = re.compile(  # words that hold a yes or no and say neither
    r"\bno (doubt|question|problem|worries|matter|longer|one else|sooner|more than|less than)\b|\bno\.? ?\d+"
    r"|\byes(/| or | and )no\b|\bno(/| or )yes\b"
)
_DOUBT = re.compile(
    r"\?$|\b(not (sure|certain|clear)|unsure|uncertain|unclear|whether|perhaps|maybe|might|hard to (say|tell)"
    r"|if there|(can ?not|can't|could not|couldn't|unable to|impossible to) (tell|say|determine|judge|decide|answer))\b"
)
_NOT = r"\b(not?|never|none|nothing|nobody|neither|nor|without|cannot|hardly|free (of|from)|absence|lacks?|\w+n't)\b"
_ODD = (
    r"\b(anomal\w*|abnormal\w*|unusual\w*|suspicious\w*|irregular\w*|strange\w*|odd|wrong|incidents?"
    r"|out of (the ordinary|place))\b"
)
_NORMAL = r"\b(normal\w*|ordinary|usual)\b"


def yes_no(answer: str) -> str:
    """ "yes", "no", or "" where an answer says neither; see the module for the rule."""
    text = answer.lower().replace("\u2019", "'")
    text = _THOUGHT.sub(" ", text)
    text = re.sub(r"^.*</(think|thinking|thought|reasoning)\s*>", " ", text, flags=re.DOTALL)  # begun in the prompt
    text = re.sub(r"<[^<>]*>|\\boxed", " ", text)
    said = (_sentence(part) for part in re.findall(r"[^.!?\n]+[.!?]?", _IDLE.sub(" ", text)))
    return next((word for word in said if word), "")


def _sentence(sentence: str) -> str:
    """What one sentence says, in small letters."""
    words = re.findall(r"\w+", sentence)
    if words and words[0] in ("yes", "no"):
        return str(words[0])
    if _DOUBT.search(sentence.strip()):
        return ""
    said = {word for word in words if word in ("yes", "no")}
    odd, denied = (re.search(words_of, sentence) is not None for words_of in (_ODD, _NOT))
    if "yes" in said or (said and words[-1] == "no"):
        return said.pop() if len(said) == 1 else ""
    if odd:
        return "no" if denied else "yes"
    if re.search(_NORMAL, sentence):
        return "yes" if denied else "no"
    return ""
