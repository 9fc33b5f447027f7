"""The page as a visitor meets it: a real browser, a real video, the model that comes with tvau."""

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

import tvau
from tvau.cli import main
from tvau.ui.pictures import STRIP, overlaid, place, strip
from tvau.world import BENCHMARK, write

pytest.importorskip("gradio")
from tvau.ui.page import Session, answer

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine (apt-get install chromium)")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An abnormal video of the synthetic world, the first in which the model finds an event."""
    folder = tmp_path_factory.mktemp("world")
    write(folder, {"unseen_scenes": 8}, 7, splits=BENCHMARK, workers=1)
    model, videos = tvau.load(), sorted(folder.glob("Scene*/abnormal*.mp4"))
    return next(video for video in videos if model.open(video, stride=6, quiet=True).events)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `tvau ui` keeps what it hands out."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def address(drawn: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `tvau ui` answers; two of its videos have one name."""
    twin = Path(shutil.copy(drawn, tmp_path_factory.mktemp("twin") / drawn.name))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "tvau.cli",
        "ui",
        "--videos",
        *map(str, (drawn, twin)),
        "--stride=6",
        f"--port={port}",
        "--most=1mb",
    ]
    own = {"OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | own) as run:
        assert run.stdout is not None
        line = run.stdout.readline()
        assert f"http://127.0.0.1:{port}" in line, line
        yield f"http://127.0.0.1:{port}"
        run.terminate()
        assert run.wait(30) == 128 + 15
    assert not [*folder.iterdir()]  # neither uploads nor results outlive it


def picture(page: Any, name: str) -> np.ndarray[Any, Any]:
    """What an image of the page shows."""
    source = page.locator(f"#{name} img").get_attribute("src")
    with urllib.request.urlopen(source) as answer:
        return np.asarray(cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR))


