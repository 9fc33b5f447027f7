"""A trained model as a folder in the manner of Hugging Face: config.json, model.safetensors, README.md.

It holds what a checkpoint holds that was trained: numbers and words, nothing that could be executed. The frozen LVLM is
not part of it; config.json names it and knows a few of its weights.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from safetensors import SafetensorError
from safetensors.torch import load, save

from tvau import __version__
from tvau.errors import CheckpointError
from tvau.files import whole
from tvau.tasks.card import card


def write_model(checkpoint: Mapping[str, Any], folder: Path, results: Mapping[str, Any] | None = None) -> None:
    """Writes a model's folder; each file appears whole, and what else lies there stays.

    Args:
        checkpoint: what a task keeps of itself, see `tvau.tasks.pretrained.content`.
        results: of a test, for the card: {method: {split: scores}} as in test.json.

    Raises:
        OSError: it cannot be written.
    """
    weights = save({key: value.contiguous() for key, value in checkpoint["state_dict"].items()})
    told = {key: value for key, value in checkpoint.items() if key != "state_dict"}
    if told["options"].get("heatmap"):  # a path of the machine that trained it; the decoder is in the weights
        told["options"] = {**told["options"], "heatmap": SAFETENSORS_SINGLE_FILE}
    config = {"tvau": __version__, "library_name": "tvau", **told, "sha256": hashlib.sha256(weights).hexdigest()}
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / SAFETENSORS_SINGLE_FILE) as temporary:
        temporary.write_bytes(weights)
    for name, text in ((CONFIG_NAME, json.dumps(config, indent=2)), ("README.md", card(checkpoint, results))):
        with whole(folder / name) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def add_figures(folder: Path, checkpoint: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Puts the figures of a test into the card of a model's folder; only where the same weights were tested."""
    if not (folder / CONFIG_NAME).is_file():
        return
    own, tested = read_folder(folder), checkpoint["state_dict"]
    state = own["state_dict"]
    if state.keys() == tested.keys() and all(torch.equal(state[key], tested[key]) for key in state):
        with whole(folder / "README.md") as temporary:
            temporary.write_text(card(own, results) + "\n", encoding="utf-8")


def read_folder(folder: Path) -> dict[str, Any]:
    """A model's folder as a checkpoint. Raises CheckpointError for any other, and for a damaged one."""
    try:
        config = json.loads((folder / CONFIG_NAME).read_text("utf-8"))
        if not isinstance(config, dict) or "tvau" not in config:
            raise ValueError(f"its {CONFIG_NAME} is not of tvau: is it the checkpoint of an LVLM?")
        weights = (folder / SAFETENSORS_SINGLE_FILE).read_bytes()
        if hashlib.sha256(weights).hexdigest() != config.get("sha256"):
            raise ValueError(f"the checksum of {SAFETENSORS_SINGLE_FILE} is wrong: the file is damaged or another's")
        return {**config, "state_dict": load(weights), "pytorch-lightning_version": lightning.__version__}
    except (OSError, ValueError, SafetensorError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
        raise CheckpointError(
            f"{folder} is no folder of a model ({reason}): expected {CONFIG_NAME} and {SAFETENSORS_SINGLE_FILE}, as "
            "`tvau fit` and `save_pretrained` write them"
        ) from error
