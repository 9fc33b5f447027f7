"""The README's picture of cases: `python benchmarks/cases.py runs/demo/dialog/cases docs/demo_cases.jpg`.

The first abnormal clips that the test kept, not chosen, each at its hottest frame: picture, true outline, heatmap. What
was answered about them is printed.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from tvau.viz.cases import load_cases
from tvau.viz.overlay import beside, contour, heat


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--rows", type=int, default=6)
    args = parser.parse_args()
    cases = [case for case in load_cases(args.cases) if case.mask is not None and case.mask.any()]
    rows = []
    for case in cases[: args.rows]:
        hottest = int(case.heatmaps.max((1, 2)).argmax())
        picture = case.pictures[hottest]
        mask = case.mask[hottest] if case.mask is not None else np.zeros(picture.shape[:2], bool)
        rows.append(beside([picture, contour(picture, mask), heat(picture, case.heatmaps[hottest])]))
        print(f"\n{case.name} ({case.split}), frame {int(case.frames[hottest])}")
        for question, answer, reference in case.turns:
            print(f"  {question}\n    said: {answer}\n    true: {reference}")
    cv2.imwrite(str(args.picture), np.concatenate(rows)[..., ::-1])


if __name__ == "__main__":
    main()
