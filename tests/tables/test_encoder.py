"""The table encoder: numbers near [0, 1] from any column, and back."""

import datetime as dt
import json
import sys
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from advae.errors import InputError
from advae.tables import profile
from advae.tables.categories import RARE
from advae.tables.encoder import TableEncoder
from advae.tables.values import HASH_BUCKETS, to_texts

BERLIN = "Europe/Berlin"
WORDS = ["a", "b", "c", "<script>", "ü\n"]


def mixed_table(rows: int = 40) -> pl.DataFrame:
    """Return a table with every kind of column, missing values included."""
    start = dt.datetime(2020, 1, 1, 5)
    moments = [start + dt.timedelta(hours=531 * row) for row in range(rows)]
    frame = pl.DataFrame(
        {
            "float": [row * 1.5 - 7 for row in range(rows)],
            "integer": [row % 7 for row in range(rows)],
            "truth": [row % 3 == 0 for row in range(rows)],
            "word": [WORDS[row % 3] for row in range(rows)],
            "date": [moment.date() for moment in moments],
            "clock": [moment.time() for moment in moments],
            "span": [moment - start for moment in moments],
            "moment": pl.Series(moments).dt.replace_time_zone("UTC").dt.convert_time_zone(BERLIN),
            "user": [f"user {row}" for row in range(rows)],
        }
    )
    holed = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 3 + number).then(None).otherwise(pl.col(name)).alias(name)
        for number, name in enumerate(frame.columns)
    )
    return holed.with_columns(
        pl.lit(5).alias("five"), pl.lit("x").alias("letter"), pl.lit(None).alias("nothing")
    )


@pytest.fixture(scope="module")
def encoder() -> TableEncoder:
    return TableEncoder.fit(mixed_table(), hashed=["user"])


def through_json(encoder: TableEncoder) -> TableEncoder:
    return TableEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))


def changed_state(encoder: TableEncoder, feature: int, **changes: Any) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(json.dumps(encoder.to_json()))
    state["features"][feature] |= changes
    return state


def test_training_rows_lie_in_the_unit_interval_and_never_in_the_fixed_part(
    encoder: TableEncoder,
) -> None:
    encoded = encoder.transform(mixed_table())
    assert encoded.dtype == np.float32
    assert encoded.flags.c_contiguous
    assert encoded.shape == (40, encoder.width)
    assert encoded.min() >= 0
    assert encoded.max() <= 1
    assert not encoded[:, encoder.network_width :].any()
    assert (np.ptp(encoded[:, : encoder.network_width], axis=0) > 0).all()


def test_decode_undoes_transform(encoder: TableEncoder) -> None:
    table = mixed_table()
    decoded = encoder.decode(encoder.transform(table))
    assert decoded.columns == table.columns
    exact = ["truth", "word", "date", "five", "letter"]
    known = table["word"].is_null() | table["word"].is_in(["a", "b", "c"])
    assert known.all()
    assert_frame_equal(decoded[exact], table[exact].with_columns(pl.col("five").cast(float)))
    numbers = ["float", "integer"]
    assert_frame_equal(
        decoded[numbers], table[numbers].cast(pl.Float64), abs_tol=1e-4, rel_tol=1e-5
    )
    for name, tolerance in (("clock", 1), ("span", 600), ("moment", 1)):
        apart = (decoded[name].cast(pl.Int64) - table[name].cast(pl.Int64)).abs().max()
        unit = 1e9 if name == "clock" else 1e6
        assert apart <= tolerance * unit  # type: ignore[operator]
    assert decoded["moment"].dtype == pl.Datetime("us", "Europe/Berlin")
    assert decoded["nothing"].null_count() == 40
    assert decoded["user"].null_count() == 1
    assert decoded["user"].drop_nulls().str.starts_with("(hash bucket ").all()


