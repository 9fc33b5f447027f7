"""The report of a run: score tables in the terminal and one HTML page that holds everything, pictures included."""

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from tvau.errors import DataError
from tvau.files import whole
from tvau.viz.curves import Curves, draw_curves
from tvau.viz.overlay import Image, contour, heat, image_of, key_indices, score_curve

Results = Mapping[str, Mapping[str, Any]]  # method -> split -> {"frame": {...}, "pixel": {...}, "text": {task: {...}}}
FLOOR = "floor (constant answer)"
WIDEST = 480  # pixels of one picture in the report
FOLDED = 9  # a table of more columns is folded
MAPS = {  # part of the results -> title and columns of its table
    "frame": (
        "Maps: frames",
        {
            "micro_auc": "AUC micro", "macro_auc_padded": "macro padded", "macro_auc_both": "macro both",
            "average_precision": "AP", "frames": "frames", "abnormal_frames": "abnormal", "videos": "videos",
            "videos_both": "videos both",
        },
    ),
    "events": (
        "Maps: events",
        {
            "precision": "precision", "recall": "recall", "f1": "F1", "iou_precision": "precision IoU 0.5",
            "iou_recall": "recall IoU 0.5", "iou_f1": "F1 IoU 0.5", "delay": "delay, s",
            "delay_frames": "delay, frames", "false_alarms_per_hour": "false alarms an hour", "events": "events",
            "alarms": "alarms", "hours": "hours",
        },
    ),
    "calibration": (
        "Maps: probabilities of frames",
        {"error": "calibration error", "error_raw": "without the fit", "frames": "frames"},
    ),
    "pixel": (
        "Maps: pixels",
        {
            "auroc": "AUROC", "auroc_error": "binning", "average_precision": "AP",
            "average_precision_error": "binning of AP", "pro": "PRO", "pro_error": "binning of PRO",
            "regions": "regions", "frames": "frames", "videos": "videos",
        },
    ),
    "region": (
        "Maps: regions and tracks",
        {"rbdc": "RBDC", "tbdc": "TBDC", "frames": "frames", "videos": "videos", "boxes": "boxes",
         "tracks": "tracks"},
    ),
    "region_merl": (
        "Maps: regions and tracks, MERL-style (not comparable)",
        {"rbdc": "RBDC (MERL)", "tbdc": "TBDC (MERL)", "frames": "frames", "videos": "videos", "boxes": "boxes",
         "tracks": "tracks"},
    ),
    "rule": (
        "Maps: rule for boxes, smoothing and events, chosen on validation",
        {"threshold": "threshold", "area": "least area", "smoothing": "smoothing",
         "events.on": "event from", "events.off": "event to", "events.shortest": "shortest, s", "events.gap": "gap, s"},
    ),
}  # fmt: skip
TEXT_COLUMNS = {
    "count": "count",
    "yes_no": "yes/no",
    "yes_no_balanced": "balanced",
    "yes_no_read": "readable",
    "yes_no_auc": "AUC",
    "yes_logit_auc": "AUC of the yes-logit",
    "bleu4": "BLEU-4",
    "bleu4_sentence": "BLEU-4 sentence",
    "rouge_l": "ROUGE-L",
    "meteor": "METEOR (no synonyms)",
    "exact": "exact",
}
FACTS = {"track": "Answers about the movement against the true track",
         "heatmap": "Answers against the model's own heatmap"}  # fmt: skip
TASK_ORDER = ("judgement", "target", "trajectory", "environment", "track", "heatmap")


@dataclass
class Case:
    """One clip to show."""

    name: str
    split: str
    frames: NDArray[np.int64]  # [T], 0-based indices in the source
    pictures: Image  # [T, H, W, 3], RGB
    heatmaps: NDArray[np.floating]  # [T, h, w] in [0, 1]
    mask: NDArray[np.bool_] | None  # [T, H, W], True where abnormal; None where unknown
    scores: NDArray[np.floating]  # [T] in [0, 1]
    labels: NDArray[np.bool_] | None  # [T]; None where unknown
    turns: Sequence[tuple[str, str, str]] = ()  # question, answer, reference ("" where unknown)
    others: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)  # scores [T] of other methods
    why: str = ""  # for what reason it is shown
    beside: Sequence[tuple[str, str, str]] = ()  # what other runs said, as in `turns`


