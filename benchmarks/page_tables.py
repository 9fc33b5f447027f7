"""The tables of README and docs, from runs: `python benchmarks/page_tables.py README.md docs/measure/benchmark.md`.

In a page a table stands between two marks, and the first one says what it is and which runs it is of:

    <!-- table: demo runs/demo -->                                         the README's, of a demo
    <!-- table: report runs/demo -->                                       all tables of `tvau report`
    <!-- table: aims runs/tables -->                                       what was aimed at, and what was reached
    <!-- table: splits runs/tables/localization; frame AUC; RBDC -->       columns of `tvau table`, by line and split
    <!-- table: pair runs/tables/dialog; mean; open_set; class -->         two splits, of which one may be `mean`
    <!-- table: kinds runs/tables/localization/recommended -->             frame AUC by kind of anomaly
    <!-- table: everything runs/tables/localization -->                    table.md
    | what stood here before goes |
    <!-- /table -->

A table whose runs are not there stays as it is, and is named.
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from tvau.commands.figures import MEAN, spread
from tvau.commands.report import gather
from tvau.files import whole
from tvau.viz.report import number, score_table

MARKS = re.compile(r"(<!-- table: (\w+) ([^;>]*?)((?:; [^;>]*?)*) -->\n).*?(<!-- /table -->)", re.S)

# ---- README: a demo in short ----

SPLITS = {"test_seen": "of the training, new scenes", "test": "never trained", "test_novel": "not even seen by nano"}
FLOOR = "nothing learned"  # the median difference for maps, the best constant answer for words
COLUMNS = {  # of the table -> where a method's scores of a split hold it
    "frame AUC": ("frame", "micro_auc"), "RBDC": ("region", "rbdc"), "TBDC": ("region", "tbdc"),
    "Yes/No": ("text", "judgement", "yes_no"), "Yes/No AUC": ("text", "judgement", "yes_no_auc"),
    "class": ("text", "target", "slots", "class"),
    "action": ("text", "target", "slots", "action"), "start": ("text", "trajectory", "slots", "start"),
    "end": ("text", "trajectory", "slots", "end"), "direction": ("text", "trajectory", "slots", "direction"),
}  # fmt: skip


def cell(scores: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """A score at the end of keys, "-" where there is none."""
    found: Any = scores
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return number(found)


def floor(scores: Mapping[str, Any], simple: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The same score of what learned nothing."""
    return cell(scores, (*keys[:2], "floor", *keys[2:])) if keys[0] == "text" else cell(simple, keys)


def demo(folder: Path) -> str:
    """The main scores of a demo's methods; a split or method that was not run has no row."""
    results = gather(folder, "test.json")
    lines = header("kinds of anomaly", "method", scores=COLUMNS)
    for split, words in SPLITS.items():
        ours = results.get("T-VAU", {}).get(split)
        if ours is None:
            continue
        rows = {"T-VAU": [cell(ours, keys) for keys in COLUMNS.values()]}
        for method in ("LoRA only", "map alone"):
            if own := results.get(method, {}).get(split):
                rows[method] = [cell(own, keys) for keys in COLUMNS.values()]
        simple = results.get("median difference", {}).get(split, {})
        rows[FLOOR] = [floor(ours, simple, keys) for keys in COLUMNS.values()]
        lines += [row(words if name == "T-VAU" else "", name, *cells) for name, cells in rows.items()]
    return "\n".join(lines)


def report(folder: Path) -> str:
    """The tables of `tvau report`."""
    return score_table(gather(folder, "test.json"))


# ---- tables over lines and seeds ----

MAPS, WORDS = "recommended: block 6 and time", "T-VAU, no anomaly prompts"
LORA = "LoRA only"
KNOWN, OPEN = "in_distribution", "open_set"
AIMS = (  # table, line, split, column, aim
    ("localization", MAPS, MEAN, "frame AUC", 0.90), ("localization", MAPS, KNOWN, "frame AUC", 0.95),
    ("localization", MAPS, KNOWN, "RBDC", 0.85), ("localization", MAPS, OPEN, "RBDC", 0.68),
    ("localization", MAPS, KNOWN, "TBDC", 0.96), ("localization", MAPS, OPEN, "TBDC", 0.88),
    ("dialog", WORDS, KNOWN, "balanced", 0.90), ("dialog", WORDS, OPEN, "balanced", 0.82),
    ("dialog", WORDS, KNOWN, "class", 0.90), ("dialog", WORDS, KNOWN, "top", 0.90),
    ("dialog", WORDS, KNOWN, "trousers", 0.90),
)  # fmt: skip
AHEAD = {"Yes/No": 6, "start": 4, "end": 4}  # on how many splits T-VAU is to be ahead of LoRA alone


def header(*words: str, scores: Mapping[str, Any] | list[str]) -> list[str]:
    """The first two lines of a table."""
    return [row(*words, *scores), "|" + "---|" * len(words) + "--:|" * len(scores)]


def row(*cells: str) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def named(split: str) -> str:
    """A split in words."""
    return "mean" if split == MEAN else split.replace("_", " ")