def test_an_hour_that_the_clock_leaves_out_is_not_missing() -> None:
    """The middle of two times around it lies in it."""
    around = pl.Series("at", [dt.datetime(2020, 3, 29, 1), dt.datetime(2020, 3, 29, 4)])
    frame = around.dt.replace_time_zone(BERLIN).to_frame()
    encoder = TableEncoder.fit(frame)
    found = encoder.decode(np.array([[0.5, 0.0]], np.float32))["at"]
    assert found.dt.replace_time_zone(None).to_list() == [dt.datetime(2020, 3, 29, 3, 30)]
    assert encoder.transform(found.to_frame())[0, -1] == 0


def test_owner_groups_encoded_columns_by_feature(encoder: TableEncoder) -> None:
    rng = np.random.default_rng(0)
    contributions = rng.normal(size=(3, encoder.width))
    grouped = encoder.group(contributions)
    assert grouped.shape == (3, len(encoder.feature_names))
    for number in range(len(encoder.features)):
        expected = contributions[:, encoder.owner == number].sum(axis=1)
        np.testing.assert_allclose(grouped[:, number], expected)


def test_json_round_trip_is_exact(encoder: TableEncoder) -> None:
    again = through_json(encoder)
    assert again == encoder
    table = mixed_table()
    np.testing.assert_array_equal(again.transform(table), encoder.transform(table))
    assert_frame_equal(
        again.decode(encoder.transform(table)), encoder.decode(encoder.transform(table))
    )


def test_no_training_text_is_stored_but_the_frequent_categories(encoder: TableEncoder) -> None:
    assert "user 7" not in json.dumps(encoder.to_json())


@given(
    numbers=st.lists(
        st.none() | st.floats(allow_nan=True, allow_infinity=False), min_size=2, max_size=30
    ).filter(lambda values: len({v for v in values if v is not None and v == v}) > 1),
    cut=st.integers(0, 30),
)
@settings(max_examples=200)
def test_any_finite_numbers_survive(numbers: list[float | None], cut: int) -> None:
    table = pl.DataFrame({"x": pl.Series(numbers, dtype=pl.Float64)})
    encoder = TableEncoder.fit(table)
    assert TableEncoder.fit_batches([table[:cut], table[cut:]]) == encoder
    encoded = encoder.transform(table)
    assert np.isfinite(encoded).all()
    assert encoded.min() >= 0
    assert encoded.max() <= 1
    again = through_json(encoder)
    split = [again.transform(table[:cut]), again.transform(table[cut:], first_row=cut)]
    np.testing.assert_array_equal(np.concatenate(split), encoded)
    values = table["x"].fill_nan(None)
    decoded = encoder.decode(encoded)["x"]
    assert (decoded.is_null() == values.is_null()).all()
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    tolerance = 2e-7 * (high / 2 - low / 2)  # halves, as the range itself may overflow
    halves_apart = (decoded / 2 - values / 2).abs().max()
    assert halves_apart <= tolerance + 1e-300  # type: ignore[operator]


@given(
    texts=st.lists(st.none() | st.sampled_from(WORDS), min_size=20, max_size=60).filter(
        lambda texts: len(set(texts) - {None}) > 1
    ),
    cut=st.integers(0, 60),
)
def test_categories_survive(texts: list[str | None], cut: int) -> None:
    table = pl.DataFrame({"x": pl.Series(texts, dtype=pl.String)})
    counts = Counter(text for text in texts if text is not None)
    if sum(count for count in counts.values() if count >= 2) < counts.total() / 2:
        with pytest.raises(InputError, match="too many different texts"):
            TableEncoder.fit(table)
        return
    encoder = TableEncoder.fit(table)
    assert TableEncoder.fit_batches([table[:cut], table[cut:]]) == encoder
    decoded = through_json(encoder).decode(encoder.transform(table))["x"].to_list()
    for text, back in zip(texts, decoded, strict=True):
        assert back == (text if text is None or counts[text] >= 2 else RARE)


