"""Tables over lines and seeds: reading `table.yaml`, gathering every figure, writing Markdown, JSON and a plot.

A table is a folder with `base.yaml` (what all lines share), one small config a line that is layered over it, and
`table.yaml`, which says what is shown:

    title: Localization on the synthetic world
    note: one paragraph below the title
    splits: {open_set: open set}                # of the test, in this order, with their names; others follow
    columns: {RBDC: region.rbdc}                # name -> path below {method: {split: ...}} of test.json
    plot: [RBDC]                                # columns that become panels of the plot
    aims: {RBDC: 0.678}                         # dashed in the plot and named in the table
    against: AHD                                # a row: how likely is every other one's distance from it by chance?
    rows:                                       # name -> where its figures come from
      AHD: {line: ahd}                          # the line's config
      median difference: {line: ahd, method: median difference}  # another method of the same test
      no tuning: {line: lvlm_only, fit: false}  # a line with nothing to train
      constant answer: {line: lora, floor: true}  # text.target.bleu4 is read at text.target.floor.bleu4
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tvau.errors import DataError
from tvau.files import whole
from tvau.shipped import found
from tvau.viz.report import Table, markdown, number

COSTS = {  # column -> keys of cost.json, the first that is there; and by what it is divided
    "trained": (("parameters",), 1),
    "fit, s": (("fit_seconds",), 1),
    "test, s": (("test_seconds",), 1),
    "memory, GB": (("fit_memory", "test_memory"), 1e9),
    "GPU, GB": (("fit_gpu", "test_gpu"), 1e9),
}
MEAN = "mean of the test splits"
LEGEND = "dot: mean, bar: standard deviation over seeds, ticks: seeds; dashed: aim; red: best; grey: nothing is trained"


@dataclass(frozen=True)
class Row:
    """Where a row's figures come from."""

    line: str
    method: str | None = None  # of test.json; None: its first
    fit: bool = True
    floor: bool = False


@dataclass(frozen=True)
class Plan:
    """What `table.yaml` says."""

    folder: Path
    title: str
    columns: dict[str, str]
    rows: dict[str, Row]
    splits: dict[str, str] = field(default_factory=dict)
    plot: list[str] = field(default_factory=list)
    aims: dict[str, float] = field(default_factory=dict)
    note: str = ""
    against: str = ""

    @property
    def lines(self) -> dict[str, bool]:
        """The lines in order, and whether they are fitted before they are tested."""
        rows = self.rows.values()
        return {line: all(row.fit for row in rows if row.line == line) for line in dict.fromkeys(r.line for r in rows)}


def read_plan(folder: Path, against: str | None = None) -> Plan:
    """Reads `table.yaml` of a table's folder; `against` stands in for its own.

    Raises:
        DataError: it is missing, says something unknown, or names a line without a config.
    """
    folder = Path(found(str(folder)))
    path = folder / "table.yaml"
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a folder such as configs/tables/localization")
    try:
        stated = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = {name: Row(**row) for name, row in stated["rows"].items()}
        plan = Plan(folder, **{**stated, "rows": rows} | ({} if against is None else {"against": against}))
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: expected what the module tvau.commands.figures describes ({error!r}).") from error
    for needed in ("base", *plan.lines):
        if not (folder / f"{needed}.yaml").is_file():
            raise DataError(f"{path}: needs {folder / f'{needed}.yaml'}, which does not exist.")
    if unknown := [name for name in (*plan.plot, *plan.aims) if name not in plan.columns]:
        raise DataError(f"{path}: plot and aims name {', '.join(unknown)}; expected some of {', '.join(plan.columns)}.")
    if plan.against and plan.against not in plan.rows:
        raise DataError(f"{path}: against names {plan.against!r}; expected one of {', '.join(plan.rows)}.")
    return plan


