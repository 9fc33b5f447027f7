"""Yes or no: what an answer to "Is there any anomaly?" says, whoever gave it and however it is dressed.

Thoughts (`<think>...</think>`) are no answer. Of what is left the first sentence that says yes or no decides:

1. by its first word, if that is yes or no;
2. else by a yes in it, or a no at its end, if it does not hold both ("The answer is no.");
3. else by what it states: an anomaly that is seen, or denied ("I do not see any anomaly.", "An anomaly is not
   visible."); or everything normal. A negation denies what it stands before, up to a colon, a "which" or the like:
   "There is an anomaly, a person without a helmet." sees one. "There is no car." states nothing of the kind.

A sentence that doubts, asks, sees and denies, or offers both words says nothing. Case and marks do not count.
"""

import re

_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)\b[^>]*>.*?(</\1\s*>|\Z)", re.DOTALL)
_IDLE = re.compile(  # words that hold a yes or no and say neither
    r"\bno (doubt|question|problem|worries|matter|longer|one else|sooner|more than|less than)\b|\bno\.? ?\d+"
    r"|\bwithout (a |any )?(doubt|question)\b|\bnot (only|just)\b"
    r"|\byes(/| or | and )no\b|\bno(/| or )yes\b"
)
_DOUBT = re.compile(
    r"\?$|\b(not (sure|certain|clear)|unsure|uncertain|unclear|whether|perhaps|maybe|might|hard to (say|tell)"
    r"|if there|ruled out"
    r"|(can ?not|can't|could not|couldn't|unable to|impossible to) (tell|say|determine|judge|decide|answer))\b"
)
_NOT = r"\b(not?|never|none|nothing|nobody|neither|nor|without|cannot|hardly|free (of|from)|absence|lacks?|\w+n't)\b"
_UNSEEN = (  # behind an anomaly
    r"\b(not|never|cannot|\w+n't)(\W+\w+){0,2}?\W+(seen|visible|present|detect\w*|found|observ\w*|apparent|evident|there"
    r"|notic\w*|identif\w*|recogni\w*|shown|happen\w*|occur\w*|take|taking|exist\w*)\b|\babsent\b|\bnone$"
)
_BREAK = (
    r"[:;\u2013\u2014]| - |\b(?:but|which|however|though|although|because|since)\b"
    r"|, (?:this|it|he|she|they|there|we|i)\b"
)
_ASIDE = r"[,;\u2013\u2014]| - |:(?! none\b)|\b(?:that|who|which|where|because|when|while|with|but)\b"
_CONTRAST = r"\b(but|except|until|apart from|other than|aside from|however|else)\b"
_ODD = (
    r"\b(anomal\w*|abnormal\w*|unusual\w*|suspicious\w*|irregular\w*|strange\w*|odd|wrong|incidents?"
    r"|out of (the ordinary|place))\b"
)
_FIRST = {"yes": "yes", "yeah": "yes", "yep": "yes", "no": "no", "nope": "no", "nah": "no"}
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
    if words and words[0] in _FIRST:
        return _FIRST[words[0]]
    if _DOUBT.search(sentence.strip()):
        return ""
    said = {word for word in words if word in ("yes", "no")}
    if "yes" in said or (said and words[-1] == "no"):
        return said.pop() if len(said) == 1 else ""
    if odd := {_denied(sentence, found) for found in re.finditer(_ODD, sentence)}:
        return "" if len(odd) == 2 else "no" if odd == {True} else "yes"
    for found in re.finditer(_NORMAL, sentence):
        if _denied(sentence, found, rf"{_BREAK}|\band\b"):
            return "yes"
        return "" if re.search(_CONTRAST, sentence) else "no"
    return ""


def _denied(sentence: str, word: re.Match[str], end: str = _BREAK) -> bool:
    """Whether a sentence denies one of its words: by a negation before it, or as not seen behind it."""
    before, behind = re.split(end, sentence[: word.start()])[-1], re.split(_ASIDE, sentence[word.end() :])[0]
    return re.search(_NOT, before) is not None or re.search(_UNSEEN, behind.strip(" .!?*\"'")) is not None
