"""The memory of normal tokens: exact search in its bank beside faiss' approximate ones, side by side in one run.

python benchmarks/search.py          # needs UCSD Ped2, and faiss: pip install faiss-cpu

The bank holds tokens of Ped2's training clips, chosen at random, and is asked for those of a test clip. Told for each
search: its time over that of the exact one (median of rounds), how many distances are within 1 % of the exact ones, and
the time in which faiss builds its index over that of the exact search for one clip.
"""

import argparse
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from tvau.backbones.preset import load_preset
from tvau.data import UCSDPed
from tvau.memory import Memory, nearest

ROUNDS, CLIPS = 5, 12

Search = Callable[[Tensor], Tensor]  # distances [n] of tokens [n, d] to the nearest of the bank


def searches(bank: Tensor) -> dict[str, tuple[Search, float]]:
    """By name, each with the seconds in which its index was built."""
    import faiss

    size, lists = bank.shape[1], round(len(bank) ** 0.5)
    flat = faiss.IndexFlatL2(size)
    parted = faiss.IndexIVFFlat(flat, size, lists)
    parted.nprobe = 4
    indices = {
        "faiss, exact": faiss.IndexFlatL2(size),
        f"faiss, 4 of {lists} lists": parted,
        "faiss, graph (HNSW 32)": faiss.IndexHNSWFlat(size, 32),
    }
    found: dict[str, tuple[Search, float]] = {"exact (tvau)": (lambda tokens: nearest(tokens, bank), 0.0)}
    for name, index in indices.items():
        begun = perf_counter()
        index.train(bank.numpy())
        index.add(bank.numpy())

        def ask(tokens: Tensor, index: Any = index) -> Tensor:
            return torch.from_numpy(index.search(tokens.numpy(), 1)[0][:, 0]).clamp(min=0).sqrt()

        found[name] = ask, perf_counter() - begun
    return found


@torch.no_grad()
def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--banks", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--root", default="../shared/data/ucsd_ped2", help="folder of UCSD Ped2")
    parser.add_argument("--backbone", default="backbones/nano.yaml", help="preset of the LVLM")
    args = parser.parse_args()
    torch.manual_seed(0)
    lvlm = load_preset(args.backbone)
    lvlm.mute()
    memory = Memory(lvlm.vision_size, lvlm.blocks[-1:], 1)
    data = UCSDPed(args.root, protocol="official", size=(160, 240), stride=2)

    def tokens(split: str, count: int) -> Tensor:
        clips = data.split(split)
        chosen = [clips[at * len(clips) // count]["video"] for at in range(count)]
        return torch.cat([memory.tokens(lvlm.encode({"video": clip[None]}).hidden).flatten(0, 3) for clip in chosen])

    known, asked = tokens("training", CLIPS), tokens("test", 1)
    for size in args.banks:
        made = searches(known[torch.randperm(len(known))[:size]])
        seconds: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(ROUNDS):
            for name, (search, _) in made.items():
                begun = perf_counter()
                distances = search(asked)
                seconds[name].append(perf_counter() - begun)
        exact, _ = made["exact (tvau)"]
        base = sorted(seconds["exact (tvau)"])[ROUNDS // 2]
        print(f"bank of {size}, {len(asked)} tokens of {asked.shape[1]} numbers:")
        for name, (search, built) in made.items():
            distances = search(asked)
            close = torch.isclose(distances, exact(asked), rtol=0.01, atol=0)
            ratio = sorted(seconds[name])[ROUNDS // 2] / base
            print(f"  {name:24} time {ratio:.2f}, right to 1 % {close.float().mean():.3f}, index {built / base:.1f}")


if __name__ == "__main__":
    main()
