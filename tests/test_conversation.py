"""A video as events and answers, in Python."""

import gc
import io
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from rich.console import Console
from scipy.special import expit, logit
from torch import Tensor

import tvau
from serving import http, write_stream
from tiny import stage_one, store
from tvau.backbones import Inputs, Qwen25VL
from tvau.cli import main
from tvau.commands.chat import Chat
from tvau.conversation import Model
from tvau.conversation.focus import focused, target_at
from tvau.dialog import converse
from tvau.errors import CheckpointError, DataError, OptionError
from tvau.exports import read_prediction
from tvau.heatmap_decoder import Maps
from tvau.tasks import DialogTask
from tvau.tasks.base import OURS
from tvau.types import Batch
from tvau.world import BENCHMARK, write
from writers import write_frames, write_video

JUDGE, DESCRIBE, MOVE = "Is there any anomaly in the video?", "Describe the anomaly.", "How does it move?"


@pytest.fixture(scope="module")
def model() -> Model:
    """The model that comes with tvau."""
    return tvau.load()


@pytest.fixture(scope="module")
def street(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn video with something abnormal, the first in which the model finds an event."""
    folder = tmp_path_factory.mktemp("street")
    write(folder, {"in_distribution": 8}, seed=5, progress=False, splits=BENCHMARK)
    return next(video for video in sorted(folder.glob("Scene*/abnormal*.mp4")) if model.open(video, quiet=True).events)


def test_a_loaded_model_is_loaded_once_and_nothing_heavy_before(model: Model) -> None:
    assert tvau.load() is model
    assert "load" in dir(tvau)
    with pytest.raises(AttributeError, match="'tvau' has no attribute 'lode'"):
        tvau.lode  # noqa: B018
    code = "import sys, tvau; print(any(m in sys.modules for m in ('torch', 'numpy', 'transformers')))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_a_conversation_says_what_the_composed_model_says(model: Model, street: Path) -> None:
    talk = model.open(street, stride=2)
    batch: Batch = {
        "video": talk._video.read(talk.window)[None], "frames": torch.tensor([talk.window]), "fps": [talk.fps],
        "name": ["street"], "turns": [[]],
    }  # fmt: skip
    ((first, second),), heatmaps = converse(model.tvau, batch, [[JUDGE, MOVE]], 48)
    assert [talk.ask(JUDGE), "".join(talk.stream(MOVE))] == [first, second]
    assert talk.history == [(JUDGE, first), (MOVE, second)]
    assert heatmaps is not None
    own = np.searchsorted(talk.frames, talk.window)
    np.testing.assert_allclose(np.stack([talk.heatmap[int(at)] for at in own]), heatmaps[0], atol=1e-5)
    assert len(talk.frames) == len(talk.seconds) == len(talk.scores) == len(talk.heatmap)
    assert talk.window[0] <= talk.frames[talk.scores.argmax()] <= talk.window[-1]


def test_an_answer_comes_word_by_word_and_may_be_cut_off(model: Model, street: Path) -> None:
    talk = model.open(street, stride=2)
    pieces = list(talk.stream(JUDGE))
    assert len(pieces) > 2
    assert all(piece.strip() and " " not in piece.strip() for piece in pieces)
    speaking = talk.stream(DESCRIBE)
    first = next(speaking)
    assert talk.ask(MOVE)  # the answer before ends where nobody listened any longer
    cut = talk.history[1][1]
    assert cut.startswith(first)
    assert len(cut) < len(model.open(street, stride=2).ask(DESCRIBE))


def test_an_event_converses_on_its_own_window(model: Model, street: Path) -> None:
    talk = model.open(street, stride=1)
    (event, *_) = talk.events
    part = talk.about(event)
    assert part.frames.tolist() == part.window
    assert part.window[0] <= event.key <= part.window[-1] or part.window[0] <= event.start
    assert part.ask(JUDGE)
    assert talk.history == []
    with pytest.raises(OptionError, match="expected x in"):
        talk.at(-1, 0, 0)
    height, width = talk.size
    assert 30 in talk.at(width - 1, height - 1, 30).window


def test_a_point_asks_about_what_stands_there_and_nothing_else() -> None:
    logit = torch.full((1, 2, 4, 8), -6.0)
    logit[:, :, 1, 1], logit[:, :, 2, 6], logit[:, 0, 0, 0] = 5, 4, -9
    maps = Maps(torch.stack([-logit / 2, logit / 2], 2), logit)
    left, right = np.array([4, 4, 7, 7, 0.99]), np.array([24, 8, 27, 11, 0.98])
    boxes = [
        np.stack([left, right]),
        np.stack([right + np.array([1, 0, 1, 0, 0])]),
        np.zeros((0, 5)),
        np.stack([left, right]),
    ]
    target = target_at(boxes, 0, 26, 9)
    assert {at: box[0] for at, box in target.items()} == {0: 24, 1: 25, 3: 24}
    assert target_at(boxes, 0, 15, 9) == {}
    own = focused(maps, target, 4, (16, 32))
    assert (own.logit[0, :, 2, 6] == 4).all()
    assert own.logit[0, :, 1, 1].tolist() == [-9, -6]  # as calm as the calmest patch of its step
    assert own.similar[0, :, 1, 1, 1].tolist() == [-4.5, -3]
    assert (own.similar[0, :, :, 2, 6] == maps.similar[0, :, :, 2, 6]).all()


def test_a_click_on_the_target_turns_the_conversation_to_it(model: Model, street: Path) -> None:
    talk = model.open(street)
    frame, found = next((frame, found) for frame, found in talk.events[0].boxes.items() if len(found))
    x, y = (found[0, :2] + found[0, 2:4]) / 2
    part = talk.at(x * talk.size[1] / 160, y * talk.size[0] / 96, frame)
    assert frame in part.target
    assert part.ask(JUDGE)
    assert talk.at(0, 0, frame).target == {} or found[:, 0].min() < 1


def test_a_stream_is_recorded_and_then_looked_at(model: Model, tmp_path: Path) -> None:
    file = write_stream(tmp_path / "camera.ts", frames=40)
    with http(file) as address:
        talk = model.open(address, fps=5, seconds=1.2, quiet=True)
    assert talk.frames.tolist() == [0, 1, 2, 3, 4, 5]
    assert talk.size == (96, 160)
    assert talk.heatmap.shape == (6, 96, 160)


def test_probabilities_stand_beside_scores(model: Model, street: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule, talk = model.task.rules[OURS], model.open(street)
    assert talk.probabilities is not None
    np.testing.assert_allclose(talk.probabilities, expit(rule.scale * logit(talk.scores) + rule.bias), rtol=1e-6)
    said = Console(file=io.StringIO(), width=200)
    Chat(talk, Path(), said).events()
    (event, *_), row = talk.events, said.file.getvalue().splitlines()[2].split()  # type: ignore[attr-defined]
    assert row[3:5] == [f"{event.peak:.2f}", f"{talk.probabilities[talk.frames == event.key][0]:.2f}"]
    own = tvau.load(abnormal=["a dog"]).open(street)
    assert own.probabilities is None  # they were fitted to the scores of other words


def test_a_conversation_lets_go_of_its_files(model: Model, street: Path) -> None:
    with model.open(street, stride=2) as talk:
        assert talk.picture(0).any()
        file = talk._seen._file
    assert file.closed
    assert talk.history == []
    other = model.open(street, stride=2)._seen._file  # nobody holds that conversation
    gc.collect()
    assert other.closed


def test_what_is_saved_holds_what_was_said(model: Model, street: Path, tmp_path: Path) -> None:
    talk = model.open(street, stride=2)
    answer, other = talk.ask(JUDGE), talk.at(5, 5, 3).ask(MOVE)
    folder = talk.save(tmp_path / "out")
    assert {"index.html", "overlay.mp4", "scores.csv", "summary.json"} <= {path.name for path in folder.iterdir()}
    text = (folder / "dialog.txt").read_text()
    assert f"Q: {JUDGE}\n  A: {answer}" in text
    assert f"about the target at (5, 5) in frame 3\n  Q: {MOVE}\n  A: {other}" in text
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["windows"] == len(talk._windows)
    assert list(summary["said"]) == [JUDGE]
    assert summary["path"] == read_prediction(folder).video == str(street)  # which exports name
    assert isinstance(talk.show(), PIL.Image.Image)
    part = talk.about(talk.events[0])
    last = part.at(5, 5, part.window[0])
    last.ask(MOVE)
    for each in (part, last):  # each has seen its own window alone
        assert (each.save(tmp_path / "part") / "scores.csv").read_bytes() == (folder / "scores.csv").read_bytes()
    assert (tmp_path / "part" / "dialog.txt").read_text().count(MOVE) == 2
    assert talk.save(folder) == folder  # over what it wrote itself
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(OptionError, match="which would be lost"):
        talk.save(tmp_path / "mine")


# ---- sources ----


def test_an_array_is_the_folder_of_its_pictures(model: Model, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "f", range(0, 200, 10), (96, 160), "{:03d}.png")
    gray = np.stack([np.asarray(PIL.Image.open(file)) for file in sorted(folder.iterdir())])
    expected = model.open(folder, fps=5, quiet=True)
    for pictures in (gray, np.repeat(gray[..., None], 3, -1), torch.from_numpy(gray), list(gray)):
        talk = model.open(pictures, fps=5, quiet=True)
        assert (talk.scores == expected.scores).all()
        assert (talk.seconds == expected.seconds).all()


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        (np.zeros((4, 8, 8, 3), np.float32), r"float32 \[4, 8, 8, 3\]; expected pictures as uint8"),
        (np.zeros((4, 3, 8, 8), np.uint8), "move the colours to the end"),
        (np.zeros((48, 64, 3), np.uint8), r"one picture is pictures\[None\]"),
        (np.zeros((8, 8), np.uint8), r"uint8 \[N, H, W, 3\]"),
        (np.zeros((0, 8, 8, 3), np.uint8), "there is no picture in it"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)], "of one size"),
        ([], "0 pictures"),
    ],
)
def test_pictures_that_are_none(model: Model, pictures: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        model.open(pictures)


def test_one_frame_is_a_video(model: Model, tmp_path: Path) -> None:
    talk = model.open(write_video(tmp_path / "one.mp4", frames=1), quiet=True)
    assert talk.frames.tolist() == [0]
    assert talk.heatmap.shape == (1, 96, 160)
    assert talk.ask(JUDGE)
    assert talk.show()
    with pytest.raises(DataError, match="no such file"):
        model.open(tmp_path / "absent.mp4")


@pytest.mark.parametrize("pixels", ["yuv420p10le", "gray", "yuv444p"])
def test_other_kinds_of_pixels_are_pictures_too(model: Model, tmp_path: Path, pixels: str) -> None:
    talk = model.open(write_stream(tmp_path / "v.mp4", frames=16, pixels=pixels), quiet=True)
    assert talk.picture(0).shape == (96, 160, 3)
    dark, bright = (int(talk.picture(frame)[48, 20, 0]) for frame in (0, 8))
    assert 32 < bright - dark < 52  # 40, or 47 where gray is stored in its full range and read in the usual one
    assert talk.heatmap.shape == (16, 96, 160)


def test_real_and_odd_files_are_opened_or_refused_in_a_sentence(model: Model, real_data: Path) -> None:
    files = sorted((real_data.parent / "cases" / "video").glob("*.*"))
    if not files:
        pytest.skip("no odd files beside the real data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what each lacks is said in tests/data
        for file in files:
            talk = model.open(file, stride=60, quiet=True)
            assert len(talk.frames) == len(talk.scores) >= 1
    (clip, *_) = sorted((real_data / "clips").glob("normal*.mp4"))
    with pytest.warns(UserWarning, match="is far from all that the model was trained on"):
        talk = model.open(clip, stride=28)
    assert talk.foreign


def test_foreign_video_is_said_to_be_so_once(model: Model) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 96, 160, 3), dtype=np.uint8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        talk = model.open(noise)
        talk.at(0, 0, 0)
    assert talk.foreign
    assert talk.probabilities is None
    assert ["do not trust" in str(one.message) for one in caught] == [True]


# ---- a model as a folder ----


def test_a_folder_is_the_checkpoint_bit_for_bit(model: Model, street: Path, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"README.md", "config.json", "model.safetensors"}
    other = Model.from_pretrained(tmp_path / "model")
    assert other is not model
    own, again = model.open(street, stride=2), tvau.load(tmp_path / "model").open(street, stride=2)
    assert (own.scores == again.scores).all()
    assert (own.heatmap[:] == again.heatmap[:]).all()
    assert [own.ask(q) for q in (JUDGE, MOVE)] == [again.ask(q) for q in (JUDGE, MOVE)]
    third = Model.from_pretrained(tmp_path / "model")
    third.save_pretrained(tmp_path / "third")
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (tmp_path / "third" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


def test_a_damaged_or_foreign_folder_is_refused(model: Model, checkpoint: Path, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + b"\0\0\0\1")
    with pytest.raises(CheckpointError, match="checksum of model"):
        tvau.load(tmp_path)
    weights.unlink()
    with pytest.raises(CheckpointError, match="No such file"):
        tvau.load(tmp_path)
    with pytest.raises(CheckpointError, match="is it the checkpoint of an LVLM"):
        tvau.load(checkpoint)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        tvau.load(tmp_path / "absent.ckpt")
    weights.write_bytes(whole)
    with pytest.raises(CheckpointError, match="belongs to another backbone"):
        tvau.load(tmp_path, backbone=str(checkpoint))


def test_checkpoints_of_both_stages_name_their_lvlm(checkpoint: Path, tmp_path: Path) -> None:
    first = stage_one(Qwen25VL(str(checkpoint), blocks=[1, 2]), tmp_path / "first.ckpt")
    second = store(DialogTask(Qwen25VL(str(checkpoint), blocks=[1, 2]), heatmap=str(first)), tmp_path / "second.ckpt")
    pictures = np.random.default_rng(0).integers(0, 256, (16, 32, 64, 3), dtype=np.uint8)
    talks = [tvau.load(path).open(pictures, size="source", quiet=True) for path in (first, second)]
    assert (talks[0].scores == talks[1].scores).all()
    with pytest.raises(OptionError, match="speaks no words"):
        talks[0].ask(JUDGE)
    assert isinstance(talks[1].ask(JUDGE), str)


class Mirrored(Qwen25VL):
    """An adapter of somebody's own for a checkpoint that we have one for."""

    def raster(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        return super().raster(hidden, inputs).flip(-1)


def test_a_model_of_an_adapter_of_ones_own_is_not_read_by_ours(checkpoint: Path, tmp_path: Path, street: Path) -> None:
    lvlm = Mirrored(str(checkpoint), blocks=[1, 2])
    path = str(stage_one(lvlm, tmp_path / "maps.ckpt"))
    for read in (lambda: tvau.load(path), lambda: main(["predict", str(street), "--ckpt", path])):
        with pytest.raises((CheckpointError, SystemExit), match=r"was trained with \S*Mirrored: give"):
            read()
    assert tvau.load(path, lvlm).tvau.backbone is lvlm
