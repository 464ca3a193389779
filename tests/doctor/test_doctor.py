"""Examining a table: each finding where it should be, none where it should not, bounded memory."""

import datetime as dt
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import ANY_MODEL, Run
from sklearn.metrics import roc_auc_score

import advae
from advae import Config, InputError
from advae.doctor import Finding, compare, examine
from advae.doctor.checks import CopyCounter, separation

RNG = np.random.default_rng(0)
ROWS = 1000
SMALL = Config(hidden=8, latent=3, batch_size=16, points=8, iterations=50, surprise=False)


def sound() -> pl.DataFrame:
    """Return a table with which nothing is wrong."""
    rng = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "amount": rng.gamma(4, 10, ROWS),
            "count": rng.poisson(30, ROWS),
            "channel": rng.choice(["web", "shop", "phone"], ROWS),
            "member": rng.random(ROWS) < 0.4,
        }
    )


def checks(frame: pl.DataFrame, **options: object) -> dict[str, Finding]:
    """Return the findings by check; there must be one of each at most."""
    findings = examine([frame], **options).findings  # type: ignore[arg-type]
    names = [finding.check for finding in findings]
    assert len(set(names)) == len(names), names
    return dict(zip(names, findings, strict=True))


def test_nothing_is_found_in_a_sound_table() -> None:
    diagnosis = examine([sound()])
    assert diagnosis.findings == ()
    assert (diagnosis.rows, diagnosis.normal_rows) == (ROWS, ROWS)


def spoilt(values: object) -> pl.DataFrame:
    return sound().with_columns(pl.Series("x", values))