def test_streaming_equals_one_frame_up_to_the_reservoir(monkeypatch: pytest.MonkeyPatch) -> None:
    table = mixed_table(400)
    whole = TableEncoder.fit(table, hashed=["user"])
    parts = [table[start : start + 37] for start in range(0, 400, 37)]
    assert TableEncoder.fit_batches(parts, hashed=["user"]) == whole
    monkeypatch.setattr(profile, "RESERVOIR_SIZE", 50)
    sampled = TableEncoder.fit_batches(parts, hashed=["user"])
    assert sampled == TableEncoder.fit(table, hashed=["user"])
    assert sampled != whole
    np.testing.assert_array_equal(sampled.owner, whole.owner)
    assert sampled.features[0].profile.quantiles[0] == whole.features[0].profile.quantiles[0]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("five", 6),
        ("five", None),
        ("letter", "y"),
        ("letter", None),
        ("nothing", 1),
        ("word", "unseen"),
    ],
)
def test_what_training_never_had_shows_in_the_fixed_part(
    encoder: TableEncoder, column: str, value: object
) -> None:
    rows = mixed_table()[10:12].with_columns(pl.lit(value).alias(column))
    fixed = encoder.transform(rows)[:, encoder.network_width :]
    np.testing.assert_array_equal(fixed.sum(axis=1), 1)
    owner = encoder.owner[encoder.network_width :][fixed[0] == 1]
    assert encoder.feature_names[int(owner[0])] == column


def test_a_missing_number_takes_the_median_and_is_marked() -> None:
    encoder = TableEncoder.fit(pl.DataFrame({"x": [0.0, 1.0, 4.0]}))
    np.testing.assert_array_equal(
        encoder.transform(pl.DataFrame({"x": [None, float("nan"), 2.0]})),
        np.array([[0.25, 1], [0.25, 1], [0.5, 0]], np.float32),
    )
    assert encoder.network_width == 1


def test_values_beyond_training_are_not_clipped_until_a_billion() -> None:
    encoder = TableEncoder.fit(pl.DataFrame({"x": [0.0, 2.0]}))
    encoded = encoder.transform(pl.DataFrame({"x": [-2.0, 6.0, 1e300, -1.7e308]}))[:, 0]
    np.testing.assert_array_equal(encoded, np.array([-1, 3, 1e9, -1e9], np.float32))


GREATEST = sys.float_info.max


@pytest.mark.parametrize(
    ("low", "high"), [(-GREATEST, GREATEST), (-GREATEST, 1e299), (-1e299, GREATEST), (0.0, 5e-324)]
)
def test_the_widest_and_the_tiniest_range_are_scaled(low: float, high: float) -> None:
    table = pl.DataFrame({"x": [low, high]})
    encoder = TableEncoder.fit(table)
    np.testing.assert_array_equal(encoder.transform(table)[:, 0], [0, 1])
    beyond = encoder.decode(np.array([[0, 0], [1, 0], [1e9, 0], [-1e9, 0]], np.float32))["x"]
    np.testing.assert_allclose(beyond[:2], [low, high], rtol=1e-7)
    assert beyond.is_finite().all()


