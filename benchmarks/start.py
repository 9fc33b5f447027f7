"""From `import tvau` to the first answer: `python benchmarks/start.py` splits it into its parts, nano on one video.

Each round is a process of its own, so that nothing is warm but the disk; the median counts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROUND = """
import json, sys, time
taken, last = {}, time.perf_counter()
def part(name):
    global last
    now = time.perf_counter()
    taken[name], last = now - last, now
import tvau
part("import tvau")
import torch, transformers
part("torch and transformers")
import tvau.conversation
part("the rest of the imports")
model = tvau.load()
part("load")
assert tvau.load() is model
part("load again")
talk = model.open(sys.argv[1], stride=4, quiet=True)
part("open (2 windows)")
talk.ask("Is there any anomaly in the video?")
part("first answer")
talk.ask("What is its movement trajectory?")
part("second answer")
json.dump(taken, sys.stdout)
"""


def main(rounds: int) -> None:
    """Prints a Markdown table."""
    from tvau.world import write

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), {"test": 2}, seed=1, progress=False)
        video = next(Path(folder).glob("Scene*/abnormal*.mp4"))
        every = [
            json.loads(
                subprocess.run([sys.executable, "-c", ROUND, str(video)], capture_output=True, check=True).stdout
            )
            for _ in range(rounds)
        ]
    print("| part | seconds |\n|---|--:|")
    parts = {name: median(one[name] for one in every) for name in every[0]}
    for name, seconds in parts.items():
        print(f"| {name} | {seconds:.2f} |")
    print(f"| to the first answer | {sum(parts.values()) - parts['second answer']:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    main(**vars(parser.parse_args()))
