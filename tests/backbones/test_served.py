"""The language model behind a server: the same answers as here, from what crosses the wire and nothing else."""

import base64
import copy
import io
import json
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import tvau
from standin import StandIn, serving
from tiny import batch
from tvau.backbones import load as load_lvlm
from tvau.backbones.served import Messages, Served, packed
from tvau.cli import main
from tvau.dialog import Conversation, converse
from tvau.errors import BackboneError
from tvau.judge import Judge
from tvau.language import FLOW
from tvau.model import TVAU
from tvau.region_encoder import RegionAwareAnomalyEncoder
from tvau.shipped import MODEL, path
from tvau.tasks.dialog import load
from tvau.types import Batch, Turn
from writers import write_video

# the second is answered by the language model alone: where evidence opens answers, a trajectory is the track's
QUESTIONS = [["Is there any anomaly in the video?", "Describe the environment of the video."]]


def nano() -> TVAU:
    """The model that comes with tvau, LoRA and all."""
    torch.manual_seed(0)
    return load(str(path(MODEL)), load_lvlm(str(path("backbones/nano")), blocks=[6]))


@pytest.fixture(scope="module")
def local() -> TVAU:
    return nano()


@pytest.fixture(scope="module")
def stand_in(local: TVAU) -> StandIn:
    return StandIn(local.backbone)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def served(stand_in: StandIn) -> Iterator[TVAU]:
    model = nano()
    with serving(stand_in) as address:
        model.backbone = Served(model.backbone, address)
        yield model


@pytest.fixture
def prompts(local: TVAU, served: TVAU) -> Iterator[None]:
    """Both with the paper's anomaly prompts, which the shipped model has none of."""
    lvlm = local.backbone
    local.encoder = served.encoder = RegionAwareAnomalyEncoder(lvlm.hidden_size, scale=lvlm.prompt_scale).eval()
    yield
    local.encoder = served.encoder = None


@pytest.fixture
def clip() -> Batch:
    return batch(1, seed=3)


def test_answers_and_maps_are_those_of_the_model_here(local: TVAU, served: TVAU, clip: Batch) -> None:
    expected, maps = converse(local, clip, QUESTIONS, 16)
    given, seen = converse(served, clip, QUESTIONS, 16)
    assert given == expected
    assert all(given[0])
    assert torch.equal(seen, maps)  # type: ignore[arg-type]
    assert not any("lora" in name or "language_model" in name for name, _ in served.named_parameters())


def test_a_server_is_shown_whole_clips(local: TVAU, served: TVAU, clip: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spotlight has no place in its protocol: words behind a Yes are those of a model here that has none."""
    assert served.spotlight is not None
    monkeypatch.setattr(Judge, "forward", lambda judge, peaks, leans: leans * 0 + 1)
    monkeypatch.setattr(local, "spotlight", None)
    (expected, given), _ = zip(*(converse(model, clip, [list(FLOW[:2])], 24) for model in (local, served)), strict=True)
    assert given == expected
    assert given[0][0].startswith("Yes,")


def test_what_is_sent_is_what_the_documentation_asks_for(
    local: TVAU, served: TVAU, prompts: None, stand_in: StandIn, clip: Batch
) -> None:
    (expected, given), _ = zip(*(converse(model, clip, QUESTIONS, 4) for model in (local, served)), strict=True)
    assert given == expected
    body = stand_in.requests[-1]
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert [part["type"] for part in body["messages"][0]["content"]] == ["video_embeds", "prompt_embeds", "text"]
    text = body["messages"][0]["content"][1]["data"]
    told = torch.load(io.BytesIO(base64.b64decode(text)), weights_only=True)
    assert told.shape == (20, served.backbone.hidden_size)  # two maps, one step between them
    assert told.untyped_storage().nbytes() == told.numel() * 4  # and not the storage of a larger tensor


def start(model: TVAU, clip: Batch) -> Any:
    seen = model.look(clip, [[Turn(task="", question=QUESTIONS[0][0], answer="")]])
    return model.backbone.start(seen.inputs, seen.vision, seen.prompts)


def test_a_begun_answer_and_a_leaning(local: TVAU, served: TVAU, clip: Batch) -> None:
    given, expected = (model.backbone.lean(start(model, clip)) for model in (served, local))
    torch.testing.assert_close(given, expected.cpu(), atol=1e-4, rtol=1e-4)
    answers = [model.backbone.generate(start(model, clip), 6, ["Yes, a person"]) for model in (served, local)]
    assert answers[0] == answers[1]
    assert answers[0][0].startswith("Yes, a person")


def test_an_answer_comes_in_pieces_on_one_connection(served: TVAU, stand_in: StandIn, clip: Batch) -> None:
    talk = Conversation(served, clip)
    answers = [answer for (answer,) in talk.stream(QUESTIONS[0][1:], 5)]
    assert len(answers) > 2
    assert all(later.startswith(former) for former, later in pairwise(answers))
    before = len(stand_in.requests)
    dialog = start(served, clip)
    whole = served.backbone.generate(dialog, 12)[0]
    dialog = start(served, clip)
    while (known := len(dialog.said[0])) < 12:
        answer = served.backbone.generate(dialog, 1)[0]
        if len(dialog.said[0]) == known:
            break
    assert whole.startswith(answer)
    assert len(stand_in.requests) == before + 2


def test_who_sits_a_question_out_says_nothing(served: TVAU, stand_in: StandIn, clip: Batch) -> None:
    dialog = start(served, clip)
    answer = served.backbone.generate(dialog, 4)[0]
    before = len(stand_in.requests)
    for _ in range(2):
        served.backbone.ask(dialog, [None])
        assert served.backbone.generate(dialog, 4) == [""]
        assert served.backbone.lean(dialog).tolist() == [0.0]
    assert len(stand_in.requests) == before
    served.backbone.ask(dialog, ["Where?"])
    served.backbone.generate(dialog, 4)
    told = stand_in.requests[-1]["messages"]
    assert [m["role"] for m in told] == ["user", "assistant", "user"]
    assert told[1]["content"].strip() == answer


def put(key: str, value: Any) -> Callable[[list[dict[str, Any]]], None]:
    """Another value in the place of a part's."""

    def change(parts: list[dict[str, Any]]) -> None:
        place = parts[0]["video_embeds"] if key in parts[0]["video_embeds"] else parts[1]
        place[key] = value

    return change


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (put("data", "no base64!"), "no tensor"),
        (put("data", packed(torch.zeros(20, 3))), "width 3"),
        (put("data", packed(torch.zeros(1, 20, 256))), "3 dimensions in place of 2"),
        (put("data", packed(torch.zeros(20, 256, dtype=torch.float64))), "dtype torch.float64"),
        (put("video_grid_thw", packed(torch.tensor([[2, 4, 8]]))), "2 dimensions in place of 1"),
        (put("video_embeds", packed(torch.zeros(7, 256))), "tokens for another grid"),
        (lambda parts: parts.reverse(), "parts"),
    ],
)
def test_a_refusal_is_said(harm: Any, why: str, served: TVAU, prompts: None, clip: Batch) -> None:
    dialog: Messages = copy.deepcopy(start(served, clip))
    harm(dialog.messages[0][0]["content"])
    with pytest.raises(BackboneError, match=f"refuses \\(400\\).*{why}"):
        served.backbone.generate(dialog, 4)


