"""The clips that a test keeps for the report."""

import json
from pathlib import Path

import miniatures
from tiny import Demo, stage_one, store
from tvau.backbones import Qwen25VL
from tvau.language import JUDGEMENT
from tvau.tasks import DialogTask
from tvau.viz.cases import load_cases


def test_normal_and_abnormal_videos_are_kept_whatever_they_are_called(
    tmp_path: Path, checkpoint: Path, root: Path
) -> None:
    """UBnormal's names say which video is abnormal, those of Ped2 do not."""
    demo = Demo(tmp_path, checkpoint, root / "configs" / "synthetic", videos=1)
    data = miniatures.ucsd(tmp_path / "ped2", masked=())
    ranges = {"Test001": [[7, 8]], "Test002": [], "Test003": []}
    (data / "frame_ranges.json").write_text(json.dumps(ranges))
    turn = {"task": "judgement", "question": JUDGEMENT, "answer": "No.", "target": None, "provenance": "manual"}
    said = [{"video": name, "frames": frames, **turn} for name in ranges for frames in ([0, 5], [6, 11])]
    (data / "dialogs.jsonl").write_text("\n".join(map(json.dumps, said)))
    lvlm = Qwen25VL(str(checkpoint), blocks=[1, 2])
    maps = stage_one(lvlm, tmp_path / "heatmap.ckpt")
    store(DialogTask(lvlm, str(maps)), tmp_path / "dialog.ckpt")
    demo.main(
        "test", "--model=tvau.tasks.DialogTask", f"--model.backbone={demo.preset}", f"--model.heatmap={maps}",
        "--model.cases=1", "--model.bootstrap=0", "--model.most=3", "--data=tvau.data.UCSDPed", f"--data.root={data}",
        "--data.protocol=official",
        "--data.clips=dialogs", "--data.frames=4", "--data.size=[32,64]", "--data.num_workers=0",
        "--data.batch_size=2", "--ckpt_path=dialog.ckpt", "--trainer.default_root_dir=run",
        "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
    )  # fmt: skip
    kept = load_cases(tmp_path / "run" / "cases")
    names = [f"{video}, frames {frames}" for video in ("Test001", "Test002") for frames in ("0-4", "6-10")]
    assert [case.name for case in kept] == names
