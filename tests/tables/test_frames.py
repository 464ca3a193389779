"""What users hold as a table, as a Polars frame."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal, assert_series_equal

from advae.errors import InputError
from advae.tables import frames
from advae.tables.frames import as_frame, without_columns


def rows(data):
    return as_frame(data).rows()


# --- Polars, Arrow, mappings ---


def test_a_polars_frame_is_returned_as_it_is():
    frame = pl.DataFrame({"a": [1, 2]})
    assert as_frame(frame) is frame


def test_a_lazy_frame_is_collected():
    lazy = pl.LazyFrame({"a": [1, 2, 3]}).filter(pl.col("a") > 1).with_columns(b=pl.lit("x"))
    assert_frame_equal(as_frame(lazy), pl.DataFrame({"a": [2, 3], "b": ["x", "x"]}))


@pytest.mark.parametrize(
    "wrap", [lambda t: t, lambda t: t.to_batches()[0], lambda t: t.to_reader()]
)
def test_arrow_tables_batches_and_readers(wrap):
    table = pa.table({"n": [1, None], "text": ["x", "y"]})
    expected = pl.DataFrame({"n": [1, None], "text": ["x", "y"]})
    assert_frame_equal(as_frame(wrap(table)), expected)


def test_arrow_dictionaries_are_texts():
    table = pa.table({"c": pa.array(["x", "y", "x"]).dictionary_encode()})
    assert as_frame(table)["c"].cast(pl.String).to_list() == ["x", "y", "x"]


def test_anything_with_the_arrow_capsule():
    class Wrapped:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table({"a": [1, 2]}).__arrow_c_stream__(requested_schema)

    assert rows(Wrapped()) == [(1,), (2,)]


def test_a_mapping_of_columns():
    assert rows({"a": [1, 2], "b": ["x", None]}) == [(1, "x"), (2, None)]
    assert rows({"a": np.array([1.5, 2.5])}) == [(1.5,), (2.5,)]


# --- NumPy ---


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i4", "u1", "?", ">f8", "<U3"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_arrays(dtype, order):
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype, order=order)
    frame = as_frame(array)
    assert frame.columns == ["column_0", "column_1", "column_2"]
    assert frame.rows() == [tuple(row) for row in array.tolist()]


def test_numpy_views_and_gaps():
    array = np.arange(24.0).reshape(4, 6)[::2, 1::2]
    assert rows(array) == [(1.0, 3.0, 5.0), (13.0, 15.0, 17.0)]
    assert np.isnan(as_frame(np.array([[np.nan, 1.0]]))["column_0"][0])
    before = np.array([[1.0, 2.0]])
    as_frame(before)
    assert before.tolist() == [[1.0, 2.0]]


def test_numpy_arrays_without_rows_keep_their_columns():
    frame = as_frame(np.empty((0, 2)))
    assert frame.shape == (0, 2)


def test_numpy_dates():
    array = np.array([["2020-01-31"], ["2021-02-28"]], "datetime64[us]")
    assert rows(array) == [(dt.datetime(2020, 1, 31),), (dt.datetime(2021, 2, 28),)]


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2)])
def test_numpy_arrays_of_other_dimensions(shape):
    with pytest.raises(InputError, match=r"shape \(.*\); expected two dimensions.*reshape"):
        as_frame(np.ones(shape))


# --- pandas ---


def test_pandas_numbers():
    frame = as_frame(
        pd.DataFrame(
            {
                "int": np.array([1, -2], "i8"),
                "small": np.array([1, 2], "u1"),
                "float": [1.5, np.nan],
                "single": np.array([0.5, 2], "f4"),
                "bool": [True, False],
            },
            index=[7, 7],
        )
    )
    assert frame.dtypes == [pl.Int64, pl.UInt8, pl.Float64, pl.Float32, pl.Boolean]
    assert frame["int"].to_list() == [1, -2]
    assert frame["float"][0] == 1.5
    assert np.isnan(frame["float"][1])
    assert frame["bool"].to_list() == [True, False]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["x", None, "z"]),
        pd.Series(["x", np.nan, "z"], dtype=object),
        pd.Series(["x", pd.NA, "z"], dtype="string"),
        pd.Categorical(["x", None, "z"]),
        pd.Series(["x", None, "z"], dtype=pd.ArrowDtype(pa.string())),
    ],
    ids=["default", "object", "string", "categorical", "arrow"],
)
def test_pandas_texts(column):
    frame = as_frame(pd.DataFrame({"c": column}))
    assert frame.schema == {"c": pl.String}
    assert frame["c"].to_list() == ["x", None, "z"]


@pytest.mark.parametrize(
    ("dtype", "values", "polars_type"),
    [
        ("Int64", [1, None], pl.Int64),
        ("Float64", [1.5, None], pl.Float64),
        ("boolean", [True, None], pl.Boolean),
        ("object", [True, None], pl.Boolean),
        ("object", [3, None], pl.Int64),
        ("object", [dt.date(2020, 1, 1), None], pl.Date),
        ("object", [dt.time(1, 2), None], pl.Time),
        ("object", [None, None], pl.Null),
    ],
)
def test_pandas_columns_with_missing_values(dtype, values, polars_type):
    frame = as_frame(pd.DataFrame({"c": pd.Series(values, dtype=dtype)}))
    assert frame.schema == {"c": polars_type}
    assert frame["c"].to_list() == values


@pytest.mark.parametrize("numbers", [[3, 1, 3], [3.0, 1.0, None]])
def test_pandas_categories_of_numbers_are_categories(numbers):
    texts = [None if number is None else f"{number:g}" for number in numbers]
    assert as_frame(pd.DataFrame({"c": pd.Categorical(numbers)}))["c"].to_list() == texts


def test_pandas_categories_of_days_are_days():
    days = pd.Categorical(pd.to_datetime(["2024-01-31", "2024-02-01"]))
    assert as_frame(pd.DataFrame({"c": days})).schema == {"c": pl.Datetime("us")}


def test_pandas_decimals():
    frame = as_frame(pd.DataFrame({"c": [Decimal("1.5"), None]}))
    assert frame["c"].to_list() == [Decimal("1.5"), None]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_pandas_times(unit):
    times = pd.Series(["2020-01-31 01:02:03", None]).astype(f"datetime64[{unit}]")
    frame = as_frame(pd.DataFrame({"at": times, "since": times - times[0]}))
    assert frame.schema == {"at": pl.Datetime(unit), "since": pl.Duration(unit)}
    assert frame.row(0) == (dt.datetime(2020, 1, 31, 1, 2, 3), dt.timedelta(0))
    assert frame.row(1) == (None, None)


def test_pandas_times_with_a_zone_keep_the_instant():
    times = pd.to_datetime(["2020-07-01 12:00", None]).tz_localize("Europe/Paris")
    found = as_frame(pd.DataFrame({"at": times}))["at"]
    assert found[0] == dt.datetime(2020, 7, 1, 10, tzinfo=dt.UTC)
    assert found[1] is None


@pytest.mark.parametrize("zone", ["+02:00", "dateutil/Europe/Berlin", dt.timezone(dt.timedelta(0))])
def test_pandas_zones_without_a_name_keep_the_instant(zone):
    times = pd.to_datetime(["2020-07-01 12:00", None]).tz_localize("UTC").tz_convert(zone)
    found = as_frame(pd.DataFrame({"at": times}))["at"]
    assert found.to_list() == [dt.datetime(2020, 7, 1, 12, tzinfo=dt.UTC), None]


@pytest.mark.parametrize(
    "column",
    [
        *(pd.Series([1, None, 0], dtype=dtype) for dtype in ("Int64", "UInt8", "int64[pyarrow]")),
        *(pd.Series([0.1, None], dtype=dtype) for dtype in ("Float64", "double[pyarrow]")),
        *(pd.Series([True, None, False], dtype=dtype) for dtype in ("boolean", "bool[pyarrow]")),
        # Around the hours that clocks repeat and leave out.
        *(
            pd.Series(pd.date_range(day, periods=9, freq="h", tz=zone, unit=unit)).shift(1)
            for day in ("2023-10-28 23:00", "2024-03-30 23:00")
            for zone in ("Europe/Berlin", "UTC")
            for unit in ("s", "us", "ns")
        ),
    ],
    ids=lambda column: str(column.dtype),
)
def test_pandas_own_types_are_not_read_value_by_value(monkeypatch, column):
    expected = frames._from_objects("c", column.tolist())
    monkeypatch.setattr(frames, "_from_objects", None)  # slow
    found = as_frame(pd.DataFrame({"c": column}))["c"]
    assert found.null_count() == 1
    assert_series_equal(found, expected, check_dtypes=False)


def test_pandas_column_names_become_texts():
    assert as_frame(pd.DataFrame([[1, 2]], columns=[0, "b"])).columns == ["0", "b"]


@pytest.mark.parametrize(("columns", "twice"), [(["a", "b", "a"], "a"), ([1, "x", "1"], "1")])
def test_pandas_columns_of_one_name(columns, twice):
    frame = pd.DataFrame([[1, 2, 3]], columns=columns)
    with pytest.raises(InputError, match=f"column '{twice}' occurs more than once. Rename"):
        as_frame(frame)


def test_pandas_without_rows_or_columns():
    assert as_frame(pd.DataFrame({"a": np.empty(0), "b": np.empty(0, int)})).shape == (0, 2)
    assert as_frame(pd.DataFrame()).shape == (0, 0)


def test_pandas_columns_of_mixed_types():
    frame = pd.DataFrame({"fine": [1, 2], "mixed": [1, "x"]})
    with pytest.raises(InputError, match=r"column 'mixed' mixes int, str\. .*astype\(str\)"):
        as_frame(frame)


@pytest.mark.parametrize("data", [pd.Series([1, 2]), pd.Index([1, 2])])
def test_pandas_things_that_are_no_frame(data):
    with pytest.raises(InputError, match=f"of type {type(data).__name__}: its to_frame"):
        as_frame(data)


def test_a_row_of_pandas_is_read_as_its_error_says():
    table = pd.DataFrame({"n": [1.5, 2.5], "t": ["a", "b"]})
    with pytest.raises(InputError, match=r"to_frame\(\)\.T one of one row"):
        as_frame(table.iloc[1])
    assert as_frame(table.iloc[1].to_frame().T).rows() == [(2.5, "b")]
    assert as_frame(table["n"].to_frame()).rows() == [(1.5,), (2.5,)]


class Survey(pd.DataFrame):
    """A frame such as GeoPandas' one."""


