"""`tvau report`: the results of a folder of runs on one page."""

import json
from pathlib import Path
from typing import Any

import torch

from tvau import __version__
from tvau.errors import DataError
from tvau.viz.cases import load_cases
from tvau.viz.choose import OPEN_SET, RULE, choose
from tvau.viz.report import score_table, write_report
from tvau.viz.sentences import sentences

METHODS = {"tvau": "T-VAU", "lvlm": "LoRA only"}


def report(
    folder: str,
    name: str = "dialog",
    title: str = "tvau on synthetic surveillance video",
    open_set: list[str] = list(OPEN_SET),  # noqa: B006 - the parser reads it
) -> None:
    """Gathers the results of a folder of runs into a table and `report.html`.

    Args:
        folder: of runs, each a folder with the `test.json` that `tvau test` wrote.
        name: the run whose cases are shown; the answers of the other runs are set below its.
        title: of the page.
        open_set: splits whose kinds of anomaly training never saw.
    """
    runs = sorted(path.parent for path in Path(folder).glob("*/test.json"))
    if not runs:
        raise DataError(f"{folder}: no test.json in its folders; run `tvau test` first")
    results: dict[str, dict[str, dict[str, Any]]] = {}
    curves: dict[str, dict[str, dict[str, Any]]] = {}
    for path in (path for run in runs for path in (run / "test.json", run / "curves.json") if path.is_file()):
        for method, splits in json.loads(path.read_text()).items():
            gathered = (results if path.name == "test.json" else curves).setdefault(METHODS.get(method, method), {})
            for split, scores in splits.items():
                gathered.setdefault(split, {}).update(scores)
    others = [(run.name, run / "cases") for run in runs if run.name != name]
    cases = choose(load_cases(Path(folder) / name / "cases", others), open_set)
    about = {"Runs": "\n".join(str(run) for run in runs), "Versions": f"tvau {__version__}, torch {torch.__version__}"}
    page = Path(folder) / "report.html"
    write_report(page, title, results, cases, about, curves, sentences(results), RULE)
    print(f"{score_table(results)}\n\nreport: {page}")
