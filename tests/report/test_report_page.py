"""The page: nothing in the data can run in it or break it, and its structure can be read."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from report_data import (
    FLOOD,
    IMAGE,
    SCRIPT,
    flooded,
)

import advae
from advae.display import charts
from advae.display.text import LONGEST, number, share
from advae.report.page import embedded_json, render_page, write_report
from advae.report.summary import Report, summarise


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render_page(report)


def test_a_training_of_one_block_is_drawn_as_a_line() -> None:
    drawn = charts.lines([100.0], [0.4], [0.2])
    assert drawn.paths == ("M0 0L1000 0", "M0 500L1000 500")
    assert charts.lines([50.0, 100.0], [0.4, 0.2]).paths == ("M500 0L1000 500",)


# --- the page ---


class _Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def of(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def _payload(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="payload">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


def test_the_script_shows_the_numbers_of_the_page(page, report) -> None:
    rows = _payload(page)["rows"]
    for row, known in zip(rows, report.top, strict=True):
        for cell, each in zip(row["cells"], known.cells, strict=False):
            assert share(cell[3] / row["score"]) == share(each.contribution / known.score)
        if known.remedy:
            assert number(row["remedy"]["score"]) == number(known.remedy.score)


def test_the_policy_allows_this_script_and_style_alone(page) -> None:
    policy = next(
        meta["content"] for meta in _Page(page).of("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )  # fmt: skip
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        source = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert page.index("Content-Security-Policy") < page.index("<style>") < page.index("<script")


def test_nothing_on_the_page_is_fetched_or_handled_inline(page) -> None:
    for tag, attributes in _Page(page).tags:
        assert tag not in ("img", "iframe", "object", "embed", "base", "form", "audio", "video")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style"
            if name in ("src", "href", "action", "srcset", "data"):
                assert value.startswith(("#", "data:image/svg+xml,")), (tag, value)
    style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_names_and_values_are_shown_and_do_nothing(detector, table) -> None:
    report = summarise(detector, flooded(table), label="label", keep=["key", IMAGE])
    page = render_page(report)
    assert len(page) < 500_000 < FLOOD
    found = _Page(page)
    assert len(found.of("script")) == 2
    assert not found.of("i", "b", "img")
    assert "&lt;script&gt;alert(&#39;name&#39;)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "49 {% raw" not in page  # no template of the data's was rendered
    for character in "\x00\x1b\u2028\u202e":
        assert character not in page
    payload = _payload(page)
    assert payload["columns"]["0"]["name"] == SCRIPT
    assert max(len(cell[1] or "") for row in payload["rows"] for cell in row["cells"]) == LONGEST
    assert any(
        text.startswith("qqq") for row in payload["rows"] for text in map(str, row["cells"][0])
    )


def test_embedded_json_holds_any_text() -> None:
    value = {"</script><!--\u2028\u2029&": ["<script>", "]]>", "\\", '"']}
    text = str(embedded_json(value))
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)
    with pytest.raises(ValueError, match="Out of range"):
        embedded_json(float("nan"))


def test_the_page_has_structure_for_screen_readers(page) -> None:
    found = _Page(page)
    assert found.of("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(found.of("caption")) == len(found.of("table"))
    assert all("scope" in heading for heading in found.of("th"))
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in found.tags:
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert attributes.get(name, ids[0]) in ids
        if (attributes.get("href") or "").startswith("#"):
            assert attributes["href"][1:] in ids
    for svg in found.of("svg"):
        if "aria-hidden" not in svg and svg.get("role") != "img":
            assert "viewbox" in svg or "x" in svg  # inside a drawing that is hidden or named
    assert all(svg.get("aria-label") for svg in found.of("svg") if svg.get("role") == "img")


def test_a_wide_table_fits(tmp_path) -> None:
    rng = np.random.default_rng(0)
    names = [f"sensor with a rather long name, number {number}" for number in range(400)]
    wide = pl.DataFrame(rng.normal(size=(300, 400)), schema=names, orient="row")
    model = advae.fit_detector(wide, advae.Config(iterations=20, surprise=False))
    report = write_report(model, wide * 1.5, tmp_path / "wide.html")
    page = (tmp_path / "wide.html").read_text()
    assert len(page.encode()) < 2_000_000
    assert "The 250 columns that matter most, of 400" in page
    assert report.top[0].others == 340
    total = sum(cell.contribution for cell in report.top[0].cells) + report.top[0].rest
    assert total == pytest.approx(report.top[0].score, rel=1e-6)


@pytest.mark.parametrize("rows", [50, 110])  # with six of each of ten groups
def test_the_longest_values_in_the_widest_table_fit(detector, table, rows) -> None:
    report = summarise(detector, table, label="label")
    widest = "\N{OLD PERSIAN SIGN A}" * LONGEST  # four bytes each
    row = report.top[0]
    cells = tuple(
        replace(row.cells[0], column=number, observed=widest, expected=widest)
        for number in range(60)
    )
    names = tuple(f"{number}{widest}" for number in range(3000))
    huge = replace(
        report,
        top=(replace(row, cells=cells, others=2940),) * rows,
        columns=tuple(replace(report.columns[0], name=name, remark=widest) for name in names),
        feature_names=names,
        feature_bars=report.feature_bars[:1] * 3000,
    )
    page = render_page(huge)
    assert len(page.encode()) < 2_000_000
    shown = _payload(page)["rows"][0]
    assert 10 <= len(shown["cells"]) < 60
    assert len(shown["cells"]) + shown["others"] == 3000
    total = sum(cell[3] for cell in shown["cells"]) + shown["rest"]
    assert total == pytest.approx(sum(each.contribution for each in cells) + row.rest, rel=1e-3)
