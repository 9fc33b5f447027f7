"""The files that come with tvau (presets, configs, the embedded LVLM, a trained model), wherever tvau is installed."""

from pathlib import Path

HERE = Path(__file__).parent
ROOTS = (HERE / "assets", HERE.parent.parent)  # of an installed wheel, and of a checkout
MODEL = "notebooks/model"  # the trained model that answers where nobody names another; it belongs to LVLM
LVLM = "backbones/nano.yaml"


def found(name: str) -> str:
    """A path or hub id as it was given, or the shipped file or folder of this name, where there is no other."""
    return name if Path(name).exists() or not path(name).exists() else str(path(name))


def path(name: str) -> Path:
    """The file or folder that the repository calls `name`, such as "configs/synthetic/predict.yaml".

    Whoever opens it says so where it is not there, as of any other path.
    """
    return next((root / name for root in ROOTS if (root / name).exists()), ROOTS[-1] / name)
