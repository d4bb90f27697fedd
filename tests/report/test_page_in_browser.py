"""Pages in a real browser, on a telephone and on a desk, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, Page, find_browser, running_browser
from c_builds import make_c_build
from report_builds import make_build, make_run, make_weights

from qdeploy.build_folder import read_weights
from qdeploy.report.c_report import read_c_report, write_c_report
from qdeploy.report.design_report import read_report
from qdeploy.report.html import write_report
from qdeploy.report.run_report import read_run_report, write_run_report

pytestmark = pytest.mark.skipif(
    find_browser() is None,
    reason="NOT LOOKED AT in a browser: no Chromium is installed (apt-get install chromium)",
)
TELEPHONE, DESK = 390, 1280
VIEWS = [(width, scheme) for width in (TELEPHONE, DESK) for scheme in ("light", "dark")]

# Elements with text or a border that reach out of the window, other than in a box that scrolls.
OUTSIDE = """(() => {
  const wide = document.documentElement.clientWidth, found = [];
  for (const one of document.body.querySelectorAll('*')) {
    if (one.closest('.scroll, pre, .hidden, .skip, thead, defs')) continue;
    const box = one.getBoundingClientRect();
    if (box.width && (box.right > wide + 0.5 || box.left < -0.5))
      found.push(one.tagName + ' ' + one.className + ' ' + (one.textContent || '').slice(0, 40));
  }
  return found;
})()"""

# Ratios of WCAG 2.2: text against what is painted behind it, each text once.
CONTRAST = """(() => {
  const light = c => { const v = c.slice(0, 3).map(x => x / 255)
      .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  const parse = text => { const v = text.match(/[\\d.]+/g).map(Number);
    return v.length > 3 ? v : [...v, 1]; };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const behind = element => {
    const chain = [];
    for (let one = element; one; one = one.parentElement) chain.unshift(one);
    let color = [255, 255, 255];
    for (const one of chain) color = over(parse(getComputedStyle(one).backgroundColor), color);
    return color; };
  const behindSvg = element => {
    const rect = element.previousElementSibling && element.closest('.network')
      ? [...element.parentElement.children].filter(one => one.tagName === 'rect' &&
          one.compareDocumentPosition(element) & 4).pop() : null;
    return rect ? parse(getComputedStyle(rect).fill)
      : behind(element.closest('figure, div, body')); };
  const found = [];
  let least = 99, count = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || element.closest('style, .hidden, .skip') || !element.checkVisibility()) continue;
    const svg = element.tagName === 'text', style = getComputedStyle(element);
    const ink = parse(svg ? style.fill : style.color);
    const ground = svg ? behindSvg(element) : behind(element);
    const a = light(over(ink, ground)), b = light(ground);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    count += 1; least = Math.min(least, ratio);
    if (ratio < 4.5) found.push(ratio.toFixed(2) + ' ' + text.slice(0, 40));
  }
  return {found, count, least};
})()"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages that are looked at."""
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for name in ("exact", "differs"):
        build = make_build(folder / name, fails=name == "differs")
        made[name] = write_report(build, read_report(build))
    run = make_run(folder / "run")
    weights = read_weights(make_weights(folder / "weights"))
    in_c = make_c_build(folder / "c")
    made["c"] = write_c_report(in_c, read_c_report(in_c))
    made["run"] = write_run_report(run, read_run_report(run), weights)
    return made


BUILDS = ("exact", "differs")
NAMES = (*BUILDS, "c", "run")


def opened(page: Page) -> Page:
    """The page with everything unfolded."""
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    return page


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_nothing_reaches_out_of_the_window(
    browser: Browser, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    with browser.page(pages[name], width, scheme=scheme) as page:
        opened(page)
        assert page.run("document.documentElement.scrollWidth") == width
        assert page.run(OUTSIDE) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(
    browser: Browser, pages: dict[str, Path], name: str, scheme: str
) -> None:
    with browser.page(pages[name], DESK, scheme=scheme) as page:
        opened(page)
        seen: dict[str, Any] = page.run(CONTRAST)
        assert seen["found"] == []
        assert seen["count"] > 100
        ground = page.run("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("name", NAMES)
def test_the_browser_has_nothing_to_say_and_asks_for_nothing(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    with browser.page(pages[name], TELEPHONE) as page:
        opened(page)
        assert page.complaints() == []
        assert page.requests() == [pages[name].resolve().as_uri()]
        assert page.run("document.title") != "run"


@pytest.mark.parametrize("width", [TELEPHONE, DESK])
@pytest.mark.parametrize("name", BUILDS)
def test_the_first_screen_has_verdict_accuracy_speed_latency_and_resources(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    with browser.page(pages[name], width, 844 if width == TELEPHONE else 720) as page:
        high = page.run("innerHeight")
        ends = page.run(
            "[...document.querySelectorAll('.verdict, .cards > div, .meters li')]"
            ".map(one => one.getBoundingClientRect().bottom)"
        )
        assert len(ends) == 1 + 4 + 4
        assert max(ends) <= high


def test_the_keyboard_reaches_the_content_and_everything_that_scrolls(
    browser: Browser, pages: dict[str, Path]
) -> None:
    with browser.page(pages["exact"], TELEPHONE) as page:
        page.press("Tab", 9)
        assert page.run("document.activeElement.className") == "skip"
        box = page.run(
            "(({x, width}) => [x, width])(document.activeElement.getBoundingClientRect())"
        )
        assert box[0] >= 0 and box[1] > 0
        opened(page)
        reached = page.run(
            "[...document.querySelectorAll('*')]"
            ".filter(one => one.scrollWidth > one.clientWidth + 1)"
            ".filter(one => ['auto', 'scroll'].includes(getComputedStyle(one).overflowX))"
            ".map(one => one.tabIndex)"
        )
        assert reached and set(reached) == {0}


def test_tables_of_many_columns_become_blocks_on_a_telephone_and_stay_tables(
    browser: Browser, pages: dict[str, Path]
) -> None:
    first = "document.querySelector('table.rows tbody tr')"
    script = f"[getComputedStyle({first}).display, {first}.getAttribute('role')]"
    with browser.page(pages["exact"], TELEPHONE) as page:
        assert page.run(script) == ["grid", "row"]
        label = f"getComputedStyle({first}.querySelector('td'), '::before').content"
        assert page.run(label) == '"operator"'
    with browser.page(pages["exact"], DESK) as page:
        assert page.run(script) == ["table-row", "row"]


def test_texts_of_charts_are_as_large_as_they_are_drawn(
    browser: Browser, pages: dict[str, Path]
) -> None:
    with browser.page(pages["exact"], TELEPHONE) as page:
        heights = page.run(
            "[...document.querySelectorAll('svg text')]"
            ".map(one => one.getBoundingClientRect().height)"
        )
        assert len(heights) > 40
        assert min(heights) >= 11
