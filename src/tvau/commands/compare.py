"""`tvau compare`: several runs or seeds in one table."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from tvau.errors import DataError
from tvau.viz.report import Spread, Table, markdown, read_results, tables

SKIPPED = ("interval", "answer", "curves")  # of one run alone


def compare(runs: list[str], format: Literal["markdown", "latex"] = "markdown") -> None:
    """Gathers the scores of several runs or seeds into tables of mean and standard deviation.

    Runs whose folders have the same name, or names that differ only in a number at the end (`heatmap_seed1`,
    `heatmap_seed2`), are repetitions of one experiment; others stand below one another. A score is averaged over the
    runs that have it.

    Args:
        runs: folders that hold a `test.json` of `tvau test`, or folders of such folders.
        format: Markdown, or LaTeX (needs the package booktabs).
    """
    found = [path for run in runs for path in _results(Path(run))]
    if not found:
        raise DataError(f"{', '.join(runs) or 'no folder given'}: no test.json in there; run `tvau test` first")
    groups: dict[str, list[Any]] = {}
    for path in dict.fromkeys(found):
        groups.setdefault(experiment(path.parent.name), []).append(read_results(path))
    results: dict[str, Any] = {}
    for group, contents in groups.items():
        for method, splits in gathered(contents).items():
            results[method if len(groups) == 1 else f"{method} ({group})"] = splits
    write = markdown if format == "markdown" else latex
    print("\n\n".join(write(table) for table in tables(results)))


def _results(run: Path) -> list[Path]:
    return [run / "test.json"] if (run / "test.json").is_file() else sorted(run.glob("*/test.json"))


def experiment(name: str) -> str:
    """The name of a run without the number, or seed, at its end."""
    return re.sub(r"[-_.]?(?:seed|run|s|v)?[-_.]?\d+$", "", name) or name


def gathered(contents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Results of several runs as one tree: numbers become a `Spread` where runs differ, with `runs` beside them."""
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for content in contents for key in content if key not in SKIPPED):
        values = [content[key] for content in contents if key in content]
        if all(isinstance(value, Mapping) for value in values):
            merged[key] = gathered(values)
        elif all(isinstance(value, int | float) for value in values):
            whole = all(isinstance(value, int) for value in values) and len(set(values)) == 1
            merged[key] = values[0] if whole or len(values) == 1 else Spread(fmean(values), stdev(values))
    if any(not isinstance(value, Mapping) for value in merged.values()):
        merged["runs"] = len(contents)
    return merged


def latex(table: Table) -> str:
    """One table as LaTeX, for the package booktabs."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(_escaped, cells)) + r" \\"

    kind = "ll" + "r" * (len(table.header) - 2)
    rows = "\n".join(map(line, table.rows))
    return (f"% {table.title}\n\\begin{{tabular}}{{{kind}}}\n\\toprule\n{line(table.header)}\n\\midrule\n{rows}\n"
            "\\bottomrule\n\\end{tabular}")  # fmt: skip


def _escaped(text: str) -> str:
    text = re.sub(r"([#$%&_{}])", r"\\\1", text.replace("\\", r"\textbackslash "))
    return text.replace("~", r"\textasciitilde{}").replace("^", r"\textasciicircum{}").replace("±", r"$\pm$")