PUT_IN = np.where(np.arange(ROWS) % 200 == 0, -999.0, RNG.normal(50, 5, ROWS))
STRETCHED = np.append(RNG.normal(50, 5, ROWS - 1), 1e6)
NOISE = np.random.default_rng(5).normal(50, 5, ROWS)
STUCK = np.where(np.arange(ROWS) // 60 == 2, 51.5, NOISE)


@pytest.mark.parametrize(
    ("check", "severity", "values", "message"),
    [
        ("constant", "hint", [7] * ROWS, "always 7;"),
        ("constant", "hint", ["a"] * ROWS, "always 'a';"),
        ("constant", "hint", [dt.date(2024, 5, 1)] * ROWS, "always '2024-05-01';"),
        ("empty", "hint", [None] * ROWS, "no value in any row"),
        ("identifier", "problem", list(range(ROWS)), "seems to number the rows"),
        ("identifier", "problem", RNG.permutation(ROWS) + 0.0, "seems to number the rows"),
        ("identifier", "problem", [f"k{n}" for n in range(ROWS)], "names the row"),
        ("identifier", "problem", np.cumsum(RNG.integers(1, 99, ROWS)), "number the rows"),
        ("many-categories", "problem", [f"c{n % 900}" for n in range(ROWS)], "900 different texts"),
        ("misread", "problem", [*map(str, range(ROWS - 2)), "?", "?"], "different texts"),
        ("mostly-missing", "hint", [1.0, 2.0, *[None] * (ROWS - 2)], "99.8 % of the values"),
        ("code", "problem", PUT_IN, "-999 stands in 0.5 % of the rows"),
        (
            "outliers",
            "problem",
            STRETCHED,
            "1e+06 is set by a few values, such as 1e+06 in row 999",
        ),
        ("unusable", "problem", pl.Series([{1}] * ROWS, dtype=pl.Object), "type Object"),
        ("unusable", "problem", [np.inf, *RNG.normal(size=ROWS - 1)], "row 0"),
        (
            "time",
            "hint",
            [dt.date(2024, 1, 1) + dt.timedelta(days=int(n)) for n in RNG.integers(0, 99, ROWS)],
            "dates: learned by the place in the day, week and year",
        ),
        ("order", "hint", np.repeat(np.arange(10), ROWS // 10), "the rows are sorted by it"),
        ("order", "hint", np.linspace(1.0, 0.1, ROWS), "the rows are sorted by it"),
        ("grows", "problem", np.arange(ROWS) + RNG.normal(0, 50, ROWS), "values grow along"),
        ("grows", "problem", -np.arange(ROWS) + RNG.normal(0, 50, ROWS), "values fall along"),
        ("coded", "hint", RNG.choice([5411, 5812, 7995, 4111], ROWS), "4 different whole numbers"),
        ("stuck", "hint", STUCK, "51.5 in 60 rows one after another, rows 120 to 179"),
        ("heavy-tail", "hint", np.append(RNG.normal(50, 5, ROWS - 1), 500), "the few far ones"),
    ],
)
def test_columns(check: str, severity: str, values: object, message: str) -> None:
    found = checks(spoilt(values))
    assert list(found) == [check]
    assert found[check].columns == ("x",)
    assert found[check].severity == severity
    assert message in found[check].message
    assert found[check].advice.endswith(".")


@pytest.mark.parametrize(
    "values",
    [
        np.where(np.arange(ROWS) % 100 < 50, 0.0, NOISE),  # as of the sun
        np.sort(np.maximum(NOISE, 50.0)),
        pl.Series([None] * 100 + NOISE[100:].tolist()),
        np.where(np.arange(ROWS) < ROWS - 10, 51.5, NOISE),
    ],
)
def test_numbers_that_often_stay_the_same_are_not_stuck(values: object) -> None:
    assert "stuck" not in checks(spoilt(values))


def test_the_trend_is_advised_in_the_words_of_the_face(tmp_path: Path, run: Run) -> None:
    start = dt.datetime(2026, 1, 1)
    dated = sound().with_columns(
        sorted=pl.int_range(pl.len()) * 2.5,
        at=pl.Series([start + dt.timedelta(minutes=37 * k) for k in range(sound().height)]),
    )
    said = [each.advice for each in examine(dated).findings if each.check in ("time", "order")]
    assert len(said) == 2
    assert all('Config(time="trend")' in each for each in said)
    data, model = tmp_path / "t.csv", tmp_path / "m.advae"
    dated.write_csv(data)
    outputs = [
        run("doctor", data).out,
        run("doctor", data, "--json").out,
        run("fit", data, "-o", model, *ANY_MODEL, "--time", "cycles").err,
        run("info", model).out,
    ]
    for shown in outputs:
        assert "--time trend" in " ".join(re.sub("[│]", " ", shown).split())
        assert "Config" not in shown


@pytest.mark.parametrize(
    ("least", "advice"), [(1.0, "log scale"), (0.0, "square root"), (-1.0, "cube root")]
)
@pytest.mark.parametrize("height", [7, ROWS])
def test_an_extreme_value_is_named_with_its_row_and_a_scale_that_its_column_can_have(
    least: float, advice: str, height: int
) -> None:
    rng = np.random.default_rng(51)
    values = rng.uniform(2, 3, ROWS)
    values[[123, 640, 641]] = least, 5000.0, np.nan
    (finding,) = examine(spoilt(values).iter_slices(height)).findings
    assert (finding.check, finding.severity) == ("outliers", "problem")
    assert "such as 5000 in row 640" in finding.message
    assert advice in finding.advice
    (finding,) = examine(spoilt(-values).iter_slices(height)).findings
    assert "such as -5000 in row 640" in finding.message


def test_a_long_tail_beside_many_zeros_is_no_problem() -> None:
    rng = np.random.default_rng(52)
    rain = np.where(rng.random(ROWS) < 0.07, rng.lognormal(-4, 1, ROWS), 0.0)
    rain[432] = 3.0
    found = checks(spoilt(rain))["heavy-tail"]
    assert found.severity == "hint"
    assert "such as 3 in row 432" in found.message
    assert "square root" in found.advice


def readings(rows: int, seed: int) -> np.ndarray:
    """Return temperatures, of which a third equal the one before."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.normal(50, 5, rows).round(1), rng.geometric(2 / 3, rows))[:rows]


@pytest.mark.parametrize("height", [7, 900, 6000])
def test_a_stuck_sensor_is_found_where_numbers_often_repeat(height: int) -> None:
    temperature = readings(3000, 21)
    temperature[1200:1248], temperature[2000:2040] = 46.94, 48.25
    rng = np.random.default_rng(22)
    table = pl.DataFrame({"temperature": temperature, "load": rng.normal(size=3000)})
    found = {each.check: each for each in examine(table.iter_slices(height)).findings}["stuck"]
    assert found.columns == ("temperature",)
    assert "46.94 in 48 rows one after another, rows 1200 to 1247; otherwise" in found.message
    assert re.search("at most 1?[0-9] rows$", found.message)


@pytest.mark.parametrize("height", [7, 900, 9000])
def test_a_stuck_sensor_is_found_among_stations_that_report_in_turn(height: int) -> None:
    stations = np.stack([readings(3000, seed) for seed in (31, 32, 33)], axis=1)
    stations[1500:1540, 1] = 51.25
    table = pl.DataFrame(
        {
            "kind": np.random.default_rng(34).choice(["a", "b", "c"], 9000),
            "station": np.tile(["EWR", "JFK", "LGA"], 3000),
            "temperature": stations.ravel(),
        }
    )
    found = {each.check: each for each in examine(table.iter_slices(height)).findings}["stuck"]
    assert found.columns == ("temperature",)
    where = "51.25 in 40 rows one after another where 'station' is 'JFK', rows 4501 to 4618;"
    assert where in found.message
    rest = table.filter(pl.col("station") != "JFK")
    assert "stuck" not in {each.check for each in examine(rest.iter_slices(height)).findings}


def test_numbers_that_rest_or_are_set_are_not_stuck() -> None:
    rng = np.random.default_rng(41)
    rain = np.where(rng.random(4000) < 0.05, rng.gamma(1, 1, 4000).round(2), 0.0)
    rain[:400] = 0.0
    set_point = np.repeat(rng.choice([18.0, 19.5, 21.0, 22.5], 80), rng.integers(5, 95, 80))[:3000]
    kind = np.sort(rng.integers(0, 30, 4000))
    for values in (rain, set_point, rng.permutation(30)[kind], rng.integers(0, 2, 4000)):
        table = pl.DataFrame({"x": values, "y": rng.normal(size=len(values))})
        assert "stuck" not in {each.check for each in examine(table).findings}


def test_the_trend_is_not_advised_where_it_counts() -> None:
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=int(n)) for n in RNG.integers(0, 99, ROWS)]
    for values in (days, np.repeat(np.arange(10), ROWS // 10)):
        assert len(checks(spoilt(values))) == 1
        assert not checks(spoilt(values), config=Config(time="trend"))
    # Of such a column alone there is nothing else to learn.
    assert not checks(pl.DataFrame({"x": np.linspace(1.0, 0.1, ROWS)}))


def test_named_identifiers() -> None:
    numbers = RNG.choice(10**9, ROWS, replace=False)
    assert checks(spoilt(numbers)) == {}  # a measurement, for all one can see
    for name in ("customer_id", "ID", "orderId", "row"):
        found = checks(spoilt(numbers).rename({"x": name}))
        assert found["identifier"].columns == (name,)
    assert checks(spoilt(numbers).rename({"x": "paid"})) == {}


def test_codes_are_known_by_their_name_or_their_gaps() -> None:
    counts = RNG.poisson(4, ROWS)
    assert checks(spoilt(counts)) == {}
    assert list(checks(spoilt(counts).rename({"x": "status"}))) == ["coded"]
    assert checks(spoilt(RNG.choice([100, 200, 300, 400, 500], ROWS))) == {}  # steps of a scale


@pytest.mark.parametrize(
    "levels", [[1, 2, 4], [1, 2, 4, 8, 16], [5, 10, 25], [0, 10, 50], [1, 3, 9]]
)
def test_numbers_that_grow_by_factors_are_no_codes(levels: list[int]) -> None:
    assert checks(spoilt(RNG.choice(levels, ROWS))) == {}
    for code in (-999, 999):
        assert list(checks(spoilt(RNG.choice([*levels, code], ROWS)))) == ["code"]


def test_three_codes_of_things_hold_none_for_missing() -> None:
    assert checks(spoilt(RNG.choice([4711, 4720, 5003], ROWS))) == {}
    for values in ([1, 2, 99], [4711, 4720, -1], [4711, 4720, 0]):
        assert list(checks(spoilt(RNG.choice(values, ROWS)))) == ["code"]


def test_ignored_columns_are_not_examined() -> None:
    frame = spoilt(range(ROWS))
    assert checks(frame, ignored=["x"]) == {}
    with pytest.raises(InputError, match="missing column 'y'"):
        examine([frame], ignored=["y"])
    with pytest.raises(InputError, match="no column is left"):
        examine([frame], ignored=frame.columns)


def test_rows_without_any_value() -> None:
    frame = sound()
    empty = pl.DataFrame({name: [None] * 3 for name in frame.columns}, schema=frame.schema)
    assert checks(pl.concat([frame, empty]))["empty-rows"].message.startswith("3 of the normal")
    assert "empty-rows" not in checks(frame)


def test_copies() -> None:
    twice = pl.concat([sound(), sound().head(50)])
    assert checks(twice)["copies"].message.startswith("4.8 % of the normal rows repeat")
    assert "copies" not in checks(pl.concat([sound(), sound().head(5)]))


def test_copies_are_estimated_where_there_are_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advae.doctor.checks.MOST_HASHES", 500)
    counter = CopyCounter()
    for start in range(0, 20_000, 1000):
        counter.update(pl.DataFrame({"x": np.arange(start, start + 1000) // 4 * 1.0}))
    assert len(counter._kept) <= 500
    assert counter.share() == pytest.approx(0.75)  # every copy falls in with its original


def test_few_rows() -> None:
    assert "few-rows" not in checks(sound(), config=Config(alpha=0.1))
    some = checks(sound(), config=Config(alpha=0.02))["few-rows"]
    assert some.severity == "hint"
    assert "199 of 1,000 rows" in some.message
    assert "Give 1,250 normal rows" in some.advice
    folds = checks(sound(), config=Config(alpha=0.001))["few-rows"]
    assert folds.severity == "hint"
    assert "Too few rows to hold some out" in folds.message
    none = checks(sound(), config=Config(alpha=0.0001))["few-rows"]
    assert none.severity == "problem"
    assert "which takes 9,999" in none.message


def test_no_normal_row_is_one_problem_and_not_one_of_each_column() -> None:
    assert set(checks(sound().with_columns(odd=True), label="odd")) == {"no-normal-rows"}


def test_columns_that_give_the_label_away() -> None:
    labels = RNG.random(ROWS) < 0.1
    told = sound().with_columns(
        pl.Series("risk", labels + RNG.normal(0, 0.1, ROWS)),
        pl.Series("helps", labels + RNG.normal(0, 0.8, ROWS)),
        pl.Series("rule", ["R7" if label else None for label in labels]),
        pl.Series("state", np.where(labels, "blocked", "paid")),
        pl.Series("label", labels),
    )
    diagnosis = examine([told], label="label")
    assert diagnosis.normal_rows == (~labels).sum()
    (away,) = [each for each in diagnosis.findings if each.check == "gives-away-label"]
    assert away.columns == ("risk", "rule", "state")
    without = examine([told.with_columns(label=pl.lit(0))], label="label").findings
    assert "gives-away-label" not in [each.check for each in without]


@pytest.mark.parametrize(("normal", "given_away"), [(5, False), (15, True)])
def test_chance_gives_no_label_away(normal: int, given_away: bool) -> None:
    labels = np.arange(5 + normal) < 5
    frame = pl.DataFrame({f"x{n}": RNG.normal(size=len(labels)) for n in range(30)})
    frame = frame.with_columns(risk=pl.Series(labels * 1.0 + 0.001 * np.arange(len(labels))))
    found = examine(frame.with_columns(label=labels), label="label").findings
    assert ("gives-away-label" in [each.check for each in found]) == given_away


def test_separation_is_the_area_under_the_roc_curve() -> None:
    values = RNG.integers(0, 5, (200, 3)).astype(np.float32)
    anomalous = RNG.random(200) < 0.3
    areas = [roc_auc_score(anomalous, column) for column in values.T]
    np.testing.assert_allclose(
        separation(values, anomalous), [max(area, 1 - area) for area in areas]
    )


def test_strange_rows() -> None:
    odd = (
        sound()
        .head(20)
        .with_columns(pl.col("amount") * 8, pl.col("count") * 9, channel=pl.lit("fax"))
    )
    found = checks(pl.concat([sound(), odd]))
    assert list(found) == ["strange-rows"]
    named = re.findall(r"\d+", found["strange-rows"].message.split("rows ", 3)[-1])[:5]
    assert all(int(row) >= ROWS for row in named)
    # Labelled as anomalies they are not learned, and there is nothing to say.
    labelled = pl.concat([sound(), odd]).with_columns(label=pl.int_range(pl.len()) >= ROWS)
    assert "strange-rows" not in [
        each.check for each in examine([labelled], label="label").findings
    ]


def test_batches_change_nothing() -> None:
    frame = spoilt(range(ROWS)).with_columns(label=pl.Series(RNG.random(ROWS) < 0.05))
    whole = examine([frame], label="label")
    parts = examine((frame[start : start + 77] for start in range(0, ROWS, 77)), label="label")
    assert whole == parts


def test_problems_come_first() -> None:
    frame = spoilt(range(ROWS)).with_columns(pl.lit(1).alias("one"), pl.lit("a").alias("letter"))
    severities = [each.severity for each in examine([frame]).findings]
    assert severities == ["problem", "hint", "hint"]


def test_identical_rows_leave_nothing_to_learn() -> None:
    found = {
        each.check for each in examine([pl.DataFrame({"a": [1] * 50, "b": [2] * 50})]).findings
    }
    assert found == {"constant", "copies", "few-rows", "unusable"}


# --- the command line ---


def test_command(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "data.csv"
    spoilt(range(ROWS)).write_csv(path)
    shown = run("doctor", path)
    assert (shown.code, shown.err) == (0, "")
    assert "1,000 rows: 1 problem, 0 hints" in shown.out
    assert "identifier" in shown.out
    record = json.loads(run("doctor", path, "--json", "--alpha", 0.02).out)
    assert (record["rows"], record["normal_rows"]) == (ROWS, ROWS)
    assert [each["check"] for each in record["findings"]] == ["identifier", "few-rows"]
    assert record["findings"][0].keys() == {"check", "severity", "columns", "message", "advice"}
    clean = run("doctor", path, "--ignore", "x")
    assert clean.out == "1,000 rows: 0 problems, 0 hints\n"


def test_many_findings_alike_are_shown_as_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "data.csv"
    sound().with_columns(pl.lit(1).alias(f"c{number}") for number in range(200)).write_csv(path)
    shown = run("doctor", path).out
    assert "0 problems, 200 hints" in shown
    assert shown.count("constant") == 6
    assert "195 more" in " ".join(shown.split())
    assert len(json.loads(run("doctor", path, "--json").out)["findings"]) == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "y"], "missing column 'y'"),
        (["--label", "amount"], "Labels are 0"),
        (["--ignore", "y"], "missing column 'y'"),
        (["--alpha", 3], "alpha is 3.0"),
    ],
)
def test_misuse(run: Run, tmp_path: Path, arguments: list[object], message: str) -> None:
    path = tmp_path / "data.csv"
    sound().write_csv(path)
    failed = run("doctor", path, *arguments)
    assert failed.code == 2
    assert message in failed.err
    assert run("doctor", tmp_path / "none.csv").code == 2


# --- new rows beside a model ---


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.advae"
    advae.save(advae.fit_detector(sound(), SMALL), path)
    return path


def test_columns_wholly_outside_training(model: Path) -> None:
    detector = advae.load(model)
    assert compare(detector, sound()) == (ROWS, ())
    new = sound().with_columns(
        pl.col("amount") * 1000 + 1000, pl.col("channel").str.to_uppercase(), member=None
    )
    rows, findings = compare(detector, new.iter_slices(300))
    assert rows == ROWS
    found = {finding.columns: finding for finding in findings}
    assert {found[("amount",)].check, found[("channel",)].check} == {"outside"}
    assert found[("member",)].check == "moved"
    assert "100.0 % are missing" in found[("member",)].message
    assert {finding.severity for finding in findings} == {"problem"}


@pytest.mark.parametrize("height", [7, 300, ROWS])
def test_new_rows_of_a_sensor_that_is_stuck(model: Path, height: int) -> None:
    still = pl.int_range(pl.len()).is_between(640, 719)
    new = sound().with_columns(amount=pl.when(still).then(31.25).otherwise("amount"))
    _, (finding,) = compare(advae.load(model), new.iter_slices(height))
    assert (finding.check, finding.severity, finding.columns) == ("stuck", "hint", ("amount",))
    assert "31.25 in 80 rows one after another, rows 640 to 719" in finding.message


def test_new_rows_may_come_later() -> None:
    start = dt.datetime(2026, 1, 1)
    dated = sound().with_columns(
        at=pl.Series([start + dt.timedelta(hours=n) for n in RNG.integers(0, 5000, ROWS).tolist()])
    )
    detector = advae.fit_detector(dated, SMALL)
    later = dated.with_columns(pl.col("at").dt.offset_by("2y"))
    assert compare(detector, later)[1] == ()


def test_strict_ends_with_1_on_problems(run: Run, model: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    sound().write_parquet(good)
    sound().with_columns(pl.int_range(pl.len()).alias("n")).write_parquet(bad)
    assert run("doctor", good, "--strict").code == 0
    assert run("doctor", bad).code == 0
    refused = run("doctor", bad, "--strict")
    assert refused.code == 1
    assert "identifier" in refused.out
    assert run("doctor", bad, "--strict", "--only", "amount", "--only", "count").code == 0
    assert run("doctor", good, "--model", model, "--strict").code == 0
    sound().with_columns(pl.col("amount") + 1e6).write_parquet(bad)
    outside = run("doctor", bad, "--model", model, "--strict")
    assert outside.code == 1
    assert "outside" in outside.out
    assert run("doctor", good, "--model", model, "--ignore", "count").code == 2
    refused = run("doctor", good, "--model", model, "--alpha", 0.5)
    assert (refused.code, refused.out) == (2, "")
    assert "--alpha" in refused.err
    both = run("doctor", good, "--only", "amount", "--ignore", "count")
    assert "Leave out one" in both.err