def test_a_server_that_is_not_there(local: TVAU) -> None:
    with pytest.raises(BackboneError, match="no server answers there"):
        Served(nano().backbone, "http://127.0.0.1:9")


def test_what_needs_the_language_model_here(served: TVAU, clip: Batch) -> None:
    with pytest.raises(BackboneError, match="runs at http"):
        served(clip)


def test_other_families_are_not_served(local: TVAU, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.backbone, "family", "qwen3_vl")
    with pytest.raises(BackboneError, match="cannot be served: expected one of qwen2_vl, qwen2_5_vl"):
        Served(local.backbone, "http://127.0.0.1:9")


def test_predict_lets_a_server_speak(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mp4", frames=4)
    words = ["predict", "a.mp4", "--frames=4", "--size=32x64", "--workers=0", "--most=6", "--questions", "Where?"]
    before = len(stand_in.requests)
    with serving(stand_in) as address:
        for more in (["--out=there", f"--server={address}"], ["--out=here"]):
            main([*words, *more, "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"])
    there, here = (json.loads((tmp_path / out / "a" / "dialog.json").read_text()) for out in ("there", "here"))
    assert there == here
    assert len(stand_in.requests) == before + 1


def test_chat_lets_a_server_speak(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "500")
    write_video(tmp_path / "a.mp4", frames=16)
    said, before = [], len(stand_in.requests)
    with serving(stand_in) as address:
        for more in (["--server", address], []):
            monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{question}\n" for question in QUESTIONS[0])))
            main(["chat", "a.mp4", *more])
            said.append(capfd.readouterr().out)
    assert said[0] == said[1]  # events, questions and answers
    last = [body["messages"][-1] for body in stand_in.requests[before:]]
    assert [message["content"][-1]["text"] for message in last if message["role"] == "user"][-1] == QUESTIONS[0][1]
    with pytest.raises(SystemExit, match=r"no server answers there.*serving\.md"):
        main(["chat", "a.mp4", "--server", "http://127.0.0.1:9"])


def test_a_conversation_in_python(stand_in: StandIn) -> None:
    pictures = batch(1, seed=3)["video"][0].movedim(1, -1).numpy()
    with serving(stand_in) as address:
        models = [tvau.load(server=address, device="cpu"), tvau.load(device="cpu")]
        talks = [model.open(pictures, frames=4, size=(32, 64), quiet=True) for model in models]
        # asked piece by piece; a piece is a token or a few, so only answers that end by themselves are equal
        answers = [[talk.ask(question) for question in QUESTIONS[0]] for talk in talks]
    assert answers[0] == answers[1]
    assert all(answers[0])
