"""What is exported, read back by the tools' own readers where they are installed."""

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tvau.cli import main
from tvau.data.video import open_video
from tvau.errors import DataError
from tvau.exports import read_prediction, read_predictions
from tvau.exports.dialogs import Conversation, write_conversations
from tvau.metrics.boxes import MapRule
from tvau.types import Turn
from tvau.viz.predictions import Evidence, write_prediction
from tvau.viz.told import Dialog
from writers import write_frames, write_video

FRAMES, SIZE = 24, (48, 64)  # of the videos
MAPS = (24, 32)
ASKED, NEXT = "Is there any anomaly in the video?", "Where?"


def predict(folder: Path, name: str, hidden: tuple[int, ...] = ()) -> Path:
    """What `tvau predict` writes of a video with two targets: one moves right, one is there from frame 12 on."""
    source = write_video(folder / "videos" / f"{name}.mp4", FRAMES, SIZE)
    maps = np.zeros((FRAMES, *MAPS), np.float32)
    for frame in range(FRAMES):
        if frame not in hidden:
            maps[frame, 4:12, frame // 2 : frame // 2 + 6] = 0.9
        if frame >= 12:
            maps[frame, 16:20, 24:30] = 0.7
    maps[:, 0:3, 28:31] = 0.3  # too little to be exported
    turns = [Turn(task="", question=ASKED, answer=""), Turn(task="", question=NEXT, answer="Left.")]
    said: list[Dialog] = [
        {"frames": [first, first + 11], "turns": [{**turns[0], "answer": f"Yes, “{first}”."}, turns[1]]}
        for first in (0, 12)
    ]
    out = folder / "predictions" / name
    out.mkdir(parents=True)
    scores = np.where(np.isin(np.arange(FRAMES), (*hidden, 0, 1)), 0.2, 0.9)
    write_prediction(out, source, said, Evidence(np.arange(FRAMES), scores, enumerate(maps), MapRule(0.2)))
    (out / "made.json").write_text(json.dumps({"source": {"path": str(source)}}))
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two predictions; in the second the first target is hidden in frames 6 and 7."""
    folder = tmp_path_factory.mktemp("exports")
    predict(folder, "one")
    predict(folder, "two", hidden=(6, 7))
    return folder


def export(folder: Path, to: str, out: Path, *more: str) -> Path:
    main(["export", str(folder / "predictions"), "--to", to, "--out", str(out), *more])
    return out


def test_predictions_are_read_with_targets(folder: Path) -> None:
    one, two = read_predictions(folder / "predictions")
    assert (one.name, one.size, one.fps, len(one.seconds)) == ("one", SIZE, pytest.approx(25), FRAMES)
    assert {number: len(boxes) for number, boxes in one.targets().items()} == {1: 24, 2: 12}
    assert {number: len(boxes) for number, boxes in two.targets().items()} == {1: 22, 2: 12}
    np.testing.assert_allclose(one.targets()[1][4], [4, 4, 8, 15, 23, 0.9], atol=1e-6)
    assert len(read_prediction(folder / "predictions" / "one", least=0.1).targets()) == 3
    assert read_predictions(folder / "predictions" / "two")[0].name == "two"


def test_what_a_killed_predict_left_is_not_exported(tmp_path: Path) -> None:
    predict(tmp_path, "one")
    shutil.copytree(tmp_path / "predictions" / "one", tmp_path / "predictions" / ".tvau.one.12345")
    out = export(tmp_path, "mot", tmp_path / "mot")
    assert [path.name for path in out.iterdir()] == ["one.txt"]


def test_coco_is_read_by_pycocotools(folder: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco").COCO(str(export(folder, "coco", tmp_path / "boxes.json")))
    assert len(coco.getImgIds()) == 2 * FRAMES
    assert coco.loadCats(coco.getCatIds())[0]["name"] == "anomaly"
    videos = {video["name"]: video["id"] for video in coco.dataset["videos"]}
    image = next(i for i in coco.imgs.values() if i["video_id"] == videos["one"] and i["frame_id"] == 4)
    assert image["file_name"] == "one/000004.jpg"
    (box,) = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
    assert box["bbox"] == [4, 8, 12, 16]
    assert box["area"] == 12 * 16
    assert coco.annToMask({**box, "segmentation": [[4, 8, 16, 8, 16, 24, 4, 24]]}).sum() == 12 * 16
    by_video = [{a["track_id"] for a in coco.anns.values() if a["video_id"] == number} for number in videos.values()]
    assert by_video == [{1, 2}, {3, 4}]
    again = coco.loadRes([{k: a[k] for k in ("image_id", "category_id", "bbox", "score")} for a in coco.anns.values()])
    evaluation = pytest.importorskip("pycocotools.cocoeval").COCOeval(coco, again, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)  # against itself


def test_coco_names_the_files_of_a_frame_folder(folder: Path, tmp_path: Path) -> None:
    one = tmp_path / "predictions" / "one"
    shutil.copytree(folder / "predictions" / "one", one)
    frames = write_frames(tmp_path / "one", [*range(1, 13), *range(14, FRAMES + 2)], name="{:03}.png")
    (one / "made.json").write_text(json.dumps({"source": {"path": str(frames)}}))
    images = json.loads(export(tmp_path, "coco", tmp_path / "boxes.json").read_text())["images"]
    assert [image["file_name"] for image in images[:13:6]] == ["one/001.png", "one/007.png", "one/014.png"]


def test_mot_is_read_by_motmetrics(folder: Path, tmp_path: Path) -> None:
    motmetrics = pytest.importorskip("motmetrics")
    out = export(folder, "mot", tmp_path / "mot")
    assert sorted(path.name for path in out.iterdir()) == ["one.txt", "two.txt"]
    read = motmetrics.io.loadtxt(str(out / "two.txt"), fmt="mot15-2D")
    assert len(read) == 34
    # what it reads counts pixels from 0 and frames from 1
    assert read.loc[(5, 1), ["X", "Y", "Width", "Height", "Confidence"]].tolist() == [4, 8, 12, 16, 0.9]


def test_cvat_has_a_track_a_target_and_says_when_it_is_gone(folder: Path, tmp_path: Path) -> None:
    root = ElementTree.parse(export(folder, "cvat", tmp_path / "cvat") / "two.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [root.findtext(f"meta/task/original_size/{side}") for side in ("width", "height")] == ["64", "48"]
    first, second = root.findall("track")
    assert (first.get("id"), first.get("label"), second.get("id")) == ("0", "anomaly", "1")
    outside = [int(box.get("frame", "")) for box in first if box.get("outside") == "1"]
    assert outside == [6]  # the video ends with the second part
    inside = [int(box.get("frame", "")) for box in first if box.get("outside") == "0"]
    assert inside == [frame for frame in range(FRAMES) if frame not in (6, 7)]
    box = first[4]
    assert [float(box.get(name, "")) for name in ("xtl", "ytl", "xbr", "ybr")] == [4, 8, 16, 24]


def test_cvat_is_read_by_datumaro(folder: Path, tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro", reason="it would bring a second OpenCV beside the pinned one")
    out = export(folder, "cvat", tmp_path / "cvat")
    (tmp_path / "one").mkdir()
    (out / "one.xml").rename(tmp_path / "one" / "one.xml")
    items = [*datumaro.Dataset.import_from(str(tmp_path / "one"), "cvat")]
    found = {
        (item.attributes["frame"], a.attributes["track_id"]): a.get_bbox() for item in items for a in item.annotations
    }
    assert len(found) == 36
    assert list(found[4, 0]) == [4, 8, 12, 16]


def test_label_studio_has_targets_and_events(folder: Path, tmp_path: Path) -> None:
    out = export(folder, "labelstudio", tmp_path / "tasks.json", "--prefix", "/data/local-files/?d=")
    one, two = json.loads(out.read_text("utf-8"))
    assert one["data"]["video"] == "/data/local-files/?d=one.mp4"
    interface = ElementTree.parse(out.with_suffix(".xml"))
    names = {tag.get("name"): tag.tag for tag in interface.iter()}
    results = two["predictions"][0]["result"]
    kinds = {"videorectangle": "VideoRectangle", "timelinelabels": "TimelineLabels"}
    assert all(names[each["from_name"]] == kinds[each["type"]] for each in results)
    assert all(names[each["to_name"]] == "Video" for each in results)
    targets = [each["value"] for each in results if each["type"] == "videorectangle"]
    assert [len(value["sequence"]) for value in targets] == [22, 12]
    moment = targets[0]["sequence"][4]
    assert (moment["frame"], moment["x"], moment["width"], moment["y"]) == (5, 6.25, 18.75, 16.6667)
    assert [part["frame"] for part in targets[0]["sequence"] if not part["enabled"]] == [6, FRAMES]
    assert [each["value"]["ranges"] for each in results if each["type"] == "timelinelabels"] == [
        [{"start": 3, "end": 6}], [{"start": 9, "end": FRAMES}]
    ]  # fmt: skip


def test_label_studio_shows_a_box_at_its_time_though_the_rate_changes(folder: Path, tmp_path: Path) -> None:
    """It takes a frame for time times one rate."""
    one = tmp_path / "predictions" / "one"
    shutil.copytree(folder / "predictions" / "one", one)
    (head, *rows), pause = (one / "scores.csv").read_text().splitlines(), 10.0  # after the first six
    split = [row.split(",") for row in rows]
    seconds = head.split(",").index("seconds")
    for row in split[6:]:
        row[seconds] = str(float(row[seconds]) + pause)
    (one / "scores.csv").write_text("\n".join([head, *map(",".join, split)]) + "\n")
    (task,) = json.loads(export(tmp_path, "labelstudio", tmp_path / "tasks.json").read_text())
    assert task["data"]["fps"] == 25
    (moving, _), (event, *_) = (
        [each["value"] for each in task["predictions"][0]["result"] if each["type"] == kind]
        for kind in ("videorectangle", "timelinelabels")
    )
    assert all(part["frame"] == round(25 * part["time"]) + 1 for part in moving["sequence"])
    assert moving["sequence"][6]["frame"] == 6 + 250 + 1
    assert event["ranges"] == [{"start": 3, "end": FRAMES + 250}]


def test_label_studio_takes_it(folder: Path, tmp_path: Path) -> None:
    reader = pytest.importorskip("label_studio_sdk.label_interface", reason="it would bring a second OpenCV")
    out = export(folder, "labelstudio", tmp_path / "tasks.json")
    interface = reader.LabelInterface(out.with_suffix(".xml").read_text())
    interface.validate()
    for task in json.loads(out.read_text("utf-8")):
        assert interface.validate_prediction(task["predictions"][0], return_errors=True) == []


def test_fiftyone_folder_holds_what_it_reads(folder: Path, tmp_path: Path) -> None:
    out = export(folder, "fiftyone", tmp_path / "fifty")
    one, _ = json.loads((out / "samples.json").read_text())["samples"]
    assert Path(one["filepath"]).is_file()
    assert [event["support"] for event in one["events"]["detections"]] == [[3, FRAMES]]
    frames = json.loads((out / one["frames"]).read_text())["frames"]
    assert list(frames) == [str(frame) for frame in range(1, FRAMES + 1)]
    assert frames["5"]["boxes"]["detections"][0]["bounding_box"] == [4 / 64, 8 / 48, 12 / 64, 16 / 48]
    assert Path(frames["5"]["heatmap"]["map_path"]).is_file()
    with open_video(folder / "predictions" / "one" / "heatmap.mp4") as video:
        heat = video.read([4])[0, 0].numpy() / 255
    assert video.size == MAPS
    assert heat[5:11, 3:7].mean() == pytest.approx(0.9, abs=0.03)
    assert heat[16:20, 24:30].mean() < 0.03


def test_fiftyone_reads_it(folder: Path, tmp_path: Path) -> None:
    importers = pytest.importorskip("fiftyone.utils.data.importers", reason="it is large and wants a database")
    out = export(folder, "fiftyone", tmp_path / "fifty")
    assert importers.FiftyOneDatasetImporter(str(out))._is_legacy_format_data()
    importer = importers.LegacyFiftyOneDatasetImporter(str(out))  # what it hands on to; without its database
    importer.setup()
    one, _ = importer
    assert (len(one.frames), one.events.detections[0].support) == (FRAMES, [3, FRAMES])
    assert len(one.frames[5].boxes.detections) == 1
    assert one.frames[5].heatmap.map_path.endswith("one/000005.png")


@pytest.mark.parametrize(
    ("to", "key", "names", "words"),
    [("sharegpt", "conversations", ("human", "gpt"), ("from", "value")),
     ("swift", "messages", ("user", "assistant"), ("role", "content"))],
)  # fmt: skip
def test_dialogs_are_read_as_json_lines(
    folder: Path, tmp_path: Path, to: str, key: str, names: tuple[str, str], words: tuple[str, str]
) -> None:
    out = export(folder, to, tmp_path / "said.jsonl", "--clips")
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(lines) == 4
    who, text = words
    assert [turn[who] for turn in lines[1][key]] == [*names, *names]
    assert [turn[text] for turn in lines[1][key]] == [f"<video>{ASKED}", "Yes, “12”.", NEXT, "Left."]
    with open_video(Path(lines[1]["videos"][0])) as clip, open_video(folder / "videos" / "one.mp4") as video:
        assert clip.frames == 12
        assert float(clip.seconds[0]) == 0
        np.testing.assert_allclose(clip.read([3]).float().mean(), video.read([15]).float().mean(), atol=2)


def test_videos_of_one_name_have_clips_of_their_own(tmp_path: Path) -> None:
    turns = [Turn(task="", question=ASKED, answer="Yes.")]
    said = [
        Conversation(str(write_video(tmp_path / camera / "cam.mp4", 8, SIZE)), 0, 7, turns) for camera in ("x", "y")
    ]
    write_conversations(said, "swift", tmp_path / "said.jsonl", clips=True)
    named = [json.loads(line)["videos"][0] for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert len({*named}) == 2


def test_clips_of_a_frame_folder_run_as_it_was_predicted(tmp_path: Path) -> None:
    source = write_frames(tmp_path / "walk", range(0, 200, 20), (48, 64), "{:03d}.png")
    out = tmp_path / "predictions" / "walk"
    turns = [Turn(task="", question=ASKED, answer="Yes.")]

    def clip(fps: float) -> Path:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        seen = Evidence(np.arange(10), np.full(10, 0.9), None)
        write_prediction(out, source, [{"frames": [2, 7], "turns": turns}], seen, fps)
        (out / "made.json").write_text(json.dumps({"source": {"path": str(source)}}))
        line = json.loads(export(tmp_path, "swift", tmp_path / "said.jsonl", "--clips").read_text())
        return Path(line["videos"][0])

    def level(path: Path) -> float:
        with open_video(path) as video:
            return float(video.read([0]).float().mean())

    for fps in (5.0, 10.0):  # one of another rate is not taken for it
        with open_video(clip(fps)) as video:
            assert video.seconds.tolist() == pytest.approx(np.arange(6) / fps, abs=1e-3)
    kept = clip(10)
    assert level(kept) == pytest.approx(40, abs=3)
    assert clip(10) == kept
    Image.fromarray(np.full((48, 64), 200, np.uint8)).save(source / "040.png")  # replaced where it lies
    assert level(clip(10)) == pytest.approx(200, abs=3)


def test_what_was_not_exported_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    for out in (tmp_path / "mine", folder / "predictions" / "one"):
        before = sorted(out.iterdir())
        with pytest.raises(SystemExit, match="holds other files, which would be lost"):
            export(folder, "fiftyone", out)
        assert sorted(out.iterdir()) == before
    with pytest.raises(SystemExit, match="mine is a folder: name the file to write"):
        export(folder, "coco", tmp_path / "mine")


def test_without_clips_the_lines_name_the_video_and_the_frames(folder: Path, tmp_path: Path) -> None:
    line = json.loads(export(folder, "swift", tmp_path / "said.jsonl").read_text().splitlines()[1])
    assert line["videos"] == [str(folder / "videos" / "one.mp4")]
    assert line["frames"] == [12, 23]


def test_a_clip_that_nothing_was_said_of_is_left_out(tmp_path: Path) -> None:
    out = write_conversations([Conversation("v.mp4", 0, 9, [])], "swift", tmp_path / "said.jsonl")
    assert out.read_text() == ""


def test_the_name_of_the_output_follows_from_the_format(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["export", str(folder / "predictions"), "--to", "coco"])
    assert "2 videos, 70 boxes of 4 targets" in capsys.readouterr().out
    assert (folder / "predictions_coco.json").is_file()


def test_bad_input_is_refused(folder: Path, tmp_path: Path) -> None:
    def fails(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["export", *words])
        return str(stop.value.code)

    assert "no results of `tvau predict`" in fails(str(tmp_path), "--to", "mot")
    assert "[0, 1]" in fails(str(folder / "predictions"), "--to", "mot", "--least", "2")
    assert "--clips belongs to dialogs" in fails(str(folder / "predictions"), "--to", "mot", "--clips")
    assert "--prefix belongs" in fails(str(folder / "predictions"), "--to", "mot", "--prefix", "x")
    broken = tmp_path / "predictions" / "one"
    predict(tmp_path, "one")
    (broken / "summary.json").write_text("{}")
    with pytest.raises(DataError, match="predict it again"):
        read_prediction(broken)
