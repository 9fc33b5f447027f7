"""`tvau demo`: freshly drawn videos, looked at with the model that comes with tvau."""

from pathlib import Path

import pytest

from tvau.cli import main


def test_it_leaves_something_to_look_at_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["demo", "--out=seen"])
    out = capfd.readouterr().out
    pages = sorted((tmp_path / "seen").glob("results_7/*/index.html"))
    assert len(pages) == 4
    assert all((page.parent / "overlay.mp4").stat().st_size > 1000 for page in pages)
    assert all(str(page.relative_to(tmp_path)) in out for page in pages)
    assert out.count("  normal") == 2
