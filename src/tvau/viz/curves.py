"""The curves behind the scores, of all methods of a split side by side."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Curves = Mapping[str, Mapping[str, Mapping[str, Mapping[str, list[list[float]]]]]]  # method, split, part, curve: [x, y]


class Panel(NamedTuple):
    """One diagram: which curve of which part of the scores it shows, and its words."""

    part: str
    curve: str
    title: str
    across: str
    up: str


PANELS = (
    Panel("frame", "roc", "Frames: ROC", "false positive rate", "true positive rate"),
    Panel("calibration", "reliability", "Frames: reliability", "probability", "share that is abnormal"),
    Panel("pixel", "roc", "Pixels: ROC", "false positive rate", "true positive rate"),
    Panel("pixel", "pro", "Pixels: PRO", "false positive rate", "mean found share of a region"),
    Panel("region", "rbdc", "Regions: RBDC", "false detections a frame", "found boxes"),
    Panel("region", "tbdc", "Tracks: TBDC", "false detections a frame", "found tracks"),
)


def take_curves(results: Mapping[str, Any]) -> dict[str, Any]:
    """Takes the curves out of results {method: {split: {part: scores}}}, and gives them in a tree of the same shape."""
    taken: dict[str, Any] = {}
    for method, splits in results.items():
        for split, parts in splits.items():
            found = {
                part: curves for part, s in parts.items() if isinstance(s, dict) and (curves := s.pop("curves", None))
            }
            if found:
                taken.setdefault(method, {})[split] = found
    return taken


def draw_curves(curves: Curves, split: str) -> Figure | None:
    """The diagrams of one split, a line for each method; None where there is no curve."""
    shown = [
        (panel, lines)
        for panel in PANELS
        if (
            lines := {
                m: c
                for m, splits in curves.items()
                if (c := splits.get(split, {}).get(panel.part, {}).get(panel.curve))
            }
        )
    ]
    if not shown:
        return None
    figure = Figure(figsize=(2.9 * len(shown), 2.9), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (panel, lines) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for method, (x, y) in lines.items():
            end = ([*x, 1.0], [*y, y[-1]]) if panel.part == "region" else (x, y)  # flat up to 1, as the area counts it
            axes.plot(*end, label=method, linewidth=1.4)
        axes.set(title=panel.title, xlabel=panel.across, ylabel=panel.up, xlim=(0, 1), ylim=(0, 1.02))
        axes.title.set_size(10)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7, loc="lower right")
    return figure
