"""The house stands: a module imports only from rooms below its own, or from its own room."""

import ast
from pathlib import Path

import pytest

RANKS = {
    "types": 0, "errors": 0, "shipped": 0, "signals": 0,
    "verdict": 0, "track": 0, "judge": 0,  # patterns, and arithmetic on arrays
    "files": 1,
    "language": 2, "prompts": 2, "backbones": 2, "shell": 2,
    "data": 3, "world": 3, "heatmap_decoder": 3, "region_encoder": 3, "familiarity": 3,
    "losses": 4, "model": 4, "costs": 4, "metrics": 4,
    "events": 5,  # by the rule of metrics; pictures show them
    "proposal": 5,  # reckons with costs
    "dialog": 5,  # what the composed model is asked
    "memory": 5,  # says what a frame's score will be, so it stands above metrics
    "seen": 6, "viz": 6, "annotate": 6,
    "tasks": 7, "exports": 7,  # of what viz writes
    "nano": 8, "conversation": 8, "watching": 8,
    "ui": 9,
    "commands": 10,  # one of them writes nano's blueprint
    "cli": 11,
}  # fmt: skip


def imported(tree: ast.AST, package: list[str]) -> list[list[str]]:
    """Dotted names, as parts below tvau, of what a module of `package` (["tvau", "data"]) imports from tvau."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            # `from tvau import data` names a room only in its last part, `from tvau.data import X` already before.
            names += [f"{source}.{alias.name}" for alias in node.names]
    return [name.split(".")[1:] for name in names if name.split(".")[0] == "tvau"]


def violations(source: Path) -> list[str]:
    """Every import below `source` (the folder tvau) that points up or sideways."""
    found = []
    for file in sorted(source.rglob("*.py")):
        parts = [*file.relative_to(source).with_suffix("").parts]
        room = parts[0]
        where = file.relative_to(source)
        tops = [name[0] for name in imported(ast.parse(file.read_text()), ["tvau", *parts[:-1]]) if name]
        if room == "__init__":  # the package itself offers its version and the one word to begin with
            found += [f"{where} imports {top}" for top in tops if top not in ("conversation", "backbones")]
            continue
        if room not in RANKS:
            found.append(f"{where} stands in no room; give it a rank here and in docs/extend")
            continue
        for top in tops:
            if top != room and top in RANKS and RANKS[top] >= RANKS[room]:
                found.append(f"{where} (rank {RANKS[room]}) imports {top} (rank {RANKS[top]})")
    return found


def test_imports_point_down(root: Path) -> None:
    assert violations(root / "src" / "tvau") == []


@pytest.mark.parametrize(
    ("file", "code", "complaint"),
    [
        ("data/bad.py", "from tvau.model import TVAU", "imports model"),
        ("data/bad.py", "from tvau.metrics.frame import smooth", "imports metrics"),
        ("data/bad.py", "from tvau import losses", "imports losses"),
        ("data/bad.py", "from ..tasks import DialogTask", "imports tasks"),
        ("data/bad.py", "def late():\n    import tvau.cli", "imports cli"),
        ("prompts.py", "from .losses import map_loss", "imports losses"),
        ("viz/bad.py", "import tvau.annotate.write as w", "imports annotate"),
        ("helpers.py", "", "no room"),
        ("__init__.py", "from tvau.model import TVAU", "imports model"),
    ],
)
def test_an_offending_import_is_found(tmp_path: Path, file: str, code: str, complaint: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(code)
    (found,) = violations(tmp_path)
    assert complaint in found


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("data/good.py", "from tvau.data.video import read\nfrom .index import Index\nfrom . import clips"),
        ("data/good.py", "from tvau.errors import DataError\nimport numpy\nfrom tvau import __version__"),
        ("tasks/good.py", "from tvau.model import TVAU\nfrom ..metrics import frame_auc\nfrom tvau.viz import overlay"),
    ],
)
def test_imports_from_below_or_the_own_room_are_free(tmp_path: Path, file: str, code: str) -> None:
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(code)
    assert violations(tmp_path) == []
