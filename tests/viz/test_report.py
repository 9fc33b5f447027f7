import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tvau.errors import DataError
from tvau.viz.report import Case, Measured, Spread, embedded, number, score_table, tables, write_report

TARGET: dict[str, Any] = {"count": 3, "bleu4": 0.61234, "exact": 0.0, "slots": {"class": 1.0}}
TARGET["floor"] = {"bleu4": 0.4, "slots": {"class": 0.5}}
RESULTS: dict[str, dict[str, Any]] = {
    "T-VAU": {
        "test": {
            "frame": {"micro_auc": 0.9, "frames": 80, "interval": {"micro_auc": [0.8, 0.96]}},
            "pixel": {"auroc": 0.99, "auroc_error": 0.0002}, "region": {"rbdc": 0.5, "tbdc": 0.25, "boxes": 7},
            "text": {"target": TARGET},
        },
        "novel": {"frame": {"micro_auc": float("nan")}},
    },
    "median": {"test": {"frame": {"micro_auc": 0.6}}},
}  # fmt: skip
CURVES: dict[str, dict[str, dict[str, dict[str, list[list[float]]]]]] = {
    "T-VAU": {"test": {"frame": {"roc": [[0, 0.5, 1], [0, 0.9, 1]]}, "region": {"rbdc": [[0], [0.4]]}}}
}


def case(name: str, known: bool, turns: list[tuple[str, str, str]]) -> Case:
    rng = np.random.default_rng(0)
    mask = rng.random((6, 30, 40)) < 0.1 if known else None
    pictures = rng.integers(0, 255, (6, 30, 40, 3), dtype=np.uint8)
    labels = np.arange(6) > 3 if known else None
    return Case(name, "test", np.arange(6) * 2, pictures, rng.random((6, 3, 4)), mask, rng.random(6), labels, turns)


class Page(HTMLParser):
    """What a browser would load, and the text it would show."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_numbers_look_the_same_everywhere() -> None:
    assert [number(v) for v in (0.12345, 1.0, 12, None, float("nan"), "x")] == ["0.123", "1.000", "12", "-", "-", "x"]
    assert [number(v) for v in (0.0, 0.00012)] == ["0.000", "0.0001"]
    assert number(Spread(0.5, 0.01)) == "0.500 ± 0.010"
    assert number(Measured(0.5, 0.4, 0.58)) == "0.500 ±0.090"


def test_tables_hold_every_method_and_the_floor() -> None:
    frames, pixels, regions, target = tables(RESULTS)
    assert frames.header == ("split", "method", "AUC micro", "frames")
    assert frames.rows == (
        ("test", "T-VAU", "0.900 ±0.080", "80"),
        ("test", "median", "0.600", "-"),
        ("novel", "T-VAU", "-", "-"),
    )
    assert (pixels.header[2:], pixels.rows[0][2:]) == (("AUROC", "binning"), ("0.990", "0.0002"))
    assert (regions.header[2:], regions.rows[0][2:]) == (("RBDC", "TBDC", "boxes"), ("0.500", "0.250", "7"))
    assert target.header == ("split", "method", "count", "BLEU-4", "exact", "class")
    assert target.rows[0][2:] == ("3", "0.612", "0.000", "1.000")
    assert target.rows[1][1].startswith("floor")
    assert target.rows[1][2:] == ("-", "0.400", "-", "0.500")


def test_score_table_is_aligned_markdown() -> None:
    blocks = score_table(RESULTS).split("\n\n")
    assert blocks[0] == "### Maps: frames"
    lines = blocks[1].splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 5
    assert set(lines[1]) == set("|-: ")
    assert score_table({}) == ""


def test_report_is_one_well_formed_page_that_needs_nothing_beside_it(tmp_path: Path) -> None:
    turns = [("Any <anomaly>?", "Yes & no.", "Yes."), ("Where?", "At the center.", "")]
    path = tmp_path / "deep" / "report.html"
    cases = [case("clip 1", True, turns), case("clip 2", False, [("Q", "A", "")])]
    cases[0].why = "the median & more"
    write_report(path, "A <title>", RESULTS, cases, {"seed": "0"}, CURVES, ["All is <well>."], "By rule.")
    html = path.read_text("utf-8")
    page = Page(html)
    assert page.open == []
    assert list(path.parent.iterdir()) == [path]
    assert len(page.sources) == 2 + (3 * 4 + 1) + (2 * 4 + 1) + 1  # the first picture, the clips, the curves
    for source in page.sources:
        kind, data = source.split(";base64,")
        assert kind in ("data:image/jpeg", "data:image/png")
        assert cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR) is not None
    assert not re.search(r"https?://", html)
    for shown in (
        "A <title>",
        "Any <anomaly>?",
        "Yes & no.",
        "0.612",
        "clip 2",
        "seed",
        "All is <well>.",
        "median & more",
        "By rule.",
    ):
        assert shown in page.text
    assert page.text.count("reference") == 1 + page.text.count("where the reference")  # only where one is known


def test_report_begins_with_picture_and_sentences_and_folds_wide_tables(tmp_path: Path) -> None:
    wide: dict[str, Any] = {
        "count": 3,
        **dict.fromkeys(("yes_no", "bleu4", "bleu4_sentence", "rouge_l", "meteor"), 0.5),
    }
    wide["slots"] = {"class": 0.5, "action": 0.5}
    results = {"T-VAU": {"test": {**RESULTS["T-VAU"]["test"], "text": {"judgement": wide}}}}
    write_report(tmp_path / "r.html", "t", results, [case("c", True, [])], {"seed": "0"}, told=["First sentence."])
    html = (tmp_path / "r.html").read_text()
    order = ["<figure><img", "First sentence.", "<h2>Clips", "<h2>Scores", "<h2>What was run"]
    assert [html.index(part) for part in order] == sorted(html.index(part) for part in order)
    folded = re.findall(r"<details>.*?</details>", html, re.S)
    assert [("METEOR" in part, "Maps: frames" in part) for part in folded] == [(True, False)]
    assert html.count('<table class="scores">') == 4


def test_report_without_scores_and_clips_is_still_a_page(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", "empty", {}, [])
    assert "No scores." in Page((tmp_path / "report.html").read_text()).text


def test_a_case_that_does_not_fit_is_named_and_leaves_no_half_page(tmp_path: Path) -> None:
    broken = case("clip 7", True, [])
    broken.scores = broken.scores[:2]
    with pytest.raises(DataError, match="clip 7"):
        write_report(tmp_path / "report.html", "t", {}, [broken])
    assert not list(tmp_path.iterdir())


def test_embedded_png_keeps_every_pixel() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    data = base64.b64decode(embedded(picture, "png").split(",")[1])
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), picture)
