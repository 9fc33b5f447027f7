"""The built-in prompts of the heatmap decoder: normal and abnormal, at the paper's three nested levels.

A word stands inside a phrase, and the phrase inside a sentence (framework figure of the paper). The texts can be
replaced from YAML: `--model.prompts` takes a mapping with the same two keys.
"""

from collections.abc import Mapping, Sequence

from tvau.errors import OptionError

LEVELS = {
    "word": "{}",
    "phrase": "surveillance video of {}",
    "sentence": "A short surveillance clip where {} occurs.",
}
NORMAL = (
    "a person walking", "a person standing", "a person sitting", "a person pushing a stroller",
    "a cyclist riding on the cycle lane", "a car driving on the road",
)  # fmt: skip
ABNORMAL = (
    "a person running", "a person falling", "a person lying on the ground", "a person crawling", "a person jumping",
    "a person dancing", "a person fighting", "a person staggering", "a person leaving a bag",
    "a cyclist riding among people", "a car driving among people", "smoke rising", "a fire burning",
)  # fmt: skip


def nested(words: tuple[str, ...], levels: tuple[str, ...] = tuple(LEVELS)) -> list[str]:
    """All words at the chosen levels: N_c = len(words) * len(levels) prompts of one class (eq. 2)."""
    return [LEVELS[level].format(word) for level in levels for word in words]


def check_prompts(prompts: Mapping[str, Sequence[str]]) -> None:
    """Raises OptionError where the texts of a side, "normal" or "abnormal", are missing, empty or no list."""
    for side in ("normal", "abnormal"):
        own = prompts.get(side)
        if not own or isinstance(own, str) or not all(isinstance(text, str) and text.strip() for text in own):
            raise OptionError(f"prompts of {side!r}: {own!r}; expected a list of texts for both of normal and abnormal")
    if unknown := set(prompts) - {"normal", "abnormal"}:
        raise OptionError(f"prompts of {min(unknown)!r}: expected normal and abnormal alone")


PROMPTS = {"normal": nested(NORMAL), "abnormal": nested(ABNORMAL)}