def splits(folder: Path, *columns: str) -> str:
    """One table a column: lines, and the mean and each split."""
    found = json.loads((folder / "table.json").read_text())["splits"]
    parts = []
    for column in columns:
        having = [split for split, rows in found.items() if any(column in own for own in rows.values())]
        lines = header("line", scores=[named(split) for split in having])
        for name in dict.fromkeys(name for split in having for name in found[split]):
            figures = [found[split].get(name, {}).get(column) for split in having]
            if any(figures):
                lines.append(row(name, *map(spread, figures)))
        parts.append("\n".join([f"{column}:", "", *lines]))
    return "\n\n".join(parts)


def pair(folder: Path, first: str, second: str, *columns: str) -> str:
    """Columns by line, on one split / on another; "mean" is that of the test splits."""
    found = json.loads((folder / "table.json").read_text())["splits"]
    one, other = (found[MEAN if split == "mean" else split] for split in (first, second))
    lines = header("line", scores=list(columns))
    for name, own in one.items():
        cells = [f"{spread(own.get(column))} / {spread(other.get(name, {}).get(column))}" for column in columns]
        value = next(iter(own.values()))["values"][0]
        value = value.get("of", [value])[0]
        line = "" if "floor" in value["key"] else f" (`{Path(value['file']).parts[-3]}`)"
        lines.append(row(f"{name}{line}", *cells))
    return "\n".join(lines)


def aims(folder: Path) -> str:
    """Each aim with what was reached."""
    found = {
        name: json.loads((folder / name / "table.json").read_text())["splits"] for name in ("localization", "dialog")
    }
    lines = header("what", "split", scores=["aim", "reached"])
    lines[0], lines[1] = f"{lines[0]} |", f"{lines[1]}---|"
    for table, line, split, column, aim in AIMS:
        figure = found[table][split][line][column]
        lines.append(
            row(
                f"Yes/No {column}" if column == "balanced" else column,
                named(split),
                f"{aim:.2f}",
                spread(figure),
                verdict(figure["mean"] >= aim),
            )
        )
    for column, aim in AHEAD.items():
        pairs = [
            (rows[WORDS][column], rows[LORA][column])
            for split, rows in found["dialog"].items()
            if split != MEAN and not split.startswith("validation") and column in rows.get(WORDS, {})
        ]
        leads = [(ours["mean"] - theirs["mean"], max(ours["deviation"], theirs["deviation"])) for ours, theirs in pairs]
        ahead, clear = sum(lead > 0 for lead, _ in leads), sum(lead > by for lead, by in leads)
        told = f"{clear} (ahead at all: {ahead} of {len(leads)})"
        lines.append(
            row(f"{column} ahead of {LORA} by more than the spread", "how many", str(aim), told, verdict(clear >= aim))
        )
    return "\n".join(lines)


def verdict(reached: bool) -> str:
    """In words."""
    return "reached" if reached else "missed"


def kinds(folder: Path) -> str:
    """By kind and split: frame AUC against the frames of all normal videos / within its own videos, mean over seeds."""
    tests = [json.loads(path.read_text())["tvau"] for path in sorted(folder.glob("*/test.json"))]
    found = {split: [test[split]["frame"].get("kinds", {}) for test in tests] for split in tests[0]}
    lines = header("kind", scores=[named(split) for split in found])
    for kind in dict.fromkeys(kind for own in found.values() for kind in own[0]):
        cells = [
            " / ".join(f"{fmean(seed[kind][score] for seed in own):.2f}" for score in ("auc", "auc_within"))
            if kind in own[0] else "-"
            for own in found.values()
        ]  # fmt: skip
        lines.append(row(kind, *cells))
    return "\n".join(lines)


def everything(folder: Path) -> str:
    """What `tvau table` wrote, its title a level lower."""
    return "#" + (folder / "table.md").read_text().rstrip()


# ---- pages ----

TABLES: dict[str, Callable[..., str]] = {
    made.__name__: made for made in (demo, report, aims, splits, pair, kinds, everything)
}  # fmt: skip


def fill(page: Path) -> None:
    """Puts every table of a page between its marks; the page appears whole or not at all."""

    def made(marks: re.Match[str]) -> str:
        first, name, folder, words, last = marks.groups()
        if not any(Path(folder).glob("**/test.json")):
            print(f"{page}: no runs in {folder}, so its table {name} stays as it is")
            return marks[0]
        try:
            table = TABLES[name](Path(folder), *(word.strip() for word in words.split(";")[1:]))
        except FileNotFoundError as error:  # of two folders one
            print(f"{page}: {error.filename} is not there, so its table {name} stays as it is")
            return marks[0]
        return f"{first}\n{table}\n\n{last}"  # without the empty lines MkDocs sees no table

    text, found = MARKS.subn(made, page.read_text(encoding="utf-8"))
    if not found:
        raise SystemExit(f"{page} has no two marks <!-- table: ... --> and <!-- /table -->")
    with whole(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main() -> None:
    """Fills pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+", help="Markdown with marks")
    for page in parser.parse_args().pages:
        fill(page)


if __name__ == "__main__":
    main()
