"""A fit learns what its clips look like; its checkpoints know it, and whatever is shown of other video says so."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import median

import av
import numpy as np
import pytest
import torch

from tiny import Demo
from tvau.backbones import load as load_lvlm
from tvau.data import VideoFolder
from tvau.familiarity import FOREIGN
from tvau.shipped import MODEL, path
from tvau.tasks.checkpoints import read_checkpoint
from tvau.tasks.dialog import load
from tvau.world import BENCHMARK, write


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    """A miniature world, and both stages fitted on it."""
    made = Demo(tmp_path_factory.mktemp("familiar"), checkpoint, root / "configs" / "synthetic", videos=6)
    made("fit", "heatmap")
    made("fit", "dialog")
    return made


def glare(path: Path) -> Path:
    """A video of pure magenta and nothing else, like no clip of the world."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(16):
            picture = np.full((64, 96, 3), (255, 0, 255), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_both_stages_know_the_clips_of_the_first(demo: Demo) -> None:
    first, second = (
        read_checkpoint(demo.folder / "runs" / "demo" / stage / "last.ckpt")["state_dict"]
        for stage in ("heatmap", "dialog")
    )
    for part in ("mean", "inverse", "usual"):
        key = f"model.familiarity.{part}"
        assert (first[key] == second[key]).all()
        assert first[key].abs().sum() > 0


@pytest.mark.parametrize("stage", ["heatmap", "dialog"])
def test_other_video_is_called_foreign_and_the_training_is_not(demo: Demo, tmp_path: Path, stage: str) -> None:
    own = next((demo.folder / "world").glob("Scene*/normal*.mp4"))
    demo.main(
        "predict", str(own), str(glare(tmp_path / "glare.mp4")), f"--out={tmp_path / 'out'}",
        f"--ckpt={demo.folder / 'runs' / 'demo' / stage / 'last.ckpt'}", f"--model.backbone={demo.preset}",
        "--size=32x64", "--trainer.enable_progress_bar=false",
    )  # fmt: skip
    seen = {name: json.loads((tmp_path / "out" / name / "summary.json").read_text()) for name in (own.stem, "glare")}
    assert seen["glare"]["strange"] > FOREIGN > seen[own.stem]["strange"]
    assert [seen[name]["foreign"] for name in (own.stem, "glare")] == [False, True]
    for name, page in (("dialog.txt", False), ("index.html", True)):
        texts = [(tmp_path / "out" / video / name).read_text() for video in (own.stem, "glare")]
        assert ["do not trust" in text for text in texts] == [False, True], page


def test_the_test_says_how_much_of_a_split_is_foreign(demo: Demo) -> None:
    demo("test", "dialog", f"--ckpt_path={demo.folder / 'runs' / 'demo' / 'dialog' / 'last.ckpt'}")
    results = json.loads((demo.folder / "runs" / "demo" / "dialog" / "test.json").read_text())
    assert all(0 <= split["foreign"] <= 1 for split in results["tvau"].values())


def test_a_process_that_sees_no_clip_of_a_split_takes_part(demo: Demo) -> None:
    run, found = demo.folder / "runs" / "demo" / "dialog", []
    for parallel in ((), ("--trainer.devices=2", "--trainer.strategy=ddp_fork")):
        demo("test", "dialog", f"--ckpt_path={run / 'last.ckpt'}", "--data.limit=1", "--trainer.accelerator=cpu",
             "--trainer.logger=false", "--model.most=3", "--model.bootstrap=0", *parallel)  # fmt: skip
        found.append(json.loads((run / "test.json").read_text())["tvau"]["test"])
    assert found[1]["foreign"] == found[0]["foreign"]
    assert found[1]["text"]["judgement"]["count"] == found[0]["text"]["judgement"]["count"]


def test_the_model_that_comes_with_tvau_calls_real_video_foreign_and_its_own_world_not(
    real_data: Path, tmp_path: Path
) -> None:
    write(tmp_path / "world", {"unseen_scenes": 2, "open_set": 2}, seed=5, progress=False, splits=BENCHMARK)
    model = load(str(path(MODEL)), load_lvlm(str(path("backbones/nano")), blocks=[6]))

    def foreign(folder: Path, stride: int) -> list[bool]:
        """Of each video, as `tvau predict` says it."""
        data = VideoFolder(str(folder), stride=stride, batch_size=1, num_workers=0)
        data.setup("predict")
        found: dict[str, list[float]] = defaultdict(list)
        with torch.no_grad():
            for batch in data.predict_dataloader():
                strange = model.glance(batch).strange
                assert strange is not None
                found[batch["name"][0]] += strange.tolist()
        return [median(own) > FOREIGN for own in found.values()]

    own = [said for scene in sorted((tmp_path / "world").glob("Scene*")) for said in foreign(scene, 1)]
    assert own == [False] * 4
    assert foreign(real_data / "clips", 12) == [True] * 4
