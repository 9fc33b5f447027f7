"""`tvau score` and `tvau compare` as a user types them."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tvau.cli import main
from tvau.commands.compare import experiment, latex
from tvau.metrics.boxes import MapRule
from tvau.metrics.intervals import of_videos
from tvau.viz.predictions import Evidence, write_prediction
from tvau.viz.report import Table
from writers import write_video


class Files:
    """Three videos of 20 frames; in `a` and `b` an object moves, `c` is normal."""

    def __init__(self, root: Path) -> None:
        rng = np.random.default_rng(0)
        self.tracks, self.detections, self.scores = root / "tracks", root / "detections", root / "scores"
        for folder in (self.tracks, self.detections, self.scores):
            folder.mkdir()
        self.labels = root / "labels.json"
        truth = {}
        for name in "abc":
            moves = name != "c"
            truth[name] = "0" * 5 + "1" * 10 + "0" * 5 if moves else "0" * 20
            if moves:
                (self.tracks / f"{name}.txt").write_text("".join(f"0,{t},{t},0,{t + 9},9\n" for t in range(5, 15)))
            found = [f"{t},{t},0,{t + 9},9,{0.9 - t / 100}\n" for t in range(0, 20, 2)]
            (self.detections / f"{name}.txt").write_text("".join(found))
            values = rng.random(20).round(2) * 0.8 + 0.2 * np.array([int(x) for x in truth[name]])
            (self.scores / f"{name}.txt").write_text("\n".join(map(str, values)))
        (self.tracks / "readme.txt").write_text("The files have the following format")
        self.labels.write_text(json.dumps(truth))

    def boxes(self, *more: str) -> list[str]:
        return ["score", "--tracks", str(self.tracks), "--detections", str(self.detections), *more]

    def frames(self, *more: str) -> list[str]:
        return ["score", f"--frames={self.scores}", f"--labels={self.labels}", *more]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def printed(args: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    main(args)
    out, err = capsys.readouterr()
    return json.loads(out), err


def failure(args: list[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(args)
    message = str(stop.value.code)
    assert message.startswith("tvau: ")
    return message


def test_boxes_by_hand(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    result, table = printed(files.boxes("--num-frames", "60"), capsys)
    region = result["region"]
    # frames 0, 2, 4 and 16, 18 of `a` and `b` and all ten of `c` hold nothing true; the others find 5 boxes each
    assert {k: region[k] for k in ("frames", "boxes", "tracks", "videos", "detections")} == {
        "frames": 60, "boxes": 20, "tracks": 2, "videos": 3, "detections": 30,
    }  # fmt: skip
    false = [3 * 3, 9 + 1, 9 + 2, 9 + 3, 9 + 4, 9 + 5]  # before, and between the frames 6, 8, 10, 12, 14
    curve = [(0, 0), (9, 0), (10, 2), (11, 4), (12, 6), (13, 8), (14, 10), (20, 10), (60, 10)]
    assert false == [x for x, _ in curve[1:7]]
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(curve)) / 60 / 20
    assert region["rbdc"] == pytest.approx(area, abs=1e-12)
    assert region["interval"] == {}  # nobody said how many frames each video has
    assert "RBDC" in table
    assert "detections" in table


def test_labels_give_the_number_of_frames_and_intervals(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    plain, _ = printed(files.boxes("--num-frames=60"), capsys)
    result, _ = printed(files.boxes(f"--labels={files.labels}", "--bootstrap=50"), capsys)
    assert result["region"]["rbdc"] == plain["region"]["rbdc"]
    low, high = result["region"]["interval"]["rbdc"]
    assert low <= result["region"]["rbdc"] <= high


def test_frames_agree_with_scikit_learn(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    result, table = printed(files.frames("--bootstrap=20"), capsys)
    scores = np.concatenate([np.loadtxt(files.scores / f"{name}.txt") for name in "abc"])
    truth = [int(x) for text in json.loads(files.labels.read_text()).values() for x in text]
    assert result["frame"]["micro_auc"] == pytest.approx(roc_auc_score(truth, scores))
    assert (result["frame"]["frames"], result["frame"]["videos_both"]) == (60, 2)
    assert "AUC micro" in table
    smoothed, _ = printed(files.frames("--smoothing=2"), capsys)
    assert smoothed["frame"]["micro_auc"] != result["frame"]["micro_auc"]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_curves_are_drawn(files: Files, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "out" / f"curves.{ending}"
    result, _ = printed(files.boxes(*files.frames(f"--plot={plot}", "--bootstrap=0")[1:]), capsys)
    assert set(result) == {"frame", "region"}
    assert plot.read_bytes()[:5] == {"png": b"\x89PNG\r", "svg": b"<?xml"}[ending]
    assert list(plot.parent.iterdir()) == [plot]


def test_bad_input_is_named(files: Files) -> None:
    assert "give --num-frames" in failure(files.boxes())
    assert "needs --labels" in failure(["score", "--frames=x"])
    assert "nothing to score" in failure(["score"])
    assert "both --tracks and --detections" in failure(["score", "--tracks=x"])
    assert "absent: no such folder" in failure(["score", "--tracks=absent", "--detections=absent", "--num-frames=3"])
    assert "--num-frames 39, but 40 frames have boxes" in failure(files.boxes("--num-frames=39"))
    assert "the labels hold 60 frames" in failure(files.boxes("--num-frames=61", f"--labels={files.labels}"))
    assert "frame lies behind the last one, 14" in failure(files.boxes("--num-frames=15"))
    assert "expected a name that ends in .png" in failure(files.boxes("--num-frames=60", "--plot=x.txt"))
    with (files.detections / "b.txt").open("a") as file:
        file.write("3,4,5\n")
    assert "b.txt, line 11: expected frame,x1,y1,x2,y2,score" in failure(files.boxes("--num-frames=60"))
    (files.scores / "b.txt").rename(files.scores / "d.txt")
    assert "'b' is in one of them only" in failure(files.frames())
    for path in files.detections.iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    assert "xa: a video without labels (3 of them)" in failure(files.boxes(f"--labels={files.labels}"))


def test_detections_in_normal_videos_only(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        (files.detections / f"{name}.txt").unlink()
    for known in ("--num-frames=60", f"--labels={files.labels}"):
        result, said = printed(files.boxes(known), capsys)
        assert (result["region"]["rbdc"], result["region"]["tbdc"]) == (0, 0)
        assert "note: none of the 1 videos" in said


def test_a_detector_that_looks_at_some_frames_only_is_told(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    result, said = printed(files.boxes("--num-frames=60"), capsys)
    assert (result["region"]["true_frames"], result["region"]["true_frames_with_detections"]) == (20, 10)
    assert "of the 20 frames with true boxes only 10 have detections" in said
    assert "they lie in frames 2 apart" in said
    for name in "ab":
        rows = [f"{t},{t},0,{t + 9},9,0.9\n" for t in range(5, 15)]
        (files.detections / f"{name}.txt").write_text("".join(rows))
    assert "only" not in printed(files.boxes("--num-frames=60"), capsys)[1]


def test_what_a_killed_predict_left_is_no_video(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "predictions"
    for name in ("a", "b", "c", ".tvau.c.12345", "east/.tvau.d.12345"):
        (made / name).mkdir(parents=True)
        (made / name / "detections.txt").write_text("0,0,0,9,9,0.5\n")
    args = ["score", f"--tracks={files.tracks}", f"--detections={made}", f"--labels={files.labels}"]
    assert printed(args, capsys)[0]["region"]["detections"] == 3


def test_what_predict_leaves_is_read(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "predictions"
    for name in "abc":
        (made / name).mkdir(parents=True)
        frames = np.arange(20)
        heatmaps = np.zeros((20, 30, 40), np.float32)
        for t in frames:
            heatmaps[t, :10, t : t + 10] = 0.9 - t / 100
        values = np.loadtxt(files.scores / f"{name}.txt")
        source = write_video(tmp_path / "videos" / f"{name}.mp4", frames=20, size=(30, 40))
        seen = Evidence(frames, values, zip(frames, heatmaps, strict=True), MapRule(0.5))
        write_prediction(made / name, source, [], seen)
    args = ["score", f"--tracks={files.tracks}", f"--detections={made}", f"--labels={files.labels}"]
    result, said = printed([*args, f"--frames={made}"], capsys)
    assert result["region"]["detections"] == 60
    assert result["region"]["true_frames_with_detections"] == 20
    assert result["region"]["videos"] == 3
    assert result["frame"]["micro_auc"] == pytest.approx(
        printed(files.frames(), capsys)[0]["frame"]["micro_auc"], abs=2e-3
    )  # six decimals make ties
    assert "only" not in said
    empty = tmp_path / "empty"
    (empty / "a").mkdir(parents=True)
    assert "nor a folder a video with detections.txt in it" in failure(files.boxes(f"--detections={empty}"))


def test_scores_of_any_size_are_ranked(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    expected = printed(files.frames(), capsys)[0]["frame"]
    for path in files.scores.iterdir():
        np.savetxt(path, 100 * np.loadtxt(path) - 30)
    frame = printed(files.frames(), capsys)[0]["frame"]
    for score in ("micro_auc", "macro_auc_both", "average_precision"):
        assert frame[score] == expected[score]
    assert "macro_auc_padded" not in frame  # it needs scores in [0, 1]
    assert printed(files.frames("--smoothing=1"), capsys)[0]["frame"]["micro_auc"] > 0.5
    (files.scores / "a.txt").write_text("nan\n" * 20)
    assert "a.txt, line 1" in failure(files.frames())


def test_one_array_of_all_videos(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = printed(files.frames("--bootstrap=0"), capsys)[0]["frame"]
    truth = json.loads(files.labels.read_text())
    labels, scores = tmp_path / "labels.npy", tmp_path / "scores.npy"
    np.save(labels, np.array([[int(x) for name in "abc" for x in truth[name]]], np.int8))  # (1, 60)
    np.save(scores, np.concatenate([np.loadtxt(files.scores / f"{name}.txt") for name in "abc"]))
    for given in ([files.scores, labels], [scores, files.labels]):
        args = ["score", f"--frames={given[0]}", f"--labels={given[1]}", "--bootstrap=0"]
        assert printed(args, capsys)[0]["frame"] == expected
    alone = printed(["score", f"--frames={scores}", f"--labels={labels}"], capsys)[0]["frame"]
    assert (alone["micro_auc"], alone["frames"]) == (expected["micro_auc"], 60)
    assert not any("macro" in key or "videos" in key for key in alone)
    assert printed(files.boxes(f"--labels={labels}"), capsys)[0]["region"]["frames"] == 60
    np.save(labels, np.zeros(59))
    assert "one array of 59 frames, but the 3 videos have 60" in failure(
        ["score", f"--frames={files.scores}", f"--labels={labels}"]
    )


def test_files_beside_the_tracks(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    (files.tracks / "LICENSE.txt").write_text("CC BY-NC-ND 4.0")
    expected = printed(files.boxes("--num-frames=60"), capsys)[0]["region"]
    assert (expected["videos"], expected["tracks"]) == (3, 2)
    for path in files.tracks.glob("?.txt"):
        path.write_text("track_id,frame,x1,y1,x2,y2\n" + path.read_text())
    assert printed(files.boxes("--num-frames=60"), capsys)[0]["region"] == expected


def test_swapped_columns_get_a_hint(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert "swapped?" not in printed(files.boxes("--num-frames=60"), capsys)[1]
    for name in "ab":
        (files.tracks / f"{name}.txt").write_text("".join(f"{t},0,{t},0,{t + 9},9\n" for t in range(5, 15)))
    assert "are track and frame swapped?" in printed(files.boxes("--num-frames=60"), capsys)[1]
    (files.tracks / "b.txt").write_text("".join(f"{t},70,{t},0,{t + 9},9\n" for t in range(5, 15)))
    assert "are track and frame swapped?" in failure(files.boxes(f"--labels={files.labels}"))


def test_ramachandras_tracks(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    expected = printed(files.boxes("--num-frames=60"), capsys)[0]["region"]
    for name in "ab":
        (files.tracks / f"{name}.txt").unlink()
        rows = [f"{t + 1:03d}.tif 0 {t + 5} 5 10 10\n" for t in range(5, 15)]
        (files.tracks / f"{name}_gt.txt").write_text("".join(rows))
    assert printed(files.boxes("--num-frames=60"), capsys)[0]["region"] == expected
    (files.tracks / "b_gt.txt").write_text("900.tif 0 5 5 10 10\n")
    assert "a box in frame 899 from 0" in failure(files.boxes(f"--labels={files.labels}"))


def test_results_of_each_video_and_track(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    (files.detections / "b.txt").write_text("7,90,90,99,99,0.95\n")
    args = files.boxes(*files.frames("--details=true", "--bootstrap=0")[1:])
    result, _ = printed(args, capsys)
    a, b = result["region"]["by_track"]
    assert (a["video"], a["track"], a["boxes"], a["first"], a["last"]) == ("a", 0, 10, 5, 14)
    assert a["found_from"] == pytest.approx(0.84)  # frame 6, one box of ten
    assert (b["video"], b["found_from"], b["fpr"]) == ("b", None, None)
    videos = result["region"]["by_video"]
    assert [(v["boxes"], v["detections"], v["false"]) for v in videos.values()] == [
        (10, 10, 5),
        (10, 1, 1),
        (0, 10, 10),
    ]
    assert videos["a"]["tbdc"] > videos["b"]["tbdc"] == 0
    truth = [int(x) for x in json.loads(files.labels.read_text())["b"]]
    auc = roc_auc_score(truth, np.loadtxt(files.scores / "b.txt"))
    assert result["frame"]["by_video"]["b"]["auroc"] == pytest.approx(auc)
    assert result["frame"]["by_video"]["c"] == {"frames": 20, "abnormal_frames": 0}


# ---- events ----


def test_listed_events_and_those_of_a_rule_are_scored(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    (folder / "a.txt").write_text("first,last\n7,16\n")  # two frames late; frames 5 to 14 are abnormal
    (folder / "b.txt").write_text("")
    (folder / "c.csv").write_text("0,3\n10,11\n")
    listed = ["score", f"--events={folder}", f"--labels={files.labels}", "--fps=10", "--bootstrap=0"]
    scores = printed(listed, capsys)[0]["events"]
    assert (scores["precision"], scores["recall"], scores["iou_recall"]) == (1 / 3, 0.5, 0.5)
    assert (scores["delay"], scores["delay_frames"]) == (pytest.approx(0.2), pytest.approx(2))
    assert scores["false_alarms_per_hour"] == pytest.approx(2 / (60 / 10 / 3600))
    for name, truth in json.loads(files.labels.read_text()).items():
        (files.scores / f"{name}.txt").write_text("\n".join("0.7" if digit == "1" else "0.3" for digit in truth))
    scores = printed(files.frames("--rule=0.6,0.5,0.2,0", "--fps=10"), capsys)[0]["events"]
    assert (scores["f1"], scores["iou_f1"], scores["delay"]) == (1, 1, pytest.approx(0.1))  # known when 0.2 s long
    assert scores["interval"]["f1"] == [1, 1]


def test_events_of_a_prediction_are_read(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        (tmp_path / "predictions" / name).mkdir(parents=True)
        events = [] if name == "c" else [{"frames": [5, 14]}]
        (tmp_path / "predictions" / name / "summary.json").write_text(json.dumps({"events": events}))
    scores = printed(["score", f"--events={tmp_path / 'predictions'}", f"--labels={files.labels}"], capsys)[0]
    assert (scores["events"]["iou_f1"], scores["events"]["delay"]) == (1, 0)


def test_wrong_events_are_named(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    words = ["score", f"--events={folder}", f"--labels={files.labels}"]
    for line, message in (("3,2", "ends before it begins"), ("1,20", "behind the last frame, 19"), ("x,2", "line 1"),
                          ("-1,2", "no whole number")):  # fmt: skip
        (folder / "a.txt").write_text(line)
        assert message in failure(words)
    (folder / "a.txt").rename(folder / "z.txt")
    assert "z is a video without labels" in failure(words)
    assert "--events, or --rule and --frames" in failure(words[:2])
    assert "expected on,off,shortest,gap" in failure(files.frames("--rule=0.5"))


# ---- compare ----


def run(folder: Path, auc: float, bleu: float | None = None) -> None:
    parts: dict[str, Any] = {"frame": {"micro_auc": auc, "frames": 60, "interval": {"micro_auc": [0.1, 0.9]}}}
    if bleu is not None:
        floor = {"bleu4": 0.1, "answer": "No."}
        parts["text"] = {"judgement": {"count": 3, "bleu4": bleu, "slots": {"class": 0.5}, "floor": floor}}
    folder.mkdir(parents=True)
    (folder / "test.json").write_text(json.dumps({"tvau": {"test_seen": parts}}))


def cells(text: str, row: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if row in line]
    return [cell.strip() for cell in line.strip("| \\").replace("&", "|").split("|")]


def test_seeds_become_mean_and_spread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, auc in enumerate((0.6, 0.7, 0.8)):
        run(tmp_path / f"dialog_seed{seed}", auc, 0.3)
    main(["compare", *(str(path) for path in sorted(tmp_path.iterdir()))])
    text = capsys.readouterr().out
    assert cells(text.split("Answers")[0], "test_seen") == ["test_seen", "tvau", "0.700 ± 0.100", "60", "3"]
    assert "0.300 ± 0.000" in text
    assert "floor" in text


def test_methods_are_set_against_one_draw_by_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draws = np.linspace(0.4, 0.8, 199)
    for name, shift in (("mine", 0.05), ("other", 0.0)):
        for seed in (0, 1):
            folder = tmp_path / f"{name}_{seed}"
            run(folder, 0.6 + shift)
            own: dict[str, Any] = {"tvau/test_seen/frame/micro_auc": draws + shift + seed / 100}
            own["tvau/test_seen/text/heatmap/yes_no"] = draws  # against each method's own map: nothing to compare
            own["videos/test_seen"] = of_videos(["a", "b"][:: 1 - 2 * seed])  # in any order
            np.savez(folder / "samples.npz", **own)
    words = ["compare", *map(str, sorted(tmp_path.iterdir())), "--against"]
    main([*words, "tvau (other)"])
    text = capsys.readouterr().out
    assert cells(text, "p-values against tvau (other)") == [
        "### p-values against tvau (other) (paired bootstrap over videos; -: not scored on the same ones)"
    ]
    assert cells(text, "frame micro_auc") == ["test_seen", "frame micro_auc", "0.010"]
    assert "text heatmap" not in text
    assert "the methods are tvau (mine), tvau (other)" in failure([*words, "else"])
    np.savez(folder / "samples.npz", **(own | {"videos/test_seen": of_videos(["a", "c"])}))  # as many others
    main([*words, "tvau (other)"])
    assert "frame micro_auc" not in capsys.readouterr().out
    (tmp_path / "other_1" / "samples.npz").unlink()
    assert "runs without samples.npz" in failure([*words, "tvau (other)"])


def test_other_experiments_stand_below_one_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "demo" / "heatmap", 0.6)
    run(tmp_path / "demo" / "dialog", 0.8)
    main(["compare", str(tmp_path / "demo"), "--format=latex"])
    text = capsys.readouterr().out
    assert cells(text, "(heatmap)") == ["test\\_seen", "tvau (heatmap)", "0.600", "60", "1"]
    assert cells(text, "(dialog)")[2] == "0.800"
    assert text.count("\\toprule") == text.count("\\bottomrule") == 1


def test_names_without_their_number() -> None:
    names = ("maps_seed12", "maps-3", "maps", "maps1", "maps-s1", "maps/0", "maps/seed1", "maps/run2", "a1", "2024/1")
    found = [experiment(Path("runs") / name) for name in names]
    assert found == [*["maps"] * 8, "a", "2024"]
    assert latex(Table("t", ("split", "method", "x"), (("a_b", "50 %", "1 ± 2"),))).count("$\\pm$") == 1


def test_compare_explains_what_is_missing(tmp_path: Path) -> None:
    assert "run `tvau test` first" in failure(["compare", str(tmp_path)])
    (tmp_path / "test.json").write_text("[1]")
    assert "expected the results of `tvau test`" in failure(["compare", str(tmp_path)])