@dataclass(frozen=True)
class Table:
    """A score table: rows of (split, method, value, ...), all as text."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Spread(NamedTuple):
    """A score over several runs."""

    mean: float
    deviation: float  # standard deviation over the runs (n - 1)


class Measured(NamedTuple):
    """A score with its confidence interval over videos."""

    value: float
    low: float
    high: float


def number(value: Any) -> str:
    """A score as shown everywhere: three decimals, whole numbers as they are, "-" where there is none.

    A score over runs is shown as "mean ± deviation", one with an interval as "value ±half of its width".
    """
    if isinstance(value, Spread):
        return f"{number(value.mean)} ± {value.deviation:.3f}"
    if isinstance(value, Measured):
        return f"{number(value.value)} ±{(value.high - value.low) / 2:.3f}"
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, float) and 0 < abs(value) < 0.001:
        return f"{value:.1g}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _table(title: str, rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Table:
    """Rows of (split, method, {column: value}); a column stays where any row has it, in order of appearance."""
    columns = list(dict.fromkeys(key for *_, cells in rows for key in cells))
    body = [(split, method, *(number(cells.get(c)) for c in columns)) for split, method, cells in rows]
    return Table(title, ("split", "method", *columns), tuple(body))


def _value(scores: Any, key: str) -> Any:
    """What stands below a key, or below several, with dots between them; None: nothing."""
    for part in key.split("."):
        scores = scores.get(part) if isinstance(scores, Mapping) else None
    return scores


def _cells(scores: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    intervals = scores.get("interval", {})
    cells = {label: value for key, label in columns.items() if (value := _value(scores, key)) is not None}
    cells |= {label: Measured(scores[key], *intervals[key]) for key, label in columns.items() if key in intervals}
    return cells | ({"runs": scores["runs"]} if "runs" in scores else {})


def tables(results: Results) -> list[Table]:
    """The tables of a run: maps, then one for each task of the dialog with the floor of each split below.

    Args:
        results: {method: {split: {"frame": {...}, "pixel": {...}, "region": {...}, "text": {...}}}}, each part
            optional, as the metrics compute them.
    """
    splits = list(dict.fromkeys(split for by_split in results.values() for split in by_split))
    runs = [(s, m, results[m][s]) for s in splits for m in results if s in results[m]]
    found = []
    for part, (title, columns) in MAPS.items():
        if rows := [(s, m, _cells(r[part], columns)) for s, m, r in runs if r.get(part)]:
            found.append(_table(title, rows))
    by_kind = [(s, m, {kind: own.get("auc") for kind, own in r["frame"]["kinds"].items()})
               for s, m, r in runs if "kinds" in r.get("frame", {})]  # fmt: skip
    if by_kind:
        found.append(_table("Maps: frame AUC by kind, against the frames of all normal videos", by_kind))
    tasks = {task for *_, r in runs for task in r.get("text", {})}
    for task in [*(t for t in TASK_ORDER if t in tasks), *sorted(tasks - set(TASK_ORDER))]:
        answers: list[tuple[str, str, Mapping[str, Any]]] = []
        for split in splits:
            told = [(m, r["text"][task]) for s, m, r in runs if s == split and task in r.get("text", {})]
            answers += [(split, m, _text_cells(scores)) for m, scores in told]
            floors = [scores["floor"] for _, scores in told if "floor" in scores and task != "heatmap"]
            answers += [(split, FLOOR, _text_cells(floors[0]))] if floors else []
        found.append(_table(FACTS.get(task, f"Answers: {task}"), answers))
    return found


def _text_cells(scores: Mapping[str, Any]) -> dict[str, Any]:
    return _cells(scores, TEXT_COLUMNS) | dict(scores.get("slots", {}))


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """{method: {split: {...}}} of a `test.json` or `curves.json`.

    Raises:
        DataError: a file that is damaged, half written or something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(parts, dict) for splits in content.values() for parts in splits.values()):
            raise ValueError("not {method: {split: scores}}")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: expected the results of `tvau test` ({error}); delete it and test again.") from error
    return dict(content)


def score_table(results: Results) -> str:
    """All tables as Markdown with aligned columns, for the terminal."""
    return "\n\n".join(markdown(table) for table in tables(results))


