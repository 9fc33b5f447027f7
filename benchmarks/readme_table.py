"""The README's small table of results: `python benchmarks/readme_table.py runs/demo README.md`.

Reads every `test.json` of a demo's runs and prints the table; where a page is named, the table takes the place of the
one between its two marks.
"""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tvau.commands.report import gather
from tvau.files import whole
from tvau.viz.report import number

SPLITS = {"test_seen": "of the training, new scenes", "test": "never trained", "test_novel": "not even seen by nano"}
FLOOR = "nothing learned"  # the median difference for maps, the best constant answer for words
COLUMNS = {  # of the table -> where a method's scores of a split hold it
    "frame AUC": ("frame", "micro_auc"), "RBDC": ("region", "rbdc"), "TBDC": ("region", "tbdc"),
    "Yes/No": ("text", "judgement", "yes_no"), "Yes/No AUC": ("text", "judgement", "yes_no_auc"),
    "class": ("text", "target", "slots", "class"),
    "action": ("text", "target", "slots", "action"), "start": ("text", "trajectory", "slots", "start"),
    "end": ("text", "trajectory", "slots", "end"), "direction": ("text", "trajectory", "slots", "direction"),
}  # fmt: skip
MARKS = re.compile(r"(<!-- table: [^>]*-->\n).*?(<!-- /table -->)", re.S)


def cell(scores: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """A score at the end of keys, "-" where there is none."""
    found: Any = scores
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return number(found)


def floor(scores: Mapping[str, Any], simple: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The same score of what learned nothing."""
    return cell(scores, (*keys[:2], "floor", *keys[2:])) if keys[0] == "text" else cell(simple, keys)


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The table in Markdown; a split or method that was not run has no row."""
    lines = [f"| kinds of anomaly | method | {' | '.join(COLUMNS)} |", "|---|---|" + "--:|" * len(COLUMNS)]
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
        for name, cells in rows.items():
            lines.append(
                f"| {words if name == 'T-VAU' else ''} | {name} | {' | '.join(cells)} |".replace("|  |", "| |")
            )
    return "\n".join(lines)


def main() -> None:
    """Prints the table, and writes it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of a demo's runs")
    parser.add_argument("page", type=Path, nargs="?", help="page with the two marks")
    args = parser.parse_args()
    made = table(gather(args.runs, "test.json"))
    print(made)
    if args.page:
        text, found = MARKS.subn(lambda marks: f"{marks[1]}{made}\n{marks[2]}", args.page.read_text())
        if not found:
            raise SystemExit(f"{args.page} has no two marks <!-- table: ... --> and <!-- /table -->")
        with whole(args.page) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    main()
