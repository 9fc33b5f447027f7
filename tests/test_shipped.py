from pathlib import Path

import pytest

from tvau import shipped


def test_what_comes_with_tvau_is_found_from_any_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (shipped.MODEL, shipped.LVLM, "configs/synthetic/predict.yaml"):
        assert shipped.path(name).is_file()
        assert shipped.path(name).read_bytes() == (root / name).read_bytes()
