"""Tables larger than memory: one pass, a uniform sample, and the same answers as in memory."""

import datetime as dt
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import advae
from advae import Config, ConfigError, InputError
from advae.doctor.examination import examine
from advae.report.page import write_report
from advae.tables.frames import BatchSchema, joined
from advae.tables.sampling import Reservoir

CONFIG = advae.Config(iterations=20, hidden=16, surprise=False)
DEFAULT = advae.Config(iterations=20, hidden=16)
"""Of the score that learns most of the sample."""


def numbers(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 4))
    return pl.DataFrame(values, schema=["a", "b", "c", "d"]).with_row_index("position")


def cut(frame: pl.DataFrame, size: int) -> Iterator[pl.DataFrame]:
    for first in range(0, frame.height, size):
        yield frame.slice(first, size)


def sampled(batches: Iterator[pl.DataFrame], size: int, seed: int) -> pl.DataFrame:
    sample = Reservoir(size, np.random.default_rng(seed))
    for batch in batches:
        sample.update({"rows": batch})
    return sample["rows"]


def test_a_stream_that_fits_gives_the_same_detector_as_a_table() -> None:
    frame = numbers(300)
    whole = advae.fit_detector(frame, DEFAULT, ignored=["position"])
    streamed = advae.fit_detector(cut(frame, 70), DEFAULT, ignored=["position"])
    assert (whole.anomaly_score(frame) == streamed.anomaly_score(frame)).all()
    assert whole.summary == streamed.summary


def test_a_longer_stream_is_sampled_and_says_so() -> None:
    frame = numbers(3000)
    frame[2900, "a"] = 50.0  # seen by the encoder, whether sampled or not
    detector = advae.fit_detector(cut(frame, 256), DEFAULT, ignored=["position"], sample=500)
    summary = detector.summary
    assert summary.rows + summary.calibration_rows == 500
    assert any("500 of 3,000 rows" in note for note in summary.notes)
    encoded = detector.table.transform(frame)
    assert encoded[:, 0].max() == 1.0
    other = advae.fit_detector(cut(frame, 999), DEFAULT, ignored=["position"], sample=500)
    assert (other.anomaly_score(frame) == detector.anomaly_score(frame)).all()


def test_an_empty_stream_is_refused() -> None:
    with pytest.raises(advae.InputError, match="no table"):
        advae.fit_detector(iter([]))


@pytest.mark.parametrize("size", [1, 10, 97, 1000])
def test_a_sample_does_not_depend_on_the_cuts(size: int) -> None:
    frame = numbers(500)
    samples = [sampled(cut(frame, rows), size, seed=3) for rows in (1, 64, 500)]
    assert all(sample.equals(samples[0]) for sample in samples)
    positions = samples[0]["position"]
    assert positions.n_unique() == min(size, 500)
    other = sampled(cut(frame, 64), size, seed=4)
    assert other.equals(samples[0]) == (size >= 500)
    if size >= 500:
        assert positions.is_sorted()


def test_a_sample_is_uniform() -> None:
    counts = np.zeros(60)
    for seed in range(3000):
        sample = sampled(cut(pl.DataFrame({"position": np.arange(60)}), 25), 6, seed)
        counts[sample["position"].to_numpy()] += 1
    # 300 expected of each, standard deviation 16.4: 4.5 of those leave a chance of 4 in 10,000.
    assert np.abs(counts - 300).max() < 75


def test_an_arrow_stream_is_a_stream() -> None:
    frame = numbers(300)
    whole = advae.fit_detector(frame, CONFIG, ignored=["position"])
    reader = pa.Table.from_pandas(frame.to_pandas()).to_reader(max_chunksize=64)
    streamed = advae.fit_detector(reader, CONFIG, ignored=["position"])
    assert (whole.anomaly_score(frame) == streamed.anomaly_score(frame)).all()


def test_the_order_of_ignored_columns_does_not_matter() -> None:
    frame = numbers(60).with_columns(other=pl.lit("x"))
    one = advae.fit_detector(frame, CONFIG, ignored=["position", "other"])
    two = advae.fit_detector(frame, CONFIG, ignored=["other", "position"])
    assert one.ignored == two.ignored


def test_two_rows_always_remain_to_learn_from() -> None:
    config = advae.Config(iterations=5, hidden=16, calibration=0.999)
    detector = advae.fit_detector(numbers(300), config, ignored=["position"])
    assert detector.summary.rows >= 2


# --- batches of different types ---


