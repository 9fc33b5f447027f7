"""Kinds of the training left out, to choose what suits kinds that nobody trained: `python benchmarks/left_out.py`.

Two kinds apart (`validation_open`) say little of seven others. Here each kind of the training is left out once: for
every fold a folder with the benchmark's own files and other lists, in which `training` and `validation` lack the fold's
kinds and `left_out` holds them, with as large a share of the normal training videos. No test video is in it.

    python benchmarks/left_out.py data/benchmark data/left_out --folds 3
    tvau table configs/tables/localization --lines recommended,clip_term --out runs/left_out/0 --set data.root=data/left_out/0 'data.test_splits=[left_out]'
    tvau table configs/tables/dialog --lines spotlight,without_prompts --out runs/left_out/0 --set data.root=data/left_out/0 'data.test_splits=[left_out]'
    python benchmarks/left_out.py --scores runs/left_out --against spotlight

The last prints each line's scores, of maps and of words: mean over the folds, and its mean and standard deviation over
the seeds; with a line to set the others against also p, that of a paired bootstrap over the videos of all folds.
"""  # noqa: E501

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable
from functools import reduce
from operator import getitem
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvau.metrics.intervals import paired, read_samples, together

LISTS, DIALOGS = "scripts", "dialogs.jsonl"
SCORES: dict[str, dict[str, tuple[str, ...]]] = {  # of each table
    "localization": {
        "frame AUC": ("frame", "micro_auc"), "RBDC": ("region", "rbdc"), "TBDC": ("region", "tbdc"),
    },
    "dialog": {
        "balanced": ("text", "judgement", "yes_no_balanced"), "Yes/No AUC": ("text", "judgement", "yes_no_auc"),
        "target BLEU-4": ("text", "target", "bleu4"),
        **{slot: ("text", "target", "slots", slot) for slot in ("class", "top", "trousers", "action")},
    },
}  # fmt: skip


def videos_of(world: dict[str, dict[str, object]], split: str) -> dict[str, str | None]:
    """The videos of a split and their kinds; None: normal."""
    return {name: None if v["kind"] is None else str(v["kind"]) for name, v in world.items() if v["split"] == split}


def write(source: Path, target: Path, fold: int, folds: int) -> None:
    """One fold: links to the files of `source`, and lists of its own."""
    world = json.loads((source / "world.json").read_text())["videos"]
    training, validation = (videos_of(world, split) for split in ("training", "validation"))
    kinds = sorted({kind for kind in training.values() if kind})
    away = set(kinds[fold::folds])
    normal = [name for name, kind in training.items() if kind is None]
    out = set(normal[fold::folds]) | {name for name, kind in training.items() if kind in away}
    splits = {
        "training": {name: kind for name, kind in training.items() if name not in out},
        "left_out": {name: kind for name, kind in training.items() if name in out},
        "validation": {name: kind for name, kind in validation.items() if kind not in away},
    }
    (target / LISTS).mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.name.startswith("Scene") or path.name == "world.json":
            (target / path.name).unlink(missing_ok=True)
            (target / path.name).symlink_to(path.resolve())
    for split, videos in splits.items():
        for word, abnormal in (("normal", False), ("abnormal", True)):
            names = [name for name, kind in videos.items() if (kind is not None) is abnormal]
            (target / LISTS / f"{word}_{split}_video_names.txt").write_text("".join(f"{name}\n" for name in names))
    listed = {name for videos in splits.values() for name in videos}  # a dialog of another video would be refused
    turns = (source / DIALOGS).read_text().splitlines(keepends=True)
    (target / DIALOGS).write_text("".join(turn for turn in turns if json.loads(turn)["video"] in listed))
    print(
        f"{target}: without {', '.join(sorted(away))}; {', '.join(f'{s} {len(v)}' for s, v in splits.items())} videos"
    )


def table(runs: Path, of: str, against: str | None) -> str:
    """Markdown: lines of a table, and their scores on kinds that they were not trained on; "" where none was run."""
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(runs.glob(f"*/{of}/*/*/test.json")):
        line, seed = path.parts[-3:-1]
        found[line][seed].append(path.parent)
    folds = {path.name for path in runs.iterdir() if path.is_dir()}
    if short := [
        f"{line}, seed {seed}" for line, own in found.items() for seed, done in own.items() if len(done) < len(folds)
    ]:
        raise SystemExit(
            f"{runs} has {len(folds)} folds, and not all of them are tested for {'; '.join(short)}: run these first"
        )
    lines = [f"| line | {' | '.join(SCORES[of])} |", "|---|" + "--:|" * len(SCORES[of])]
    for line, seeds in found.items():
        cells = []
        for keys in SCORES[of].values():
            means = [fmean(reduce(getitem, keys, tested(fold)[1]) for fold in done) for done in seeds.values()]
            cells.append(f"{fmean(means):.3f}" + (f" ± {stdev(means):.3f}" if len(means) > 1 else ""))
        lines.append(f"| `{line}` | {' | '.join(cells)} |")
        if against in found and line != against:
            other = found[against]
            p = [paired(drawn(seeds.values(), keys), drawn(other.values(), keys)) for keys in SCORES[of].values()]
            lines.append(f"| p against `{against}` | {' | '.join(f'{value:.3f}' for value in p)} |")
    return "\n".join(lines) if found else ""


def tested(run: Path) -> tuple[str, dict[str, Any]]:
    """The line's own method, which comes first in a test, and its scores."""
    method, splits = next(iter(json.loads((run / "test.json").read_text()).items()))
    return method, splits["left_out"]


def drawn(seeds: Iterable[list[Path]], keys: tuple[str, ...]) -> NDArray[np.floating]:
    """[seeds, draws]: a score under resampling of the videos, each the mean over the folds; NaN: not resampled."""

    def of(run: Path) -> NDArray[np.floating]:
        path = (tested(run)[0], "left_out", *(key for key in keys if key != "slots"))
        return read_samples(run).get("/".join(path), np.array([np.nan]))

    return np.stack([together([of(run) for run in folds]) for folds in seeds])


def main() -> None:
    """Writes the folders, or prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", default=Path("data/benchmark"))
    parser.add_argument("target", type=Path, nargs="?", default=Path("data/left_out"))
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--scores", type=Path, help="runs of `tvau table`, a folder a fold: print their table")
    parser.add_argument("--against", help="a line such as spotlight: p-values of the others against it")
    args = parser.parse_args()
    if args.scores is not None:
        lines = {path.parent.parent.name for path in args.scores.glob("*/*/*/*/test.json")}
        if args.against is not None and args.against not in lines:
            parser.error(f"--against {args.against}: expected a line of {args.scores}: {', '.join(sorted(lines))}")
        print("\n\n".join(filter(None, (table(args.scores, of, args.against) for of in SCORES))))
        return
    for fold in range(args.folds):
        write(args.source, args.target / str(fold), fold, args.folds)


if __name__ == "__main__":
    main()
