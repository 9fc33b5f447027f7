"""`tvau learn`: a model of normal video from nothing but that."""

from pathlib import Path
from typing import Any, Literal

from tvau.errors import OptionError
from tvau.shipped import LVLM


def learn(
    videos: list[str],
    out: str = "model",
    add: str | None = None,
    backbone: str = LVLM,
    false_alarms_per_hour: float = 1.0,
    stride: int = 1,
    frames: int = 16,
    size: tuple[int, int] | Literal["source"] = (96, 160),
    fps: float = 25.0,
    bank: int = 4096,
    windows: int = 2000,
    block: int | None = None,
    batch_size: int = 4,
    on_broken: Literal["fail", "skip"] = "fail",
    seed: int = 0,
) -> None:
    """Learns what is normal from video without anomalies; no label and no training is needed.

    The model remembers tokens of the frozen LVLM's tower and marks what is far from all of them. A fifth of the video
    stays out of the memory: a score of 0.5 is where it would give the false alarms per hour that you allow, and boxes
    are as wide as it leaves one false region a frame. Use one model for a camera, or give the folders of all cameras.

    tvau learn normal/ --out model/ && tvau predict new.mp4 --ckpt model/

    Args:
        videos: normal video files, frame folders, or folders that hold either.
        out: folder for the model, which predict, chat and watch take by --ckpt, and Python by tvau.load. It knows its
            stride, frames and size, and predict looks at video in the same way.
        add: a model that was learned before: the video is learned beside what it knows. Its own LVLM, frames, stride,
            size, bank and block are used.
        backbone: the LVLM: a preset of backbones/, a checkpoint folder, or a hub id.
        false_alarms_per_hour: of normal video; 0.01 is one in a hundred hours. The video that stayed out may be shorter
            than that: then the rate is extrapolated, and the output says so; also where it is too short even for that.
        stride: look at every Nth frame.
        frames: of a window.
        size: height and width to which frames are made small; "source": not.
        fps: frames a second of frame folders, which do not say it.
        bank: tokens that are remembered.
        windows: most windows that are looked at, evenly spaced over the video; 5 at least.
        block: of the tower, from 1; null: the last that the LVLM's preset reads.
        batch_size: windows at a time.
        on_broken: what a video does that cannot be read: end the run, or be named and left out.
        seed: of what is random.
    """
    import torch
    from lightning import seed_everything

    from tvau.backbones.preset import load_preset
    from tvau.data import VideoFolder
    from tvau.memory import LEAST
    from tvau.tasks import NeighbourTask
    from tvau.tasks.base import described
    from tvau.tasks.folders import write_model
    from tvau.tasks.neighbours import HELD
    from tvau.tasks.pretrained import content, restore

    if not false_alarms_per_hour > 0:
        raise OptionError(f"--false-alarms-per-hour {false_alarms_per_hour:g}: expected a number above 0")
    numbers = {"bank": (bank, 1), "windows": (windows, HELD), "stride": (stride, 1), "frames": (frames, 1)}
    for name, (given, least) in numbers.items():
        if given < least:
            raise OptionError(f"--{name} {given}: expected {least} or more")
    seed_everything(seed, verbose=False)
    if add is None:
        blocks = None if block is None else [block]
        task = NeighbourTask(load_preset(backbone, blocks), bank=bank, blocks=blocks)
        seen: dict[str, Any] = {"frames": frames, "stride": stride, "size": None if size == "source" else size}
    else:
        known = restore(add)
        if not isinstance(known, NeighbourTask):
            raise OptionError(f"{add} is a model of another kind; --add takes one that tvau learn made")
        task = known
        seen = {key: known.data[key] for key in ("frames", "stride", "size")}
    task.hparams.update(clips=windows, false_alarms=false_alarms_per_hour)
    data = VideoFolder(videos, **seen, fps=fps, batch_size=batch_size, on_broken=on_broken)
    task.data = described(data)
    task.to("cuda" if torch.cuda.is_available() else "cpu").learn(data.split("training"), batch_size)
    write_model(content(task), Path(out))
    hours, held = float(task.memory.seconds) / 3600, int(task.memory.windows)
    if held < LEAST:
        means = (
            f"Windows that stayed out: {held}. Fewer than {LEAST} allow no extrapolation: how many false alarms an "
            "hour a score of 0.5 gives is unknown. Give more video."
        )
    else:
        told = "extrapolated" if false_alarms_per_hour * hours < 1 else "measured"
        means = f"A score of 0.5 is where it would give {false_alarms_per_hour:g} false alarms an hour ({told})."
    print(f"{hours:.3g} h of normal video stayed out. {means}\n{out}: tvau predict new.mp4 --ckpt {out}")
