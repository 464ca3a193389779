"""The page of the service, in a real browser."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from serving.service import Service, odd_table, running, small_model

import advae

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on the path: apt-get install chromium"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, service: Service) -> Iterator[Any]:
    """Open the page; what it complains of, or asks of other hosts, fails the test."""
    yield from opened(browser, service.address)


def opened(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(30_000)
    troubles: list[str] = []
    page.on("console", lambda message: message.type == "error" and troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "request", lambda r: r.url.startswith((address, "data:", "blob:")) or troubles.append(r.url)
    )
    page.goto(address)
    page.troubles = troubles
    yield page
    context.close()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "orders.csv"
    odd_table(400, 31).write_csv(path)
    return path


def scored(page: Any, path: Path) -> None:
    page.set_input_files("#file", path)
    page.wait_for_selector("#result:not([hidden])")


def test_flagged_rows_are_those_of_the_model(page: Any, rows: Path, model: advae.Detector) -> None:
    scored(page, rows)
    table = odd_table(400, 31)
    flags, scores = model.is_anomaly(table), model.anomaly_score(table)
    assert page.inner_text("#result-title") == f"{flags.sum()} of 400 rows flagged"
    shown = [int(text) for text in page.locator("#rows th").all_inner_texts()]
    assert shown == sorted(shown, key=lambda row: (-scores[row], row))
    assert set(shown) <= set(flags.nonzero()[0].tolist())
    assert len(shown) == min(200, flags.sum())
    first = page.locator("#rows .reason").first.inner_text()
    (wanted,) = model.score_batches([table[[shown[0]]]], explain=1)
    assert first.startswith(wanted["reason_1"][0])
    assert "expected" in first
    assert page.troubles == []


def test_the_slider_flags_others_and_can_go_back(page: Any, rows: Path) -> None:
    scored(page, rows)
    before = page.inner_text("#result-title")
    slider = page.locator("#threshold")
    slider.focus()
    for _ in range(6):
        page.keyboard.press("PageUp")
    fewer = page.inner_text("#result-title")
    assert int(fewer.split()[0]) < int(before.split()[0])
    assert fewer.removesuffix(" flagged").split()[0] in slider.get_attribute("aria-valuetext")
    page.locator("#reset").focus()
    page.keyboard.press("Enter")
    assert page.inner_text("#result-title") == before
    assert page.troubles == []


def test_the_download_holds_what_the_service_answered(
    page: Any, rows: Path, model: advae.Detector
) -> None:
    scored(page, rows)
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename == "orders-scores.csv"
    found = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
    table = odd_table(400, 31)
    assert [float(row["anomaly_score"]) for row in found] == model.anomaly_score(table).tolist()
    assert [row["is_anomaly"] == "true" for row in found] == model.is_anomaly(table).tolist()
    assert [int(row["row"]) for row in found] == list(range(400))
    assert set(found[0]) >= {"reason_1", "reason_3_expected"}


def test_a_file_can_be_dropped(page: Any, rows: Path) -> None:
    page.evaluate(
        """([name, text]) => {
            const data = new DataTransfer();
            data.items.add(new File([text], name));
            document.getElementById("drop").dispatchEvent(
                new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        ["orders.csv", rows.read_text()],
    )
    page.wait_for_selector("#result:not([hidden])")
    assert page.inner_text("#result-title").endswith("of 400 rows flagged")


def test_hostile_values_are_shown_and_never_run(page: Any, tmp_path: Path) -> None:
    attack = "<img src=x onerror=\"document.title='run'\">"
    table = odd_table(50, 32).with_columns(shop=pl.lit(attack))
    table.write_csv(tmp_path / "attack.csv")
    scored(page, tmp_path / "attack.csv")
    slider = page.locator("#threshold")
    slider.focus()
    for _ in range(20):
        page.keyboard.press("PageDown")
    assert attack in page.inner_text("#rows")
    assert page.title() != "run"
    assert page.locator("#rows img").count() == 0
    with page.expect_download() as waiting:
        page.click("#download")
    assert len(list(csv.reader(io.StringIO(Path(waiting.value.path()).read_text())))) == 51


def test_what_cannot_be_scored_is_said(page: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("amount\nmuch\n")
    page.set_input_files("#file", tmp_path / "bad.csv")
    page.wait_for_selector("#status.alarm")
    assert "Missing columns" in page.inner_text("#status")
    (tmp_path / "bad.pdf").write_text("x")
    page.set_input_files("#file", tmp_path / "bad.pdf")
    page.locator("#status", has_text="kind of file").wait_for()
    assert page.locator("#result").is_hidden()


def test_it_fits_a_phone_in_the_dark(browser: Any, service: Service, rows: Path) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
    for page in opened(browser, service.address, **phone):
        scored(page, rows)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360
        page.goto(service.address + "/docs")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.troubles == []


def test_a_token_is_asked_for_and_used(browser: Any, tmp_path: Path, rows: Path) -> None:
    small_model(tmp_path / "shop.advae")
    (tmp_path / "tokens").write_text("a-token-of-some-length\n")
    options = ("--token-file", tmp_path / "tokens")
    with running(tmp_path, tmp_path / "shop.advae", options=options) as service:
        for page in opened(browser, service.address):
            page.wait_for_selector("#token-field:not([hidden])")
            page.fill("#token", "a-token-of-some-length")
            page.locator("#token").blur()
            page.wait_for_selector("#model option[value=shop]", state="attached")
            scored(page, rows)
            stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
            assert json.loads(stored) == [{}, {}]


def test_everything_can_be_reached_by_keyboard(page: Any, rows: Path) -> None:
    scored(page, rows)
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert {"model", "file", "threshold", "reset", "download"} <= set(reached)
