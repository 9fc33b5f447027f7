"""`tvau table`: every line of a table with every seed, fitted and tested, then gathered. It can be stopped and resumed.

A line's run leaves in `<out>/<table>/<line>/<seed>/`: last.ckpt (the end of its fit), test.json, cost.json, log.txt,
and made.json, by which it is recognized. In a line's own config (not in base.yaml), {seed}, {run} and {out} stand for
the seed, that folder and `<out>`: so a line can begin with a checkpoint of another table.
"""

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import yaml

from tvau.commands.figures import Plan, read_plan, write_table
from tvau.errors import DataError, OptionError
from tvau.files import whole
from tvau.signals import Children

Step = Callable[[Sequence[str], IO[bytes]], None]  # runs a command of tvau, its output goes to a file
CHECKPOINT, LOG = "last.ckpt", "log.txt"


def table(
    folder: str,
    seeds: str = "0,1,2",
    out: str = "runs/tables",
    lines: str | None = None,
    set: list[str] | None = None,
    jobs: int = 1,
    against: str | None = None,
) -> None:
    """Runs a table's lines with several seeds and writes table.md, table.json and table.png; what is done stays.

    Args:
        folder: of the table, such as configs/tables/localization.
        seeds: of the runs, such as 0,1,2; the data stay the same.
        out: where the table gets a folder of its own.
        lines: only these, such as ahd,block_1; the table shows what is there.
        set: settings for every fit and test, such as trainer.max_epochs=1 data.limit=8.
        jobs: runs at a time, each on its share of the cores.
        against: the row, as the table names it, that p-values set the others against; None: that of table.yaml.

    Raises:
        DataError: no such table, line or row, results that were made with other settings, or runs that failed. Of lines
            that are not asked for but shown, other settings are named below the table.
    """
    if jobs < 1:
        raise OptionError(f"--jobs {jobs}: expected one run at a time or more")
    plan = read_plan(Path(folder), against)
    numbers = [int(seed) for seed in _words(seeds, "seeds", str.isdecimal)]
    wanted = list(plan.lines) if lines is None else _words(lines, "lines", plan.lines.__contains__)
    place = Path(out) / Path(folder).resolve().name
    children = Children()
    step = in_process(children, max((os.cpu_count() or 1) // jobs, 1))
    runs = [
        Run(plan, line, seed, place / line / str(seed), Path(out), set or []) for seed in numbers for line in wanted
    ]
    todo = [run for run in runs if not run.done()]
    print(f"{plan.title}: {len(runs)} runs, {len(runs) - len(todo)} of them done; results in {place}", flush=True)
    failed: list[str] = []

    def work(at: int) -> None:
        run, start = todo[at], time.monotonic()
        try:
            run.make(step)
            end = "done"
        except Exception as error:  # the other runs go on; what failed is named at the end
            failed.append(f"{run.name} ({error})")
            end = "FAILED"
        print(f"[{at + 1}/{len(todo)}] {run.name}: {end} after {time.monotonic() - start:.0f} s", flush=True)

    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        try:
            list(pool.map(work, range(len(todo))))
        except BaseException:  # the running commands save what they have, and no other is begun
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()
            raise
    print(f"\n{write_table(plan, place, numbers)}\nresults: {place / 'table.md'}")
    shown = [
        Run(plan, line, seed, place / line / str(seed), Path(out), set or [])
        for line in plan.lines if line not in wanted for seed in numbers
    ]  # fmt: skip
    if others := [run.name for run in shown if run.differs() and (run.folder / "test.json").is_file()]:
        print(f"made with another config, --set or stage 1 than those given now: {'; '.join(others)}")
    if failed:
        raise DataError(f"{len(failed)} of {len(runs)} runs failed: {'; '.join(sorted(failed))}")


def _words(text: str, what: str, known: Callable[[str], bool]) -> list[str]:
    words = text.split(",")
    if wrong := [word for word in words if not known(word)]:
        raise DataError(f"--{what} {text}: {', '.join(map(repr, wrong))} is none of the table's; give {what} as a,b,c")
    return list(dict.fromkeys(words))


@dataclass(frozen=True)
class Run:
    """One line with one seed."""

    plan: Plan
    line: str
    seed: int
    folder: Path
    out: Path
    settings: Sequence[str]

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.line}, seed {self.seed}"

    def made(self) -> dict[str, Any]:
        """What the run is made of: base, line, settings, and the maps of the stage 1 that the line names."""
        base, line = (
            yaml.safe_load(text)
            for text in ((self.plan.folder / "base.yaml").read_text(encoding="utf-8"), self.filled())
        )
        said = [setting.partition("=")[2] for setting in self.settings if setting.startswith("model.heatmap=")]
        stated = [((part or {}).get("model") or {}).get("init_args", {}).get("heatmap") for part in (base, line)]
        start = Path(str(next(filter(None, [*said, *reversed(stated)]), None)))
        maps = {"maps": sha256(start.read_bytes()).hexdigest()} if start.is_file() else {}
        return {"base": base, "line": line, "set": list(self.settings), **maps}

    def filled(self) -> str:
        """The line's config, its placeholders filled in."""
        text = (self.plan.folder / f"{self.line}.yaml").read_text(encoding="utf-8")
        for name, value in {"seed": self.seed, "run": self.folder, "out": self.out}.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def done(self) -> bool:
        """Whether its results are there.

        Raises:
            DataError: they are, but were made with other configs, settings or maps; of maps that are gone, or that an
                older run does not name, nothing is said.
        """
        stated, tested = self.folder / "made.json", (self.folder / "test.json").is_file()
        if not tested and not (self.folder / CHECKPOINT).is_file():
            return False
        if self.differs():
            raise DataError(
                f"{self.folder} was made with another base.yaml, {self.line}.yaml, --set or checkpoint of stage 1 than "
                f"those given now ({stated} holds them): remove the folder, or choose another one with --out"
            )
        return tested

    def differs(self) -> bool:
        """Whether it was made with other configs, settings or maps than those given now."""
        stated = self.folder / "made.json"
        made, now = json.loads(stated.read_text()) if stated.is_file() else {}, json.loads(json.dumps(self.made()))
        return not made or any(made[key] != now[key] for key in made.keys() & now.keys())

    def make(self, step: Step) -> None:
        """Fits, where there is something to fit that is not there yet, and tests.

        Raises:
            DataError: a command failed (its output is in the run's log.txt), or another table is at it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOG).open("ab") as log:
            try:  # a command holds the lock too, as its output goes there: so does one that a killed table has left
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(f"{self.folder} is in the hands of another process; wait for it, or stop it") from error
            if not self.done():
                self._make(step, log)

    def _make(self, step: Step, log: IO[bytes]) -> None:
        checkpoint = self.folder / CHECKPOINT
        if not checkpoint.is_file():  # what an interrupted fit has left
            for left in self.folder.iterdir():
                if left.is_dir():
                    shutil.rmtree(left)
                elif left.name != LOG:
                    left.unlink()
        with whole(self.folder / "made.json") as temporary:
            temporary.write_text(json.dumps(self.made(), indent=2))
        if self.plan.lines[self.line] and not checkpoint.is_file():
            csv = ["=lightning.pytorch.loggers.CSVLogger", f".save_dir={self.folder}", ".name=log", ".version=csv"]
            step(["fit", *self.arguments(), *(f"--trainer.logger{word}" for word in csv)], log)
            found = sorted(self.folder.rglob(CHECKPOINT))
            if len(found) != 1:
                raise DataError(
                    f"{self.folder}: {len(found)} files {CHECKPOINT} after the fit, expected one; base.yaml needs a "
                    "ModelCheckpoint with save_last and without dirpath"
                )
            os.replace(found[0], checkpoint)
        trained = [f"--ckpt_path={checkpoint}"] if checkpoint.is_file() else []
        step(["test", *self.arguments(), "--trainer.logger=false", *trained], log)

    def arguments(self) -> list[str]:
        """The configs and flags of both commands."""
        line = self.plan.folder / f"{self.line}.yaml"
        if line.read_text(encoding="utf-8") != self.filled():  # paths of files in it now begin at the run's folder
            line = self.folder / "line.yaml"
            line.write_text(self.filled(), encoding="utf-8")
        return [
            f"--config={self.plan.folder / 'base.yaml'}", f"--config={line}", f"--seed_everything={self.seed}",
            f"--data.seed={self.seed}", f"--trainer.default_root_dir={self.folder}",
            "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
            *(f"--{setting}" for setting in self.settings),
        ]  # fmt: skip


def in_process(children: Children, cores: int) -> Step:
    """Each command in a process of its own, so that its peak memory is its own."""

    def step(args: Sequence[str], log: IO[bytes]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(cores)}
        log.write(f"$ tvau {' '.join(args)}\n".encode())
        log.flush()
        code = children.run([sys.executable, "-m", "tvau.cli", *args], stdout=log, stderr=log, env=environment)
        if code:
            last = [line for line in Path(log.name).read_text(errors="replace").splitlines() if line.strip()][-1]
            raise DataError(f"tvau {args[0]} ended with {code}: {last}; see {log.name}")

    return step
