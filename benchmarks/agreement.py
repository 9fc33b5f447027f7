"""Dialogs made by `tvau annotate` from masks alone beside the synthetic world's own truth.

    python benchmarks/agreement.py data/demo --splits test test_seen

Two rows: targets from the id maps, and targets linked from masks that only tell abnormal from normal.
"""

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

from tvau.commands.annotate import annotate
from tvau.data.dialogs import Dialog, read_dialogs
from tvau.language import slots
from tvau.types import Source

SLOTS = ("start", "end", "direction")


def answers(dialog: Dialog, target: int | None) -> dict[str, str]:
    """Start, end and direction in the trajectory answer about a target."""
    (said,) = [turn.answer for turn in dialog.turns if turn.task == "trajectory" and turn.target == target][:1] or [""]
    return {slot: value for slot, value in slots(said).items() if slot in SLOTS}


def main_target(dialog: Dialog) -> int | None:
    """The target that the judgement names first; None where it says no."""
    return next(turn.target for turn in dialog.turns if turn.task == "judgement")


def compare(made: list[Dialog], world: list[Dialog], same_ids: bool) -> tuple[list[str], list[str]]:
    """A row of the table (windows, yes/no, slots of the main target's trajectory), and the disagreements."""
    ours = {(d.video, d.first): d for d in made}
    both = [(ours[d.video, d.first], d) for d in world if (d.video, d.first) in ours]
    verdict = sum((main_target(a) is None) == (main_target(b) is None) for a, b in both)
    events = [(a, b) for a, b in both if None not in (main_target(a), main_target(b))]
    named = [(answers(a, main_target(a)), answers(b, main_target(b))) for a, b in events]
    # two targets that start and end in the same cells get no turns of their own: no words point at one of them
    said = [(a, b) for a, b in named if a]
    hits = [sum(a.get(slot) == b.get(slot) for a, b in said) for slot in SLOTS]
    same = sum(main_target(a) == main_target(b) for a, b in events) if same_ids else None
    share = [f"{hit / max(len(said), 1):.3f} ({hit}/{len(said)})" for hit in hits]
    targets = "-" if same is None else f"{same}/{len(events)}"
    unlike = [
        f"{b.video} {b.first}..{b.last}: {slot} {x.get(slot)}, in the world {y.get(slot)}"
        for (x, y), (_, b) in zip(named, events, strict=True)
        for slot in SLOTS
        if x and x.get(slot) != y.get(slot)
    ]
    return [f"{len(both)}/{len(world)}", f"{verdict}/{len(both)}", targets, *share], unlike


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="a data set of `tvau synth`")
    parser.add_argument("--splits", nargs="+", default=["test"])
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    print("| targets from | windows with a dialog | same yes/no | same target | start | end | direction |")
    print("|---|---|---|---|---|---|---|")
    sources: list[tuple[Source, str]] = [("ids", "id maps"), ("masks", "abnormal pixels, linked")]
    notes: list[str] = []
    for source, title in sources:
        with tempfile.TemporaryDirectory() as out:
            with contextlib.redirect_stdout(io.StringIO()):
                annotate(
                    "ubnormal", args.root, out, targets=source, splits=args.splits, balance=False, limit=args.limit
                )
            made = read_dialogs(Path(out) / "dialogs.jsonl")
        names = {dialog.video for dialog in made}
        world = [dialog for dialog in read_dialogs(Path(args.root) / "dialogs.jsonl") if dialog.video in names]
        row, unlike = compare(made, world, source == "ids")
        print(f"| {title} | " + " | ".join(row) + " |", flush=True)
        notes += unlike
    print("\n" + "\n".join(f"- {note}" for note in notes))


if __name__ == "__main__":
    main()
