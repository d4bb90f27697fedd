"""What a page consists of, whatever shows it: landmarks, headings, names of pictures and tables."""

from __future__ import annotations

import itertools
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_builds import TAG, make_build

from qdeploy.errors import UserError
from qdeploy.report.design_report import read_report
from qdeploy.report.html import render

VOID = {"meta", "br", "img", "path", "circle", "rect"}


class Page(HTMLParser):
    """Elements in their order with their attributes, and the text of headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.heads: list[tuple[int, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.heads.append((int(self.open[-1][1]), data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(params=[False, True], ids=["exact", "differs"])
def text(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    build = make_build(tmp_path / "build", fails=request.param)
    return render(build, read_report(build))


def test_the_page_has_its_landmarks_once_and_one_first_heading(text: str) -> None:
    page = Page(text)
    assert page.open == []
    for tag in ("header", "main", "footer", "nav", "h1"):
        assert len(page.all(tag)) == 1, tag
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("a")[0]["href"] == "#content" == f"#{page.all('main')[0]['id']}"


def test_headings_go_down_one_level_at_a_time(text: str) -> None:
    levels = [level for level, _ in Page(text).heads]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_link_leads_to_a_place_on_the_page(text: str) -> None:
    page = Page(text)
    places = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    links = [attrs["href"] for attrs in page.all("a")]
    assert len(links) > 5 and all(link[0] == "#" and link[1:] in places for link in links)
    ids = [attrs["id"] for name, attrs in page.elements if "id" in attrs and name != "marker"]
    assert len(ids) == len(set(ids))


def test_pictures_tables_and_scrolled_boxes_have_names(text: str) -> None:
    page = Page(text)
    pictures = [one for one in page.all("svg") if one.get("aria-hidden") != "true"]
    assert len(pictures) >= 6
    assert all(one["role"] == "img" and len(one["aria-label"]) > 20 for one in pictures)
    assert len(page.all("caption")) == len(page.all("table")) > 4
    boxes = [attrs for _, attrs in page.elements if attrs.get("role") == "region"]
    assert all(box["aria-label"] and box["tabindex"] == "0" for box in boxes)
    sections = page.all("section")
    assert all(f'id="{one["aria-labelledby"]}"' in text for one in sections)


def test_no_text_of_a_file_becomes_a_tag(text: str) -> None:
    page = Page(text)
    assert page.all("script") == []
    assert TAG not in text
    assert "&lt;script&gt;" in text


def test_nothing_is_loaded_and_nothing_may_be(text: str) -> None:
    page = Page(text)
    assert not any({"src", "xlink:href"} & set(attrs) for _, attrs in page.elements)
    assert page.all("link") == [] and "@import" not in text
    assert any(one.get("content", "").startswith("default-src 'none'") for one in page.all("meta"))


def test_the_first_screen_says_what_fails_and_where(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", fails=True)
    text = render(build, read_report(build))
    head = text.split("<main")[0]
    assert "NOT EXACT: rung `rtl` fails" in head
    assert "frame 3, `out`, channel 1, row 0, column 1: 3 instead of 1" in head
    assert "98.00%" in head and "200,000" in head and "94.0% of 53,200" in head and "9 µs" in head
    part = text.split('id="difference"')[1].split("</section>")[0]
    assert "The layer before, <b>code</b>, is equal in every code" in part
    assert '<td class="wrong first">3 ← 1</td>' in part
    assert part.count('class="wrong') == 1
    assert "codes first differ here" in text.split('id="network"')[1]


def test_an_exact_build_says_on_what_that_rests(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build")
    head = render(build, read_report(build)).split("<main")[0]
    assert "Exact on every level that ran" in head
    assert "rtl: 160 codes compared, none differs. Not run: netlist." in head


def test_a_design_too_large_and_changed_files_are_said_first(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build")
    path = build / "resources.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fits": False}))
    assert "DOES NOT FIT the board" in render(build, read_report(build)).split("<main")[0]
    path = build / "verify.json"
    wrong = {"files": {"checked": 9, "wrong": {"frames.npz": "has changed since"}}}
    path.write_text(json.dumps(json.loads(path.read_text()) | wrong))
    head = render(build, read_report(build)).split("<main")[0]
    assert "NOT VERIFIED" in head and "`frames.npz`" in head


def test_the_bottleneck_is_marked_in_the_picture(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build")
    picture = render(build, read_report(build)).split('id="network"')[1].split("</section>")[0]
    assert picture.count('class="slowest"') == 1
    assert "400 cycles, PE 2, SIMD 2  ◀ bottleneck" in picture
    assert "The bottleneck is block.conv: depthwise" in picture
    assert "stream: 1 x 2 bits per beat, 4 beats" in picture


def test_where_finn_has_no_figure_none_is_shown(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build")
    found = read_report(build)
    (row,) = [one for one in found.layers if one.finn]
    assert row.finn == {"bram36": 2.0, "dsp": 8}
    text = render(build, found)
    assert 'data-label="LUT, FINN">-</td>' in text
    assert 'data-label="LUT, FINN">0</td>' not in text


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("metrics.jsonl", '{"phase": 7}\n', r"metrics\.jsonl.* cannot be read"),
        ("metrics.jsonl", "{", r"metrics\.jsonl.* cannot be read"),
        ("verify.json", '{"rungs": [{"name": "rtl", "passed": false, "details": '
         '{"first_difference": {"boundary": 3}}}]}', r"verify\.json.* cannot be read"),
        ("model.graph.safetensors", "no graph", r"model\.graph\.safetensors"),
        ("resources.json", "[]", r"resources\.json.* cannot be read"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, name: str, damage: str, words: str) -> None:
    build = make_build(tmp_path / "build")
    (build / name).write_text(damage)
    with pytest.raises(UserError, match=words):
        render(build, read_report(build))


def test_a_damaged_row_is_named_by_its_line(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build")
    path = build / "metrics.jsonl"
    path.write_text(path.read_text() + '{"accuracy": 7.0}\n')
    with pytest.raises(UserError) as caught:
        render(build, read_report(build))
    assert str(caught.value.where).endswith("metrics.jsonl:25")
    assert "accuracy" in str(caught.value.why)


def test_the_clock_is_assumed_and_what_is_known_of_it_is_shown(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build")
    bare = render(build, read_report(build))
    assert "MHz, assumed" in bare
    assert "Longest path" not in bare and "Placed and routed" not in bare
    path = {"name": "whole", "path_from": "stem", "path_to": "block.add", "hops": 4}
    static = {"source": "cells alone", "paths": [{**path, "fmax_mhz": 123.4}]}
    placed = {"part": "Lattice ECP5", "fmax_mhz": 107.8, "path_from": "stem", "path_to": "add"}
    for name, record in (("static_timing", static), ("timing", placed)):
        (build / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    text = render(build, read_report(build))
    assert "from stem to block.add, 4 routed nets, about 123 MHz by estimate (cells alone)" in text
    assert "Lattice ECP5: 107.8 MHz; the longest path goes from stem to add." in text
    assert "MHz, assumed" in text and "clock stays assumed" in text
