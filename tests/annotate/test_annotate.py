"""`tvau annotate` on miniatures: what it says, what it keeps out, and that it goes on where it stopped."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import miniatures
from tvau import world
from tvau.annotate import make
from tvau.annotate.consistency import faults
from tvau.annotate.describe import QUESTIONS, LVLMDescriber, aggregate, isolated, target_mask
from tvau.annotate.make import Settings, annotate_video, find_targets
from tvau.annotate.phrases import Description, motion, pointers, trajectory, yes
from tvau.backbones import Qwen25VL
from tvau.cli import main
from tvau.commands.annotate import annotate
from tvau.data.boxes import BoxTrack, read_shanghaitech_tracks
from tvau.data.dialogs import read_dialogs
from tvau.data.kinds import open_layout
from tvau.data.traces import Trace, box_traces, make_trace
from tvau.data.video import open_video
from tvau.errors import DataError, OptionError
from tvau.language import slots

SIZE = miniatures.SIZE


def straight(first: float, last: float, count: int = 10, category: str = "") -> Trace:
    """A trace that moves right between two columns of a picture of 100x60."""
    boxes = {t: (x, 20.0, x + 10, 40.0) for t, x in enumerate(np.linspace(first, last, count).tolist())}
    return make_trace(1, boxes, None, (60, 100), 100, category)


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_tracks_become_dialogs_of_every_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = miniatures.shanghaitech(tmp_path / "shanghaitech", ["01_0014"], count=24)
    miniatures.tracks(root, ["01_0014"])
    out = tmp_path / "out"
    main(["annotate", "shanghaitech", str(root), str(out), "--frames", "12", "--splits", "test", "training",
          "--to", "swift"])  # fmt: skip
    said = read_dialogs(out / "dialogs.jsonl")
    told = [json.loads(line) for line in (out / "swift.jsonl").read_text().splitlines()]
    assert [each["messages"][1]["content"] for each in told] == [dialog.turns[0].answer for dialog in said]
    assert all(Path(each["videos"][0]).exists() for each in told)
    by = {(d.video, d.first): d for d in said}
    assert "1 yes, 1 no" in capsys.readouterr().out  # as many No as Yes
    event = by["01_0014", 0]
    assert [turn.task for turn in event.turns] == ["judgement", "motion", "trajectory"]
    assert event.turns[0].answer.startswith("Yes, something is ")
    assert {turn.target for turn in event.turns} == {0}
    annotate("shanghaitech", str(root), str(out), frames=8)
    reasons = {line["reason"] for line in lines(out, "rejected.jsonl")}
    assert any("no target is visible in 3" in reason for reason in reasons)  # the window with a single box


def test_masks_alone_and_no_answers_for_normal_clips(tmp_path: Path) -> None:
    root = miniatures.ucsd(tmp_path / "ucsd", masked=(1, 2, 3))
    annotate("ucsd_ped2", str(root), str(tmp_path / "out"), frames=6, balance=False)
    by = {(d.video, d.first): d for d in read_dialogs(tmp_path / "out" / "dialogs.jsonl")}
    assert by["Train001", 0].turns[0].answer.startswith("No, ")
    assert all(by["Test002", first].turns[0].answer.startswith("Yes, ") for first in (0, 6))
    said = {turn.task: turn.answer for turn in by["Test002", 6].turns}
    assert slots(said["trajectory"])["direction"] == "right"


def test_categories_and_speeds_come_from_id_maps(tmp_path: Path) -> None:
    root = miniatures.ubnormal(tmp_path / "UBnormal")
    annotate("ubnormal", str(root), str(tmp_path / "out"), frames=10)
    first, second = read_dialogs(tmp_path / "out" / "dialogs.jsonl")
    said = {turn.task: turn for turn in second.turns}
    assert said["judgement"].answer == "Yes, a car is moving, from the center to the center right."
    assert (said["target"].answer, said["target"].provenance) == ("It is a car.", "category")
    assert said["environment"].answer == "One person and one car are in the picture."
    assert said["motion"].answer.startswith("It moves right")
    assert (first.first, first.last, second.first, second.last) == (0, 9, 10, 19)
    statistics = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert statistics["targets by category"] == {"car": 1}
    assert statistics["judgements"] == {"yes": 2}


def test_linked_targets_are_no_objects_of_the_same_number(tmp_path: Path) -> None:
    """From masks the car is target 1; in the id maps it is object 2, and somebody who stands there is object 1."""
    layout = open_layout("ubnormal", str(miniatures.ubnormal(tmp_path / "UBnormal")))
    (name,) = layout.all_names()
    truth = layout.truth(name)
    with open_video(layout.video(name)) as video:
        (car,) = find_targets(layout, truth, name, video, "masks")
    assert car.id == 1
    for at, frame in enumerate(car.frames.tolist()):
        assert target_mask(truth, car, frame).sum() == car.areas[at] == 36
    part = annotate_video(layout, name, Settings(frames=20, targets="masks"))
    (dialog,) = part["dialogs"]
    said = {turn["task"]: turn["answer"] for turn in dialog["turns"]}
    assert said["motion"] == "It moves right."  # and is not as fast as itself
    assert said["environment"] == "One person and one car are in the picture."


def test_who_was_there_before_does_not_enter() -> None:
    part = straight(0, 90)
    whole = make_trace(1, dict.fromkeys(range(40), (50.0, 20.0, 60.0, 40.0)), None, (60, 100), 100)
    late = make._in_view(replace(part, frames=part.frames + 20), [replace(whole, id=2)])
    assert (late.enters, late.leaves) == (True, True)
    seen = make._in_view(replace(part, frames=part.frames + 20), [whole])
    assert (seen.enters, seen.leaves) == (False, False)


def test_the_data_module_reads_what_was_made(tmp_path: Path) -> None:
    from tvau.data import UCSDPed

    root = miniatures.ucsd(tmp_path / "ucsd", masked=(1, 2, 3))
    annotate("ucsd_ped2", str(root), str(root), frames=6, stride=2)
    module = UCSDPed(str(root), "ped2", "official", frames=6, clips="dialogs", num_workers=0)
    sample = module.split("test")[0]
    assert sample["frames"].tolist() == [0, 2, 4, 6, 8, 10]
    assert sample["turns"][0]["task"] == "judgement"


def test_a_stopped_run_goes_on_and_other_settings_start_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = miniatures.ucsd(tmp_path / "ucsd", masked=(1, 2, 3)), tmp_path / "out"
    made: list[str] = []
    original = make.annotate_video

    def spy(layout: Any, name: str, *args: Any) -> Any:
        if name == "Test003" and not made.count("Test002") > 1:
            made.append("stopped")
            raise KeyboardInterrupt
        made.append(name)
        return original(layout, name, *args)

    monkeypatch.setattr(make, "annotate_video", spy)
    with pytest.raises(KeyboardInterrupt):
        annotate("ucsd_ped2", str(root), str(out), frames=6)
    assert not (out / "dialogs.jsonl").exists()
    (out / ".parts" / "Test002.json").write_text("{ half")
    made[:] = ["Test002"]
    annotate("ucsd_ped2", str(root), str(out), frames=6)
    assert made == ["Test002", "Test002", "Test003"]
    first = (out / "dialogs.jsonl").read_bytes()
    annotate("ucsd_ped2", str(root), str(out), frames=6)
    assert len(made) == 3
    assert (out / "dialogs.jsonl").read_bytes() == first
    annotate("ucsd_ped2", str(root), str(out), frames=6, seed=1)
    assert len(made) == 7


def test_a_video_of_the_same_name_in_another_folder_has_dialogs_of_its_own(tmp_path: Path) -> None:
    for part in ("ped1", "ped2"):
        miniatures.ucsd(tmp_path / part, part, masked=(1, 2, 3))
        parts = []
        for out in (tmp_path / "out", tmp_path / part / "out"):
            main(["annotate", f"ucsd_{part}", str(tmp_path / part), str(out), "--frames", "6"])
            parts.append(json.loads((out / ".parts" / "Test001.json").read_text()))
        assert parts[0] == parts[1]
        assert parts[0]["settings"]["data"] == f"ucsd_{part} {tmp_path / part}"


def test_official_dialogs_are_read_in_the_supervised_protocol(tmp_path: Path) -> None:
    from tvau.data import UCSDPed

    root = miniatures.ucsd(tmp_path / "ucsd", masked=(1, 2, 3))
    annotate("ucsd_ped2", str(root), str(root), frames=6)
    assert '"Train001"' in (root / "dialogs.jsonl").read_text()
    module = UCSDPed(str(root), "ped2", "supervised", frames=6, clips="dialogs", num_workers=0)
    assert {clip.name for clip in module.split("training").clips} <= {"Test001", "Test002", "Test003"}


def test_a_video_that_cannot_be_annotated_is_told_and_left_out(tmp_path: Path) -> None:
    root, out = miniatures.ucsd(tmp_path / "ucsd", "ped1", masked=(2,)), tmp_path / "out"
    with pytest.warns(UserWarning, match="No dialogs about Test001: .*no targets that say where"):
        annotate("ucsd_ped1", str(root), str(out), frames=6)
    assert {"Test002", "Train001"} >= {dialog.video for dialog in read_dialogs(out / "dialogs.jsonl")} >= {"Test002"}
    reasons = json.loads((out / "statistics.json").read_text())["kept out by reason"]
    assert reasons["cannot be read"] == 2
    assert not (out / ".parts" / "Test001.json").exists()  # the next run tries again


def test_dialogs_of_somebody_else_are_not_replaced(tmp_path: Path) -> None:
    root, out = miniatures.ucsd(tmp_path / "ucsd", masked=(1, 2, 3)), tmp_path / "out"
    annotate("ucsd_ped2", str(root), str(out), frames=6, splits=["training", "test"])
    path = out / "dialogs.jsonl"
    with pytest.raises(OptionError, match=r"dialogs of Test001 \(\d such videos\), not asked for now"):
        annotate("ucsd_ped2", str(root), str(out), frames=6, splits=["training"])
    path.write_text(path.read_text().replace("Yes", "Yes indeed", 1))
    for folder in (out, tmp_path / "mine"):
        with pytest.raises(
            OptionError, match="did not make, or that were changed since; give another folder, or --over"
        ):
            annotate("ucsd_ped2", str(root), str(folder), frames=6)
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / "dialogs.jsonl").write_text(path.read_text())
    annotate("ucsd_ped2", str(root), str(out), frames=6, overwrite=True)
    assert "indeed" not in path.read_text()


def test_attributes_of_no_video_are_refused(tmp_path: Path) -> None:
    root = miniatures.ucsd(tmp_path / "ucsd")
    (tmp_path / "known.json").write_text(json.dumps({"Test001.avi": []}))
    with pytest.raises(DataError, match=r"'Test001\.avi' is no video of"):
        annotate("ucsd_ped2", str(root), str(tmp_path / "out"), attributes=str(tmp_path / "known.json"))
    with pytest.raises(OptionError, match="track files are ShanghaiTech's, and ucsd_ped2 has none"):
        annotate("ucsd_ped2", str(root), str(tmp_path / "out"), tracks="here")


def test_targets_that_are_not_there(tmp_path: Path) -> None:
    root = miniatures.ucsd(tmp_path / "ucsd", "ped1", masked=())
    with pytest.raises(DataError, match="Test001 has abnormal frames, but no targets that say where"):
        annotate("ucsd_ped1", str(root), str(tmp_path / "out"), frames=6)


# ---- describers ----


class Scripted:
    """A describer that says what a test wants, and remembers what it was shown."""

    name = "scripted"

    def __init__(self, *answers: tuple[str, str, str], scene: str = "A plaza in daylight.") -> None:
        self.answers, self.says, self.shown = answers, scene, []  # type: ignore[var-annotated]

    def describe(self, pictures: Sequence[Any]) -> list[dict[str, str]]:
        self.shown += list(pictures)
        return [dict(zip(QUESTIONS, self.answers[at % len(self.answers)], strict=True)) for at in range(len(pictures))]

    def scene(self, picture: Any) -> str:
        return self.says


def described(tmp_path: Path, describer: Scripted, known: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    root = miniatures.ucsd(tmp_path / "ucsd", masked=(1, 2, 3))
    settings = Settings(frames=12, look=3, describer="scripted")
    return annotate_video(open_layout("ucsd_ped2", str(root)), "Test002", settings, describer, known)


def test_a_description_is_aggregated_over_the_frames(tmp_path: Path) -> None:
    said = (
        ("The target is a man.", "In a red shirt.", "Walking."),
        ("man", "in a red shirt", "walking"),
        ("dog", "", "x"),
    )
    describer = Scripted(*said)
    (dialog,) = described(tmp_path, describer)["dialogs"]
    answers = {turn["task"]: (turn["answer"], turn["provenance"]) for turn in dialog["turns"]}
    assert answers["target"] == ("A man in a red shirt is walking.", "describer scripted")
    assert answers["judgement"][0].startswith("Yes, a man in a red shirt is walking, from the ")
    assert answers["judgement"][1] == "describer scripted+geometry"
    assert answers["trajectory"][1] == answers["motion"][1] == "geometry"
    assert answers["environment"] == ("A plaza in daylight.", "describer scripted")
    assert len(describer.shown) == 3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (("man", "in red", "standing"), "says 'standing', but it moves by"),
        (("car", "in a red shirt", "driving"), "a vehicle that wears shirt"),
        (("car", "", "walking"), "a vehicle that is walking"),
        (("man", "on the left", "walking"), "says 'left'; places and directions come from the geometry alone"),
        (("...", "", ""), "names no object"),
    ],
)
def test_what_does_not_fit_is_kept_out_with_its_reason(
    tmp_path: Path, answer: tuple[str, str, str], reason: str
) -> None:
    part = described(tmp_path, Scripted(answer))
    assert any(reason in line["reason"] for line in part["rejected"])
    assert not any("scripted" in turn["provenance"] for turn in part["dialogs"][0]["turns"] if turn["target"])
    assert {"judgement", "motion", "trajectory"} <= {turn["task"] for turn in part["dialogs"][0]["turns"]}


def test_frames_that_disagree_and_known_categories(tmp_path: Path) -> None:
    summary = aggregate([dict.fromkeys(QUESTIONS, word) for word in ("man", "dog", "bag")], "test")
    assert any("the frames disagree about the object: 'man', 'dog', 'bag'" in fault for fault in summary.faults)
    trace = straight(0, 90)
    assert faults(Description("man", "", "running"), trace, "car") == ["says 'man', but the data set says 'car'"]
    assert faults(Description("woman", "", "walking"), trace, "person") == []
    assert "slower than the others" in faults(Description("man", "", "running"), trace, "", 0.3)[0]
    assert faults(Description("man", "", "running"), straight(40, 42))[0] == "says 'running', but it stays in its place"


def test_everything_but_the_target_is_blurred() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    shown = isolated(picture, mask)
    assert np.array_equal(shown[24:36, 34:46], picture[24:36, 34:46])
    assert shown[:10].std() < picture[:10].std() / 3


def test_an_lvlm_describes_through_its_dialog_interface(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = Qwen25VL(str(checkpoint), blocks=[1])
    describer = LVLMDescriber(backbone, most=4)
    picture = np.zeros((48, 64, 3), np.uint8)
    said = describer.describe([picture] * 2)
    assert [set(answer) for answer in said] == [set(QUESTIONS)] * 2
    assert isinstance(describer.scene(picture), str)
    root, preset = miniatures.ucsd(tmp_path / "ucsd", masked=(1, 2, 3)), tmp_path / "tiny.yaml"
    preset.write_text(f"class_path: tvau.backbones.Qwen25VL\ninit_args: {{checkpoint: {checkpoint}, blocks: [1]}}\n")
    main(["annotate", "ucsd_ped2", str(root), str(tmp_path / "out"), "--frames=12", "--describer", str(preset),
          "--look=1", "--size=[32,64]", "--limit=3"])  # fmt: skip
    assert read_dialogs(tmp_path / "out" / "dialogs.jsonl")
    assert lines(tmp_path / "out", "rejected.jsonl")  # random weights say nothing that can be trusted
    capsys.readouterr()
    other = tmp_path / "other.yaml"
    other.write_text(preset.read_text().replace("[1]", "[1], random_weights: 7"))
    for path, more, before in ((preset, [], 3), (other, [], 0), (other, ["--overwrite"], 0)):
        main(["annotate", "ucsd_ped2", str(root), str(tmp_path / "out"), "--frames=12", "--describer", str(path),
              "--look=1", "--size=[32,64]", "--limit=3", *more])  # fmt: skip
        told = f"{before} of 3 videos were annotated before and stay"
        assert (told in capsys.readouterr().out) == bool(before)


def test_attributes_of_a_file(tmp_path: Path) -> None:
    root, path = miniatures.ucsd(tmp_path / "ucsd", masked=(1, 2, 3)), tmp_path / "targets.json"
    boxes = {str(t): [t, 8, t + 6, 14] for t in range(12)}
    path.write_text(json.dumps({"_about": "x", "Test002": [{"category": "skater", "appearance": "a skater in black",
                                                            "boxes": boxes}]}))  # fmt: skip
    annotate("ucsd_ped2", str(root), str(tmp_path / "out"), frames=12, attributes=str(path))
    (dialog,) = [d for d in read_dialogs(tmp_path / "out" / "dialogs.jsonl") if d.video == "Test002"]
    assert next(t for t in dialog.turns if t.task == "target").answer == "It is a skater in black."
    for wrong in ("[]", '{"a": 3}', '{"a": [{}]}', '{"a": [{"boxes": {"x": [1, 2, 3, 4]}}]}', '{"a": [{"boxes": 3}]}'):
        path.write_text(wrong)
        with pytest.raises(DataError, match=r"targets\.json: expected"):
            annotate("ucsd_ped2", str(root), str(tmp_path / "out"), attributes=str(path))


# ---- sentences ----


def test_sentences_can_be_read_back() -> None:
    trace = straight(0, 90)
    for said in (trajectory(trace), yes([(Description("car"), trace)])):
        assert {k: v for k, v in slots(said).items() if k in ("start", "end")} == {
            "start": trace.start, "end": trace.end,
        }  # fmt: skip
    assert slots(trajectory(trace))["direction"] == "right"
    assert trajectory(trace).endswith("where it leaves the picture.")
    assert motion(trace, 2.0) == "It moves right, faster than the others; it leaves the picture."
    assert motion(straight(40, 41), 2.0) == "It stays in its place."
    two = [(Description("car"), trace), (Description("car"), straight(40, 41))]
    assert "; and another car is in one place" in yes(two)


def one_statement(trace: Trace) -> None:
    """The judgement, the motion and the trajectory say the same of a target."""
    judged, moved, went = yes([(Description("car"), trace)]), motion(trace, None), trajectory(trace)
    still = {"in one place" in judged, moved == "It stays in its place.", went.startswith("It stays at ")}
    assert len(still) == 1, (judged, moved, went)
    places = {(slots(said)["start"], slots(said)["end"]) for said in (judged, went)}
    assert places == {(trace.start, trace.end)}
    assert (slots(went).get("direction") in (None, "stays")) == (not trace.direction)
    if moved.startswith("It moves and comes back"):
        assert not trace.direction
    assert ("leaves the picture" in moved) == ("leaves the picture" in went)
    for action in ("standing", "walking"):
        wrong = bool(faults(Description("man", "", action), trace))
        assert wrong == (trace.stays if action == "walking" else not trace.stays)


def parts(traces: Iterable[Trace], total: int, length: int = 16) -> list[Trace]:
    """What windows of a video show of its targets."""
    windows = [(first, first + length - 1) for first in range(0, total - length + 1, length)]
    return [part for t in traces for window in windows if (part := t.within(*window)) and len(part.frames) >= 3]


STEP = st.tuples(st.floats(-0.12, 0.12), st.floats(-0.12, 0.12))


@given(st.tuples(st.floats(0, 1), st.floats(0, 1)), st.lists(STEP, min_size=2, max_size=12), st.integers(0, 4))
def test_judgement_motion_and_trajectory_never_contradict_one_another(
    first: tuple[float, float], steps: list[tuple[float, float]], start: int
) -> None:
    ways = first + np.cumsum([(0, 0), *steps], 0)
    boxes = {start + t: (100 * x - 4, 60 * y - 4, 100 * x + 4, 60 * y + 4) for t, (x, y) in enumerate(ways.tolist())}
    for trace in box_traces([BoxTrack(1, boxes)], (60, 100), start + len(ways) + 3):
        one_statement(trace)


def test_nothing_is_contradicted_on_real_tracks(real_data: Path) -> None:
    labels = json.loads((real_data / "shanghaitech_frame_labels.json").read_text())
    checked = []
    for path in sorted((real_data / "shanghaitech_tracks").glob("[0-9]*.txt")):
        total = len(labels[path.stem])
        checked += parts(box_traces(read_shanghaitech_tracks(path), (480, 856), total), total)
    for name, targets in json.loads((real_data / "ucsd_ped2" / "targets.json").read_text()).items():
        if not name.startswith("_"):
            tracks = [BoxTrack(at, {int(t): tuple(box) for t, box in target["boxes"].items()})
                      for at, target in enumerate(targets)]  # fmt: skip
            checked += parts(box_traces(tracks, (240, 360), 180), 180)
    assert len(checked) > 1000
    assert any(not trace.direction and not trace.stays for trace in checked)
    for trace in checked:
        one_statement(trace)


def test_nothing_is_contradicted_in_the_synthetic_world(tmp_path: Path) -> None:
    world.write(tmp_path, {"test": 4}, seed=5, size=(64, 96), progress=False)
    layout = open_layout("ubnormal", str(tmp_path))
    for name, abnormal in layout.names("test").items():
        if abnormal:
            with open_video(layout.video(name)) as video:
                for part in parts(find_targets(layout, layout.truth(name), name, video), video.frames):
                    one_statement(part)
    said = read_dialogs(tmp_path / "dialogs.jsonl")
    for dialog in said:
        by = {turn.task: slots(turn.answer) for turn in dialog.turns}
        if "trajectory" in by:
            assert (by["judgement"]["start"], by["judgement"]["end"]) == (
                by["trajectory"]["start"],
                by["trajectory"]["end"],
            )
            assert "direction" in by["trajectory"]  # a way, or it stays; never from cell to cell on the spot


def test_several_targets_are_told_apart_by_place() -> None:
    a, b, c = straight(0, 90), straight(40, 90), straight(0, 45)
    assert pointers([a]) == ["the anomaly"]
    assert pointers([a, b]) == ["the anomaly first seen at the center left", "the anomaly first seen at the center"]
    assert pointers([a, c])[0] == "the anomaly last seen at the center right"
    assert pointers([a, a]) == ["", ""]
