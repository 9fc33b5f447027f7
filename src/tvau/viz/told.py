"""A prediction in words: its dialogs, a summary in sentences, and the page."""

from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from jinja2 import Environment, StrictUndefined

from tvau.metrics.events import EventRule
from tvau.metrics.text import yes_no
from tvau.types import Turn
from tvau.viz.overlay import MARKED
from tvau.viz.sheet import MOST

BRIEF = 2.0  # seconds; windows shorter than that are headed by tenths


class Dialog(TypedDict):
    """What was said about one window of a video, or about several neighbours of which the same was said."""

    frames: list[int]  # first and last frame, 0-based
    seconds: NotRequired[list[float]]  # when they are shown
    turns: list[Turn]
    windows: NotRequired[int]  # how many they are
    about: NotRequired[str]  # the part of the video that it is about, where it is not the window
    repeated: NotRequired[int]  # how often the last frame stood in for what a video lacks that is shorter than a clip


def write_words(folder: Path, summary: dict[str, Any], curve: list[list[float]]) -> None:
    """dialog.txt, and index.html with the curve [(seconds, score)]; both begin with what the summary says."""
    spoken = [dialog for dialog in summary["dialog"] if dialog["turns"]]
    tenths = any(last - first < BRIEF for first, last in (dialog["seconds"] for dialog in spoken))
    headings = [heading(dialog, tenths) for dialog in spoken]
    lines = [summary["video"], "", *warnings(summary), *sentences(summary)]
    for title, dialog in zip(headings, spoken, strict=True):
        lines += ["", title, *(f"  Q: {turn['question']}\n  A: {turn['answer']}" for turn in dialog["turns"])]
    (folder / "dialog.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(files("tvau.viz").joinpath("prediction.html").read_text(encoding="utf-8"))
    said = {
        "warnings": warnings(summary),
        "sentences": sentences(summary),
        "dialogs": [*zip(headings, spoken, strict=True)],
    }
    rule = EventRule.restored(summary.get("rule"))
    known = {**said, "threshold": rule.on, "marked": marked(rule), "clock": clock, "most": MOST}
    known["overlay"] = (folder / "overlay.mp4").exists()
    (folder / "index.html").write_text(page.render(summary=summary, curve=curve, **known), encoding="utf-8")


def marked(rule: EventRule) -> float:
    """The score from which on pictures have outlines and boxes: a half, or what begins an event where that is less."""
    return min(MARKED, rule.on)


def verdicts(dialogs: Sequence[Dialog]) -> dict[str, dict[str, int]]:
    """How often each question about windows was answered with yes or no; of none that was not."""
    counts: dict[str, Counter[str]] = {}
    for dialog in dialogs:
        if "about" in dialog:
            continue
        for turn in dialog["turns"]:
            if word := yes_no(turn["answer"]):
                counts.setdefault(turn["question"], Counter(yes=0, no=0))[word] += 1
    return {question: dict(count) for question, count in counts.items()}


def merged(dialogs: Sequence[Dialog]) -> list[Dialog]:
    """Neighbouring windows of which the same was said, as one."""
    out: list[Dialog] = []
    for dialog in dialogs:
        if out and out[-1]["turns"] == dialog["turns"] and "about" not in {*out[-1], *dialog}:
            last = out[-1]
            last["frames"], last["windows"] = [last["frames"][0], dialog["frames"][1]], last["windows"] + 1
            last["seconds"] = [last["seconds"][0], dialog["seconds"][1]]
        else:
            out.append({**dialog, "windows": 1})
    return out


def clock(seconds: float, tenths: bool = False) -> str:
    """12.34 -> "0:12", or "0:12.3"; from an hour on "1:00:12"."""
    steps = int(seconds * 10 + 0.5) if tenths else int(seconds + 0.05) * 10
    minutes, rest = divmod(steps, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02d}" if hours else str(minutes)
    return f"{text}:{rest // 10:02d}" + (f".{rest % 10}" if tenths else "")


def heading(dialog: Dialog, tenths: bool) -> str:
    """ "0:12 - 0:15", and how many windows that is where it is more than one, or what it is about."""
    times = " - ".join(clock(second, tenths) for second in dialog["seconds"])
    if "about" in dialog:
        return f"{times}, about {dialog['about']}"
    return f"{times} ({dialog['windows']} windows)" if dialog["windows"] > 1 else times


def warnings(summary: dict[str, Any]) -> list[str]:
    """What speaks against believing a summary."""
    if untrained := summary.get("untrained"):  # nothing is known of any training
        return [untrained]
    if not summary.get("foreign"):
        return []
    far = f"{summary['strange']:.1f} times as far as its own validation clips"
    return [f"This video is far from all that the model was trained on ({far}): do not trust what is marked and said."]


def sentences(summary: dict[str, Any]) -> list[str]:
    """What a summary says, for people."""
    count = summary["windows"]
    said = [f"{clock(summary['seconds'])} long, looked at in {count} window{'s' * (count != 1)}."]
    if any("repeated" in dialog for dialog in summary["dialog"]):
        said.append("The video is shorter than a clip: its last frame stands for those that it lacks.")
    if "highest" in summary:
        highest, events = summary["highest"], summary["events"]
        sure = f" (probability {highest['probability']:.2f})" if "probability" in highest else ""
        said.append(f"The highest score is {highest['score']:.2f}{sure}, at {clock(highest['seconds'])}.")
        times = ", ".join(" - ".join(map(clock, event["seconds"])) for event in events[:5])
        more = f" and {len(events) - 5} more" if len(events) > 5 else ""
        said.append(f"Events, whose scores reach {summary['rule']['on']:.2g}: {times or 'none'}{more}.")
    for question, of in summary["said"].items():
        said.append(f"“{question}” Yes in {of['yes']}, no in {of['no']} of them.")
    return said
