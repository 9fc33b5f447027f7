from pathlib import Path

import pytest

from tvau import shipped
from tvau.backbones.preset import load_preset
from tvau.cli import main


def test_what_comes_with_tvau_is_found_from_any_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (f"{shipped.MODEL}/config.json", shipped.LVLM, "configs/synthetic/predict.yaml"):
        assert shipped.path(name).is_file()
        assert shipped.path(name).read_bytes() == (root / name).read_bytes()


def test_a_name_means_what_is_there_before_what_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(shipped.found("backbones/nano")).is_dir()
    assert Path(shipped.found("backbones/nano")).is_absolute()
    assert shipped.found("Qwen/Qwen3-VL-4B-Instruct") == "Qwen/Qwen3-VL-4B-Instruct"
    (tmp_path / "backbones" / "nano").mkdir(parents=True)
    assert shipped.found("backbones/nano") == "backbones/nano"


def test_a_shipped_config_is_read_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["fit", "--config", "configs/synthetic/heatmap.yaml", "--print_config"])
    assert "class_path: tvau.tasks.HeatmapTask" in capsys.readouterr().out
    assert load_preset(shipped.LVLM).name == load_preset(str(shipped.path(shipped.LVLM))).name
