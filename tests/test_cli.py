"""The chain as a user types it, on a miniature world with a tiny random LVLM."""

import contextlib
import csv
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny import PRESET, Demo
from tvau.cli import main
from tvau.commands.figures import read_plan
from tvau.commands.report import gather
from tvau.data.video import open_video
from tvau.language import FLOW
from tvau.metrics.files import read_detections
from tvau.tasks import HeatmapTask
from tvau.tasks.checkpoints import read_checkpoint
from tvau.verdict import yes_no

SHIPPED = Path(__file__).parent.parent / "configs"
CONFIGS = sorted(path.stem for path in (SHIPPED / "synthetic").glob("*.yaml"))
LINES = sorted(path for path in SHIPPED.glob("tables/*/*.yaml") if path.stem not in ("base", "table"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"), checkpoint, root / "configs" / "synthetic")


@pytest.fixture(scope="module")
def heatmap(demo: Demo) -> Path:
    """The checkpoint of stage 1."""
    demo("fit", "heatmap")
    return demo.folder / "runs" / "demo" / "heatmap" / "last.ckpt"


@pytest.fixture(scope="module")
def dialog(demo: Demo, heatmap: Path) -> Path:
    """The checkpoint of stage 2, tested."""
    demo("fit", "dialog")
    last = demo.folder / "runs" / "demo" / "dialog" / "last.ckpt"
    demo("test", "dialog", f"--ckpt_path={last}", "--model.most=6")
    assert (last.parent / "log" / "csv" / "metrics.csv").is_file()  # the test leaves the training's log alone
    return last


def test_a_fit_sees_its_clips_in_a_mirror_too(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    step = HeatmapTask.training_step

    def watch(task: HeatmapTask, batch: Any, index: int) -> Any:
        seen.extend(clip.numpy().tobytes() for clip in batch["video"])
        return step(task, batch, index)

    monkeypatch.setattr(HeatmapTask, "training_step", watch)
    options = [
        "--data.mirror=true", "--data.balance=false", "--trainer.max_steps=-1", "--trainer.max_epochs=1",
        "--trainer.callbacks=null", "--trainer.logger=false", "--trainer.default_root_dir=runs/mirror",
    ]  # fmt: skip
    clips = demo("fit", "heatmap", *options).datamodule.splits["training"]
    plain = [clip for clip in clips.clips if not clip.mirrored]
    assert 2 * len(plain) == len(clips) == len(seen)
    assert any(clip.turns for clip in plain)
    assert not any(clip.turns for clip in clips.clips if clip.mirrored)
    for clip in plain:
        with contextlib.chdir(demo.folder):
            video = clips.sample(clip)["video"]
        assert {video.numpy().tobytes(), video.flip(-1).numpy().tobytes()} <= set(seen)


def stored(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def failure(demo: Demo, *args: str, **options: Any) -> str:
    """What a command says that must end in an error of ours."""
    with pytest.raises(SystemExit) as stop:
        demo(*args, **options)
    message = str(stop.value.code)
    assert message.startswith("tvau: ")
    return message


# ---- stage 1 ----


def test_stage_one_stores_its_decoders_alone(heatmap: Path) -> None:
    keys = set(stored(heatmap)["state_dict"])
    parts = {key.split(".")[1] for key in keys if key.startswith("model.")}
    assert parts == {"text", "decoder", "familiarity"}
    rest = {key.rpartition("projections")[0] for key in keys if "projections" in key}
    assert rest == {"model.decoder.", "fold_decoders.0.", "fold_decoders.1."}


def test_a_fit_ends_with_a_folder_of_its_best_model(heatmap: Path, dialog: Path) -> None:
    for path in (heatmap, dialog.with_name("best.ckpt")):
        folder = path.parent / "model"
        assert {file.name for file in folder.iterdir()} == {"README.md", "config.json", "model.safetensors"}
        own, expected = read_checkpoint(folder)["state_dict"], read_checkpoint(path)["state_dict"]
        assert own.keys() == expected.keys()
        assert all(torch.equal(own[key], expected[key]) for key in own)
        config = json.loads((folder / "config.json").read_text())
        assert (config["data"]["set"], config["data"]["name"]) == ("UBnormal", "world")
        assert config["rules"]["tvau"]["events"]["on"] >= 0
    assert config["options"]["heatmap"] == "model.safetensors"  # no path of this machine


def test_stage_one_logs_losses_scores_and_pictures(heatmap: Path) -> None:
    log = heatmap.parent / "log"
    with (log / "csv" / "metrics.csv").open() as file:
        columns = next(csv.reader(file))
    assert {"validation/loss", "validation/micro_auc"} <= set(columns)
    (events,) = (log / "board").glob("events*")
    assert b"heatmaps/0" in events.read_bytes()


def test_stage_one_is_tested_beside_its_baseline(demo: Demo, heatmap: Path) -> None:
    card = heatmap.parent / "model" / "README.md"
    assert "Not tested yet" in card.read_text()
    demo("test", "heatmap", f"--ckpt_path={heatmap}")
    results = json.loads((heatmap.parent / "test.json").read_text())
    assert f"| tvau | test | {results['tvau']['test']['frame']['micro_auc']:.3f} |" in card.read_text()
    assert set(results) == {"tvau", "median difference"}
    rules = stored(heatmap)["rules"]  # chosen on validation
    for method, splits in results.items():
        assert set(splits) == {"test", "test_novel"}
        for scores in splits.values():
            assert 0 <= scores["frame"]["micro_auc"] <= 1
            assert 0 <= scores["pixel"]["average_precision"] <= 1
            assert 0 <= scores["region"]["rbdc"] <= 1
            assert {"micro_auc", "average_precision"} <= set(scores["frame"]["interval"])
            assert 0 <= scores["events"]["f1"] <= 1
            assert scores["events"]["hours"] > 0
            assert 0 <= scores.get("calibration", {"error": 0})["error"] <= 1
            assert all(0 <= own["auc"] <= 1 for own in scores["frame"]["kinds"].values())
            assert scores["rule"] == rules[method]
    curves = json.loads((heatmap.parent / "curves.json").read_text())
    assert set(curves["tvau"]["test"]) - {"calibration"} == {"frame", "pixel", "region"}
    demo.main("compare", "runs/demo/heatmap")


def test_a_checkpoint_without_a_rule_for_boxes_still_serves(demo: Demo, heatmap: Path, tmp_path: Path) -> None:
    checkpoint = stored(heatmap)
    del checkpoint["rules"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    both = "--model.baselines=[median difference, squared difference]"
    for ckpt, unruled in ((tmp_path / "old.ckpt", "tvau, median difference, squared"), (heatmap, "squared")):
        with pytest.warns(UserWarning, match=f"^{unruled} difference: no rule for boxes and events was chosen"):
            demo("test", "heatmap", f"--ckpt_path={ckpt}", f"--trainer.default_root_dir={tmp_path}", both)
        results = json.loads((tmp_path / "test.json").read_text())
        ours, theirs = (results[method]["test"]["rule"] for method in ("tvau", "squared difference"))
        assert theirs["threshold"] == 0.5
        assert ours == stored(ckpt).get("rules", {}).get("tvau", theirs)


def test_null_takes_back_an_option_of_the_backbone(demo: Demo, tmp_path: Path) -> None:
    for words in (("--model.backbone.cache=null",), ("--model.backbone.cache", "null")):
        cli = demo(
            "fit", "heatmap", "--model.backbone.cache=kept", *words, "--model.backbone.size=null",
            "--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--trainer.logger=false",
            f"--trainer.default_root_dir={tmp_path}", "--trainer.callbacks=null",
        )  # fmt: skip
        assert cli.model.model.backbone.cache is None
    assert not [name for name in ("None", "null", "kept") if (demo.folder / name).exists()]


# ---- stage 2 ----


def test_stage_two_stores_what_it_trained_and_no_frozen_weight(dialog: Path, heatmap: Path, checkpoint: Path) -> None:
    state = stored(dialog)["state_dict"]
    parts = {key.split(".")[1] for key in state}
    assert parts == {"text", "decoder", "familiarity", "judge", "backbone"}
    assert all("lora_" in key and "visual" not in key for key in state if key.startswith("model.backbone."))
    first = stored(heatmap)["state_dict"]
    assert all(torch.equal(state[key], value) for key, value in first.items() if "fold" not in key)  # as it came
    weights = sum(value.numel() for key, value in state.items() if key.startswith("model.backbone."))
    assert weights * 4 < (checkpoint / "model.safetensors").stat().st_size / 5


def test_stage_two_writes_scores_of_maps_and_words(dialog: Path) -> None:
    results = json.loads((dialog.parent / "test.json").read_text())
    assert set(results) == {"tvau", "map"}
    assert set(results["tvau"]) == set(results["map"]) == {"test", "test_novel"}
    test = results["tvau"]["test"]
    assert set(test["text"]) == {"judgement", "target", "trajectory", "environment", "track", "heatmap"}
    assert set(results["tvau"]["test_novel"]["text"]) == {"judgement", "heatmap"}  # its words were never learned
    judged = test["text"]["judgement"]
    assert {"yes_no", "yes_no_balanced", "bleu4", "rouge_l", "meteor", "slots", "interval", "floor"} <= judged.keys()
    assert {"yes_no_auc", "yes_logit_auc"} <= judged.keys()
    assert set(results["map"]["test"]["text"]) == {"judgement", "trajectory", "track"}
    assert set(test["text"]["track"]["slots"]) <= {"start", "end", "direction"}
    assert 0 <= test["text"]["heatmap"]["yes_no"] <= 1
    assert test["rule"] == results["tvau"]["test_novel"]["rule"]
    assert 0 <= test["frame"]["micro_auc"] <= 1
    assert 0 <= test["pixel"]["auroc"] <= 1


def test_the_baseline_is_the_lvlm_without_maps(demo: Demo, dialog: Path) -> None:
    demo("fit", "dialog_lora")
    last = demo.folder / "runs" / "demo" / "dialog_lora" / "last.ckpt"
    assert all("lora_" in key or key == "model.text" for key in stored(last)["state_dict"])
    demo("test", "dialog_lora", f"--ckpt_path={last}", "--model.most=6")
    results = json.loads((last.parent / "test.json").read_text())
    assert set(results) == {"lvlm"}
    assert set(results["lvlm"]["test"]) == {"text"}
    assert "yes_logit_auc" in results["lvlm"]["test"]["text"]["judgement"]
    demo.main("report", "runs/demo")
    page = (demo.folder / "runs" / "demo" / "report.html").read_text()
    assert all(text in page for text in ("T-VAU", "LoRA only", FLOW[0], f"{FLOW[0]} [dialog_lora]", "data:image"))
    again = demo.folder / "runs" / "demo" / "dialog_with_prompts" / "test.json"  # another T-VAU, behind it by name
    again.parent.mkdir()
    again.write_text((demo.folder / "runs" / "demo" / "dialog" / "test.json").read_text())
    with contextlib.chdir(demo.folder):
        assert {"T-VAU", "T-VAU (dialog_with_prompts)", "LoRA only"} <= gather(Path("runs/demo"), "test.json").keys()
        assert {"T-VAU", "T-VAU (dialog)"} <= gather(Path("runs/demo"), "test.json", "dialog_with_prompts").keys()
    shutil.rmtree(again.parent)


def test_training_goes_on_where_it_stopped(demo: Demo, heatmap: Path, tmp_path: Path) -> None:
    dirpath = f"--trainer.callbacks.dirpath={tmp_path}"
    first = demo("fit", "dialog", "--trainer.max_steps=1", f"--trainer.default_root_dir={tmp_path}", dirpath)
    assert first.trainer.global_step == 1
    second = demo("fit", "dialog", f"--ckpt_path={first.trainer.checkpoint_callback.last_model_path}", dirpath)
    assert second.trainer.global_step == 2


# ---- predict ----


@pytest.fixture(scope="module")
def videos(demo: Demo) -> Path:
    """A folder of two videos."""
    folder = demo.folder / "videos"
    folder.mkdir()
    for number, path in enumerate(sorted((demo.folder / "world").glob("Scene*/*.mp4"))[:2]):
        (folder / f"v{number}.mp4").symlink_to(path)
    return folder


def predicted(demo: Demo, dialog: Path, videos: Path, *more: str) -> Path:
    demo(
        "predict", "predict", f"--ckpt_path={dialog}", f"--data.videos={videos}", "--model.most=6", *more,
    )  # fmt: skip
    return demo.folder / "predictions"


def test_predict_writes_overlay_scores_and_dialog_of_every_video(demo: Demo, dialog: Path, videos: Path) -> None:
    out = predicted(demo, dialog, videos)
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["v0", "v1"]
    for name in ("v0", "v1"):
        with open_video(out / name / "overlay.mp4") as overlay:
            assert (overlay.frames, overlay.size[1]) == (32, 96)
            assert overlay.size[0] > 64  # a strip below the picture
        with (out / name / "scores.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [int(row["frame"]) for row in rows] == list(range(32))
        assert all(0 <= float(row["score"]) <= 1 for row in rows)
        assert read_detections(out / name / "detections.txt", frames=32).shape[1] == 6
        windows = json.loads((out / name / "dialog.json").read_text())["windows"]
        assert [window["frames"] for window in windows] == [[0, 15], [16, 31]]
        for window in windows:  # features and movement are asked for unless an anomaly was denied
            asked, denied = [turn["question"] for turn in window["turns"]], yes_no(window["turns"][0]["answer"]) == "no"
            assert asked == ([FLOW[0], FLOW[3]] if denied else list(FLOW))


def test_questions_replace_the_dialog(demo: Demo, dialog: Path, videos: Path) -> None:
    out = predicted(demo, dialog, videos / "v0.mp4", "--questions", "Is somebody running?", "Where?")
    windows = json.loads((out / "v0" / "dialog.json").read_text())["windows"]
    assert [turn["question"] for turn in windows[0]["turns"]] == ["Is somebody running?", "Where?"]


# ---- bad input ----


def test_a_checkpoint_of_another_backbone(
    demo: Demo, dialog: Path, heatmap: Path, checkpoint: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(PRESET.format(checkpoint=checkpoint, blocks=[1, 3]))
    said = "--model.backbone.init_args.blocks=[1,3]"
    for args in (("test", "heatmap", f"--ckpt_path={heatmap}", said), ("fit", "dialog")):
        message = failure(demo, *args, preset=other)
        assert "another backbone: blocks [1, 2] instead of [1, 3]" in message
    demo("test", "heatmap", f"--ckpt_path={heatmap}", preset=other)  # a checkpoint knows which blocks it reads


def test_a_checkpoint_of_another_stage_or_with_other_options(demo: Demo, dialog: Path, heatmap: Path) -> None:
    assert "does not fit this model" in failure(demo, "test", "dialog", f"--ckpt_path={heatmap}")
    changed = ("test", "dialog", f"--ckpt_path={dialog}", "--model.lora_rank=3")
    assert "lora_rank" in failure(demo, *changed)


def test_a_checkpoint_of_stage_two_is_a_whole_model(demo: Demo, heatmap: Path, tmp_path: Path) -> None:
    """The config it is used with knows neither stage 1's file nor what the model is made of."""
    first = tmp_path / "first.ckpt"
    first.write_bytes(heatmap.read_bytes())
    last = {"class_path": "tvau.tasks.LastCheckpoint", "init_args": {"dirpath": str(tmp_path)}}
    run = (f"--trainer.default_root_dir={tmp_path}", f"--trainer.callbacks=[{json.dumps(last)}]")
    parts = ("--model.view=map", "--model.channels=8", "--model.base=3", "--model.lora_rank=2", "--model.lora_alpha=7")
    demo("fit", "dialog", f"--model.heatmap={first}", *parts, *run)
    first.unlink()
    made = tmp_path / "last.ckpt"
    task = demo("test", "dialog", f"--ckpt_path={made}", "--model.most=2", *run).model
    assert (task.hparams["view"], task.hparams["lora_alpha"]) == ("map", 7)
    state, own = stored(made)["state_dict"], task.state_dict()
    assert all(torch.equal(own[key], value) for key, value in state.items())
    lora = demo("test", "dialog_lora", f"--ckpt_path={made}", "--model.most=2", *run).model
    assert torch.equal(lora.model.decoder.state_dict()["log_weights.1"], state["model.decoder.log_weights.1"])


def test_nothing_untrained_answers(demo: Demo, heatmap: Path, dialog: Path, videos: Path) -> None:
    words = ("predict", "predict", f"--data.videos={videos}", "--model.most=2")
    for file in (heatmap, dialog):
        message = failure(demo, *words, f"--model.heatmap={file}")
        assert "`tvau predict` without a checkpoint" in message
        assert "--ckpt_path" in message
    assert "untrained parts (first: fold_decoders.0" in failure(demo, "test", "heatmap")


def test_clips_without_dialogs_teach_no_words(demo: Demo, heatmap: Path) -> None:
    assert "a clip without a dialog" in failure(demo, "fit", "dialog", "--data.clips=windows", "--data.stride=2")


@pytest.mark.parametrize(
    ("option", "message"),
    [("--trainer.precision=bf16-true", "precision=bf16-true"), ("--model.view=map", "view map without heatmap")],
)  # fmt: skip
def test_options_that_would_train_something_else(demo: Demo, heatmap: Path, option: str, message: str) -> None:
    assert message in failure(demo, "fit", "dialog_lora", option)


def test_a_missing_checkpoint(demo: Demo) -> None:
    message = failure(demo, "fit", "dialog", "--model.heatmap=absent.ckpt")
    assert "absent.ckpt: no such checkpoint; `tvau fit` makes them" in message
    assert "gone.ckpt: no such checkpoint" in failure(demo, "test", "heatmap", "--ckpt_path", "gone.ckpt")
    assert "--ckpt_path best is known in a fit alone" in failure(demo, "test", "heatmap", "--ckpt_path", "best")


class Evil:
    """Leaves a file behind where its pickle is executed."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_a_pickle_that_poses_as_checkpoint_is_never_executed(demo: Demo, heatmap: Path, tmp_path: Path) -> None:
    trace, evil, plain = tmp_path / "trace", tmp_path / "evil.ckpt", tmp_path / "plain.ckpt"
    torch.save({**stored(heatmap), "extra": Evil(trace)}, evil)
    plain.write_bytes(pickle.dumps(Evil(trace)))
    for path in (evil, plain):
        assert "cannot be read as a checkpoint" in failure(demo, "fit", "dialog", f"--model.heatmap={path}")
        assert f"{path} cannot be read" in failure(demo, "test", "heatmap", f"--ckpt_path={path}")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [("--data.root=absent", "expected UBnormal's layout"), ("--data.size=[40,64]", "multiples of 16"),
     ("--data.frames=5", "clips of 5 frames")],
)  # fmt: skip
def test_bad_input_ends_without_a_traceback(demo: Demo, option: str, message: str) -> None:
    assert message in failure(demo, "fit", "heatmap", option)


# ---- the rest of the command line ----


@pytest.mark.parametrize("config", CONFIGS)
def test_every_shipped_config_parses(root: Path, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = {"predict": "predict", "held_out": "test"}.get(config, "fit")
    with pytest.raises(SystemExit) as stop:
        main([command, f"--config={root / 'configs' / 'synthetic' / config}.yaml", "--print_config"])
    assert not stop.value.code
    printed = capsys.readouterr().out
    assert f"class_path: tvau.{'nano' if config.startswith('pretrain') else 'tasks'}." in printed
    assert "checkpoint: backbones/nano" in printed


@pytest.mark.parametrize("line", LINES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_line_of_a_table_parses_over_its_base(line: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = read_plan(line.parent)
    command = "fit" if plan.lines[line.stem] else "test"  # no config that no row shows
    with pytest.raises(SystemExit) as stop:
        main([command, f"--config={line.parent / 'base.yaml'}", f"--config={line}", "--print_config"])
    assert not stop.value.code
    assert "checkpoint: backbones/nano" in capsys.readouterr().out


def test_commands_beside_lightnings(tmp_path: Path) -> None:
    main(["nano", str(tmp_path / "lvlm"), "--layers=1", "--width=32", "--heads=1"])
    assert json.loads((tmp_path / "lvlm" / "config.json").read_text())["text_config"]["num_hidden_layers"] == 1
    with pytest.raises(SystemExit) as stop:
        main(["report", str(tmp_path)])
    assert "run `tvau test` first" in str(stop.value.code)
