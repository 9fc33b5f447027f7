"""Clips that a test keeps for the report: what was seen, what is true and what was said."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tvau.errors import DataError
from tvau.files import whole
from tvau.viz.report import Case

ARRAYS = ("frames", "pictures", "heatmaps", "mask", "scores", "labels")


def save_case(folder: Path, case: Case) -> None:
    """Writes a case as `{split}_{name}_{first frame}.npz`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    words = json.dumps({"name": case.name, "split": case.split, "turns": list(case.turns)})
    arrays = {key: value for key in ARRAYS if (value := getattr(case, key)) is not None}
    with whole(folder / f"{case.split}_{case.name}_{int(case.frames[0]):06d}.npz") as temporary:
        np.savez_compressed(temporary, words=np.array(words), **arrays)


def load_cases(folder: Path, others: Sequence[tuple[str, Path]] = ()) -> list[Case]:
    """All cases of a folder, one for each window, in order of split and name.

    Args:
        folder: where a test left them.
        others: (method, folder) of further tests of the same clips; their answers are set below ours.
    """
    cases = []
    for path in sorted(folder.glob("*.npz")):
        arrays, words = _read(path)
        turns = [(question, answer, reference) for question, answer, reference in words["turns"]]
        beside = []
        for method, other in others:
            if (other / path.name).is_file():
                said = _read(other / path.name)[1]["turns"]
                beside += [(f"{question} [{method}]", answer, reference) for question, answer, reference in said]
        cases.append(
            Case(
                name=f"{words['name']}, frames {arrays['frames'][0]}-{arrays['frames'][-1]}", split=words["split"],
                frames=arrays["frames"], pictures=arrays["pictures"],
                heatmaps=arrays.get("heatmaps", np.zeros(arrays["pictures"].shape[:3], np.float32)),
                mask=arrays.get("mask"), scores=arrays["scores"], turns=turns, labels=arrays.get("labels"),
                beside=beside,
            )
        )  # fmt: skip
    return cases


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            words = json.loads(str(stored["words"]))
            arrays = {key: stored[key] for key in stored.files if key != "words"}
        if absent := {"frames", "pictures", "scores"} - set(arrays) or {"name", "split", "turns"} - set(words):
            raise ValueError(f"without {', '.join(sorted(absent))}")
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: expected a case of `tvau test` ({error}); delete it and test again.") from error
    return arrays, words
