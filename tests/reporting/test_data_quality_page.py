"""The page: whole, escaped, and without a request to anyone."""

from __future__ import annotations

import base64
import dataclasses
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from crowds import crowd, noise
from PIL import Image

from fer_mlops.config import DataConfig
from fer_mlops.data.quality.findings import Example, Finding, Listing
from fer_mlops.data.quality.report import DataReport, check_data, check_metadata
from fer_mlops.data.table import Note
from fer_mlops.reporting.data_quality_page import render_page, summarise
from fer_mlops.reporting.html.pictures import picture_uri

EVIL = "<script>alert('x')</script>&\"\udcff.png"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Reads a page, and insists on every tag being closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def ill(tmp_path: Path) -> DataReport:
    """An examination with findings of every severity, pictures among them."""
    table = crowd(tmp_path, 12, each=2)
    table = table.select(list(range(168)), Note("no-label", "1 file without a label", ("x.png",)))
    (tmp_path / table.paths[0]).write_bytes(b"torn")
    return check_data(table, DataConfig(split="random"), 0, tmp_path / "cache")


def finding(*examples: Example, **changes: object) -> Finding:
    values: dict[str, object] = {
        "kind": "tiny",
        "severity": "warning",
        "what": "what",
        "consequence": "so",
        "remedy": "do",
        "num": 1,
    }
    return Finding(**{**values, "examples": examples, **changes})  # type: ignore[arg-type]


def test_the_page_tells_every_finding(ill: DataReport) -> None:
    text = "".join(Page(render_page(ill)).words)
    assert {f.severity for f in ill.findings} == {"error", "warning", "note"}
    for found in ill.findings:
        assert found.what[1:] in text
        assert found.consequence in text
        assert found.remedy in text
    for listing in ill.listings:
        assert listing.title in text
    assert ill.verdict in text
    assert "seed 0" in text


def test_the_page_asks_nobody_for_anything(ill: DataReport) -> None:
    page = Page(render_page(ill))
    assert {name for name, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object"})
    sources = [image["src"] or "" for image in page.all("img")]
    assert sources
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    policy = next(meta for meta in page.all("meta") if meta.get("http-equiv"))
    assert (policy["content"] or "").startswith("default-src 'none'")
    assert "http" not in render_page(ill).replace("http-equiv", "")


def test_whatever_a_file_or_label_is_called_stays_text(ill: DataReport) -> None:
    evil = finding(Example(EVIL, EVIL), what=EVIL, kind="tiny", consequence=EVIL, remedy=EVIL)
    listing = Listing(title=EVIL, about=EVIL, columns=(EVIL,), rows=((EVIL,),))
    bad = dataclasses.replace(
        ill, name=EVIL, findings=(evil,), listings=(listing,), facts=(EVIL,), verdict=EVIL, split=EVIL
    )
    page = Page(render_page(bad))
    assert page.all("script") == []
    assert "".join(page.words).count("<script>alert('x')</script>") >= 11
    render_page(bad).encode()  # a name that is no UTF-8 too


def test_pictures_are_small_and_their_number_bounded(tmp_path: Path, ill: DataReport) -> None:
    big = noise(0, np.random.default_rng(0)).resize((900, 600)).convert("RGB")
    names = [f"{i:02}.jpg" for i in range(40)]
    for name in names:
        big.save(tmp_path / name)
    examples = [Example(name, "x") for name in names]
    for kind, most in (("tiny", 12), ("label-errors", 24)):
        one = dataclasses.replace(ill, root=tmp_path, findings=(finding(*examples, kind=kind),))
        page = Page(render_page(one))
        assert len(page.all("img")) == most
        assert "All 40" in page.words
    content = base64.b64decode(picture_uri(tmp_path, "00.jpg").split(",")[1])
    with Image.open(io.BytesIO(content)) as picture:
        assert max(picture.size) == 224


def test_a_list_of_names_is_bounded_too(ill: DataReport) -> None:
    examples = [Example(f"gone{i}.png") for i in range(1000)]
    page = Page(render_page(dataclasses.replace(ill, findings=(finding(*examples),))))
    assert "… and 800 more, in the JSON" in page.words
    assert page.all("img") == []


@pytest.mark.parametrize("name", ["../secret.png", "gone.png", "torn.png", "folder", "a\0b.png"])
def test_what_is_no_image_of_the_data_is_not_shown(name: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "folder").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "secret.png")
    (root / "torn.png").write_bytes(b"torn")
    assert picture_uri(root, name) == ""


def test_a_link_out_of_the_data_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "secret.png")
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "secret.png")
    assert picture_uri(tmp_path / "data", "link.png") == ""


def test_a_page_without_findings_says_so(tmp_path: Path) -> None:
    examination = dataclasses.replace(check_metadata(crowd(tmp_path, 12), DataConfig(), 0), findings=())
    words = Page(render_page(examination)).words
    assert "No problems were found." in words
    assert summarise(examination) == "0 errors, 0 warnings, 0 notes"


def test_cells_are_shown_by_what_they_are(ill: DataReport) -> None:
    listing = Listing(title="t", about="a", columns=("a", "b", "c", "d"), rows=(("x", 1234, 0.5, -1),))
    scores = Listing(title="t", about="a", columns=("a", "b"), rows=(("x", 0.75),), chances=(0.0, 0.5))
    text = render_page(dataclasses.replace(ill, listings=(listing, scores), findings=()))
    assert '<td data-label="b">1,234</td>' in text
    assert 'width:50%"></i></span> 50%' in text
    assert '<td data-label="d">–</td>' in text
    assert '--shade:0.50">0.75<' in text
