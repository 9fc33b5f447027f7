"""What README and docs say is there: files that they name, commands that they show."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACES = (ROOT, ROOT / "src" / "tvau")  # a page may speak of a file from either


def page(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=page)
def test_files_that_a_page_names_exist(path: Path) -> None:
    named = set(re.findall(r"(?<![\w/.*{])[\w-]+/[\w./-]+\.(?:py|yaml|ipynb)\b", path.read_text()))
    assert {name for name in named if not any((place / name).exists() for place in PLACES)} == set()


@pytest.mark.parametrize("path", PAGES, ids=page)
def test_links_of_a_page_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]*)?\)", path.read_text())
    assert {link for link in links if not (path.parent / link).exists()} == set()
