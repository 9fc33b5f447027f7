"""`tvau compare`: several runs or seeds in one table."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tvau.errors import DataError
from tvau.viz.report import Spread, Table, markdown, number, read_results, tables

Draws = Mapping[str, NDArray[np.float32]]  # by the keys of `take_samples`
SKIPPED = ("interval", "answer", "curves")  # of one run alone


def compare(runs: list[str], format: Literal["markdown", "latex"] = "markdown", against: str | None = None) -> None:
    """Gathers the scores of several runs or seeds into tables of mean and standard deviation.

    Runs whose folders have the same name, or names that differ only in a number at the end (`heatmap_seed1`,
    `heatmap_seed2`), are repetitions of one experiment; others stand below one another. A score is averaged over the
    runs that have it.

    Args:
        runs: folders that hold a `test.json` of `tvau test`, or folders of such folders.
        format: Markdown, or LaTeX (needs the package booktabs).
        against: a method as the tables name it; a further table then says for each of its figures how likely the
            distance of the other methods is by chance: the p-value of a paired bootstrap over videos, seeds pooled.

    Raises:
        DataError: there are no results, no such method, or it was not resampled.
    """
    found = [path for run in runs for path in _results(Path(run))]
    if not found:
        raise DataError(f"{', '.join(runs) or 'no folder given'}: no test.json in there; run `tvau test` first")
    from tvau.metrics.intervals import read_samples  # here: it takes seconds, and a wrong folder is told at once

    groups: dict[str, list[Path]] = {}
    for path in dict.fromkeys(found):
        groups.setdefault(experiment(path.parent), []).append(path)
    results: dict[str, Any] = {}
    draws: dict[str, list[Draws]] = {}
    for group, paths in groups.items():
        seeds = [read_samples(path.parent) for path in paths] if against else []
        for method, splits in gathered([read_results(path) for path in paths]).items():
            name = method if len(groups) == 1 else f"{method} ({group})"
            results[name] = splits
            draws[name] = [of_method(own, method) for own in seeds]
    write = markdown if format == "markdown" else latex
    shown = tables(results) + ([p_values(draws, against)] if against else [])
    print("\n\n".join(write(table) for table in shown))


def of_method(samples: Draws, method: str) -> Draws:
    """What a run drew for one of its methods, by split, part and score, and its `VIDEOS`."""
    from tvau.metrics.intervals import VIDEOS

    own = {key.removeprefix(f"{method}/"): draws for key, draws in samples.items() if key.startswith(f"{method}/")}
    return own and own | {key: videos for key, videos in samples.items() if key.startswith(f"{VIDEOS}/")}


def p_values(draws: Mapping[str, Sequence[Draws]], against: str) -> Table:
    """The table of p-values of all methods against one, a row a figure, "-" on other videos; see `paired`.

    Args:
        draws: of each method those of its runs.
        against: one of the methods.

    Raises:
        DataError: another one, or one that was not resampled.
    """
    from tvau.metrics.intervals import VIDEOS, paired

    if not draws.get(against) or not all(draws[against]):
        named = "has runs without samples.npz: test them with --model.bootstrap=1000" if against in draws else "unknown"
        raise DataError(f"--against {against!r}: {named}; the methods are {', '.join(draws)}.")
    others = [name for name in draws if name != against]
    rows = []
    for key, first in draws[against][0].items():
        split, *path = key.split("/")
        if split == VIDEOS:
            continue
        if path[:2] == ["text", "heatmap"]:  # its truth is each method's own map, so no two have the same videos
            continue
        cells, key_of = [], f"{VIDEOS}/{split}"
        for name in others:
            own, theirs = ([run.get(key) for run in draws[method]] for method in (name, against))
            fit = all(values is not None and len(values) == len(first) for values in (*own, *theirs))
            fit &= len({int(run[key_of]) for of in (name, against) for run in draws[of] if key_of in run}) < 2
            cells.append(number(paired(np.stack(own), np.stack(theirs)) if fit else None))  # type: ignore[arg-type]
        if set(cells) != {"-"}:
            rows.append((split, " ".join(path), *cells))
    return Table(
        f"p-values against {against} (paired bootstrap over videos; -: not scored on the same ones)",
        ("split", "figure", *others),
        tuple(rows),
    )


def _results(run: Path) -> list[Path]:
    return [run / "test.json"] if (run / "test.json").is_file() else sorted(run.glob("*/test.json"))


def experiment(run: Path) -> str:
    """The name of a run's folder without the number, or seed, at its end; where nothing else is there, its parent's."""
    return re.sub(r"(?:(?:^|[-_.])(?:seed|run|s|v))?[-_.]?\d+$", "", run.name) or run.absolute().parent.name


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
