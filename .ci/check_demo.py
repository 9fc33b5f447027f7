"""Check that a demo run left a report and sane scores: `python .ci/check_demo.py runs/demo`."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FRACTIONS = ("auc", "auroc", "precision", "bleu", "accuracy")  # scores that lie in [0, 1]
LEAST = {"pixel/auroc": 0.8, "pixel/average_precision": 0.1, "frame/micro_auc": 0.5}  # far above, or at, chance


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a JSON value with its path, such as "tvau/test/frame/micro_auc"."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from numbers(child, f"{path}/{key}" if path else str(key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from numbers(child, f"{path}/{index}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def problems(demo: Path) -> list[str]:
    """What is wrong with the demo in this folder; empty where all is well."""
    found = []
    report = demo / "report.html"
    if not report.is_file():
        found.append(f"no report: {report} does not exist")
    elif "<img" not in report.read_text() or "<table" not in report.read_text():
        found.append(f"{report} holds no picture or no table")
    files = sorted(demo.glob("**/test.json"))
    scores = {
        f"{file.relative_to(demo)}:{path}": x for file in files for path, x in numbers(json.loads(file.read_text()))
    }
    for path, value in scores.items():
        fraction = any(word in path.lower() for word in FRACTIONS)
        if not math.isfinite(value) or (fraction and not 0 <= value <= 1):
            found.append(f"{path} is {value}, expected {'a fraction in [0, 1]' if fraction else 'a finite number'}")
    for path, least in LEAST.items():
        if (value := scores.get(f"heatmap/test.json:tvau/test_seen/{path}", 0.0)) <= least:
            found.append(f"heatmaps on seen kinds: {path} is {value}, expected above {least}")
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if wrong := problems(folder):
        sys.exit("\n".join(["demo check failed:", *wrong]))
    count = sum(1 for file in folder.glob("**/test.json") for _ in numbers(json.loads(file.read_text())))
    print(f"demo check passed: {folder / 'report.html'} has its table and pictures, {count} scores are finite and sane")
