"""What the cache of vision passes saves: `python benchmarks/cache.py [data/demo]` times a step of stage 1.

nano, clips of 16 frames of 96x160 pixels, batches of 8. Seconds are those of the processor (all threads together), so
that other work on the machine hardly counts: a training step as it is; the same with the tower's pass from an empty
cache, which computes and writes; the same with a full one; and their parts. `--blocks` says which blocks are read.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from tvau.backbones import Qwen25VL
from tvau.data import UBnormal
from tvau.data.module import collate
from tvau.losses import map_loss
from tvau.tasks import HeatmapTask
from tvau.types import Batch

NANO = Path(__file__).parents[1] / "backbones" / "nano"


def seconds(work: Callable[[Batch], object], batches: list[Batch]) -> float:
    """Median of the processor's seconds for a batch."""
    taken = []
    for batch in batches:
        start = time.process_time()
        work(batch)
        taken.append(time.process_time() - start)
    return median(taken)


def step(task: HeatmapTask) -> Callable[[Batch], None]:
    """A training step without the optimizer."""

    def work(batch: Batch) -> None:
        map_loss(task.model.maps(batch).logit, batch["mask"]).backward()
        task.zero_grad()

    return work


def main(root: str, count: int, blocks: list[int]) -> None:
    """Prints a Markdown table."""
    torch.manual_seed(0)
    data = UBnormal(root, test_splits=["training"], num_workers=0)
    data.setup("test")
    samples = [data.splits["training"][i] for i in torch.randperm(len(data.splits["training"]))[: 8 * count]]
    batches = [collate(samples[i : i + 8]) for i in range(0, 8 * count, 8)]
    with tempfile.TemporaryDirectory() as folder:
        plain, cached = Qwen25VL(str(NANO), blocks=blocks), Qwen25VL(str(NANO), blocks=blocks, cache=folder)
        tasks = [HeatmapTask(plain), HeatmapTask(cached), HeatmapTask(cached)]
        for task in tasks:
            task.read()
        plain.mute()
        cached.mute()
        step(tasks[0])(batches[0])  # warm
        rows = {
            "step without cache": seconds(step(tasks[0]), batches),
            "step, cache empty": seconds(step(tasks[1]), batches),
            "step, cache full": seconds(step(tasks[2]), batches),
            "of these: pixels": seconds(lambda b: plain.pixels(b["video"]), batches),
            "of these: pixels and tower": seconds(lambda b: plain.encode({"video": b["video"]}), batches),
            "of these: reading the cache": seconds(lambda b: cached.encode({"video": b["video"]}), batches),
        }
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / len(samples)
    print("| | seconds |\n|---|--:|")
    for name, value in rows.items():
        print(f"| {name} | {value:.3f} |")
    print(f"\n{size / 1e6:.1f} MB a clip on disk; {torch.get_num_threads()} threads, {count} batches of 8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", default="data/demo")
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1, 2, 4, 6])
    given = parser.parse_args()
    main(given.root, given.batches, given.blocks)