def markdown(table: Table, words: int = 2) -> str:
    """One table as Markdown, columns aligned; the first `words` columns hold no numbers."""
    widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i < words else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * w) if i < words else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([f"### {table.title}", "", line(table.header), line(rule), *map(line, table.rows)])


def embedded(picture: Image, kind: str = "jpg") -> str:
    """A picture as a data URI, JPEG ("jpg") or PNG ("png")."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 88] if kind == "jpg" else []
    _, data = cv2.imencode(f".{kind}", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)
    name = {"jpg": "jpeg"}.get(kind, kind)
    return f"data:image/{name};base64,{base64.b64encode(data.tobytes()).decode()}"


def _small(picture: Image) -> Image:
    height, width = picture.shape[:2]
    if width <= WIDEST:
        return picture
    return np.asarray(cv2.resize(picture, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA))


def _check(case: Case) -> None:
    sizes = {len(case.frames), len(case.pictures), len(case.heatmaps), len(case.scores)}
    sizes |= {len(part) for part in (case.mask, case.labels) if part is not None}
    if len(sizes) > 1 or 0 in sizes:
        raise DataError(f"case {case.name}: parts of {sorted(sizes)} frames; expected one number (1 or more) in all.")


def _shown(case: Case) -> dict[str, Any]:
    """What the page needs of a case: pictures as data URIs."""
    _check(case)
    keys = key_indices(len(case.frames), 4)
    pictures = [_small(case.pictures[t]) for t in keys]
    rows = [("frame", pictures)]
    if case.mask is not None:
        masks = [case.mask[t] for t in keys]
        rows.append(("truth", [contour(p, m) for p, m in zip(pictures, masks, strict=True)]))
    rows.append(("prediction", [heat(p, case.heatmaps[t]) for p, t in zip(pictures, keys, strict=True)]))
    curve = score_curve(case.frames, {"T-VAU": case.scores, **case.others}, case.labels)
    return {
        "case": case,
        "keys": [(int(case.frames[t]), float(case.scores[t])) for t in keys],
        "rows": [(name, [embedded(picture) for picture in row]) for name, row in rows],
        "curve": embedded(image_of(curve, dpi=180), "png"),
    }


def _first(case: Case) -> str:
    """The hottest frame of a case under its heatmap, with the true outline, as a data URI."""
    _check(case)
    hottest = int(case.heatmaps.max((1, 2)).argmax())
    height, width = case.pictures.shape[1:3]
    large = cv2.resize(case.pictures[hottest], (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_CUBIC)
    shown = heat(np.asarray(large), case.heatmaps[hottest])
    return embedded(shown if case.mask is None else contour(shown, case.mask[hottest]))


def write_report(
    path: Path,
    title: str,
    results: Results,
    cases: Sequence[Case],
    about: Mapping[str, str] | None = None,
    curves: Curves | None = None,
    told: Sequence[str] = (),
    note: str = "",
) -> None:
    """Write one HTML page that needs nothing beside it; it appears whole or not at all.

    Args:
        path: the file to write; its folder is made if needed.
        title: heading of the page.
        results: method -> split -> scores, see `tables`.
        cases: clips to show, in order; the first three are the page's picture.
        about: what was run, by name (data, seed, commands, time); shown last, line breaks kept.
        curves: method -> split -> part -> curves, see `take_curves`.
        told: the results in sentences, below the picture.
        note: how the cases were chosen.

    Raises:
        DataError: a case whose parts have different lengths.
    """
    shown: Iterator[dict[str, Any]] = (_shown(case) for case in cases)
    splits = dict.fromkeys(split for by_split in (curves or {}).values() for split in by_split)
    drawn = [(s, embedded(image_of(f, dpi=110), "png")) for s in splits if (f := draw_curves(curves or {}, s))]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(files("tvau.viz").joinpath("report.html").read_text(encoding="utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        known = {
            "title": title, "first": [(_first(case), case) for case in cases[:3]], "told": told, "cases": shown,
            "note": note, "tables": tables(results), "folded": FOLDED, "floor": FLOOR, "curves": drawn,
            "about": about or {},
        }  # fmt: skip
        file.writelines(page.generate(**known))
