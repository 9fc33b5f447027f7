"""Kinds of the training left out, to choose what suits kinds that nobody trained: `python benchmarks/left_out.py`.

Two kinds apart (`validation_open`) say little of seven others. Here each kind of the training is left out once: for
every fold a folder with the benchmark's own files and other lists, in which `training` and `validation` lack the fold's
kinds and `left_out` holds them, with as large a share of the normal training videos. No test video is in it.

    python benchmarks/left_out.py data/benchmark data/left_out --folds 3
    tvau table configs/tables/localization --lines recommended,time --out runs/left_out/0 --set data.root=data/left_out/0 'data.test_splits=[left_out]'
"""  # noqa: E501

import argparse
import json
from pathlib import Path

LISTS = "scripts"


def kinds_of(world: dict[str, dict[str, object]], split: str) -> dict[str, str | None]:
    """The videos of a split and their kinds; None: normal."""
    return {name: None if v["kind"] is None else str(v["kind"]) for name, v in world.items() if v["split"] == split}


def write(source: Path, target: Path, fold: int, folds: int) -> None:
    """One fold: links to the files of `source`, and lists of its own."""
    world = json.loads((source / "world.json").read_text())["videos"]
    training, validation = (kinds_of(world, split) for split in ("training", "validation"))
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
        if path.name.startswith("Scene") or path.name == "world.json":  # dialogs name videos that are in no list here
            (target / path.name).unlink(missing_ok=True)
            (target / path.name).symlink_to(path.resolve())
    for split, videos in splits.items():
        for word, abnormal in (("normal", False), ("abnormal", True)):
            names = [name for name, kind in videos.items() if (kind is not None) is abnormal]
            (target / LISTS / f"{word}_{split}_video_names.txt").write_text("".join(f"{name}\n" for name in names))
    print(
        f"{target}: without {', '.join(sorted(away))}; {', '.join(f'{s} {len(v)}' for s, v in splits.items())} videos"
    )


def main() -> None:
    """Writes the folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", default=Path("data/benchmark"))
    parser.add_argument("target", type=Path, nargs="?", default=Path("data/left_out"))
    parser.add_argument("--folds", type=int, default=3)
    args = parser.parse_args()
    for fold in range(args.folds):
        write(args.source, args.target / str(fold), fold, args.folds)


if __name__ == "__main__":
    main()