def test_subclasses_of_pandas_frames_are_pandas_frames():
    frame = pd.DataFrame({0: [1, None], "c": pd.Categorical([3, 1])})
    assert_frame_equal(as_frame(Survey(frame)), as_frame(frame))
    with pytest.raises(InputError, match=r"column 'mixed' mixes int, str\. Convert"):
        as_frame(Survey({"mixed": [1, "x"]}))


def test_a_mapping_of_pandas_columns_is_read_as_their_frame():
    at = pd.date_range("2024-01-01", periods=2, tz="Europe/Berlin")
    columns = {
        "number": pd.Series([1, None], dtype="Int64"),
        "text": pd.Series(["x", np.nan], dtype=object),
        "kind": pd.Categorical(["x", "y"]),
        "at": at,
        "whole": pd.array([1, None], dtype="Int8"),
        "price": pd.Series([Decimal("1.5"), None]),
    }
    assert_frame_equal(as_frame(columns), as_frame(pd.DataFrame(columns)))
    for values, said in (
        ([1, "x"], "mixes int, str"),
        (at.to_period("D"), "values of type Period"),
    ):
        with pytest.raises(InputError, match=f"column 'odd' .*{said}"):
            as_frame({"odd": pd.Series(values)})


def test_a_pandas_frame_does_not_change():
    frame = pd.DataFrame({"a": [1, 2], "c": ["x", None]})
    before = frame.copy(deep=True)
    as_frame(frame)
    pd.testing.assert_frame_equal(frame, before)


