"""What nano's frozen features know: linear probes on its vision tower and on its language model.

    python benchmarks/probes.py                       # the shipped weights
    python benchmarks/probes.py other/nano --clips 400

Every object of a clip is one sample for each of three time steps: the mean of its cells' features. Logistic regressions
learn its class, action, colours, the ground under it and its cell of a 3x3 grid from some clips of the held-out scenes
and are scored on others; nothing of these scenes or seeds was in the pretraining. "constant" is the commonest answer of
the test clips. A probe can read where an object ends only from features that saw all time steps: the language model's.
"""

import argparse
import warnings
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from tvau.backbones import Qwen25VL
from tvau.nano.dense import ATTRIBUTES, cell_labels
from tvau.nano.stream import HELD_OUT, Stage, SyntheticClips
from tvau.types import Batch, Turn, clip_rates

ASKED = ("noun", "action", "colour", "trousers", "ground", "place", "start", "end", "direction")
SEED = 9 * 10**14  # of the clips: neither those of the pretraining nor those of its validation and test
STEPS = (0, 4, 7)  # time steps at which an object becomes a sample


def places(batch: Batch) -> dict[str, Tensor]:
    """Features are read at the tower's patches and at the visual tokens; each has its own grid: {name: ids}."""
    height, width = batch["video"].shape[-2:]
    return {
        kind: cell_labels(batch, 8, (height // cell, width // cell))[0]
        for kind, cell in (("tower", 8), ("language", 16))
    }


def features(backbone: Qwen25VL, batch: Batch) -> dict[str, Tensor]:
    """Hidden states by name, each [B, T', h, w, D]."""
    dialogs = [[Turn(task="", question="?", answer="")] for _ in batch["name"]]
    inputs = backbone.prepare(batch["video"], dialogs, 0, clip_rates(batch))
    vision = backbone.encode(inputs)
    out = {f"tower block {k}": hidden.movedim(2, -1) for k, hidden in vision.hidden.items()}
    visual = inputs["input_ids"] == backbone.lm.config.video_token_id
    times, rows, columns = backbone.grid(batch["video"].shape[1], *batch["video"].shape[-2:])
    shape = (len(visual), times, rows // 2, columns // 2, -1)
    for k, states in enumerate(backbone.hidden_states(inputs, vision, every=True)):
        out[f"language layer {k}" if k else "visual tokens"] = states[visual].reshape(shape)
    return out


def samples(
    backbone: Qwen25VL, clips: SyntheticClips
) -> Iterator[tuple[dict[str, NDArray[np.float32]], dict[str, int]]]:
    """Features by name and labels by question (-1 unknown) of every object at every chosen time step."""
    names = list(ATTRIBUTES)
    for i in tqdm(range(len(clips)), desc="clips", leave=False):
        batch = clips[i]
        grids = places(batch)
        with torch.inference_mode():
            states = features(backbone, batch)
        for b in range(len(batch["name"])):
            for ident in range(1, int(grids["language"][b].max()) + 1):
                for t in STEPS:
                    own = {kind: (ids[b, t] == ident).nonzero() for kind, ids in grids.items()}
                    if not all(len(cells) for cells in own.values()):
                        continue
                    rows, columns = grids["tower"].shape[2:]
                    y, x = own["tower"].float().mean(0)
                    known = batch["objects"][b, ident]
                    labels = {name: int(known[names.index(name)]) for name in ASKED if name != "place"}
                    labels["place"] = int(y * 3 / rows) * 3 + int(x * 3 / columns)
                    yield (
                        {
                            name: h[b, t][tuple(own["tower" if name.startswith("tower") else "language"].T)]
                            .mean(0)
                            .numpy()
                            for name, h in states.items()
                        },
                        labels,
                    )


def collect(
    backbone: Qwen25VL, clips: SyntheticClips
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.int64]]]:
    """All samples of some clips as arrays: features [n, D] by name, labels [n] by question."""
    rows: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    labels: dict[str, list[int]] = defaultdict(list)
    for feature, label in samples(backbone, clips):
        for name, row in feature.items():
            rows[name].append(row)
        for name, value in label.items():
            labels[name].append(value)
    return {k: np.stack(v) for k, v in rows.items()}, {k: np.array(v) for k, v in labels.items()}


def main() -> None:
    """Prints accuracy (balanced accuracy) for every question and every place where features are read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default="backbones/nano")
    parser.add_argument("--clips", type=int, default=240, help="clips that teach; half as many are tested")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")  # a rare class that no test clip shows
    backbone = Qwen25VL(args.checkpoint, [1, 2, 4, 6])
    train, test = (
        collect(backbone, SyntheticClips([Stage(n // 8, 8, 8, crowd=(0, 5))], (96, 160), SEED + first, HELD_OUT))
        for n, first in ((args.clips, 0), (args.clips // 2, 10**9))
    )
    print(
        f"{args.checkpoint}: {len(train[1]['noun'])} samples teach, {len(test[1]['noun'])} are tested; "
        "accuracy (mean over the classes)"
    )
    print("| read from | " + " | ".join(ASKED) + " |\n|---|" + "--:|" * len(ASKED))
    known = {name: (train[1][name] >= 0, test[1][name] >= 0) for name in ASKED}
    constant = [np.bincount(test[1][name][known[name][1]]).max() / known[name][1].sum() for name in ASKED]
    print("| constant | " + " | ".join(f"{share:.2f}" for share in constant) + " |")
    for place in train[0]:
        cells = []
        for name in ASKED:
            learn, ask = known[name]
            probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
            probe.fit(train[0][place][learn], train[1][name][learn])
            truth, said = test[1][name][ask], probe.predict(test[0][place][ask])
            cells.append(f"{accuracy_score(truth, said):.2f} ({balanced_accuracy_score(truth, said):.2f})")
        print(f"| {place} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