def people(rows: int = 200) -> pl.DataFrame:
    """Return rows of which the first 50 have no shop, and an age is missing later."""
    rng = np.random.default_rng(1)
    ages: list[int | None] = rng.integers(20, 70, rows).tolist()
    ages[rows // 2] = None
    shops = [None] * 50 + rng.choice(["north", "south"], rows - 50).tolist()
    return pl.DataFrame({"age": ages, "size": rng.normal(size=rows), "shop": shops})


def from_pandas(folder: Path) -> Any:
    people().write_csv(folder / "people.csv")
    return pd.read_csv(folder / "people.csv", chunksize=50)


def from_sqlite(folder: Path) -> Any:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("create table people (age integer, size real, shop text)")
        database.executemany("insert into people values (?, ?, ?)", people().rows())
        yield from pl.read_database(
            "select * from people", database, iter_batches=True, batch_size=50
        )


def from_columns_turned_over(folder: Path) -> Any:
    for number, batch in enumerate(cut(people(), 50)):
        yield batch.select(reversed(batch.columns) if number % 2 else batch.columns)


def from_small_types(folder: Path) -> Any:
    types = [pl.Int32, pl.Float32, pl.UInt64, pl.Int64]
    texts = [pl.Enum(["north"]), pl.Enum(["north", "south"]), pl.Categorical, pl.String]
    for number, batch in enumerate(cut(people(), 50)):
        yield batch.with_columns(
            pl.col("age").cast(types[number]), shop=pl.col("shop").cast(texts[number])
        )


def in_polars(scored: Iterator[Any]) -> pl.DataFrame:
    """Join scored batches; those of pandas frames are pandas frames."""
    return pl.concat(
        each if isinstance(each, pl.DataFrame) else pl.from_pandas(each) for each in scored
    )


@pytest.mark.parametrize("sample", [1000, 120])
@pytest.mark.parametrize(
    "batches", [from_pandas, from_sqlite, from_columns_turned_over, from_small_types]
)
def test_types_may_differ_between_batches(
    batches: Callable[[Path], Any], sample: int, tmp_path: Path
) -> None:
    table = people()
    whole = advae.fit_detector(cut(table, 200), CONFIG, sample=sample)
    parts = advae.fit_detector(batches(tmp_path), CONFIG, sample=sample)
    assert parts.table.feature_names == whole.table.feature_names
    assert (parts.anomaly_score(table) == whole.anomaly_score(table)).all()
    found = in_polars(parts.score_batches(batches(tmp_path)))["anomaly_score"]
    assert (found.to_numpy() == whole.anomaly_score(table)).all()
    assert {finding.check for finding in examine(batches(tmp_path)).findings} == {
        finding.check for finding in examine(table).findings
    }


@pytest.mark.parametrize("sample", [1000, 70])
@pytest.mark.parametrize(
    ("second", "message"),
    [
        (pl.DataFrame({"a": ["x"] * 50, "b": [1] * 50}), "type String in column 'a', but Int64"),
        (pl.DataFrame({"a": [True] * 50, "b": [1] * 50}), "type Boolean in column 'a', but Int64"),
        (pl.DataFrame({"a": [1] * 50}), r"other columns than the first: it lacks 'b'\. Give"),
        (
            pl.DataFrame({"a": [1] * 50, "b": [1] * 50, "c": [1] * 50}),
            r"other columns than the first: It adds 'c'\. Give",
        ),
    ],
)
def test_batches_that_do_not_match_are_named(
    second: pl.DataFrame, message: str, sample: int
) -> None:
    first = pl.DataFrame({"a": range(50), "b": range(50)})
    wanted = rf"^batch 3 of the table \(from row 100 on.*{message}"
    with pytest.raises(advae.InputError, match=wanted) as caught:
        advae.fit_detector(iter([first, first, second]), CONFIG, sample=sample)
    assert "\n" not in str(caught.value)
    with pytest.raises(advae.InputError, match=wanted):
        examine([first, first, second])


def test_what_is_ignored_need_not_match() -> None:
    first = people().with_columns(id=pl.int_range(200))
    second = people().with_columns(id=pl.lit("x"))
    detector = advae.fit_detector([first, second], CONFIG, ignored=["id"])
    assert detector.table.feature_names == ("age", "size", "shop")


def test_times_keep_the_finer_unit() -> None:
    late = dt.datetime(2024, 5, 1, 12, 0, 0, 123_456)
    frames = [
        pl.DataFrame({"at": pl.Series([late], dtype=pl.Datetime(unit))}) for unit in ("ms", "us")
    ]
    schema = BatchSchema()
    assert joined([schema.match(frame) for frame in frames])["at"][1] == late


def test_what_no_column_can_hold_is_matched_all_the_same() -> None:
    frame = pl.DataFrame({"a": [[1], [2]]})
    schema = BatchSchema()
    assert joined([schema.match(frame), schema.match(frame)]).height == 4


def test_instants_keep_their_zone_and_spans_the_finer_unit() -> None:
    exact = [dt.datetime(2024, 5, 1, 12), dt.timedelta(microseconds=123_456)]
    schema, parts = BatchSchema(), []
    for unit in ("ms", "us"):
        at = pl.Series("at", exact[:1], dtype=pl.Datetime(unit)).dt.replace_time_zone("UTC")
        parts.append(
            schema.match(pl.DataFrame([at, pl.Series("for", exact[1:]).dt.cast_time_unit(unit)]))
        )
    whole = joined(parts)
    assert whole.dtypes == [pl.Datetime("us", "UTC"), pl.Duration("us")]
    assert whole["for"][1] == exact[1]


# --- one way for what is given to score, report and examine ---


@pytest.mark.parametrize(
    "given",
    [
        lambda table: table,
        lambda table: table.lazy(),
        lambda table: table.to_dict(as_series=False),
        lambda table: table.to_pandas(),
        lambda table: table.to_arrow(),
        lambda table: table.to_arrow().to_reader(max_chunksize=70),
        lambda table: table.to_arrow().to_batches(max_chunksize=70),
        lambda table: cut(table, 70),
        lambda table: tuple(cut(table, 70)),
        lambda table: [part.to_pandas() for part in cut(table, 70)],
        lambda table: (part.to_dict(as_series=False) for part in cut(table, 70)),
    ],
)
def test_a_table_may_come_in_any_form(given: Callable[[pl.DataFrame], Any], tmp_path: Path) -> None:
    table = numbers(200).drop("position")
    whole = advae.fit_detector(table, CONFIG)
    fitted = advae.fit_detector(given(table), CONFIG)
    assert (fitted.anomaly_score(table) == whole.anomaly_score(table)).all()
    scored = in_polars(whole.score_batches(given(table), keep=["a"], explain=1))
    assert scored["row"].to_list() == list(range(200))
    assert (scored["anomaly_score"].to_numpy() == whole.anomaly_score(table)).all()
    assert write_report(whole, given(table), tmp_path / "r.html").rows == 200
    assert examine(given(table)) == examine(table)


def test_what_is_no_table_is_refused_everywhere(tmp_path: Path) -> None:
    detector = advae.fit_detector(numbers(60), CONFIG)
    for wrong in ("new.csv", [[1, 2], [3, 4]], 3):
        with pytest.raises(advae.InputError, match="cannot read a table from"):
            advae.fit_detector(wrong)
        with pytest.raises(advae.InputError, match="cannot read a table from"):
            list(detector.score_batches(wrong))
        with pytest.raises(advae.InputError, match="cannot read a table from"):
            write_report(detector, wrong, tmp_path / "r.html")
        with pytest.raises(advae.InputError, match="cannot read a table from"):
            examine(wrong)


def test_arguments_that_make_no_sense_are_refused() -> None:
    frame = pl.DataFrame({"id": range(60), "a": np.random.default_rng(0).random(60)})
    with pytest.raises(ConfigError, match=r"^sample is 1; expected at least 2 rows"):
        advae.fit_detector(frame, Config(iterations=2), sample=1)
    # A single name is one, not its letters.
    detector = advae.fit_detector(frame, Config(iterations=2), ignored="id")
    assert detector.ignored == ("id",)
    with pytest.raises(InputError, match="explain is -1"):
        next(detector.score_batches(frame, explain=-1))


@pytest.mark.parametrize("name", ["", "*", "number of rows", "row 1"])
def test_names_that_mean_something_to_polars_are_names(name: str, tmp_path: Path) -> None:
    words = pl.Series(name, [f"word {number % 3}" for number in range(60)])
    frame = pl.DataFrame({name: words, "a": numbers(60)["a"]})
    detector = advae.fit_detector(frame, CONFIG)
    assert detector.explain(frame).expected.columns == [name, "a"]
    scored = pl.concat(detector.score_batches(cut(frame, 25), keep=[name], explain=2))
    assert scored[name].equals(words)
    reasons = zip(scored["reason_1"], scored["reason_1_observed"], words, strict=True)
    assert all(observed == word for reason, observed, word in reasons if reason == name)
    write_report(detector, frame.with_columns(pl.Series(name, ["new"] * 60)), tmp_path / "r.html")
    assert examine(frame, ignored=[name]).rows == 60
    assert advae.fit_detector(frame, CONFIG, ignored=[name]).table.feature_names == ("a",)


def test_a_single_name_needs_no_list(tmp_path: Path) -> None:
    frame = numbers(100).with_columns(ab=pl.format("name {}", "position"))
    detector = advae.fit_detector(frame.drop("position"), CONFIG, hashed="ab")
    assert detector.table.features[-1].kind == "hash"
    assert next(detector.score_batches(frame, keep="position")).columns[1] == "position"
    assert examine(frame, ignored="ab") == examine(frame, ignored=["ab"])
    write_report(detector, frame, tmp_path / "r.html", keep="position")


def test_rare_categories_are_the_same_however_the_rows_are_cut() -> None:
    words = [None] * 1000 + ["usual"] * 1998 + ["odd"] * 2
    frame = pl.DataFrame({"word": words, "a": numbers(3000)["a"]})
    found = [
        advae.fit_detector(cut(frame, size), CONFIG, sample=2900).table.features
        for size in (1000, 3000, 400)
    ]
    assert found[0] == found[1] == found[2]


def test_decimals_of_other_places_fit_each_other() -> None:
    fine = pl.Series("a", np.arange(50) / 64).cast(pl.Decimal(38, 30))
    coarse = pl.Series("a", np.arange(50) * 10**10)
    streamed = advae.fit_detector([fine.to_frame(), coarse.to_frame()], CONFIG)
    whole = advae.fit_detector(
        pl.concat([fine.cast(pl.Float64), coarse.cast(pl.Float64)]).to_frame(), CONFIG
    )
    assert streamed.table == whole.table
