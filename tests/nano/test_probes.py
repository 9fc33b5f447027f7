"""benchmarks/probes.py on nano itself: a figure for every question and every place where features are read."""

import subprocess
import sys
from pathlib import Path

HEAD = "| read from | noun | action | colour | trousers | ground | place | start | end | direction |"


def test_probes_read_every_layer(root: Path) -> None:
    # in a process of its own: after drawing in this one, workers of a later test's loader once hung (why is not known)
    command = [sys.executable, f"{root}/benchmarks/probes.py", f"{root}/backbones/nano", "--clips", "16"]
    title, head, _, *rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert (title.startswith(str(root / "backbones" / "nano")), head) == (True, HEAD)
    tower, language = [f"tower block {k}" for k in (1, 2, 4, 6)], [f"language layer {k}" for k in (1, 2, 3, 4)]
    assert [row.split(" | ")[0][2:] for row in rows] == ["constant", *tower, "visual tokens", *language]
    assert all(0 <= float(cell.split()[0]) <= 1 for row in rows for cell in row.strip("| ").split(" | ")[1:])
