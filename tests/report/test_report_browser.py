"""The report in a real Chromium, offline: it works, by mouse and keyboard, and nothing runs in it.

Screenshots of every state are kept under results/screenshots, for looking at.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from payloads import PAYLOADS, payload_table
from report_data import IMAGE, SCRIPT, flooded, labelled_table, mixed_detector

import advae
from advae.display import text
from advae.report.page import write_report
from advae.report.scores import BINS, STEPS
from advae.report.summary import Report

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install 'advae[test]'"
)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on the path: apt-get install chromium"
    ),
]
SCREENSHOTS = Path(__file__).resolve().parents[2] / "results" / "screenshots"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--no-first-run",
)  # fmt: skip
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def share(value: float) -> str:
    """Return a share as the page writes it, which no line breaks before its sign."""
    return text.share(value).replace(" %", "\u00a0%")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """Write a report on a hostile table, with labels."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    table = flooded(labelled_table())
    written = write_report(
        mixed_detector(), table, path, label="label", keep=["key"], data_name=SCRIPT
    )
    return written, path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, report: tuple[Report, Path]) -> Iterator[Open]:
    """Open the page, offline; in the end, nothing must have been said, asked or fetched."""
    noise: list[str] = []
    contexts = []

    def go(**options: Any) -> Any:
        # Without motion: a page that still glides to what has the focus moves from under the mouse.
        usual = {"viewport": DESKTOP, "offline": True, "reduced_motion": "reduce"}
        context = browser.new_context(**(usual | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        address = report[1].as_uri()
        page.on("console", lambda message: noise.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: noise.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (noise.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda each: noise.append(each.url) if each.url != address else None)
        page.goto(address)
        return page

    yield go
    for context in contexts:
        context.close()
    assert noise == []


def _keep(page: Any, name: str, *, whole: bool = True) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    # A whole page is tall: drawing it takes long where others use the processors, too.
    page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=whole, timeout=60_000)


def _fits(page: Any) -> bool:
    return page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )


def test_it_opens_offline_and_shows_the_data_as_text(opened: Open, report) -> None:
    page = opened()
    written = report[0]
    assert page.title().startswith(f"{written.flagged} of 300 rows flagged")
    assert SCRIPT in page.inner_text(".eyebrow")
    headings = page.locator("#columns tbody th").all_inner_texts()
    assert any(text.startswith(SCRIPT) for text in headings)
    assert any(text.startswith(IMAGE) for text in headings)
    assert page.locator("img, b, i").count() == 0
    assert _fits(page)
    _keep(page, "desktop-light")


def test_nothing_else_can_run_in_it(browser: Any, report: tuple[Report, Path]) -> None:
    page = browser.new_page()  # not "opened": the policy reports what it blocks
    page.goto(report[1].as_uri())
    blocked = page.evaluate(
        """() => new Promise((resolve) => {
          const blocked = [];
          const note = (event) => blocked.push(event.effectiveDirective);
          document.addEventListener("securitypolicyviolation", note);
          window.ran = false;
          for (const [name, make] of [
            ["script", (e) => { e.textContent = "window.ran = true"; }],
            ["style", (e) => { e.textContent = "body { display: none }"; }],
            ["img", (e) => { e.src = "https://example.invalid/x.png"; }],
          ]) { const e = document.createElement(name); make(e); document.body.append(e); }
          setTimeout(() => resolve([window.ran, blocked.sort()]), 300);
        })"""
    )
    assert blocked == [False, ["img-src", "script-src-elem", "style-src-elem"]]
    page.close()


def test_scores_of_zero_are_not_red_at_a_threshold_of_zero(browser, tmp_path) -> None:
    rows = pl.DataFrame({"a": ["x", "y"] * 100, "b": ["u", "v"] * 100})
    config = advae.Config(iterations=20, threshold=0.0, surprise=False)
    path = tmp_path / "report.html"
    odd = pl.DataFrame({"a": ["x", "y"], "b": ["v", "u"]})
    write_report(advae.fit_detector(rows, config), pl.concat([rows, odd]), path)
    red = "[...document.querySelectorAll('clipPath rect')].map((e) => +e.getAttribute('x'))"
    for scripts in (True, False):
        page = browser.new_page(java_script_enabled=scripts)
        page.goto(path.as_uri())
        assert page.locator("#above-new").inner_text() == "1.0\N{NO-BREAK SPACE}%"
        assert page.evaluate(red) == [1000 / BINS] * 3  # of training, of calibration, new
        page.close()


def test_one_row_and_one_other_column_are_in_the_singular(browser, tmp_path) -> None:
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({f"c{number}": rng.normal(size=100) for number in range(11)})
    path = tmp_path / "report.html"
    config = advae.Config(iterations=20, threshold=2.5e9, surprise=False)
    detector = advae.fit_detector(rows, config)
    write_report(detector, rows[:1], path)
    for scripts in (True, False):  # which write numbers alike
        page = browser.new_page(java_script_enabled=scripts)
        page.goto(path.as_uri())
        assert page.locator("#now-threshold").inner_text() == "2.50e+09"
        assert page.locator("h1").inner_text() == "The only row does not stand out."
        if scripts:
            page.locator(".open").click()
            assert (
                page.locator(".detail th", has_text="other column")
                .inner_text()
                .startswith("1 other column")
            )
            assert page.get_by_text("other columns").count() == 0
        page.close()


def test_the_slider_tells_what_a_threshold_flags(opened: Open, report) -> None:
    page = opened()
    groups = {group.key: group for group in report[0].scores.groups}
    normal, anomaly = groups["normal"], groups["anomaly"]
    slider = page.locator("#threshold")

    def expect(hits: int, alarms: int) -> None:
        assert page.inner_text("#now-flagged") == str(hits + alarms)
        assert page.inner_text("#above-normal") == share(alarms / normal.total)
        assert page.inner_text("#hits") == str(hits)
        assert page.inner_text("#misses") == str(anomaly.total - hits)
        assert page.inner_text("#alarms") == str(alarms)
        precision, recall = hits / max(hits + alarms, 1), hits / anomaly.total
        assert page.inner_text("#now-precision") == f"{precision:.3f}"
        assert page.inner_text("#now-recall") == f"{recall:.3f}"
        f1 = 2 * hits / max(hits + alarms + anomaly.total, 1)
        assert page.inner_text("#now-f1") == f"{f1:.3f}"
        words = slider.get_attribute("aria-valuetext")
        assert f"{hits + alarms} of 300 rows flagged" in words
        assert f"recall {recall:.2f}" in words

    expect(anomaly.flagged, normal.flagged)
    slider.focus()
    start = round(float(slider.input_value()))
    for presses, key, move in ((3, "ArrowRight", 1), (2, "PageUp", 24), (4, "ArrowDown", -1)):
        for _ in range(presses):
            page.keyboard.press(key)
        start += presses * move
        assert float(slider.input_value()) == start
        expect(anomaly.above[start], normal.above[start])
    box = slider.bounding_box()
    slider.click(position={"x": 0.25 * box["width"], "y": box["height"] / 2})
    step = round(float(slider.input_value()))
    assert abs(step / STEPS - 0.25) < 0.02
    expect(anomaly.above[step], normal.above[step])
    # The line stands under the thumb.
    box, line = slider.bounding_box(), page.locator("#mark").bounding_box()
    assert abs(line["x"] - (box["x"] + 0.25 * box["width"])) < 4
    _keep(page, "slider", whole=False)
    page.click("#reset")
    expect(anomaly.flagged, normal.flagged)
    page.locator("[data-threshold]").nth(1).click()
    assert page.inner_text("#now-threshold") != page.inner_text(".figures div:nth-child(3) dd")


def test_headings_sort_the_tables(opened: Open, report) -> None:
    page = opened()
    scores = [row.score for row in report[0].top]

    def column(number: int) -> list[float]:
        cells = page.locator(f".rows > tbody > tr:not(.detail) > :nth-child({number})")
        return [
            float(value) for value in cells.evaluate_all("all => all.map(c => c.dataset.value)")
        ]

    assert column(4) == scores
    heading = page.locator(".rows > thead th", has_text="Score")
    assert heading.get_attribute("aria-sort") == "descending"
    page.locator("#rows .open").first.click()
    heading.locator("button").click()
    assert column(4) == sorted(scores)
    assert heading.get_attribute("aria-sort") == "ascending"
    # Details stay with their row.
    row = page.locator("#rows tr.detail").evaluate("row => row.previousElementSibling.id")
    assert row == f"row-{report[0].top[0].row}"
    number = page.locator(".rows > thead th", has_text="Row").locator("button")
    number.focus()
    page.keyboard.press("Enter")
    assert column(1) == sorted(column(1), reverse=True)
    assert page.locator("#rows th[aria-sort]").count() == 1
    drift = page.locator("#columns th", has_text="Drift").locator("button")
    drift.click()
    cells = page.locator("#columns tbody td:nth-child(5)")
    values = cells.evaluate_all("all => all.map(c => Number(c.dataset.value))")
    assert values == sorted(values, reverse=True)


def test_a_row_opens_to_observed_against_expected(opened: Open, report) -> None:
    page = opened()
    top = report[0].top[0]
    button = page.locator(f"#row-{top.row} .open")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    lines = page.locator("#rows .detail tbody tr")
    assert lines.count() == len(top.cells) == 8
    for number, cell in enumerate(top.cells):
        texts = lines.nth(number).locator("th, td").all_inner_texts()
        name = report[0].feature_names[cell.column]
        assert texts[0] == " ".join(name.split())[:79] or texts[0].startswith(name[:20])
        assert texts[1] == share(cell.contribution / top.score)
        assert texts[2] == (cell.observed or "missing")
        assert texts[3] == (cell.expected or "missing")
        if cell.direction != "same":
            assert texts[5].endswith(cell.remark)
    assert re.match(r"Would (still|not) be flagged", page.inner_text("#rows .detail .remedy"))
    assert page.locator("#rows .detail .strip").count() == len(top.cells)
    _keep(page, "row-details")
    page.keyboard.press("Enter")
    assert page.locator("#rows .detail").count() == 0
    page.click("#open-all")
    assert page.locator("#rows .detail").count() == 10
    page.click("#open-all")
    assert page.locator("#rows .detail").count() == 0


def test_the_keyboard_reaches_everything_and_focus_shows(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = []
    wanted = page.evaluate(
        "[...document.querySelectorAll('a, button, input')]"
        ".filter((each) => each.checkVisibility()).length"
    )
    for _ in range(wanted + 20):
        found = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e);
            const thumb = e.type === 'range';
            return [e.tagName, e.id || e.className || e.textContent.trim(),
                    thumb || (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2)]; }"""
        )
        if found[0] == "BODY":
            break
        seen.append(found)
        page.keyboard.press("Tab")
    assert len(seen) >= wanted
    assert all(shown for _, _, shown in seen), [each for each in seen if not each[2]]
    names = [name for _, name, _ in seen]
    assert names.index("theme") < names.index("open-all") < names.index("threshold")
    # Every control has a name for those who cannot see it.
    snapshot = page.locator("body").aria_snapshot()
    assert 'slider "Threshold"' in snapshot
    assert re.search(r'button "Details of row \d+"', snapshot)
    assert not re.search(r"- (button|link|slider|checkbox)$", snapshot, re.M)
    assert 'img "ROC curve: roc auc' in snapshot


CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_colour_schemes(opened: Open, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background) == "rgb(19, 21, 24)"
    assert dark == (scheme == "dark")
    page.click("#open-all")
    assert page.evaluate(CONTRAST) == []
    _keep(page, f"desktop-{scheme}-details")
    other = "Light" if dark else "Dark"
    assert page.inner_text("#theme") == other
    page.click("#theme")
    assert (page.evaluate(background) == "rgb(19, 21, 24)") != dark
    assert page.evaluate(CONTRAST) == []


def test_it_reads_well_on_a_phone(opened: Open) -> None:
    page = opened(viewport=PHONE, device_scale_factor=2, has_touch=True, is_mobile=True)
    page.locator("#rows .open").first.tap()
    page.click("#open-all")
    assert _fits(page)
    widths = page.locator("#rows tbody tr").evaluate_all("all => all.map(r => r.scrollWidth)")
    assert max(widths) <= PHONE["width"]
    sizes = page.evaluate(
        "[...document.querySelectorAll('main p, main td, main th, svg text')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 12
    _keep(page, "phone")


@pytest.mark.parametrize("width", [320, 400])
def test_kinds_of_rows_are_not_cut_off_on_a_phone(opened: Open, width: int) -> None:
    page = opened(viewport={"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    ends = "all => all.map(each => each.getBoundingClientRect().right)"
    cells = page.locator("#segments :is(th, td, .meter)")
    assert cells.count() > 20
    assert max(cells.evaluate_all(ends)) <= width


@pytest.mark.parametrize("width", [390, 800])
def test_short_words_are_not_broken(opened: Open, width: int) -> None:
    page = opened(viewport={"width": width, "height": 900})
    lines = """[...document.querySelectorAll('.tag, .word, #scores tbody th')].map(e => {
        const range = document.createRange();
        range.selectNodeContents(e.firstChild);
        return new Set([...range.getClientRects()].map(each => each.top)).size; })"""
    assert set(page.evaluate(lines)) == {1}


def test_it_prints_on_white_without_controls(opened: Open) -> None:
    page = opened(color_scheme="dark")
    page.click("#maker > summary")  # what is folded is not printed
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".bar").is_visible()
    assert not page.locator("#threshold").is_visible()
    assert page.locator(".ridge-plots").is_visible()
    # Chromium prints no button in the head that it repeats on the next page.
    heads = "[...document.querySelectorAll('button.sort')].map(e => getComputedStyle(e).display)"
    assert set(page.evaluate(heads)) == {"contents"}
    drawn = page.locator(".toggles label:visible").all_inner_texts()
    assert [each.split("\n")[0].rstrip("0123456789 ") for each in drawn] == [
        "Not flagged",
        "Flagged",
    ]
    assert not page.locator(".toggles input").first.is_visible()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    printed = page.pdf(format="A4", path=str(SCREENSHOTS / "print.pdf"))
    assert printed.startswith(b"%PDF")


def test_it_says_everything_but_details_without_scripts(opened: Open) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator("h2").count() >= 7
    assert 50 <= page.locator("#rows tbody tr").count() <= 60  # one more for each group
    assert page.locator(".ridge path.above").first.is_visible()
    assert not page.locator("#threshold").is_visible()
    assert not page.locator(".open").first.is_visible()
    assert page.locator("noscript").first.is_visible()
    _keep(page, "without-scripts")


def test_the_latent_space_answers(opened: Open, report) -> None:
    page = opened()
    page.click("#maker > summary")
    synthetic = page.locator("path.dots.synthetic")
    assert not synthetic.is_visible()
    page.check("[data-points=synthetic]")
    assert synthetic.is_visible()
    page.uncheck("[data-points=normal]")
    assert not page.locator("path.dots.normal").is_visible()
    flagged = next(group for group in report[0].latent.groups if group.key == "flagged")
    # A point that stands alone, so that it is the nearest one.
    places = np.array([flagged.x, flagged.y]).T
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(len(places))
    lone = int(gaps.min(axis=1).argmax())
    frame = page.locator("#latent-frame")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    x, y = flagged.x[lone] * box["width"], (1 - flagged.y[lone]) * box["height"]
    frame.hover(position={"x": x, "y": y})
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert tip.inner_text().startswith(f"Row {flagged.rows[lone]}, score ")
    _keep(page, "latent", whole=False)
    page.mouse.move(0, 0)
    assert not tip.is_visible()


# --- finding rows, and taking them along ---


def test_rows_are_found_by_words_and_by_column(opened: Open, report) -> None:
    page = opened()
    rows = page.locator(".rows > tbody > tr:visible")
    assert 50 <= (listed := rows.count()) <= 60
    page.fill("#find-rows", f"{report[0].top[3].kept[0]}")
    assert rows.count() == 1
    assert page.inner_text("#found-rows") == f"1 of {listed} rows"
    page.fill("#find-rows", "no such words")
    assert rows.count() == 0
    page.fill("#find-rows", "")
    page.select_option("#by-column", label="always")
    driven = [
        row.row
        for row in report[0].top
        if "always" in [report[0].feature_names[cell.column] for cell in row.cells[:1]]
    ]
    shown = page.locator(".rows > tbody > tr:visible > th").all_inner_texts()
    assert {str(row) for row in driven} <= set(shown)
    assert 0 < len(shown) < 50
    page.fill("#find-columns", "twice")
    assert page.locator(".columns > tbody > tr:visible").count() == 1


def test_flagged_rows_are_downloaded_as_safe_csv(opened: Open, report, tmp_path: Path) -> None:
    page = opened(accept_downloads=True)
    with page.expect_download() as waiting:
        page.click("#download")
    path = tmp_path / "flagged.csv"
    waiting.value.save_as(path)
    table = pl.read_csv(path, infer_schema=False)
    assert table.columns[:5] == ["row", "key", "label", "anomaly_score", "p_value"]
    assert table.height == report[0].flagged
    assert table["row"].to_list() == [str(row[0]) for row in report[0].listed.rows]
    assert table.filter(pl.col("row") == "3")["key"].to_list() == ["'=1+1"]
    assert table["reason_1_observed"].str.starts_with("-").any()  # numbers stay numbers


def test_a_row_is_copied(opened: Open, report) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.locator(".open").first.click()
    page.click(".copy")
    page.wait_for_function("document.querySelector('.copy').textContent === 'Copied'")
    text = page.evaluate("navigator.clipboard.readText()")
    first = report[0].top[0]
    assert text.startswith(f"Row\t{first.row}\nkey\t")
    assert f"{report[0].feature_names[1]}\t" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_words_and_row_numbers_stay_whole(opened: Open, size, scheme: str) -> None:
    page = opened(viewport=size, color_scheme=scheme)
    assert _fits(page)
    # A row number stands in the line of its arrow.
    gap = page.evaluate(
        """() => { const head = document.querySelector('.rows > tbody > tr > th');
          head.lastChild.textContent = '1234567'; const range = document.createRange();
          range.selectNode(head.lastChild);
          const [number, arrow] = [range, head.firstChild].map((e) => e.getBoundingClientRect());
          return Math.abs(number.top + number.bottom - arrow.top - arrow.bottom) / 2; }"""
    )
    assert gap < 12
    assert not page.locator("#latent").is_visible()
    page.goto(f"{page.url}#latent")
    page.wait_for_selector("#latent", state="visible")
    _keep(page, f"whole-{size['width']}-{scheme}")


TOUCH_ALL = """() => {
    document.querySelectorAll("details").forEach(each => each.open = true);
    for (const each of document.querySelectorAll("*"))
        for (const kind of ["mouseover", "mouseenter", "focus"])
            each.dispatchEvent(new MouseEvent(kind, {bubbles: true}));
    // Not the downloads, which no page without a user makes.
    for (const each of document.querySelectorAll("tr, label, input, summary, svg *"))
        each.dispatchEvent(new MouseEvent("click", {bubbles: true}));
}"""


def test_no_payload_runs_wherever_it_stands(browser: Any, tmp_path: Path) -> None:
    train = payload_table(1).drop("key")
    detector = advae.fit_detector(train, advae.Config(iterations=20, surprise=False))
    new = payload_table(2)
    labels = [place % 9 == 0 for place in range(new.height)]
    path = tmp_path / "<img src=x onerror=window.ran=1>.html"
    write_report(
        detector,
        new.with_columns(pl.Series("<svg onload=window.ran=1>", labels)),
        path,
        label="<svg onload=window.ran=1>",
        keep=["key"],
        data_name="".join(PAYLOADS),
    )
    said: list[str] = []
    page = browser.new_context(offline=True).new_page()
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda each: said.append(each.url))
    page.goto(path.as_uri())
    page.evaluate(TOUCH_ALL)
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") is None
    assert "onerror" in page.content()
    page.context.close()
    assert said == [path.as_uri()]
