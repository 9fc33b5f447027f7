"""benchmarks/probes.py on nano itself: a figure for every question and every place where features are read."""

from pathlib import Path

import pytest

from test_package import load

HEAD = "| read from | noun | action | colour | trousers | ground | place | start | end | direction |"


def test_probes_read_every_layer(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["probes.py", str(root / "backbones" / "nano"), "--clips", "16"])
    load(root / "benchmarks" / "probes.py").main()
    title, head, _, *rows = capsys.readouterr().out.splitlines()
    assert (title.startswith(str(root / "backbones" / "nano")), head) == (True, HEAD)
    tower, language = [f"tower block {k}" for k in (1, 2, 4, 6)], [f"language layer {k}" for k in (1, 2, 3, 4)]
    assert [row.split(" | ")[0][2:] for row in rows] == ["constant", *tower, "visual tokens", *language]
    assert all(0 <= float(cell.split()[0]) <= 1 for row in rows for cell in row.strip("| ").split(" | ")[1:])
