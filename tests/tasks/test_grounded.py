"""Evidence opens the answers: the judge, the map's own track, and the flow; in models and in real fits."""

import contextlib
import json
import runpy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tiny import Demo, batch, close, stage_one, store, turn, video
from tvau.backbones import Qwen25VL
from tvau.data.parts import fold
from tvau.dialog import Conversation
from tvau.errors import OptionError
from tvau.language import ENVIRONMENT, FLOW, JUDGEMENT, TRAJECTORY, Target, follows, judgement, trajectory
from tvau.model import TVAU
from tvau.shipped import MODEL, path
from tvau.tasks import DialogTask
from tvau.tasks.answers import told
from tvau.tasks.checkpoints import made_of, read_checkpoint
from tvau.tasks.dialog import load
from tvau.types import select
from tvau.verdict import yes_no


@pytest.fixture(scope="module")
def lvlm(checkpoint: Path) -> Qwen25VL:
    return Qwen25VL(str(checkpoint), blocks=[1, 2])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, root: Path) -> Demo:
    demo = Demo(tmp_path_factory.mktemp("grounded"), checkpoint, root / "configs" / "synthetic", videos=4)
    stage_one(Qwen25VL(str(checkpoint), blocks=[1, 2]), demo.folder / "maps.ckpt", folds=2)
    return demo


def talk(lvlm: Qwen25VL, path: Path, grounded: bool = True, clips: int = 2, **options: Any) -> Conversation:
    torch.manual_seed(0)
    maps = str(stage_one(lvlm, path / "maps.ckpt"))
    task = DialogTask(lvlm, maps, channels=8, lora_rank=0, grounded=grounded, **options)
    return Conversation(task.model.eval(), batch(clips))


def test_the_judge_says_the_first_word_and_the_lvlm_goes_on(lvlm: Qwen25VL, tmp_path: Path) -> None:
    own = talk(lvlm, tmp_path, grounded=False)
    own.ask([JUDGEMENT] * 2, most=3)
    assert own.leans is not None
    close(own.verdicts, own.leans)  # type: ignore[arg-type]
    for bias, word in ((99.0, "Yes,"), (-99.0, "No,")):
        made = talk(lvlm, tmp_path)
        assert made.model.judge is not None
        made.model.judge.both.copy_(torch.tensor([1.0, 2.0, bias]))
        answers = made.ask([JUDGEMENT] * 2, most=3)
        assert all(answer.startswith(word) for answer in answers)
        close(made.leans, own.leans)  # type: ignore[arg-type]
        close(made.verdicts, made.evidence.peaks + 2 * own.leans + bias)  # type: ignore[arg-type]
        begun = lvlm.start(made.evidence.inputs, made.evidence.vision, made.evidence.prompts)
        assert lvlm.generate(begun, 3, [word] * 2) == answers  # nothing in it names a place


def test_a_judgement_is_known_by_its_task_however_it_is_worded(demo: Demo) -> None:
    """`tvau annotate` words each question in several ways; batches of one and of five score alike."""
    demo.main("annotate", "ubnormal", "world", "annotated", "--frames=6", "--splits=test")
    said = [json.loads(line) for line in (demo.folder / "annotated" / "dialogs.jsonl").read_text().splitlines()]
    worded = {each["question"] for each in said if each["task"] == "judgement"}
    assert len(worded) > 1
    lines = (demo.folder / "world" / "dialogs.jsonl").read_text().splitlines()[::-1]  # the judgement comes last
    (demo.folder / "turned.jsonl").write_text("\n".join(lines) + "\n")
    demo("fit", "dialog", "--model.heatmap=maps.ckpt", "--trainer.default_root_dir=worded",
         "--data.dialogs=../turned.jsonl", "--trainer.val_check_interval=1",
         "--trainer.callbacks=tvau.tasks.LastCheckpoint", "--trainer.callbacks.dirpath=worded")  # fmt: skip
    judge = torch.load(demo.folder / "worded" / "last.ckpt", weights_only=True)["state_dict"]["model.judge.both"]
    assert judge.tolist() != [1, 0, 0]  # it was fitted
    results = []
    for size in (1, 5):
        demo("test", "dialog", f"--data.batch_size={size}", "--data.dialogs=../annotated/dialogs.jsonl",
             "--data.test_splits=[test]", "--data.frames=4", "--model.most=3", "--model.bootstrap=0",
             "--ckpt_path=worded/last.ckpt", "--trainer.default_root_dir=worded")  # fmt: skip
        results.append(json.loads((demo.folder / "worded" / "test.json").read_text()))
    own, alone = (results[0][method]["test"]["text"] for method in ("tvau", "map"))
    assert own["judgement"]["count"] == alone["judgement"]["count"] > 4
    assert {"yes_no_auc", "yes_logit_auc"} <= own["judgement"].keys()
    assert own["judgement"]["yes_no_read"] == 1  # an untrained LVLM says neither yes nor no: the judge did
    one, other = (result["tvau"]["test"]["text"]["judgement"] for result in results)
    numbers = {name: score for name, score in one.items() if isinstance(score, float)}
    assert numbers == pytest.approx({name: other[name] for name in numbers}, abs=1e-6)


