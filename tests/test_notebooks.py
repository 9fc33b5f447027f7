"""Every notebook runs from top to bottom, and is saved with what it shows."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
MOST = 600_000  # bytes of a notebook with its pictures


def check_pictures(cells: Sequence[Any]) -> int:
    """Number of pictures; each cell that shows one holds one that can be seen, and no output only names one."""
    count = 0
    for cell in cells:
        outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
        found = [data[kind] for data in outputs for kind in ("image/jpeg", "image/png") if kind in data]
        assert "display(" not in cell.source or found, f"no picture below: {cell.source}"
        assert not any(
            "<Figure" in str(data) or "<PIL" in data.get("text/plain", "") for data in outputs if len(data) == 1
        )
        for picture in found:
            seen = cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_COLOR)
            assert seen is not None
            assert np.ptp(seen) > 50  # something is drawn on it
        count += len(found)
    return count


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert check_pictures(cells) > 3
    assert any("Yes" in str(cell.outputs) or "No" in str(cell.outputs) for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_saved_with_its_pictures_and_nothing_of_a_machine(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert check_pictures(cells) > 3
    assert all(cell.execution_count for cell in cells)
    assert "stderr" not in {output.get("name") for cell in cells for output in cell.outputs}
    assert path.stat().st_size < MOST