# --- neither ---


def test_no_rows_are_no_table():
    with pytest.raises(InputError, match=r"the list of rows is empty\. Give at least one"):
        as_frame([])


@pytest.mark.parametrize(
    "data", [None, 3, "normal.csv", [[1, 2]], object(), pa.array([1, 2]), iter([1])]
)
def test_what_is_no_table_is_named(data):
    name = type(data).__name__
    with pytest.raises(InputError, match=f"cannot read a table from {name}. Give a Polars"):
        as_frame(data)


@pytest.mark.parametrize(
    "data",
    [
        {"a": [1, 2], "b": ["x"]},
        {"a": [1, "x"]},
        {1: [1]},
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]),
        pa.chunked_array([[1, 2]]),
    ],
    ids=["uneven", "mixed", "number as name", "name twice", "one column"],
)
def test_tables_that_cannot_be_read(data):
    with pytest.raises(InputError, match="cannot read the table: "):
        as_frame(data)


# --- reported ---


def test_masked_values_are_missing():
    array = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[True, False], [False, False]])
    first = as_frame(array)["column_0"][0]
    assert first is None or np.isnan(first)


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"at": pd.Series(np.array(["2020-01-31"], "datetime64[s]"))}),
        np.array([["2020-01-31"]], "datetime64[s]"),
    ],
    ids=["pandas", "numpy"],
)
def test_times_in_whole_seconds(data):
    assert rows(data) == [(dt.datetime(2020, 1, 31),)]


def test_numpy_objects_have_the_types_of_their_values():
    array = np.array([[1, 2.5, "a"], [2, None, None]], object)
    frame = as_frame(array)
    assert frame.dtypes == [pl.Int64, pl.Float64, pl.String]
    assert frame.rows() == [(1, 2.5, "a"), (2, None, None)]


def test_pandas_objects_that_are_all_numbers_are_numbers():
    frame = pd.DataFrame({"c": pd.Series([1, 2.5, None], dtype=object)})
    assert rows(frame) == [(1.0,), (2.5,), (None,)]


