"""A fit may be stopped at any time: it goes on as if it had never stopped, and its log with it."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import Demo, stage_one
from tvau.backbones import Qwen25VL
from tvau.data.module import ClipDataset
from tvau.tasks import DialogTask, HeatmapTask
from tvau.tasks.checkpoints import read_checkpoint

TIMEOUT = 120


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    """Six training clips: an epoch is three steps of two."""
    demo = Demo(tmp_path_factory.mktemp("resume"), checkpoint, root / "configs" / "synthetic", videos=3)
    stage_one(Qwen25VL(str(checkpoint), blocks=[1, 2]), demo.folder / "maps.ckpt")
    return demo


def words(folder: Path, epochs: int = 2, minutes: float = 10) -> list[str]:
    """All that a run leaves is in `folder`."""
    last = {"class_path": "tvau.tasks.LastCheckpoint", "init_args": {"dirpath": str(folder), "minutes": minutes}}
    log = {
        "class_path": "tvau.tasks.MetricsLogger",
        "init_args": {"save_dir": str(folder), "name": "", "version": "csv"},
    }
    return [
        f"--trainer.default_root_dir={folder}", f"--trainer.callbacks=[{json.dumps(last)}]",
        f"--trainer.logger={json.dumps(log)}", "--trainer.log_every_n_steps=1", "--trainer.max_steps=-1",
        f"--trainer.max_epochs={epochs}",
    ]  # fmt: skip


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "csv" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class Stop:
    """Sends a signal to this very process in a training or validation step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch

    def __call__(self, step: str, at: int, number: signal.Signals) -> None:
        seen = iter(range(1, 1000))
        for task in (HeatmapTask, DialogTask):
            original: Callable[..., Any] = getattr(task, step)

            def stopping(task: Any, *args: Any, original: Callable[..., Any] = original) -> Any:
                if not task.trainer.sanity_checking and next(seen) == at:
                    signal.raise_signal(number)
                return original(task, *args)

            self.patch.setattr(task, step, stopping)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    return Stop(monkeypatch)


PLAIN, BALANCED = "--data.balance=false", "--data.balance=true"
DIALOG = ("dialog", BALANCED, "--model.heatmap=maps.ckpt", "--model.lora_dropout=0.3", "--data.num_workers=2")
STOPS = {
    "in an epoch": (("heatmap", PLAIN), "training_step", 2),
    "in an epoch, balanced": (("heatmap", BALANCED), "training_step", 5),
    "in an epoch, with decoders of folds": (
        ("heatmap", BALANCED, "--model.folds=2", "--model.context=time", "--model.clip_weight=0.2"), "training_step", 5,
    ),
    "at an epoch's end": (("heatmap", PLAIN), "training_step", 3),
    "at an epoch's end, balanced": (("heatmap", BALANCED), "training_step", 3),
    "in its validation": (("heatmap", PLAIN), "validation_step", 1),
    "between two steps' batches": (("heatmap", PLAIN, "--trainer.accumulate_grad_batches=2"), "training_step", 4),
    "stage 2, between two steps' batches": ((*DIALOG, "--trainer.accumulate_grad_batches=2"), "training_step", 4),
    "stage 2, in an epoch": (DIALOG, "training_step", 2),
    "stage 2, at an epoch's end": (DIALOG, "training_step", 3),
}  # fmt: skip
WHOLE: dict[tuple[str, ...], Path] = {}  # runs that nobody stopped


