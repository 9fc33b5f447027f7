"""Real processes give what one gives, also where one of them saw nothing and where a sampler repeats a clip."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torchmetrics import Metric

from tvau.metrics import FrameScores, PixelScores, RegionScores, TextScores

CLIPS = 3


def update(metrics: list[Metric], clip: int) -> None:
    rng = torch.Generator().manual_seed(clip)
    masks = torch.rand(1, 5, 6, 8, generator=rng) < 0.3
    heatmaps = torch.rand(1, 5, 6, 8, generator=rng)
    labels = torch.tensor([[False, True, True, False, clip == 0]])
    frames, pixels, regions, texts = metrics
    name, numbers = [f"video {clip % 2}"], torch.arange(5)[None] + 5 * clip
    frames.update(name, numbers, heatmaps.amax((2, 3)), labels)
    pixels.update(heatmaps, masks, name, numbers)
    found = [np.array([[0.0, 0.0, 4.0, t, t / 5]]) for t in range(5)]
    regions.update(name, numbers, [found], [np.array([[1, t, 0, 0, 3, clip] for t in range(3)])])
    texts.update(["target"], [f"A red car number {clip}."], ["A red car is parking."], [f"{name[0]}:{5 * clip}"])


def results(clips: list[int]) -> str:
    metrics: list[Metric] = [FrameScores(), PixelScores(), RegionScores(), TextScores(bootstrap=5)]
    for clip in clips:
        update(metrics, clip)
    return json.dumps([metric.compute() for metric in metrics])


def worker(rank: int, shares: list[list[list[int]]], folder: str) -> None:
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    for i, share in enumerate(shares[rank]):
        Path(folder, f"{i}-{rank}.json").write_text(results(share))
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    shares = [[[0, 2], [0, 1, 2], [0, 2]], [[1], [], [1, 0]]]  # an uneven split, one without anything, a clip repeated
    torch.multiprocessing.start_processes(worker, (shares, str(tmp_path)), nprocs=2, start_method="fork")
    alone = results(list(range(CLIPS)))
    for i in range(3):
        for rank in range(2):
            assert Path(tmp_path, f"{i}-{rank}.json").read_text() == alone