@needs_browser
def test_a_visitor_uploads_looks_asks_and_takes_the_results(
    address: str, drawn: Path, folder: Path, tmp_path: Path
) -> None:
    expect = playwright.expect
    expect.set_options(timeout=120_000)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1100})
        outside: list[str] = []
        page.on("request", lambda request: outside.append(request.url) if "127.0.0.1" not in request.url else None)
        page.goto(address)
        page.locator("input[type=file]").set_input_files(str(drawn))
        expect(page.locator("#status")).to_contain_text("highest score")
        expect(page.locator("#picture img")).to_be_visible()
        # an event leads to its key frame, and to a conversation of its own
        expect(page.locator("#events label").nth(1)).to_contain_text("peak")
        page.locator("#events label").nth(1).click()
        expect(page.locator("#topic")).to_contain_text("event 1")
        hot = picture(page, "picture")
        # the slider acts at once: nothing reaches a threshold of 1, so the bare frame is left
        before = page.locator("#picture img").get_attribute("src")
        assert before is not None
        page.locator("#threshold input[type=number]").fill("1")
        page.locator("#threshold input[type=number]").blur()
        expect(page.locator("#picture img")).not_to_have_attribute("src", before)
        bare = picture(page, "picture")
        assert bare.shape == hot.shape
        assert np.abs(bare.astype(int) - hot).max() > 40
        # a question of one's own, and the answer
        page.locator("#question textarea").fill("Is there any anomaly in the video?")
        page.locator("#question textarea").press("Enter")
        expect(page.locator("#chat .bot").last).to_contain_text(re.compile("Yes|No"))
        # two at once are answered one behind the other
        page.locator("#question textarea").fill("Describe the environment of the video.")
        page.locator("#question textarea").press("Enter")
        expect(page.locator("#question textarea")).to_have_value("")
        page.locator("#question textarea").fill("Describe the features of the anomaly.")
        page.locator("#question textarea").press("Enter")
        expect(page.locator("#chat .user")).to_have_count(3)
        expect(page.locator("#chat .bot").last).to_contain_text(".")
        assert "environment" in page.locator("#chat .user").nth(1).inner_text()
        expect(page.locator("#question textarea")).to_have_value("")
        # a click on the strip jumps, a click on the picture asks about the target there
        box = page.locator("#strip img").bounding_box()
        page.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
        expect(page.locator("#frame input[type=number]")).to_have_value("0")
        box = page.locator("#picture img").bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(page.locator("#topic")).to_contain_text("the target at")
        expect(page.locator("#chat .bot").last).to_contain_text(".")
        # the results
        page.locator("#write").click()
        expect(page.locator("#download")).to_be_visible()
        with page.expect_download() as download:
            page.locator("#download").click()
        download.value.save_as(tmp_path / "results.zip")
        shutil.unpack_archive(tmp_path / "results.zip", tmp_path / "results")
        assert {"index.html", "scores.csv", "dialog.json"} <= {path.name for path in (tmp_path / "results").iterdir()}
        # a file that is no video
        (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
        assert len([*folder.glob("tvau-ui-*/visitor-*")]) == 1
        page.locator("input[type=file]").set_input_files(str(tmp_path / "broken.mp4"))
        expect(page.locator("#status")).to_contain_text("broken.mp4")
        assert not [*folder.glob("tvau-ui-*/visitor-*")]  # nothing is kept or shown of the video before
        expect(page.locator("#download")).to_be_hidden()
        expect(page.locator("#film")).to_be_hidden()
        # one from the list, of two by one name
        page.locator("#chosen input").click()
        expect(page.get_by_role("option")).to_have_count(2)
        page.get_by_role("option").last.click()
        expect(page.locator("#status")).to_contain_text("highest score")
        page.locator("#write").click()
        expect(page.locator("#download")).to_be_visible()
        if shots := os.environ.get("TVAU_SCREENSHOTS"):
            page.screenshot(path=str(Path(shots) / "ui.png"), full_page=True)
        assert not outside, f"the page asks others: {outside[:3]}"
        browser.close()


def test_an_answer_ends_where_another_conversation_begins() -> None:
    talk: Any = SimpleNamespace(history=[("Before?", "Yes.")], stream=lambda question: iter(["A man", " walks."]))
    own = Session(Path("street.mp4"), talk, talk, Path())
    asked = {"role": "user", "content": "Who?"}
    growing = answer(own, "Who?")
    assert next(growing)[2:] == [asked, {"role": "assistant", "content": "A man"}]
    own.about = None  # an event was chosen, or another video
    assert [*growing] == []
    own.about = talk
    assert [*answer(own, "Who?")][-1][2:] == [asked, {"role": "assistant", "content": "A man walks."}]


def test_threshold_and_opacity() -> None:
    gray, heatmap = np.full((40, 640, 3), 90, np.uint8), np.zeros((4, 64), np.float32)
    heatmap[:, 32:] = 0.8
    np.testing.assert_array_equal(overlaid(gray, None, 0.1, 0.65), gray)
    assert overlaid(gray[:, :160], None, 0.1, 0.65).shape == (160, 640, 3)  # small ones are enlarged
    np.testing.assert_array_equal(overlaid(gray, heatmap, 0.9, 0.65), gray)
    np.testing.assert_array_equal(overlaid(gray, heatmap, 0.1, 0.0), gray)
    hot = overlaid(gray, heatmap, 0.1, 0.65).astype(int) - 90
    half = overlaid(gray, heatmap, 0.1, 0.325).astype(int) - 90
    assert not hot[:, :300].any()
    assert np.abs(hot[:, 340:]).max() > 60
    assert np.abs(2 * half - hot).max() <= 2


def test_the_strip_shows_scores_events_and_the_frame_and_is_read_back() -> None:
    scores = np.array([0.0, 1.0, 0.5, 0.0])
    shown = strip(scores, [(1, 2)], now=3)
    dark = (shown[:, :, 0] < 100).mean(0)  # share of each column that is filled
    width = STRIP[1] // 4
    np.testing.assert_allclose([dark[width * at + 50] for at in range(3)], [0, 1, 0.5], atol=0.06)
    assert tuple(shown[0, 2 * width + 9]) != (255, 255, 255) == tuple(shown[0, 9])  # the event is shaded
    assert [place(column, 4) for column in (0, width - 1, width, 4 * width - 1, 9999)] == [0, 0, 1, 3, 3]


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"nothing\.mp4: no such video"):
        main(["ui", "--videos", str(tmp_path / "nothing.mp4")])
