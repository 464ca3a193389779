"""What a report says of scores, rows, labels, training and latent space is the detector's."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from report_data import (
    TEMPLATE,
    mixed_table,
)
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

import advae
from advae.core.evaluation import curves, evaluate
from advae.core.validation import VALIDATION_ERROR
from advae.detector.counterfactual import Counterfactual
from advae.detector.detector import Detector
from advae.detector.record import Threshold
from advae.detector.tally import Tally
from advae.display.text import listed, number, share, shorten
from advae.methods.advae.surprise import KINDS
from advae.report.gather import OF_EACH_GROUP
from advae.report.page import render_page
from advae.report.rows import Cell
from advae.report.scores import STEPS
from advae.report.summary import summarise
from advae.report.training import training_warnings, view_training
from advae.tables.sampling import Highest, Reservoir

# --- what the report says ---


def test_counts_and_rows_are_the_detectors(detector, table, report) -> None:
    scores = detector.anomaly_score(table)
    assert report.rows == table.height
    assert report.flagged == int((scores > detector.threshold.value).sum()) > 0
    highest = len(report.top) - report.beyond
    order = np.argsort(-scores, kind="stable")[:highest]
    some = {story.group.typical for story in report.stories}
    for story in report.stories:
        some |= set(sorted(story.rows, key=lambda row: -scores[row])[:OF_EACH_GROUP])
    some -= set(order.tolist())
    assert report.beyond == len(some)
    order = np.append(order, sorted(some, key=lambda row: -scores[row])).astype(int)
    assert [row.row for row in report.top] == order.tolist()
    assert [row.score for row in report.top] == scores[order].tolist()
    assert [row.p_value for row in report.top] == detector.p_value(table)[order].tolist()
    assert [row.kept for row in report.top] == [(f"<i>{row}</i>",) for row in order]
    assert [row.anomalous for row in report.top] == table["label"].to_numpy()[order].tolist()


@pytest.mark.parametrize("sampled", [2000, 12])
def test_the_row_that_stands_for_a_group_can_be_opened(
    detector, table, monkeypatch, sampled
) -> None:
    monkeypatch.setattr("advae.detector.groups.SAMPLE", sampled)
    found = summarise(detector, table, label="label", keep=["key"], top=1)
    typical = [story.group.typical for story in found.stories]
    assert len(typical) > 1
    assert found.beyond >= len(set(typical) - {found.top[0].row})
    page = render_page(found)
    alone = summarise(detector, table[typical], label="label", keep=["key"])
    same = {typical[row.row]: row for row in alone.top}
    for row in typical:
        link = f'<a href="#row-{row}">Row {row}</a> (<bdi>key</bdi> <bdi>&lt;i&gt;{row}&lt;/i&gt;'
        assert f"{link}</bdi>) stands for them." in page
        assert f'id="row-{row}"' in page
        (shown,) = [each for each in found.top if each.row == row]
        assert replace(shown, row=0) == replace(same[row], row=0)
    assert "The 1 row with the highest score, and" in " ".join(page.split())


def test_rows_of_each_group_can_be_read(detector, table) -> None:
    found = summarise(detector, table, keep=["key"], top=3)
    scores = detector.anomaly_score(table)
    explained = [row.row for row in found.top]
    page = render_page(found)
    for story in found.stories:
        own = set(detector.groups(table).rows_of(story.group.number).tolist())
        shown = [row for row in explained if row in own]
        assert len(shown) >= min(OF_EACH_GROUP, len(own))
        assert story.rows[: len(shown)] == tuple(shown)
        assert set(shown) >= set(sorted(own, key=lambda row: -scores[row])[:OF_EACH_GROUP])
        for row in shown:
            key = f"<bdi>&lt;i&gt;{row}&lt;/i&gt;</bdi>"
            assert f'<li><a href="#row-{row}">{row}</a> {key}</li>' in page
    assert len(explained) <= 3 + len(found.stories) * (OF_EACH_GROUP + 1)


def test_a_row_that_stands_for_a_group_is_named_by_the_kept_values_that_it_has(
    detector, table
) -> None:
    holed = table.with_columns(hole=pl.lit(None, pl.String), key=pl.lit("k"))
    story = summarise(detector, holed, keep=["hole", "key"]).stories[0]
    page = render_page(summarise(detector, holed, keep=["hole", "key"]))
    named = "(<bdi>key</bdi> <bdi>k</bdi>) stands for them."
    assert f'<a href="#row-{story.group.typical}">Row {story.group.typical}</a> {named}' in page
    page = render_page(summarise(detector, holed, keep=["hole"]))
    assert f"Row {story.group.typical}</a> stands for them." in page


def test_listed_rows_say_what_the_score_command_says_of_them(detector, table, report) -> None:
    (scored,) = detector.score_batches([table], explain=1)
    listed = report.listed
    assert len(listed.rows) == report.flagged
    place = 2 + listed.headings.index("not_flagged_with")  # after the row and its kept value
    told = {row[0]: row[place] for row in listed.rows}
    wanted = scored.filter("is_anomaly").select("row", "not_flagged_with").fill_null("")
    assert told == dict(wanted.iter_rows())
    assert sum(map(bool, told.values())) > 0.9 * len(told)


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
            kind, about = first.kind, first.remark
            assert kind in KINDS
            assert about in (
                "rare or never seen in training", "never seen in training",
            ) or about.startswith("found in")  # fmt: skip
    assert all(seen.values())
    remarks = {_about(cell) for row in report.top for cell in row.cells}
    assert "higher than every training row" in remarks
    shares = re.compile(r"higher than (at \w+ )?\d+\u00a0% of training rows")
    assert any(map(shares.fullmatch, remarks))
    # No name of an encoded column: only the user's.
    assert report.feature_names == tuple(mixed_table(2, 0).columns)


def test_a_column_with_hardly_a_part_in_the_score_has_no_kind_of_surprise(report) -> None:
    seen = {True: 0, False: 0}
    for row in report.top:
        for cell in row.cells:
            small = cell.contribution < 0.01 * row.score
            assert (cell.kind == "") == small
            seen[small] += 1
    assert all(seen.values())


def _about(cell: Cell) -> str:
    """Return what is said of a value, without the kind of its surprise."""
    return cell.remark.split("; ")[-1]


def test_a_category_is_called_rare_only_where_training_had_rare_ones() -> None:
    rng = np.random.default_rng(0)
    words = rng.choice(["a", "b"], 99).tolist()
    table = pl.DataFrame({"few": [*words, "a"], "many": [*words, "c"], "x": rng.normal(size=100)})
    config = advae.Config(iterations=30, threshold="kde", surprise=False)
    detector = advae.fit_detector(table, config)
    odd = pl.DataFrame({"few": ["z"], "many": ["z"], "x": [0.0]})
    found = summarise(detector, odd)
    remarks = {found.feature_names[cell.column]: _about(cell) for cell in found.top[0].cells}
    assert remarks["few"] == "never seen in training"
    assert remarks["many"] == "rare or never seen in training"


def test_directions_agree_with_the_values_shown() -> None:
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"hz": 50 + rng.normal(0, 0.01, 300).round(4), "x": rng.normal(size=300)})
    detector = advae.fit_detector(table, advae.Config(iterations=100, surprise=False))
    found = summarise(detector, table)
    directions = set()
    for row in found.top:
        (cell,) = [cell for cell in row.cells if found.feature_names[cell.column] == "hz"]
        directions.add(cell.direction)
        if cell.direction != "same":
            higher = float(cell.observed) > float(cell.expected)
            assert cell.direction == ("higher" if higher else "lower")
    assert directions >= {"higher", "lower"}


def test_a_missing_value_of_a_constant_column_is_called_missing() -> None:
    table = pl.DataFrame({"same": ["a"] * 100, "x": np.random.default_rng(0).normal(size=100)})
    detector = advae.fit_detector(table, advae.Config(iterations=30, surprise=False))
    odd = pl.DataFrame({"same": pl.Series([None], dtype=pl.String), "x": [0.0]})
    cell = summarise(detector, odd).top[0].cells[0]
    assert (cell.column, cell.direction, cell.observed_at) == (0, "missing", None)
    assert _about(cell) == "never missing in training"


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
    assert report.scores.threshold == detector.threshold
    assert [each.threshold.method for each in report.scores.thresholds] == ["conformal", "kde"]


def test_long_tables_are_sampled_and_said_to_be(detector, table, monkeypatch) -> None:
    monkeypatch.setattr("advae.report.gather.SCORES", 100)
    found = summarise(detector, table, label="label")
    assert (found.rows, found.sampled) == (300, 100)
    assert found.labels is not None
    scores, odd = detector.anomaly_score(table), table["label"].to_numpy()
    flagged = scores > detector.threshold.value
    groups = {group.key: group for group in found.scores.groups}
    for key, chosen in (("normal", ~odd), ("anomaly", odd)):  # counted, not estimated
        assert groups[key].total == int(chosen.sum())
        assert groups[key].flagged == int((chosen & flagged).sum())
    assert (found.labels.normal, found.labels.anomalies) == (int((~odd).sum()), int(odd.sum()))
    whole = evaluate(scores, odd, detector.threshold.value)
    for name in ("precision", "recall", "f1", "false_alarm_rate"):
        assert found.labels.measures[name].value == pytest.approx(whole[name].value)
    assert "a uniform sample of 100 scores" in render_page(found)


def test_the_latent_space_counts_all_rows(detector, table, monkeypatch) -> None:
    monkeypatch.setattr("advae.report.gather.SHOWN", 40)
    odd = np.arange(table.height) % 7 == 0
    found = summarise(detector, table.with_columns(pl.Series("label", odd)), label="label")
    flagged = detector.is_anomaly(table)
    totals = {group.key: group.total for group in found.latent.groups}
    kinds = {"normal": ~flagged & ~odd, "flagged": flagged, "missed": ~flagged & odd}
    assert totals == {"synthetic": 0} | {key: int(rows.sum()) for key, rows in kinds.items()}


@pytest.mark.parametrize(("factors", "left"), [((0.9, 2.0, 3.0), 1), ((1.5, 1.2, 2.0), 0)])
def test_changes_that_raise_the_score_are_no_remedy(
    detector, table, monkeypatch, factors, left
) -> None:
    def search(detector, encoded, most=3):
        scores = detector.score_encoded(encoded).score
        return [
            Counterfactual(
                (0, 1, 2)[:most],
                tuple(float(score) * each for each in factors[:most]),
                row,
                False,
                dict.fromkeys(detector.table.feature_names[:most], "1"),
            )
            for score, row in zip(scores, encoded, strict=True)
        ]

    monkeypatch.setattr("advae.report.rows.counterfactuals", search)
    for row in summarise(detector, table, top=5).top:
        if left:
            assert row.remedy is not None
            assert len(row.remedy.changes) == left
            assert row.remedy.score < row.score
        else:
            assert row.remedy is None


def test_what_share_of_normal_rows_reach_a_score_is_left_to_the_p_value(detector, table) -> None:
    said = "How many normal rows reach a score is what the p-value says"
    unlearned = ", counted on normal rows that the networks did not learn from."

    def words(known: Detector) -> str:
        page = render_page(summarise(known, table))
        assert "to the power" not in page
        return " ".join(page.split())

    assert said + unlearned in words(detector)
    assert said + "." in words(replace(detector, calibration_scores=np.empty(0)))


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


@pytest.mark.parametrize("label", ["label", TEMPLATE])
def test_labels_that_the_model_learned_are_not_said_to_be_unseen(detector, table, label) -> None:
    page = render_page(summarise(detector, table, label=label))
    assert ("which the model never saw" in page) == (label == "label")
    assert ("learned this column as one of its features" in page) == (label != "label")


def test_few_labels_are_said_to_be_few(detector, table) -> None:
    few = table.with_columns(pl.Series("label", np.arange(table.height) == 3))
    found = summarise(detector, few, label="label")
    assert any("Only 1 anomaly and 299 normal rows" in each for each in found.remarks)


# --- remarks ---


def test_remarks_name_what_is_strange(detector, table) -> None:
    # Of each kind of anomaly there are only seven or eight.
    many = pl.concat([table, *[table.filter("label")] * 3])
    text = " ".join(summarise(detector, many).remarks)
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


def test_how_times_were_learned_is_a_fact_on_the_model_and_no_finding(detector) -> None:
    found = summarise(detector, mixed_table(400, 9))
    (note,) = set(detector.summary.notes) - set(found.remarks)
    assert note.startswith("Dates, learned by")
    assert found.facts["times"] == ("Dates, learned by their place in the day, week and year: 'at'")


@pytest.mark.parametrize(
    ("odd", "wanted"),
    [
        (pl.col("twice") - 50, "1 column has moved away from training (drift): “twice” ("),
        (
            pl.col("twice").reverse(),  # beside rows that it does not go with
            "no column by itself has moved far: many rows may be anomalous",
        ),
    ],
)
def test_the_report_concludes_of_many_alarms_what_the_score_command_does(
    detector, table, odd, wanted
) -> None:
    new = table.filter(~pl.col("label")).with_columns(odd)
    tally = Tally(detector)
    for _ in detector.score_batches([new], watch=tally.update):
        pass
    (doubt,) = tally.doubts()
    assert wanted in doubt
    assert f"{doubt}." in summarise(detector, new).remarks


def test_many_alarms_may_be_those_of_a_threshold_that_no_new_row_has_tried(detector, table) -> None:
    untried = replace(detector, calibration_scores=np.empty(0))
    found = summarise(untried.with_threshold(Threshold("kde", 0.1, 0.0)), table)
    (said,) = [each for each in found.remarks if "are flagged, where" in each]
    assert "10.0 % would be if all were normal" in said
    assert "many rows may be anomalous, or the networks know the training rows" in said
    assert "not measured" in render_page(found).split("False alarms expected")[1][:80]


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
    rising = [0.5] + [1.0] * (blocks - 1)
    late = _with_history(
        detector, encoder_reconstruction=rising[::-1], **{VALIDATION_ERROR: rising}
    )
    assert "by heart" in training_warnings(late)[0]
    unsteady = _with_history(detector, encoder_reconstruction=rising, **{VALIDATION_ERROR: rising})
    assert "not steady" in training_warnings(unsteady)[0]
    usual = [0.8] + [1.0] * (blocks - 1)
    assert not training_warnings(
        _with_history(detector, encoder_reconstruction=usual, **{VALIDATION_ERROR: usual})
    )


def test_training_shows_every_term_and_the_held_out_curve(detector, report) -> None:
    history = detector.summary.history
    views = view_training(detector)
    assert len(views) == len(history) - 2  # the iteration, and the held-out curve
    assert views[0].held_out == tuple(history[VALIDATION_ERROR])
    assert all(len(view.values) == len(view.iterations) for view in views)
    assert report.training == views


@pytest.mark.parametrize("variant", ["VAE", "AE", "E-adVAE"])
def test_variants_have_reports(variant, table) -> None:
    config = advae.Config(variant=variant, iterations=50, threshold="kde", surprise=False)
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


# --- samples ---


def test_a_reservoir_is_uniform_and_bounded() -> None:
    hits = np.zeros(200)
    for seed in range(400):
        sample = Reservoir(20, np.random.default_rng(seed))
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
        "0.0 %", "< 0.1 %", "50.0 %", "> 99.9 %", "100.0 %",
    ]  # fmt: skip
    assert listed(["a"]) == "“a”"
    assert listed(["a", "b"]) == "“a” and “b”"
    assert listed(["a", "b", "c", "d", "e"]) == "“a”, “b”, “c” and 2 others"
