"""All videos' dialogs as one file, balanced, with what was kept out and the statistics beside it."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tvau.data.dialogs import Dialog, DialogTurn, read_dialogs, write_dialogs
from tvau.data.module import spaced
from tvau.errors import OptionError
from tvau.files import whole

DIALOGS, STATISTICS = "dialogs.jsonl", "statistics.json"


def expect_own(folder: Path, videos: Collection[str]) -> None:
    """Raises OptionError where the folder holds dialogs that would be lost: written by hand, or of other videos."""
    path = folder / DIALOGS
    if not path.is_file():
        return
    try:
        digest = json.loads((folder / STATISTICS).read_text("utf-8")).get(DIALOGS, "")
    except (OSError, ValueError, AttributeError):
        digest = "none"
    again = "give another folder, or --overwrite"
    if digest not in ("", digest_of(path)):  # "": of version 0.3.0 or before
        raise OptionError(f"{path}: dialogs that `tvau annotate` did not make, or that were changed since; {again}")
    if others := {dialog.video for dialog in read_dialogs(path)} - set(videos):
        raise OptionError(
            f"{path}: dialogs of {min(others)} ({len(others)} such videos), not asked for now (--splits); {again}"
        )


def digest_of(path: Path) -> str:
    """The sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def gather(
    folder: Path, parts: Sequence[dict[str, Any]], balance: bool = True, splits: Mapping[str, str] | None = None
) -> str:
    """Writes dialogs.jsonl, rejected.jsonl and statistics.json; returns the statistics in words.

    Args:
        folder: of the output.
        parts: of each video, as `annotate_video` makes them.
        balance: keep of each split at most as many "No" dialogs as it has "Yes" dialogs, evenly spaced over its videos;
            of those without a "Yes" what the others lack.
        splits: of each video; None: all are of one.
    """
    dialogs = [(part["video"], dialog) for part in parts for dialog in part["dialogs"]]
    normal, abnormal = defaultdict[str, list[int]](list), Counter[str]()
    for at, (video, dialog) in enumerate(dialogs):
        split = (splits or {}).get(video, "")
        if dialog["abnormal"]:
            abnormal[split] += 1
        else:
            normal[split].append(at)
    kept, missing = set[int](), abnormal.total()
    for split in sorted(normal, key=lambda split: not abnormal[split]):  # those without a "Yes" last
        chosen_of = spaced(normal[split], (abnormal[split] or missing) if balance and abnormal else None)
        kept, missing = kept | set(chosen_of), max(missing - len(chosen_of), 0)
    chosen = [
        Dialog(video, dialog["frames"][0], dialog["frames"][1], tuple(DialogTurn(**turn) for turn in dialog["turns"]))
        for at, (video, dialog) in enumerate(dialogs)
        if dialog["abnormal"] or at in kept
    ]
    rejected = [line for part in parts for line in part["rejected"]]
    targets = [{"video": part["video"], **target} for part in parts for target in part["targets"]]
    write_dialogs(folder / DIALOGS, chosen)
    read_dialogs(folder / DIALOGS, {part["video"] for part in parts})  # what is written is valid
    save(folder / "rejected.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in rejected))
    numbers = statistics(chosen, rejected, targets) | {
        "videos": len(parts), "no dialogs left out by balancing": sum(map(len, normal.values())) - len(kept),
        DIALOGS: digest_of(folder / DIALOGS),
    }  # fmt: skip
    save(folder / STATISTICS, json.dumps(numbers, indent=1, ensure_ascii=False) + "\n")
    return summary(numbers, folder)


def statistics(
    dialogs: Iterable[Dialog], rejected: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Counts of dialogs, turns, answers, phrasings, targets and of what was kept out."""
    dialogs = list(dialogs)
    turns = [turn for dialog in dialogs for turn in dialog.turns]
    judged = Counter("yes" if t.answer.startswith("Yes") else "no" for t in turns if t.task == "judgement")
    samples = {(d.video, d.first, t.target) for d in dialogs for t in d.turns if t.target is not None}

    def table(values: Iterable[str]) -> dict[str, int]:
        return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))

    return {
        "dialogs": len(dialogs),
        "turns": len(turns),
        "judgements": dict(judged),
        "target samples": len(samples),
        "targets": len(targets),
        "turns by task": table(turn.task for turn in turns),
        "turns by provenance": table(turn.provenance for turn in turns),
        "phrasings by task": table(task for task, _ in {(t.task, t.question) for t in turns}),
        "targets by category": table(str(target["category"]) or "unknown" for target in targets),
        "targets by start": table(target["start"] for target in targets),
        "targets by end": table(target["end"] for target in targets),
        "targets by direction": table(target["direction"] for target in targets),
        "targets that enter": sum(target["enters"] for target in targets),
        "targets that leave": sum(target["leaves"] for target in targets),
        "kept out": len(rejected),
        "kept out by reason": table(line["reason"].split(":")[0].split("(")[0].strip() for line in rejected),
    }


def summary(numbers: dict[str, Any], folder: Path) -> str:
    """The statistics in a few lines."""
    tasks = ", ".join(f"{count} {task}" for task, count in numbers["turns by task"].items())
    judged = numbers["judgements"]
    reasons = "".join(f"\n  {count} x {reason}" for reason, count in numbers["kept out by reason"].items())
    return (
        f"{numbers['videos']} videos, {numbers['targets']} targets, {numbers['target samples']} target samples\n"
        f"{numbers['dialogs']} dialogs ({judged.get('yes', 0)} yes, {judged.get('no', 0)} no), "
        f"{numbers['turns']} turns: {tasks}\n"
        f"kept out: {numbers['kept out']}{reasons}\n"
        f"dialogs: {folder / 'dialogs.jsonl'}"
    )


def save(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    with whole(path) as draft:
        draft.write_text(text, encoding="utf-8")