def test_places_are_those_of_the_track_and_the_cache_has_heard_them(
    lvlm: Qwen25VL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = talk(lvlm, tmp_path)
    said = "Yes, a person is running, from the upper left to the lower right."
    generate = lvlm.generate

    def speak(dialog: Any, most: int, begin: Any = ()) -> list[str]:
        return generate(dialog, 0, [said] * 2 if begin and begin[0] in ("Yes,", "No,") else begin)

    monkeypatch.setattr(lvlm, "generate", speak)
    ways = made.evidence.ways
    right = [judgement(Target("person", "running", (), *way)) for way in ways]
    assert right[0] != said
    assert list(made.stream([JUDGEMENT] * 2)) == [right]  # no wrong place is ever shown
    assert made.ask([TRAJECTORY.lower()] * 2) == [trajectory(Target("", "", (), *way)) for way in ways]
    made.ask([ENVIRONMENT] * 2, most=0)
    assert made.dialog is not None
    whole = [
        [turn(JUDGEMENT, own[0][1]), turn(TRAJECTORY.lower(), own[1][1]), turn(ENVIRONMENT)] for own in made.history
    ]
    seen = made.model.look(made.batch, whole)
    close(made.dialog.logits, lvlm(seen.inputs, seen.vision, seen.prompts)[:, -1])


def test_words_about_a_target_see_what_stands_out_and_no_others(
    lvlm: Qwen25VL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a Yes and of the features; not the first word itself, not behind a No, not what comes later."""
    made = talk(lvlm, tmp_path, spotlight=0.0)
    assert made.model.judge is not None
    peaks = made.evidence.peaks
    made.model.judge.both.copy_(torch.tensor([1.0, 0.0, -float(peaks.mean())]))  # one yes, one no
    seen: list[Any] = []
    feed = lvlm.feed

    def watch(dialog: Any, ids: Any, mask: Any) -> None:
        seen.append(dialog.hidden)
        feed(dialog, ids, mask)

    monkeypatch.setattr(lvlm, "feed", watch)
    made.ask([JUDGEMENT] * 2, most=2)
    assert made.dialog is not None
    picture, maps = made.dialog.picture, made.evidence.maps
    assert maps is not None
    hottest = []  # the token of each clip in which its hottest patch lies
    for places, logit in zip(picture, maps.logit, strict=True):
        time, row, column = np.unravel_index(int(logit.argmax()), logit.shape)
        rows, columns = (patches // tokens for patches, tokens in zip(logit.shape[1:], places.shape[1:], strict=True))
        hottest.append([int(places[time, row // rows, column // columns])])

    def visible() -> list[list[int]]:
        places = [own.flatten().tolist() for own in picture]
        return [[at for at in own if not hidden[at]] for own, hidden in zip(places, seen[-1], strict=True)]

    everything = [own.flatten().tolist() for own in picture]
    yes = int(peaks.argmax())
    assert visible()[yes] == hottest[yes]
    assert visible()[1 - yes] == everything[1 - yes]
    made.ask([FLOW[1]] * 2, most=2)
    assert visible() == hottest
    made.ask([ENVIRONMENT] * 2, most=2)
    assert seen[-1] is None
    with pytest.raises(OptionError, match="spotlight -1: expected how many logits"):
        DialogTask(lvlm, lora_rank=0, spotlight=-1)
    for option in ({"parts": ["step"]}, {"variant": "true_masks"}):
        with pytest.raises(OptionError, match=r"parts, .* are of the region encoder: add --model.view difference"):
            DialogTask(lvlm, str(tmp_path / "maps.ckpt"), view=None, lora_rank=0, **option)


def test_what_is_of_an_anomaly_is_not_asked_where_there_is_none(lvlm: Qwen25VL, tmp_path: Path) -> None:
    made = talk(lvlm, tmp_path)
    assert made.model.judge is not None
    peaks = made.evidence.peaks
    made.model.judge.both.copy_(torch.tensor([1.0, 0.0, -float(peaks.mean())]))  # one yes, one no
    history = made.flow(most=2)
    assert [len(own) for own in history] == [4, 2] if peaks[0] > peaks[1] else [2, 4]
    short, long = sorted(history, key=len)
    assert [question for question, _ in long] == list(FLOW)
    assert [question for question, _ in short] == [JUDGEMENT, ENVIRONMENT]
    row = history.index(short)
    alone = Conversation(made.model, select(made.batch, [row]))  # by itself, and only what it was asked
    alone.ask([JUDGEMENT], most=2)
    alone.ask([ENVIRONMENT], most=2)
    assert alone.history == [short]


def test_answers_come_token_by_token_and_what_is_stopped_was_said(lvlm: Qwen25VL, tmp_path: Path) -> None:
    whole, made, stopped = (talk(lvlm, tmp_path, grounded=False) for _ in range(3))
    answers = whole.ask(["Where?"] * 2, most=4)
    pieces = list(made.stream(["Where?"] * 2, most=4))
    assert (len(pieces), pieces[0], pieces[-1]) == (5, ["", ""], answers)
    assert all(after.startswith(before) for before, after in pairwise(piece[0] for piece in pieces))
    words = stopped.stream(["Where?"] * 2, most=4)
    said = [next(words) for _ in range(3)][-1]
    words.close()
    assert stopped.history == [[("Where?", own)] for own in said]
    assert stopped.ask(["Who?"] * 2, most=1) != [""] * 2  # it can be asked on


def test_an_answer_that_disagrees_with_those_before_it_says_so() -> None:
    said = [
        (JUDGEMENT, "Yes, a dog is running, at the center."), (FLOW[1], "A person is running."),
        (TRAJECTORY, "It stays at the center."),
    ]  # fmt: skip
    assert [turn.get("disagrees", []) for turn in told(said)] == [[], ["class: dog at first, then person"], []]


def test_grounded_needs_maps(lvlm: Qwen25VL) -> None:
    with pytest.raises(OptionError, match="grounded without heatmap"):
        DialogTask(lvlm, grounded=True, lora_rank=0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int, list[str]]]:
    """Of each map that is drawn in stage 2: in training or not, by which decoder (-1: the main one), of which clips."""
    found: list[tuple[bool, int, list[str]]] = []
    draw = TVAU.draw

    def see(model: TVAU, vision: Any, clips: Any) -> Any:
        made = draw(model, vision, clips)
        for row, name in enumerate(clips["name"]):
            hidden = {block: tokens[[row]] for block, tokens in vision.hidden.items()}
            logits = [
                own(hidden, model.text).logit[0] for own in (model.decoder, *(model.folds or ())) if own is not None
            ]
            same = [torch.allclose(logit, made.logit[row], atol=1e-4) for logit in logits]
            found.append((model.training, same.index(True) - 1, [name]))
        return made

    monkeypatch.setattr(TVAU, "draw", see)
    return found


def test_a_fit_learns_from_maps_of_new_clips_and_keeps_its_judge(
    demo: Demo, drawn: list[tuple[bool, int, list[str]]]
) -> None:
    run = demo.folder / "runs" / "demo" / "dialog"
    options = [
        "--model.heatmap=maps.ckpt", "--model.grounded=true", "--trainer.logger=false", "--trainer.precision=32-true",
        "--trainer.num_sanity_val_steps=0", "--model.most=3", "--model.bootstrap=0",
    ]  # fmt: skip
    task = demo("fit", "dialog", *options, "--trainer.max_steps=3", "--trainer.val_check_interval=1").model
    learned = [row for row in drawn if row[0]]
    assert {part for _, part, _ in learned} <= {0, 1}
    assert all(part == fold(names[0], 2) for _, part, names in learned)
    assert {part for training, part, _ in drawn if not training} == {-1}
    stored = torch.load(run / "last.ckpt", weights_only=True)
    assert not [key for key in stored["state_dict"] if "folds" in key]
    judge = stored["state_dict"]["model.judge.both"]
    close(judge, task.model.judge.both)
    assert judge.tolist() != [1.0, 0.0, 0.0]
    drawn.clear()
    demo("fit", "dialog", *options, "--trainer.max_steps=4", f"--ckpt_path={run / 'last.ckpt'}")  # goes on as it began
    assert {part for training, part, _ in drawn if training} <= {0, 1}
    drawn.clear()
    asked = [option for option in options if "grounded" not in option]  # the checkpoint says that it is
    tested = demo("test", "dialog", *asked, f"--ckpt_path={run / 'last.ckpt'}").model
    assert tested.model.grounded
    assert {part for *_, part, _ in drawn} == {-1}
    results = json.loads((run / "test.json").read_text())
    assert set(results) == {"tvau", "map"}
    ours, alone = (results[method]["test"]["text"] for method in ("tvau", "map"))
    for scores in (ours["judgement"], alone["judgement"]):
        assert {"yes_no", "yes_no_balanced", "yes_no_auc"} <= scores.keys()
    assert "yes_logit_auc" in ours["judgement"]
    assert ours["trajectory"]["slots"] == alone["trajectory"]["slots"]  # both are the track
    assert load(str(run / "last.ckpt"), task.model.backbone).grounded


def test_a_fit_begins_with_prompts_alone(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bool, bool, int]] = []  # of each call: in training or not, blind or not, turns at most
    forward = TVAU.forward

    def see(model: TVAU, clips: Any, blind: bool = False) -> Any:
        asked.append((model.training, blind, max(map(len, clips["turns"]))))
        return forward(model, clips, blind)

    monkeypatch.setattr(TVAU, "forward", see)
    options = [
        "--model.heatmap=maps.ckpt", "--model.view=difference", "--trainer.logger=false", "--model.prompts_first=2",
        "--trainer.precision=32-true", "--trainer.limit_val_batches=0", "--data.batch_size=2",
        "--trainer.accumulate_grad_batches=2",
    ]  # fmt: skip
    last = demo.folder / "runs" / "demo" / "dialog" / "last.ckpt"
    demo("fit", "dialog", *options, "--trainer.max_steps=1")
    demo("fit", "dialog", *options, "--trainer.max_steps=3", f"--ckpt_path={last}")  # an interrupted fit knows its step
    assert [blind for _, blind, _ in asked] == [True] * 4 + [False] * 2  # two batches a step
    assert all(training for training, *_ in asked)
    assert {turns for _, blind, turns in asked if blind} == {1}
    assert max(turns for _, blind, turns in asked if not blind) > 1


def test_a_script_says_whether_prompts_are_read(
    demo: Demo, checkpoint: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model.heatmap=maps.ckpt", "--model.view=difference", "--trainer.logger=false"]
    demo("fit", "dialog", *options, "--trainer.precision=32-true", "--trainer.limit_val_batches=0")
    run = demo.folder / "runs" / "demo" / "dialog"
    last = str(run / "last.ckpt")
    demo("test", "dialog", f"--ckpt_path={last}", "--model.most=1", "--model.bootstrap=0", "--trainer.logger=false")
    expected = json.loads((run / "test.json").read_text())["tvau"]["test"]["text"]["judgement"]["yes_logit_auc"]
    capsys.readouterr()
    words = [last, "--root", "world", "--splits", "test", "--size", "32", "64", "--backbone", str(checkpoint)]
    with contextlib.chdir(demo.folder):
        monkeypatch.setattr("sys.argv", ["reading.py", *words])
        runpy.run_path(str(root / "benchmarks" / "reading.py"), run_name="__main__")
    *_, row = capsys.readouterr().out.splitlines()
    own, _, blind, moved = map(float, row.split("|")[4:8])
    assert own == pytest.approx(expected, abs=6e-4)  # that of the test, in three digits
    assert 0 <= blind <= 1
    assert moved > 0


def test_prompts_first_needs_prompts(lvlm: Qwen25VL) -> None:
    with pytest.raises(OptionError, match="prompts_first 5 without anomaly prompts"):
        DialogTask(lvlm, prompts_first=5)


def test_a_spotlight_is_kept_and_changes_nothing_that_is_learned(demo: Demo) -> None:
    options = [
        "--model.heatmap=maps.ckpt", "--model.grounded=true", "--trainer.logger=false", "--trainer.max_steps=2",
        "--trainer.num_sanity_val_steps=0", "--trainer.precision=32-true",
    ]  # fmt: skip
    made, kept = [], []
    for spotlight in ("0.5", "null"):
        task = demo("fit", "dialog", *options, f"--model.spotlight={spotlight}").model
        last = demo.folder / "runs" / "demo" / "dialog" / "last.ckpt"
        made.append(read_checkpoint(str(last))["state_dict"])
        kept.append(load(str(last), task.model.backbone).spotlight)
        asked = [option for option in options if "max_steps" not in option and "heatmap" not in option]
        tested = {
            word: demo("test", "dialog", *asked, *word, f"--ckpt_path={last}", "--model.most=2", "--model.bootstrap=0")
            for word in ((), ("--model.spotlight=3",))
        }
        assert [cli.model.model.spotlight for cli in tested.values()] == [kept[-1], 3.0]  # the words win
    assert all(torch.equal(own, made[1][key]) for key, own in made[0].items())
    assert kept == [0.5, None]


def test_a_checkpoint_from_before_these_options_is_asked_as_it_was(root: Path, tmp_path: Path) -> None:
    def nano() -> Qwen25VL:
        return Qwen25VL(str(root / "backbones" / "nano"), blocks=[6])

    old = store(DialogTask(nano(), str(path(MODEL)), grounded=True), tmp_path / "old.ckpt")
    stored = read_checkpoint(old)
    for name in ("of", "grounded", "out_of_fold", "base_once", "pool"):
        stored["options"].pop(name, None)
    stored["state_dict"] = {k: v for k, v in stored["state_dict"].items() if not k.startswith("model.judge.")}
    torch.save(stored, old)
    made = made_of(read_checkpoint(old), str(old))
    assert (made["of"], made.get("grounded", False)) == ("similarity", False)
    model = load(str(old), nano())
    assert model.encoder is not None
    assert (model.encoder.of, model.grounded) == ("similarity", False)
    clip = {**batch(), "video": video(frames=16, size=(96, 160)), "frames": torch.arange(16)[None]}
    asked = Conversation(model, clip)  # type: ignore[arg-type]
    flow = asked.flow(most=12)[0]
    close(asked.verdicts, asked.leans)  # type: ignore[arg-type]  # its own, as no judge speaks
    judged = {"yes": True, "no": False}.get(str(yes_no(flow[0][1])))
    assert [question for question, _ in flow] == [question for question in FLOW if follows(question, judged)]
    stored["options"]["view"] = None
    stored["state_dict"] = {k: v for k, v in stored["state_dict"].items() if not k.startswith("model.encoder.")}
    torch.save(stored, old)
    assert load(str(old), nano()).encoder is None