def gather(plan: Plan, out: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """All figures of a table: every value of every seed with the file and key it comes from, mean and deviation.

    {"splits": {split: {row: {column: {"values": [...], "mean", "deviation", "n"}}}}, "costs": {row: {...}}}; the
    deviation is that of a sample (n - 1), None where n is 1. The first split is the mean of those of the test, where
    there are several. With `against` also "p", the `paired` p-value of each figure, {split: {row: {column: p}}}.
    """
    runs = {(line, seed): _run(out / line / str(seed)) for line in plan.lines for seed in seeds}
    found = [split for results, _ in runs.values() for splits in results.values() for split in splits]
    splits: dict[str, Any] = {}
    for split in dict.fromkeys((*plan.splits, *found)):
        for name, row in plan.rows.items():
            for column, key in plan.columns.items():
                values = []
                for seed in seeds:
                    results = runs[row.line, seed][0]
                    method = row.method or next(iter(results), "")
                    path = [method, split, *_floored(key.split("."), row.floor)]
                    if isinstance(value := _at(results, path), int | float):
                        file = str(out / row.line / str(seed) / "test.json")
                        values.append({"seed": seed, "value": value, "file": file, "key": path})
                if values:
                    splits.setdefault(split, {}).setdefault(name, {})[column] = _summary(values)
    if len(tests := {split: rows for split, rows in splits.items() if not split.startswith("validation")}) > 1:
        splits = {MEAN: averaged(plan, tests), **splits}
    costs = {}
    for name, row in plan.rows.items():
        if row.method is None and not row.floor:
            costs[name] = _costs({seed: runs[row.line, seed][1] for seed in seeds})
    costs = {name: own for name, own in costs.items() if own}
    p_values = {"p": compared(plan, out, splits)} if plan.against else {}
    return {"title": plan.title, "seeds": list(seeds), "splits": splits, "costs": costs, **p_values}


def averaged(plan: Plan, splits: Mapping[str, Any]) -> dict[str, Any]:
    """{row: {column: ...}} of the means over splits, of rows that have a figure in every split that has the column."""
    means: dict[str, Any] = {}
    for column in plan.columns:
        having = [rows for rows in splits.values() if any(column in own for own in rows.values())]
        for name in plan.rows:
            own = [rows[name][column]["values"] for rows in having if column in rows.get(name, {})]
            if own and len(own) == len(having):
                seeds = [dict(zip((value["seed"] for value in values), values, strict=True)) for values in own]
                values = [
                    {"seed": seed, "value": fmean(of[seed]["value"] for of in seeds), "of": [of[seed] for of in seeds]}
                    for seed in seeds[0]
                    if all(seed in of for of in seeds)
                ]
                if values:
                    means.setdefault(name, {})[column] = _summary(values)
    return means


def compared(plan: Plan, out: Path, splits: Mapping[str, Any]) -> dict[str, Any]:
    """How likely the distance of each figure from that of the row `against` is by chance: {split: {row: {column: p}}}.

    Left out are figures that were not resampled (`bootstrap: 0`), that only one of both rows has, or of other videos.
    """
    from tvau.metrics.intervals import VIDEOS, paired, read_samples, together  # here: it takes seconds

    draws = {path: read_samples(path) for path in out.glob("*/*") if path.is_dir()}

    def drawn(figure: Mapping[str, Any] | None) -> NDArray[np.floating] | None:
        values = (figure or {}).get("values", [])
        parts = [value.get("of", [value]) for value in values]
        found = [[known for part in own if (known := one(part)) is not None] for own in parts]
        complete = [len(own) for own in found] == [len(own) for own in parts]
        return np.stack([together(own) for own in found]) if found and complete else None

    def videos(figure: Mapping[str, Any]) -> set[tuple[str, int]]:
        parts = [part for value in figure["values"] for part in value.get("of", [value])]
        known = [(f"{VIDEOS}/{part['key'][1]}", draws[Path(part["file"]).parent]) for part in parts]
        return {(key, int(own[key])) for key, own in known if key in own}

    def one(value: Mapping[str, Any]) -> NDArray[np.floating] | None:
        return draws[Path(value["file"]).parent].get("/".join(k for k in value["key"] if k != "slots"))

    p_values: dict[str, Any] = {}
    for split, rows in splits.items():
        for column in plan.columns:
            theirs = drawn(rows.get(plan.against, {}).get(column))
            for name, own in rows.items():
                ours = None if name == plan.against else drawn(own.get(column))
                if ours is None or theirs is None or ours.shape[1] != theirs.shape[1]:
                    continue
                tested = videos(own[column]) | videos(rows[plan.against][column])
                if len(tested) == len({key for key, _ in tested}):  # the same ones, as far as that is known
                    p_values.setdefault(split, {}).setdefault(name, {})[column] = paired(ours, theirs)
    return p_values


def _run(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """test.json and cost.json of one run, each empty where it is missing."""
    paths = folder / "test.json", folder / "cost.json"
    results, cost = (json.loads(path.read_text()) if path.is_file() else {} for path in paths)
    return results, cost


def _costs(runs: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    """Each cost's median over the seeds, and its values."""
    costs = {}
    for column, (keys, unit) in COSTS.items():
        values = {s: cost[key] / unit for s, cost in runs.items() for key in reversed(keys) if key in cost}
        if values:
            costs[column] = {"median": median(values.values()), "values": values}
    return costs


def _floored(path: list[str], floor: bool) -> list[str]:
    return [*path[:2], "floor", *path[2:]] if floor else path


def _at(tree: Any, path: Sequence[str]) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _summary(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    numbers = [value["value"] for value in values]
    deviation = stdev(numbers) if len(numbers) > 1 else None
    return {"mean": fmean(numbers), "deviation": deviation, "n": len(numbers), "values": list(values)}


def spread(score: Mapping[str, Any] | None, seeds: int = 0) -> str:
    """A figure as mean ± standard deviation, and of how many runs where they are fewer than `seeds`; "-": none."""
    if score is None:
        return "-"
    around = "" if score["deviation"] is None else f" ± {score['deviation']:.3f}"
    return f"{score['mean']:.3f}{around}" + (f" (n={score['n']})" if score["n"] < seeds else "")


def as_markdown(plan: Plan, gathered: Mapping[str, Any]) -> str:
    """One table a split, and one of costs."""
    seeds = gathered["seeds"]
    known = {name: [c for c in plan.columns if any(c in row for row in rows.values())]
             for name, rows in gathered["splits"].items()}  # fmt: skip
    parts = [f"# {plan.title}", plan.note.strip()] if plan.note else [f"# {plan.title}"]
    parts.append(f"Mean ± standard deviation (n - 1) over the seeds {', '.join(map(str, seeds))}.")
    if plan.aims:
        parts.append("Aims: " + ", ".join(f"{name} {aim:g}" for name, aim in plan.aims.items()) + ".")
    for split, rows in gathered["splits"].items():
        body = [
            (name, *(spread(rows[name].get(c), len(seeds)) for c in known[split])) for name in plan.rows if name in rows
        ]
        parts.append(markdown(Table(plan.splits.get(split, split), ("line", *known[split]), tuple(body)), words=1))
        if own := gathered.get("p", {}).get(split):
            title = f"{plan.splits.get(split, split)}: p-values against {plan.against} (paired bootstrap over videos)"
            body = [(name, *(number(own[name].get(c)) for c in known[split])) for name in plan.rows if name in own]
            parts.append(markdown(Table(title, ("line", *known[split]), tuple(body)), words=1))
    if costs := gathered["costs"]:
        columns = [c for c in COSTS if any(c in own for own in costs.values())]
        form = {"trained": ",.0f", "memory, GB": ".2f", "GPU, GB": ".2f"}
        body = [
            (name, *(format(own[c]["median"], form.get(c, ".0f")) if c in own else "-" for c in columns))
            for name, own in costs.items()
        ]
        parts.append(markdown(Table("Cost of a run, median over the seeds", ("line", *columns), tuple(body)), words=1))
    return "\n\n".join(parts) + "\n"


def draw(plan: Plan, gathered: Mapping[str, Any]) -> Figure | None:
    """A row of panels for each plotted column, a panel for each split: every seed, their mean, and its deviation."""
    panels = [
        (column, split)
        for column in plan.plot or list(plan.columns)[:1]
        for split, rows in gathered["splits"].items()
        if any(column in row for row in rows.values())
    ]
    if not panels:
        return None
    columns = list(dict.fromkeys(column for column, _ in panels))
    splits = list(dict.fromkeys(split for _, split in panels))
    names = [name for name in plan.rows if any(name in rows for rows in gathered["splits"].values())]
    size = (2.2 + 2.0 * len(splits), len(columns) * (0.9 + 0.27 * len(names)))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(plan.title, fontsize=12, x=0.01, ha="left")
    figure.supxlabel(LEGEND, fontsize=8.5, x=0.99, ha="right", color="#555555")
    grid = figure.subplots(len(columns), len(splits), squeeze=False, sharey=True, sharex="row")
    for axes, column in zip(grid, columns, strict=True):
        for panel, split in zip(axes, splits, strict=True):
            _panel(panel, plan, column, gathered["splits"][split], names)
            if split == splits[0]:
                panel.set_ylabel(column, fontsize=11, fontweight="bold")
            if column == columns[0]:
                panel.set_title(plan.splits.get(split, split), fontsize=10)
    return figure


def _panel(axes: Any, plan: Plan, column: str, rows: Mapping[str, Any], names: Sequence[str]) -> None:
    best = max((row[column]["mean"] for row in rows.values() if column in row), default=0.0)
    for y, name in enumerate(names):
        score = rows.get(name, {}).get(column)
        if score is None:
            continue
        own = plan.rows[name]
        colour = "#7a7a7a" if own.method or own.floor or not own.fit else "#1f6fb4"
        colour = "#c8401f" if score["mean"] == best else colour
        values = [value["value"] for value in score["values"]]
        axes.plot(values, [y] * len(values), "|", color=colour, alpha=0.55, markersize=8, markeredgewidth=1.2)
        axes.errorbar(score["mean"], y, xerr=score["deviation"], fmt="o", color=colour, markersize=4.5, linewidth=1.5)
    if column in plan.aims:
        axes.axvline(plan.aims[column], color="black", linestyle="--", linewidth=0.9)
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    axes.tick_params(labelsize=8.5, length=0)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    for y in range(0, len(names), 2):
        axes.axhspan(y - 0.5, y + 0.5, color="#f4f4f2", zorder=-2)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def write_table(plan: Plan, out: Path, seeds: Sequence[int]) -> str:
    """Writes table.json, table.md and table.png of what is there; returns the Markdown."""
    gathered = gather(plan, out, seeds)
    text = as_markdown(plan, gathered)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in (("table.json", json.dumps(gathered, indent=2)), ("table.md", text)):
        with whole(out / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    if figure := draw(plan, gathered):
        with whole(out / "table.png") as temporary:
            figure.savefig(temporary, dpi=150)
    return text