def test_times_are_placed_in_their_range_and_in_the_cycles() -> None:
    start = dt.datetime(2024, 1, 1, 7)
    column = [start + dt.timedelta(days=1.3 * row) for row in range(601)]
    encoder = TableEncoder.fit(pl.DataFrame({"t": column}))
    given = [dt.datetime(2024, 3, 5, 6), dt.datetime(2025, 11, 9, 22, 30), None]
    found = encoder.transform(pl.DataFrame({"t": given}))
    for row, time in zip(found, [*given[:2], column[300]], strict=True):
        assert time is not None
        days = (time - dt.datetime(1970, 1, 1)) / dt.timedelta(days=1)
        place = (time - column[0]) / (column[-1] - column[0])
        turns = np.array([days % 1, days // 1 % 7 / 7, days // 1 % 365.2425 / 365.2425])
        waves = np.stack([np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)], axis=1)
        wanted = [place, *((1 + waves) / 2).ravel(), time == column[300]]
        np.testing.assert_allclose(row, wanted, atol=1e-6)
    assert list(encoder.spanned) == [True, *[False] * 6, True]


def test_a_missing_truth_takes_the_share_of_true() -> None:
    encoder = TableEncoder.fit(pl.DataFrame({"x": [True, False, False, False]}))
    assert encoder.transform(pl.DataFrame({"x": [None, True]})).tolist() == [[0.25, 1], [1, 0]]
    assert encoder.features[0].frequencies == {"false": 3, "true": 1}
    middle = np.array([[0.5, 0.5], [0.49, 0.0], [1.0, 0.51]], np.float32)
    assert encoder.decode(middle)["x"].to_list() == [True, False, None]


def test_missing_values_beside_one_value_or_none() -> None:
    nan = float("nan")
    frame = pl.DataFrame({"a": [0.0, 1.0, 2.0], "c": [5.0, None, 5.0], "n": [nan, nan, None]})
    encoder = TableEncoder.fit(frame)
    new = pl.DataFrame({"a": [0.0] * 3, "c": [5.0, nan, 6.0], "n": [nan, 1.0, None]})
    only, nothing = (encoder.transform(new)[:, list(places)] for places in encoder.places[1:])
    assert only.tolist() == [[0, 0], [0, 1], [1, 0]]
    assert nothing.ravel().tolist() == [0, 1, 0]
    decoded = encoder.decode(encoder.transform(new))
    assert (decoded["c"].to_list(), decoded["n"].null_count()) == ([5.0, None, None], 3)


def test_rare_and_unseen_categories_share_a_column() -> None:
    texts = ["a"] * 10 + ["b"] * 5 + ["once"]
    encoder = TableEncoder.fit(pl.DataFrame({"x": texts}))
    assert encoder.features[0].frequencies == {"a": 10, "b": 5, RARE: 1}
    encoded = encoder.transform(pl.DataFrame({"x": ["once", "never"]}))
    np.testing.assert_array_equal(encoded[0], encoded[1])
    assert encoder.network_width == 3


def test_a_category_on_one_of_ten_thousand_rows_has_a_column() -> None:
    table = pl.DataFrame({"x": ["a"] * 99_981 + ["b"] * 10 + ["c"] * 9})
    column = TableEncoder.fit(table).features[0]
    assert column.frequencies == {"a": 99_981, "b": 10, RARE: 9}
    # Rows of a batch without a value count too.
    more = TableEncoder.fit_batches([table, pl.DataFrame({"x": [None] * 10})]).features[0]
    assert more.frequencies == {"a": 99_981, RARE: 19}
    assert (more.profile.rows, more.profile.missing) == (100_010, 10)


@pytest.mark.parametrize(("categories", "kept"), [(175, 175), (512, 512), (600, 512)])
def test_hundreds_of_categories_have_columns_and_the_rest_count_as_rare(
    categories: int, kept: int
) -> None:
    texts = [str(n // 2) + "!" for n in range(2 * categories)]
    encoder = TableEncoder.fit(pl.DataFrame({"x": texts}))
    assert encoder.network_width == kept + (kept < categories)
    assert encoder.features[0].frequencies.get(RARE, 0) == 2 * (categories - kept)
    encoded = encoder.transform(pl.DataFrame({"x": texts}))
    assert (encoded.sum(axis=1) == 1).all()


def test_texts_that_hardly_repeat_are_too_many() -> None:
    texts = [str(n // 2) + "!" for n in range(100)] + [f"{n}?" for n in range(101)]
    TableEncoder.fit(pl.DataFrame({"x": texts[:-1]}))
    with pytest.raises(InputError, match="too many different texts in 'x'"):
        TableEncoder.fit(pl.DataFrame({"x": texts}))


@pytest.mark.parametrize(("singles", "fits"), [(9999, True), (10_000, False)])
def test_ten_thousand_different_texts_are_not_too_many(singles: int, fits: bool) -> None:
    table = pl.DataFrame({"x": ["often"] * singles + [str(n) + "!" for n in range(singles)]})
    if fits:
        assert TableEncoder.fit(table).features[0].frequencies == {"often": singles, RARE: singles}
    else:
        with pytest.raises(InputError, match="too many different texts in 'x'"):
            TableEncoder.fit(table)


def test_a_single_text_beside_missing_ones_is_a_constant() -> None:
    encoder = TableEncoder.fit(pl.DataFrame({"x": ["a", None, None], "n": [1, 2, 3]}))
    new = encoder.transform(pl.DataFrame({"x": ["a", "b", None], "n": [1, 2, 3]}))
    assert new[:, list(encoder.places[0])].tolist() == [[0, 0], [1, 0], [0, 1]]


@pytest.mark.parametrize("only", [True, False])
def test_the_only_truth_is_kept(only: bool) -> None:
    encoder = TableEncoder.fit(pl.DataFrame({"x": [only] * 3, "n": [1, 2, 3]}))
    encoded = encoder.transform(pl.DataFrame({"x": [only, not only], "n": [1, 1]}))
    assert encoded[:, list(encoder.places[0])].tolist() == [[0], [1]]
    assert encoder.decode(encoded)["x"].to_list() == [only, None]


def test_truths_cannot_be_hashed() -> None:
    with pytest.raises(InputError, match="'x' holds values of type boolean; only texts and num"):
        TableEncoder.fit(pl.DataFrame({"x": [True, False]}), hashed=["x"])


def test_two_rows_of_true_and_false_are_enough() -> None:
    table = pl.DataFrame({"x": [True, False]})
    encoder = TableEncoder.fit(table)
    assert_frame_equal(encoder.decode(encoder.transform(table)), table)


def test_cycles_appear_where_they_help() -> None:
    def width(start: dt.datetime, step: dt.timedelta, steps: int) -> int:
        return TableEncoder.fit(
            pl.DataFrame({"t": [start + step * number for number in range(steps)]})
        ).network_width

    day, start = dt.timedelta(days=1), dt.datetime(2024, 1, 1)
    assert width(start, day / 24, 20) == 1
    assert width(start, day / 5, 20) == 3  # and the time of day
    assert width(start, day, 40) == 3  # and the weekday
    assert width(start, 7 * day, 40) == 1  # Mondays only
    assert width(start, day * 1.3, 600) == 7  # and the day of the year


def test_texts_stand_for_numbers_truths_and_times(encoder: TableEncoder) -> None:
    table = mixed_table().drop("span")
    read_as = {name: encoder.dtypes[name] for name in table.columns}
    texts = table.with_columns(pl.all().cast(pl.String)).with_columns(pl.col("moment").str.head(19))
    without_span = TableEncoder.fit(table, hashed=["user"])
    np.testing.assert_array_equal(without_span.transform(texts), without_span.transform(table))
    assert read_as["float"] == pl.Float64
    assert read_as["word"] == pl.String
    assert read_as["nothing"] == pl.String


def test_numbers_stand_for_categories() -> None:
    encoder = TableEncoder.fit(pl.DataFrame({"x": ["1", "2"] * 4}))
    expected = encoder.transform(pl.DataFrame({"x": ["1", "2", None]}))
    for dtype in (pl.Int8, pl.Float64, pl.Decimal(10, 2), pl.Decimal(10, 0)):
        numbers = pl.DataFrame({"x": pl.Series([1, 2, None], dtype=dtype)})
        np.testing.assert_array_equal(encoder.transform(numbers), expected)


def test_decimals_are_spelled_as_floats_are() -> None:
    prices = [1.5, 20.0, -0.25, 0.0, None]
    decimals = pl.Series("price", prices).cast(pl.Decimal(10, 3))
    assert to_texts(decimals).to_list() == ["1.5", "20", "-0.25", "0", None]
    assert to_texts(decimals).to_list() == to_texts(pl.Series(prices)).to_list()


@pytest.mark.parametrize(
    "dtype",
    [
        *(pl.Float64, pl.Int8, pl.Boolean, pl.String, pl.Categorical, pl.Date, pl.Time),
        *(pl.Datetime("ns", "UTC"), pl.Duration("ms"), pl.List(pl.Int8), pl.Object),
    ],
)
def test_missing_values_are_missing_in_every_type(encoder: TableEncoder, dtype: Any) -> None:
    table = mixed_table(3)
    for name in table.columns:
        missing = pl.Series(name, [None] * 3, dtype=pl.Null)
        expected = encoder.transform(table.with_columns(missing))
        found = encoder.transform(table.with_columns(pl.Series(name, [None] * 3, dtype=dtype)))
        np.testing.assert_array_equal(found, expected)
    holes = table.with_columns(pl.Series("moment", [float("nan")] * 3))  # a missing time in pandas
    expected = encoder.transform(table.with_columns(pl.lit(None).alias("moment")))
    np.testing.assert_array_equal(encoder.transform(holes), expected)


def test_wide_types_of_numbers_are_numbers() -> None:
    values = [1, 2, 4]
    expected = TableEncoder.fit(pl.DataFrame({"x": values})).transform(pl.DataFrame({"x": values}))
    for dtype in (pl.Int128, pl.UInt64, pl.Float32, pl.Decimal(10, 2)):
        table = pl.DataFrame({"x": pl.Series(values, dtype=dtype)})
        np.testing.assert_array_equal(TableEncoder.fit(table).transform(table), expected)


def test_column_order_and_extra_columns_do_not_matter(encoder: TableEncoder) -> None:
    table = mixed_table()
    shuffled = table.select(reversed(table.columns)).with_columns(extra=1)
    np.testing.assert_array_equal(encoder.transform(shuffled), encoder.transform(table))
    assert encoder.extra_columns(shuffled) == ["extra"]


@pytest.mark.parametrize(
    ("only", "given", "marked"),
    [
        (0.1, [0.1, float(np.float32(0.1)), 0.1001], [0, 0, 1]),
        (float(np.float32(0.1)), [0.1, float(np.float32(0.1)), 0.1001], [0, 0, 1]),
        (20230102.0, [20230102, 20230101], [0, 1]),  # one number in single precision
        (0.5, [0.5, 1e300], [0, 1]),
        (1e-300, [1e-300, 0.0], [0, 1]),
    ],
)
def test_a_constant_is_the_same_in_single_precision(
    only: float, given: list[float], marked: list[int]
) -> None:
    encoder = TableEncoder.fit(pl.DataFrame({"a": [0.0, 1.0], "c": [only, only]}))
    rows = pl.DataFrame({"a": [0.5] * len(given), "c": [float(value) for value in given]})
    assert encoder.transform(rows)[:, list(encoder.places[1])][:, 0].tolist() == marked


def test_a_hashed_number_can_be_the_only_one() -> None:
    frame = pl.DataFrame({"id": [5.5] * 3, "a": [1.0, 2.0, 3.0]})
    encoder = TableEncoder.fit(frame, hashed=["id"])
    assert TableEncoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder
    new = pl.DataFrame({"id": ["5.5", "5.50", "6", None], "a": [1.0] * 4})
    assert encoder.transform(new)[:, encoder.places[0][0]].tolist() == [0, 0, 1, 1]


def test_hashing_is_stable() -> None:
    # Written down once: a change would silently break every stored model.
    encoder = TableEncoder.fit(pl.DataFrame({"x": ["a", "b", "c"] * 2}), hashed=["x"])
    occupied = [number for number, n in enumerate(encoder.features[0].profile.counts) if n]
    assert encoder.width == HASH_BUCKETS + 1
    assert occupied == [3, 15, 25]
    assert encoder.network_width == len(occupied)


def test_notes_tell_of_constant_hashed_and_dated_columns(encoder: TableEncoder) -> None:
    notes = " ".join(encoder.notes(trend=False))
    for name in ("'five', 'letter'", "'nothing'", "'user'", "'date', 'moment'"):
        assert name in notes
    assert 'Config(time="trend")' in notes
    judged = " ".join(encoder.notes(trend=True))
    assert "before or after it score higher for that: 'date', 'moment'" in judged
    assert "Config" not in judged


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "no columns"),
        ({"x": []}, "only 0 rows to learn from: learning"),
        ({"x": [1]}, "only 1 row to learn from: learning"),
        ({"x": [1, 1], "y": ["a", "a"]}, "all rows to learn from are identical"),
        ({"x": [None, None]}, "all rows to learn from are identical"),
        ({"x": [1.0, 2.0, -np.inf]}, "column 'x', row 2 .*finite"),
        ({"x": [[1], [2]]}, "column 'x' holds values of type List"),
        ({"x": [b"1", b"2"]}, "column 'x' holds values of type Binary"),
        ({"x": [f"{n}!" for n in range(104)]}, "too many different texts in 'x'"),
        ({"x": [f"2024-01-{n} 12:00" for n in range(10, 30)]}, "'x' holds dates as texts"),
        ({"x": [str(n) for n in range(9)]}, "'x' holds numbers as texts"),
        ({"x": [f" {n} " for n in range(9)]}, "'x' holds numbers as texts"),
        (
            {"x": [*map(str, range(9)), "soon"]},
            "'x' holds numbers, except for texts such as 'soon'",
        ),
        ({"x": [*map(str, range(8)), "soon"]}, r"have its values hashed\.$"),
    ],
)
def test_tables_that_teach_nothing_are_refused(table: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TableEncoder.fit(pl.DataFrame(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit("many").alias("integer"), "column 'integer', row 100 .*'many' is not a number"),
        (pl.lit("perhaps").alias("truth"), "column 'truth', row 100 .*'perhaps'"),
        (pl.lit(2).alias("truth"), "column 'truth', row 100 .*'2'"),
        (pl.lit("now").alias("date"), "column 'date', row 100 .*'now' is not a date"),
        (pl.lit("25:00:00").alias("clock"), "column 'clock', row 100"),
        (pl.lit(5).alias("moment"), "column 'moment' holds values of type Int32"),
        (pl.lit("P1D").alias("span"), "column 'span', row 100 .*'P1D' is not a duration"),
        (pl.lit(float("inf")).alias("float"), "column 'float', row 100 .*'inf'"),
        (pl.lit("x" * 99 + "\n").alias("float"), r"'x{39}…' is not a number"),
    ],
)
def test_unreadable_values_are_named(encoder: TableEncoder, change: pl.Expr, message: str) -> None:
    with pytest.raises(InputError, match=message):
        encoder.transform(mixed_table().with_columns(change), first_row=100)


def test_missing_columns_are_named_with_a_likely_one(encoder: TableEncoder) -> None:
    with pytest.raises(InputError, match=r"missing columns 'float', 'five'.*'flaot' for 'float'"):
        encoder.transform(mixed_table().rename({"float": "flaot"}).drop("five"))
    with pytest.raises(InputError, match=r"missing column 'usr'.*'user'"):
        TableEncoder.fit(mixed_table(), hashed=["usr"])


def test_batches_of_different_types_are_refused() -> None:
    with pytest.raises(InputError, match="'x' turns from number to text at row 2"):
        TableEncoder.fit_batches([pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": ["a"]})])


def test_batches_of_different_zones_are_refused() -> None:
    times = pl.DataFrame({"x": [dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2)]})
    zoned = [times.select(pl.col("x").dt.replace_time_zone(zone)) for zone in ("UTC", BERLIN)]
    with pytest.raises(InputError, match=r"'x' turns from .* at row 2"):
        TableEncoder.fit_batches(zoned)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"features": None},
        {"features": []},
        {"features": [{"kind": "spell"}]},
        {"features": [{"kind": "number", "name": "x"}]},
        {"features": [3]},
    ],
)
def test_nonsense_is_no_encoder(state: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        TableEncoder.from_json(state)


@pytest.mark.parametrize(
    ("feature", "changes"),
    [
        (0, {"median": "high"}),
        (0, {"median": 1e9}),
        (0, {"scale": {"low": 2.0, "high": 1.0}}),
        (0, {"scale": {"low": 1.0, "high": 1.0}, "median": 1.0}),
        (0, {"scale": {"low": float("nan"), "high": 1.0}}),
        (0, {"name": "integer"}),
        (0, {"extra": 1}),
        (2, {"profile": {"rows": 1, "missing": 0, "quantiles": [], "counts": [1]}}),
        (3, {"categories": ["a", "a", "b"]}),
        (4, {"cycles": ["month"]}),
        (7, {"reading": {"like": "datetime", "zone": "Mars/Base"}}),
        (8, {"profile": {"rows": 1, "missing": 0, "quantiles": [], "counts": [1]}}),
        (9, {"value": "five"}),
        (9, {"value": float("inf")}),
    ],
)
def test_a_damaged_state_is_refused(
    encoder: TableEncoder, feature: int, changes: dict[str, Any]
) -> None:
    with pytest.raises(InputError):
        TableEncoder.from_json(changed_state(encoder, feature, **changes))


def test_what_float32_leaves_of_zero_is_zero() -> None:
    delays = pl.DataFrame({"delay": [-83.0, -7.0, 0.0, 11.0, 1272.0]})
    encoder = TableEncoder.fit(delays)
    shown = encoder.decode(encoder.transform(delays))["delay"]
    assert shown[2] == 0.0
    assert shown.to_list() == pytest.approx(delays["delay"].to_list(), rel=1e-5)
    tiny = pl.DataFrame({"share": [1e-9, 2e-9, 5e-9]})
    encoder = TableEncoder.fit(tiny)
    assert encoder.decode(encoder.transform(tiny))["share"][0] == pytest.approx(1e-9, rel=1e-4)


def test_moments_at_one_time_of_the_day_are_told_by_it() -> None:
    start = dt.datetime(2024, 3, 1)
    moments = [start + dt.timedelta(minutes=37 * row) for row in range(2000)]
    (column,) = TableEncoder.fit(pl.DataFrame({"at": moments})).features
    nights = [start + dt.timedelta(days=day, hours=23, minutes=17 * day) for day in range(11)]
    nights.append(start + dt.timedelta(days=3, hours=12))  # one of twelve elsewhere
    assert column.in_words(pl.Series(nights)) == "at 23:00 to 01:50"
    assert column.in_words(pl.Series(nights[:1])) == "at 23:00"
    assert column.in_words(pl.Series(moments)) == "at various times of day"
    # Many at one time, but not nine tenths of all.
    assert column.in_words(pl.Series([*moments, *nights[:1] * 400])) == "at various times of day"
    assert column.in_words(pl.Series([None], dtype=pl.Datetime)) == ""
    assert column.telling(pl.Series(nights))
    assert not column.telling(pl.Series(moments))
    assert not column.telling(pl.Series([None], dtype=pl.Datetime))


def test_groups_that_stand_as_often_in_training_tell_nothing_of_some_rows() -> None:
    kinds = ["a"] * 70 + ["b"] * 20 + ["c"] * 10
    frame = pl.DataFrame({"kind": kinds, "yes": [True] * 90 + [False] * 10})
    kind, yes = TableEncoder.fit(frame).features
    assert not kind.telling(pl.Series(["a"] * 8 + ["b", "c"]))
    assert kind.telling(pl.Series(["a"] * 4 + ["b"] * 6))
    assert kind.telling(pl.Series(["never"] * 5))
    assert not yes.telling(pl.Series([True] * 50))
    assert yes.telling(pl.Series([True, False]))