def test_mixed_types_are_named_in_one_sentence():
    with pytest.raises(InputError) as caught:
        as_frame(pd.DataFrame({"mixed": [1, "x"]}))
    assert "\n" not in str(caught.value)
    assert "strict=False" not in str(caught.value)


@pytest.mark.parametrize(
    "values", [pd.period_range("2024", periods=2, freq="M"), pd.interval_range(0, 2), [{1}, None]]
)
def test_a_type_that_cannot_be_read_is_not_called_a_mixture(values):
    with pytest.raises(InputError, match=r"column 'c' holds values of type (Per|Int|s).* Convert"):
        as_frame(pd.DataFrame({"c": values}))


def test_single_times_of_numpy():
    days = np.array(["2024-01-01", "2024-01-03", "NaT"], "M8[ns]")
    for times in (days, days - days[0]):
        wanted = as_frame({"t": times})
        assert wanted["t"].null_count() == 1
        assert_frame_equal(as_frame({"t": list(times)}), wanted)
        assert_frame_equal(as_frame({"t": [*times[:2], None]}), wanted)
        assert_frame_equal(
            as_frame(pd.DataFrame({"t": pd.Series(list(times), dtype=object)})), wanted
        )


def test_complex_numbers_are_refused():
    with pytest.raises(InputError):
        as_frame(np.ones((2, 2), complex))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["x", np.nan], ["x", None]),
        ([True, float("nan")], [True, None]),
        ([3, pd.NA], [3, None]),
        ([pd.Timestamp("2020-01-31"), pd.NaT], [dt.datetime(2020, 1, 31), None]),
        ([Decimal("1.5"), Decimal("NaN")], [Decimal("1.5"), None]),
    ],
    ids=["text", "truth", "NA", "NaT", "decimal"],
)
def test_numpy_objects_can_be_missing(values, wanted):
    assert as_frame(np.array([values], object).T)["column_0"].to_list() == wanted
    assert as_frame({"column_0": values})["column_0"].to_list() == wanted


@pytest.mark.parametrize(
    "values",
    [
        [Decimal("1.5"), Decimal("1e300")],
        [Decimal("1.5"), Decimal("1e-300")],
        [Decimal("1.5"), 2],
        [Decimal("1.5"), 2.5],
        [1, 2.5],
        [2**200, 1],
        [np.float32(1.5), np.int64(2)],
        [np.uint64(2**63), np.int8(1)],
        [np.longdouble("1.5"), np.longdouble("2.5")],
    ],
    ids=lambda values: " and ".join(repr(value) for value in values),
)
def test_objects_that_polars_cannot_hold_together_are_floats(values):
    wanted = [float(value) for value in values]
    assert as_frame(np.array([values], object).T)["column_0"].to_list() == wanted
    assert as_frame({"a": values})["a"].to_list() == wanted
    assert as_frame(pd.DataFrame({"a": pd.Series(values, dtype=object)}))["a"].to_list() == wanted


def test_numbers_beyond_the_largest_float():
    with pytest.raises(InputError, match="'column_0' holds a whole number beyond"):
        as_frame(np.array([[10**400], [1]], object))
    assert as_frame(np.array([[Decimal("1e400")]], object)).item() == np.inf  # refused when read


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (np.array([1.5, 2.5], np.longdouble), [1.5, 2.5]),
        (np.array([1, "NaT"], "timedelta64[D]"), [dt.timedelta(1), None]),
        (
            np.array([1, 2], "datetime64[10ms]"),
            [dt.datetime(1970, 1, 1, 0, 0, 0, 10_000 * n) for n in (1, 2)],
        ),
        (np.array(["x", None], np.dtypes.StringDType(na_object=None)), ["x", None]),
        (np.array(["x", np.nan], np.dtypes.StringDType(na_object=np.nan)), ["x", None]),
    ],
    ids=["longdouble", "days", "tens of milliseconds", "text or None", "text or NaN"],
)
def test_numpy_types_that_polars_lacks(values, wanted):
    for data in (values[:, None], {"column_0": values}):
        assert as_frame(data)["column_0"].to_list() == wanted


def test_columns_are_left_out_by_name_whatever_it_is():
    frame = pl.DataFrame({"*": [1], "^x.*$": [2], "x": [3]})
    assert without_columns(frame, ["*"]).columns == ["^x.*$", "x"]
    assert without_columns(frame, ["^x.*$"]).columns == ["*", "x"]
    with pytest.raises(InputError, match=r"missing column 'y'; the table has '\*'"):
        without_columns(frame, ["y"])


def test_a_column_of_pandas_can_be_without_a_name():
    assert as_frame(pd.DataFrame([[1, 2]], columns=["", "b"])).columns == ["", "b"]