@pytest.mark.parametrize("where", STOPS)
def test_a_stopped_fit_ends_where_it_would_have_ended(
    demo: Demo, stop: Stop, where: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (config, *options), step, at = STOPS[where]
    if (config, *options) not in WHOLE:
        WHOLE[config, *options] = demo.folder / str(len(WHOLE))
        demo("fit", config, *options, *words(WHOLE[config, *options]))
    stop(step, at, signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        demo("fit", config, *options, *words(tmp_path))
    stop.patch.undo()
    assert end.value.code == 128 + signal.SIGTERM
    middle = read_checkpoint(tmp_path / "last.ckpt")
    assert 0 < middle["global_step"] < 6
    demo("fit", config, *options, *words(tmp_path), f"--ckpt_path={tmp_path / 'last.ckpt'}")
    expected, found = (read_checkpoint(folder / "last.ckpt") for folder in (WHOLE[config, *options], tmp_path))
    assert found["global_step"] == expected["global_step"]
    assert found["rules"] == expected["rules"]
    for name, weights in expected["state_dict"].items():
        torch.testing.assert_close(found["state_dict"][name], weights, rtol=1e-6, atol=1e-7, msg=name)
    assert [row["step"] for row in rows(tmp_path)] == [row["step"] for row in rows(WHOLE[config, *options])]
    assert not [str(w.message) for w in recwarn if "resumable" in str(w.message)]


def test_a_fit_that_begins_anew_has_a_log_of_its_own(demo: Demo, tmp_path: Path) -> None:
    for epochs in (2, 1):
        demo("fit", "heatmap", *words(tmp_path, epochs))
    assert {int(row["step"]) for row in rows(tmp_path)} == {0, 1, 2}


def test_an_error_keeps_what_was_learned_before_it(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, seen = ClipDataset.sample, iter(range(1000))

    def broken(dataset: ClipDataset, clip: Any) -> Any:
        if clip.name.startswith("abnormal") and next(seen) > 8:
            raise OSError(5, "the disk is gone")
        return read(dataset, clip)

    monkeypatch.setattr(ClipDataset, "sample", broken)
    with pytest.raises(SystemExit, match="the disk is gone"):
        demo("fit", "heatmap", PLAIN, "--data.in_memory=false", *words(tmp_path, epochs=9))
    stored = read_checkpoint(tmp_path / "last.ckpt")
    assert stored["global_step"] > 3
    assert stored["global_step"] % 3 != 0  # not only what the last epoch left


def test_a_full_disk_is_one_sentence_and_leaves_the_file_that_was_there(demo: Demo, tmp_path: Path) -> None:
    demo("fit", "heatmap", *words(tmp_path, 1))
    before = (tmp_path / "last.ckpt").read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limit[1]))  # no file may be larger
    try:
        with pytest.raises(SystemExit) as end:
            demo("fit", "heatmap", *words(tmp_path, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert str(end.value.code).startswith(f"tvau: {tmp_path / 'last.ckpt'} cannot be written (File too large)")
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert not list(tmp_path.glob(".last*"))


# ---- killed from outside ----


def started(demo: Demo, folder: Path, *more: str) -> subprocess.Popen[str]:
    """A long fit in a process of its own, as a shell starts it."""
    command = [
        sys.executable, "-m", "tvau.cli", "fit", f"--config={demo.configs / 'heatmap.yaml'}",
        f"--model.backbone={demo.preset}", "--data.root=world", "--data.size=[32,64]", "--data.batch_size=2",
        "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", *words(folder, 1000, minutes=0), *more,
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=demo.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )


def children(of: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(of)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


def wait(until: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + TIMEOUT
    while not until():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "status"), [("SIGKILL", -9), ("SIGTERM", 143), ("SIGINT", 130)])
def test_a_killed_fit_can_be_resumed(demo: Demo, tmp_path: Path, number: str, status: int) -> None:
    run, last = started(demo, tmp_path, "--data.num_workers=1"), tmp_path / "last.ckpt"
    try:
        wait(lambda: last.is_file() or run.poll() is not None, "nothing was saved")
        assert run.poll() is None, run.stderr.read() if run.stderr else ""
        workers = children(run.pid)
        if number == "SIGKILL":
            run.kill()
        else:  # as a terminal or a scheduler sends it: to the workers too
            os.killpg(run.pid, getattr(signal, number))
        _, said = run.communicate(timeout=TIMEOUT)
    finally:
        run.kill()
    assert run.returncode == status
    if number != "SIGKILL":  # nobody asks a killed process for its manners: its worker may find the line cut
        assert "Traceback" not in said
    assert workers
    wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "workers are left")
    stored = read_checkpoint(last)
    earlier = [int(row["step"]) for row in rows(tmp_path)]
    cli = demo("fit", "heatmap", *words(tmp_path, stored["epoch"] + 1), "--data.num_workers=1", f"--ckpt_path={last}")
    assert cli.trainer.global_step > stored["global_step"] or stored["global_step"] % 3 == 0
    found = [int(row["step"]) for row in rows(tmp_path)]
    assert sorted(found) == found
    assert set(range(stored["global_step"])) <= set(found)
    assert earlier[0] == 0


def test_ddp_validates_where_a_process_has_no_clip_and_stops_as_one(demo: Demo, tmp_path: Path) -> None:
    """One validation video for two processes; SIGTERM to the first of them."""
    run, last = started(
        demo, tmp_path, "--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.limit_train_batches=1",
        "--trainer.num_sanity_val_steps=0", '--data.limit={"validation": 1}',
    ), tmp_path / "last.ckpt"  # fmt: skip
    try:
        wait(lambda: run.poll() is not None or (last.is_file() and read_checkpoint(last)["epoch"] > 0), "stands still")
        others = children(run.pid)
        run.terminate()
        _, said = run.communicate(timeout=TIMEOUT)
    finally:
        run.kill()
    assert run.returncode == 143, said
    assert "Traceback" not in said
    wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in others), "a process is left")
    assert any(row["validation/loss"] for row in rows(tmp_path))
