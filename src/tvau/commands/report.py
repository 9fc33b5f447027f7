"""`tvau report`: the results of a folder of runs on one page."""

from pathlib import Path
from typing import Any

from tvau import __version__
from tvau.errors import DataError

METHODS = {"tvau": "T-VAU", "lvlm": "LoRA only", "map": "map alone"}


def report(
    folder: str,
    name: str = "dialog",
    title: str = "tvau on synthetic surveillance video",
    open_set: list[str] | None = None,
) -> None:
    """Gathers the results of a folder of runs into a table and `report.html`.

    Args:
        folder: of runs, each a folder with the `test.json` that `tvau test` wrote.
        name: the run whose cases are shown; the answers of the other runs are set below its.
        title: of the page.
        open_set: splits whose kinds of anomaly training never saw; without it test, test_novel, open_set and novel.
    """
    import torch

    from tvau.viz.cases import load_cases
    from tvau.viz.choose import OPEN_SET, RULE, choose
    from tvau.viz.report import score_table, write_report
    from tvau.viz.sentences import sentences

    results, curves = (gather(Path(folder), file, name) for file in ("test.json", "curves.json"))
    if not results:
        raise DataError(f"{folder}: no test.json in its folders; run `tvau test` first")
    runs = sorted(path.parent for path in Path(folder).glob("*/test.json"))
    others = [(run.name, run / "cases") for run in runs if run.name != name]
    cases = choose(load_cases(Path(folder) / name / "cases", others), OPEN_SET if open_set is None else open_set)
    about = {"Runs": "\n".join(str(run) for run in runs), "Versions": f"tvau {__version__}, torch {torch.__version__}"}
    page = Path(folder) / "report.html"
    write_report(page, title, results, cases, about, curves, sentences(results), RULE)
    print(f"{score_table(results)}\n\nreport: {page}")


def gather(folder: Path, file: str, name: str = "dialog") -> dict[str, dict[str, dict[str, Any]]]:
    """{method: {split: {part: ...}}} of a file that every tested run of a folder has, such as its `test.json`.

    The maps of one run and the words of another may be of one method, as of both stages. Of two runs with words (or two
    without) the one called `name`, or the first, is the method, and the other one has its folder's name behind it.
    """
    from tvau.viz.report import read_results

    runs = {path.parent.name: read_results(path) for path in sorted(folder.glob("*/test.json"))}
    spoken = {(run, method): any("text" in own for own in splits.values())
              for run, methods in runs.items() for method, splits in methods.items()}  # fmt: skip
    first: dict[tuple[str, bool], str] = {}
    for run, method in sorted(spoken, key=lambda key: (key[0] != name, key)):
        first.setdefault((method, spoken[run, method]), run)
    gathered: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(folder.glob(f"*/{file}")):
        run = path.parent.name
        for method, splits in read_results(path).items():
            title = METHODS.get(method, method)
            if first.get((method, spoken.get((run, method), False)), run) != run:
                title += f" ({run})"
            for split, scores in splits.items():
                gathered.setdefault(title, {}).setdefault(split, {}).update(scores)
    return gathered
