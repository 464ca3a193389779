"""The report: it agrees with the detector, and nothing in the data can run in the page."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import Run
from report_data import (
    FLOOD,
    IMAGE,
    LONG,
    SCRIPT,
    flooded,
    labelled_table,
    mixed_detector,
    mixed_table,
)
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

import advae
from advae.counterfactual import MOST_CHANGES, counterfactuals
from advae.detector import Detector, Threshold
from advae.errors import InputError
from advae.held_out import HELD_OUT
from advae.report.brief import Brief
from advae.report.curves import curves
from advae.report.distributions import distribution, stability_index
from advae.report.page import embedded_json, render_page
from advae.report.sampling import Highest, Reservoir
from advae.report.scores import STEPS
from advae.report.summary import Report, summarise
from advae.report.text import LONGEST, listed, number, share, shorten
from advae.report.training import training_warnings, view_training
from advae.report.writing import write_report
from advae.score_axis import ScoreAxis


@pytest.fixture(scope="module")
def detector() -> Detector:
    return mixed_detector()


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return labelled_table()


@pytest.fixture(scope="module")
def report(detector: Detector, table: pl.DataFrame) -> Report:
    return summarise(detector, table, label="label", keep=["key"], data_name="new.csv")


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render_page(report)


# --- what the report says ---


def test_counts_and_rows_are_the_detectors(detector, table, report) -> None:
    scores = detector.anomaly_score(table)
    assert report.rows == table.height
    assert report.flagged == int((scores > detector.threshold.value).sum()) > 0
    order = np.argsort(-scores, kind="stable")[: len(report.top)]
    assert [row.row for row in report.top] == order.tolist()
    assert [row.score for row in report.top] == scores[order].tolist()
    assert [row.p_value for row in report.top] == detector.p_value(table)[order].tolist()
    assert [row.kept for row in report.top] == [(f"<i>{row}</i>",) for row in order]
    assert [row.anomalous for row in report.top] == table["label"].to_numpy()[order].tolist()


def test_contributions_add_up_to_the_score_on_every_row(detector, table, report) -> None:
    explanation = detector.explain(table)
    np.testing.assert_allclose(explanation.contributions.sum(axis=1), explanation.score, rtol=1e-6)
    assert (explanation.contributions >= 0).all()
    for row in report.top:
        total = sum(cell.contribution for cell in row.cells) + row.rest
        assert total == pytest.approx(row.score, rel=1e-6)
        parts = [cell.contribution for cell in row.cells]
        assert parts == sorted(parts, reverse=True)


def test_cells_show_users_values_and_expectations(detector, table, report) -> None:
    names = detector.table.feature_names
    seen = dict.fromkeys(("higher", "lower", "differs"), 0)
    for row in report.top:
        if not row.flagged:
            continue
        first = row.cells[0]
        value = table[names[first.column]][row.row]
        if isinstance(value, float):
            assert float(first.observed) == pytest.approx(value, rel=1e-5)
            seen["higher" if value > float(first.expected) else "lower"] += 1
            assert first.direction == ("higher" if value > float(first.expected) else "lower")
        elif first.direction == "differs":
            seen["differs"] += 1
            assert first.observed == (str(value).lower() if isinstance(value, bool) else value)
            assert first.observed != first.expected
            assert first.remark in (
                "rare or never seen in training", "never seen in training",
            ) or first.remark.startswith("found in")  # fmt: skip
    assert all(seen.values())
    remarks = {cell.remark for row in report.top for cell in row.cells}
    assert "higher than every training row" in remarks
    assert any(re.fullmatch(r"higher than \d+\u00a0% of training rows", each) for each in remarks)
    # No name of an encoded column: only the user's.
    assert report.feature_names == tuple(mixed_table(2, 0).columns)


def test_a_report_does_not_depend_on_how_the_stream_is_cut(detector, table, report) -> None:
    cut = summarise(
        detector,
        table.iter_slices(7),
        label="label",
        keep=["key"],
        data_name="new.csv",
        made=report.made,
    )
    for one, other in zip(cut.columns, report.columns, strict=True):
        assert one.alarm_share == pytest.approx(other.alarm_share)  # sums in another order
    assert replace(cut, columns=()) == replace(report, columns=())


def test_the_slider_counts_what_a_threshold_flags(detector, table, report) -> None:
    scores, odd = detector.anomaly_score(table), table["label"].to_numpy()
    axis = report.scores.axis
    samples = {
        "training": detector.training_scores,
        "calibration": detector.calibration_scores,
        "normal": scores[~odd],
        "anomaly": scores[odd],
    }
    assert [group.key for group in report.scores.groups] == list(samples)
    for group in report.scores.groups:
        sample = samples[group.key]
        assert group.total == len(sample)
        assert group.flagged == int((sample > detector.threshold.value).sum())
        for step in (0, 100, 313, STEPS):
            threshold = axis.low * (axis.high / axis.low) ** (step / STEPS)
            assert group.above[step] == int((sample > threshold).sum())
        assert sum(group.shares) == pytest.approx(1.0)
    assert sum(report.scores.density) <= 1.0 + 1e-9
    used = report.scores.thresholds[0]
    assert (used.used, used.value) == (True, detector.threshold.value)
    assert [each.method for each in report.scores.thresholds] == ["conformal", "kde"]


def test_long_tables_are_sampled_and_said_to_be(detector, table, monkeypatch) -> None:
    monkeypatch.setattr("advae.report.gather.SCORES", 100)
    found = summarise(detector, table, label="label")
    assert (found.rows, found.sampled) == (300, 100)
    assert sum(g.total for g in found.scores.groups if g.key in ("normal", "anomaly")) == 300
    assert "a uniform sample of 100 scores" in render_page(found)


# --- labels ---


def test_curves_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    odd = rng.random(4000) < 0.05
    scores = np.round(rng.gamma(2.0, 1.0, 4000) + 2.0 * odd, 2)
    roc, precision_recall = curves(scores, odd)
    alarms, recall, _ = roc_curve(odd, scores)
    np.testing.assert_allclose(roc.y[1:], np.interp(roc.x[1:], alarms, recall), atol=0.02)
    area = np.trapezoid(roc.y, roc.x)
    assert area == pytest.approx(roc_auc_score(odd, scores), abs=0.005)
    mean = float(np.mean(precision_recall.y))
    assert mean == pytest.approx(average_precision_score(odd, scores), abs=0.02)
    for curve in (roc, precision_recall):
        assert (np.array(curve.low) <= np.array(curve.high)).all()
        assert min(curve.low) >= 0
        assert max(curve.high) <= 1
    assert (np.diff(roc.y) >= -1e-12).all()


@pytest.mark.parametrize("value", [0, 1])
def test_one_class_of_labels_is_said_not_measured(detector, table, value) -> None:
    one = table.with_columns(pl.lit(value).alias("label"))
    found = summarise(detector, one, label="label")
    assert found.labels is not None
    assert (found.labels.roc, found.labels.measures) == (None, {})
    assert any("Every row is labelled" in each for each in found.remarks)
    assert "Measuring takes both" in render_page(found)


def test_few_labels_are_said_to_be_few(detector, table) -> None:
    few = table.with_columns(pl.Series("label", np.arange(table.height) == 3))
    found = summarise(detector, few, label="label")
    assert any("Only 1 anomaly and 299 normal rows" in each for each in found.remarks)


# --- columns ---


def test_groups_count_training_as_training_was(detector) -> None:
    # The very rows that trained: the groups' shares are the stored ones, nothing has drifted.
    from advae.calibration import plan_rows

    rows = mixed_table(400, 1)
    train = rows[plan_rows(400, detector.config).training]
    encoded = detector.table.transform(train)
    for column, places in zip(detector.table.features, detector.table.places, strict=True):
        shape = distribution(column)
        counts = np.bincount(shape.groups(encoded[:, list(places)]), minlength=len(shape.training))
        assert counts.sum() == train.height
        assert counts[-1] == column.profile.missing
        np.testing.assert_allclose(counts, shape.training, atol=2.0)
        assert stability_index(shape.training, counts)[0] < 0.02
        assert shape.bars.sum() == pytest.approx(1.0)
        if column.kind != "category":
            assert not shape.strange(encoded[:, list(places)]).any()


def test_stability_index_is_the_sum_of_its_definition() -> None:
    index, chance = stability_index(np.array([5000.0, 5000.0]), np.array([8000.0, 2000.0]))
    assert index == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5), rel=1e-3)
    assert chance == pytest.approx(6.635 * 2 / 10_000, rel=1e-3)


def test_chance_level_holds_without_drift() -> None:
    rng = np.random.default_rng(0)
    shares = np.full(20, 0.05)
    beyond = 0
    for _ in range(1000):
        index, chance = stability_index(rng.multinomial(500, shares), rng.multinomial(300, shares))
        beyond += index > chance
    assert beyond <= 30  # 10 expected


def test_drift_missing_and_unseen_values_are_found(detector, table) -> None:
    changed = table.with_columns(
        pl.col(LONG) + 40,
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("gaps")).alias("gaps"),
    )
    found = {column.name: column for column in summarise(detector, changed).columns}
    assert found[LONG].level == "strong"
    assert found[LONG].strange == pytest.approx(1.0)
    assert re.search(r"in training; now up to \d", found[LONG].remark)
    assert 0.5 < found["gaps"].missing < 0.6
    assert found[IMAGE].strange >= 0.02
    assert "“never <b>seen</b>”" in found[IMAGE].remark
    assert "now also “y”" in found["always"].remark
    assert found["at"].level in ("none", "chance")


def test_alarm_shares_are_means_over_the_flagged_rows(detector, table, report) -> None:
    explanation = detector.explain(table)
    flagged = explanation.score > detector.threshold.value
    parts = explanation.contributions[flagged] / explanation.score[flagged, None]
    shares = dict(zip(report.feature_names, parts.mean(axis=0), strict=True))
    for column in report.columns:
        assert column.alarm_share == pytest.approx(shares[column.name], rel=1e-5, abs=1e-9)
    assert sum(column.leads for column in report.columns) == report.flagged
    order = [column.alarm_share for column in report.columns]
    assert order == sorted(order, reverse=True)


# --- remarks ---


def test_remarks_name_what_is_strange(detector, table, report) -> None:
    text = " ".join(report.remarks)
    assert "values outside the training range" in text
    assert "values that training never, or hardly ever, had" in text
    assert "“always”" in text
    changed = table.with_columns(pl.lit(None, pl.Float64).alias("gaps"), pl.lit(1).alias("new"))
    found = summarise(detector, changed)
    assert any("more missing values than in training: “gaps”" in each for each in found.remarks)
    assert found.unused == ("key", "label", "new")
    assert "Not used" in render_page(found)


def test_normal_rows_bring_no_remarks_on_rows_or_columns(detector) -> None:
    found = summarise(detector, mixed_table(400, 9))
    assert set(found.remarks) <= set(detector.summary.notes)


def _with_history(detector: Detector, **changes: list[float]) -> Detector:
    history = detector.summary.history | changes
    return replace(detector, summary=replace(detector.summary, history=history))


def test_a_collapsed_or_idle_training_is_said_to_be(detector) -> None:
    blocks = len(detector.summary.history["iteration"])
    assert not training_warnings(detector)
    collapsed = _with_history(detector, encoder_kld=[5.0] * (blocks - 1) + [0.001])
    assert "posterior collapsed" in training_warnings(collapsed)[0]
    idle = _with_history(detector, generator_margin_x=[0.0] * blocks)
    assert "never acted" in training_warnings(idle)[0]
    assert "margin_x" in training_warnings(idle)[0]
    late = _with_history(detector, **{HELD_OUT: [0.5] + [1.0] * (blocks - 1)})
    assert "by heart" in training_warnings(late)[0]


def test_training_shows_every_term_and_the_held_out_curve(detector, report) -> None:
    history = detector.summary.history
    views = view_training(detector)
    assert len(views) == len(history) - 2  # the iteration, and the held-out curve
    assert views[0].held_out == tuple(history[HELD_OUT])
    assert all(len(view.values) == len(view.iterations) for view in views)
    assert report.training == views


@pytest.mark.parametrize("variant", ["VAE", "AE", "E-adVAE"])
def test_variants_have_reports(variant, table) -> None:
    config = advae.Config(variant=variant, iterations=50, threshold="kde")
    found = summarise(advae.fit_detector(mixed_table(100, 1), config), table)
    keys = {group.key for group in found.latent.groups}
    assert ("synthetic" in keys) == (variant == "E-adVAE")
    assert [group.key for group in found.scores.groups] == ["training", "new"]
    assert not any(term.held_out for term in found.training)
    assert "Scores and threshold" in render_page(found)


def test_the_latent_space_shows_the_scored_rows(report, table) -> None:
    groups = {group.key: group for group in report.latent.groups}
    assert set(groups) >= {"synthetic", "normal", "flagged"}
    assert len(groups["flagged"].x) == groups["flagged"].total == report.flagged
    shown = [row for group in groups.values() for row in group.rows]
    assert sorted(shown) == list(range(table.height))
    assert all(0 <= place <= 1 for group in groups.values() for place in (*group.x, *group.y))
    assert 0 < sum(report.latent.explained) <= 1 + 1e-9
    assert report.latent.used <= report.latent.latent


def test_given_and_extreme_thresholds(detector, table) -> None:
    for value in (0.0, 1e9):
        found = summarise(
            detector.with_threshold(Threshold("given", None, value)), table, label="label"
        )
        assert found.flagged == (table.height if value == 0 else 0)
        assert f"{found.flagged} of 300 rows" in re.sub("<.*?>", "", render_page(found)) or value


# --- counterfactuals ---


def test_counterfactuals_make_flagged_rows_normal(detector, table) -> None:
    encoded = detector.table.transform(table)
    scores = detector.score_encoded(encoded).score
    found = counterfactuals(detector, encoded)
    changed = np.stack([each.encoded for each in found])
    # The rows are possible ones: decoding and encoding them changes nothing.
    again = detector.score_encoded(detector.table.transform(detector.table.decode(changed))).score
    np.testing.assert_allclose(again, detector.score_encoded(changed).score, rtol=0.02, atol=1e-4)
    for row, each in enumerate(found):
        if scores[row] <= detector.threshold.value:
            assert (each.columns, each.normal) == ((), True)
            np.testing.assert_array_equal(each.encoded, encoded[row])
            continue
        assert 1 <= len(each.columns) == len(each.scores) <= MOST_CHANGES
        assert len(set(each.columns)) == len(each.columns)
        assert each.normal == (each.scores[-1] <= detector.threshold.value)
        untouched = ~np.isin(detector.table.owner, each.columns)
        np.testing.assert_array_equal(each.encoded[untouched], encoded[row][untouched])
        assert detector.score_encoded(each.encoded[None]).score[0] == pytest.approx(
            each.scores[-1], rel=1e-5
        )
    flagged = [each for each in found if each.columns]
    assert np.mean([each.normal for each in flagged]) > 0.9


def test_counterfactuals_find_the_changed_column(detector, table) -> None:
    changes = {0: SCRIPT, 1: IMAGE, 2: "twice", 3: "always"}
    names = detector.table.feature_names
    found = counterfactuals(detector, detector.table.transform(table))
    hits = []
    for row in range(3, table.height, 10):
        culprit = changes[row // 10 % 4]
        # One of two columns that belong together is as good as the other.
        pair = {SCRIPT, "twice"} if culprit in (SCRIPT, "twice") else {culprit}
        if found[row].columns:
            hits.append(bool(pair & {names[column] for column in found[row].columns}))
    assert len(hits) > 20
    assert np.mean(hits) >= 0.9


# --- the axis of scores ---


@pytest.mark.parametrize(
    ("threshold", "scores"),
    [
        (0.2, [0.01, 0.1, 3.0]),
        (0.2, [0.01, 0.1, 1e18]),
        (500.0, [0.01, 0.02, 0.03]),
        (0.0, [0.5, 0.6, 0.7]),
        (1e9, [0.5, 0.5, 0.5]),
        (0.3, []),
        (0.0, []),
        (0.3, [0.0, 0.0]),
    ],
)
def test_the_axis_has_room_for_scores_and_threshold(threshold, scores) -> None:
    sample = np.array(scores)
    axis = ScoreAxis.around(threshold, [sample, np.empty(0)])
    assert 0 < axis.low < axis.high < 1e14
    for score in [*scores[:1], threshold]:
        if score > 0:
            assert axis.low < score < axis.high
    places = np.linspace(0, 1, 7)
    np.testing.assert_allclose(axis.place(axis.at(places)), places, atol=1e-12)
    assert axis.shares(sample, 10).sum() == pytest.approx(1.0 if scores else 0.0)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 7
    assert all(axis.low <= tick <= axis.high for tick in ticks)


# --- samples ---


def test_a_reservoir_is_uniform_and_bounded() -> None:
    hits = np.zeros(200)
    for seed in range(400):
        sample = Reservoir(20, seed)
        for first in range(0, 200, 33):
            rows = np.arange(first, min(first + 33, 200))
            sample.update({"row": rows, "twice": 2 * rows})
        assert len(sample) == 20
        np.testing.assert_array_equal(sample["twice"], 2 * sample["row"])
        hits[sample["row"]] += 1
    assert abs(hits[:100].sum() / hits.sum() - 0.5) < 0.03
    assert not sample.complete


def test_the_highest_are_the_highest_and_the_earliest() -> None:
    scores = np.array([1.0, 5.0, 3.0, 5.0, 5.0, 2.0, 4.0])
    for cut in (1, 2, 7):
        top = Highest(3)
        for first in range(0, len(scores), cut):
            part = scores[first : first + cut]
            best = top.candidates(part)
            top.update(part[best], {"row": first + best})
        assert top["row"].tolist() == [1, 3, 4]


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
    model = advae.fit_detector(wide, advae.Config(iterations=20))
    report = write_report(model, wide * 1.5, tmp_path / "wide.html")
    page = (tmp_path / "wide.html").read_text()
    assert len(page.encode()) < 2_000_000
    assert "The 250 columns that matter most, of 400" in page
    assert report.top[0].others == 340
    total = sum(cell.contribution for cell in report.top[0].cells) + report.top[0].rest
    assert total == pytest.approx(report.top[0].score, rel=1e-6)


def test_the_longest_values_in_the_widest_table_fit(detector, table) -> None:
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
        top=(replace(row, cells=cells, others=2940),) * 50,
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


# --- files and commands ---


def test_a_report_is_written_whole_or_not_at_all(detector, table, tmp_path) -> None:
    path = tmp_path / "report.html"
    write_report(detector, table, path, label="label")
    before = path.read_bytes()
    cases = {
        "no rows": lambda: write_report(detector, iter([]), path),
        "missing column": lambda: write_report(detector, table.drop("twice"), path),
        "'lable'": lambda: write_report(detector, table, path, label="lable"),
        "'other'": lambda: write_report(detector, table, path, keep=["other"]),
        "is not a label": lambda: write_report(detector, table, path, label="twice"),
    }
    for message, attempt in cases.items():
        with pytest.raises(InputError, match=message):
            attempt()
        assert path.read_bytes() == before
    with pytest.raises(InputError, match="cannot write"):
        write_report(detector, table, tmp_path / "missing" / "report.html")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


@pytest.fixture
def files(detector, table, tmp_path: Path) -> tuple[Path, Path]:
    advae.save(detector, tmp_path / "m.advae")
    table.write_parquet(tmp_path / "new.parquet")
    return tmp_path / "m.advae", tmp_path / "new.parquet"


def test_the_command_writes_a_page(run: Run, files, tmp_path: Path) -> None:
    model, data = files
    page = tmp_path / "page.html"
    made = run("report", model, data, "-o", page, "--label", "label", "--keep", "key")
    assert made.code == 0, made.err
    assert "of 300 rows flagged" in made.out
    assert "values outside the training range" in made.err
    text = page.read_text()
    assert "new.parquet" in text
    assert "m.advae" in text
    quiet = run("report", model, data, "-o", page, "--label", "label", "--keep", "key", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "lable"], "Did you mean 'label'"),
        (["--keep", "nothing"], "nothing"),
        (["--label", "twice"], "is not a label"),
        (["-o", "."], "is a folder"),
    ],
)
def test_the_command_refuses_in_one_message(
    run: Run, files, tmp_path: Path, monkeypatch, arguments, message
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = run("report", *files, *arguments)
    assert refused.code == 2
    assert message in refused.err
    assert "Traceback" not in refused.err
    assert not (tmp_path / "report.html").exists()


def test_score_says_it_in_brief_beside_the_data(run: Run, files) -> None:
    loud = run("score", *files, "--keep", "key", "--explain", 1)
    assert pl.read_csv(loud.out.encode()).height == 300
    assert "threshold" in loud.err
    assert "of 300 rows flagged" in loud.err
    assert "first reason" in loud.err
    assert "\x1b" not in loud.err  # no terminal, no colours
    quiet = run("score", *files, "--keep", "key", "--explain", 1, "--quiet")
    assert quiet.out == loud.out
    assert quiet.err == "note not used, since training did not have them: label\n"


def test_the_terminal_chart_needs_no_unicode(detector) -> None:
    import io

    from rich.console import Console

    from advae.terminal_chart import score_histogram

    for encoding, fine in (("ascii", False), ("utf-8", True)):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        console = Console(file=stream, width=100)
        groups = {"rows": detector.training_scores, "none": np.empty(0)}
        console.print(score_histogram(console, groups, detector.threshold.value))
        stream.flush()
        shown = stream.buffer.getvalue().decode(encoding)
        assert ("█" in shown) == fine
        assert ("#" in shown) != fine
        assert "threshold" in shown
        shares = [float(each) for each in re.findall(r"([\d.]+)%", shown)]
        assert sum(shares) == pytest.approx(100, abs=1)
        above = shown[shown.index("threshold") :]
        flagged = 100 * float((detector.training_scores > detector.threshold.value).mean())
        assert sum(map(float, re.findall(r"([\d.]+)%", above))) == pytest.approx(flagged, abs=0.6)


def test_brief_counts_what_passes(detector, table) -> None:
    brief = Brief(["key"])
    frames = list(brief.watch(detector.score_batches(table.iter_slices(77), keep=["key"])))
    together = pl.concat(frames)
    assert (brief.rows, brief.flagged) == (300, together["is_anomaly"].sum())
    assert brief.headings == ("row", "key", "score", "p-value")
    top = together.sort("anomaly_score", descending=True).head(5)
    assert [row[0] for row in brief.highest] == top["row"].cast(pl.String).to_list()
    assert Brief().highest == []


# --- notebooks ---


def test_a_detector_shows_itself_in_notebooks(detector) -> None:
    shown = detector._repr_html_()
    assert "training rows" in shown
    assert f"{detector.threshold.value:.4g}" in shown
    assert "<script" not in shown


def test_an_estimator_shows_its_detector_once_fitted() -> None:
    estimator = advae.AdVAEDetector(iterations=20, threshold="kde")
    assert "training rows" not in estimator._repr_html_()
    estimator.fit(np.random.default_rng(0).normal(size=(50, 2)))
    shown = estimator._repr_mimebundle_()["text/html"]
    assert "training rows, 50" in shown
    assert "sk-container" in shown


def test_figures_are_matplotlibs(report, detector, table) -> None:
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed: advae[plot]")
    from matplotlib.figure import Figure

    from advae.report import plotting

    drawn = (
        plotting.plot_scores(report),
        plotting.plot_curves(report),
        plotting.plot_columns(report),
        plotting.plot_row(report, 1),
        plotting.plot_latent(report, synthetic=True),
        plotting.plot_training(report),
    )
    for figure in drawn:
        assert isinstance(figure, Figure)
        figure.canvas.draw()
    with pytest.raises(InputError, match="not 99"):
        plotting.plot_row(report, 99)
    with pytest.raises(InputError, match="labels"):
        plotting.plot_curves(summarise(detector, table))


# --- texts ---


def test_texts() -> None:
    assert shorten("a\n b\t c") == "a b c"
    assert shorten("x" * 1000, 5) == "xxxx…"
    assert shorten("\x00\u202eabc") == "\ufffd\ufffdabc"
    assert shorten(12.5) == "12.5"
    assert [number(value) for value in (0, 0.26906, 1.5, 12345.6, 1e-7, 1e12)] == [
        "0", "0.2691", "1.500", "12,346", "1.00e-07", "1.00e+12",
    ]  # fmt: skip
    assert [share(value) for value in (0, 0.0001, 0.5, 0.9999, 1)] == [
        "0.0\u00a0%", "< 0.1\u00a0%", "50.0\u00a0%", "> 99.9\u00a0%", "100.0\u00a0%",
    ]  # fmt: skip
    assert listed(["a"]) == "“a”"
    assert listed(["a", "b"]) == "“a” and “b”"
    assert listed(["a", "b", "c", "d", "e"]) == "“a”, “b”, “c” and 2 others"
