"""Types of columns in Parquet and Arrow files: what is read, and what is refused by its name."""

import random
import re
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_files import good_table

from advae.errors import InputError
from advae.files.source import open_source
from advae.tables.encoder import TableEncoder

ROWS = 6
NUMBERS = list(range(ROWS))
WHOLE = pa.array(NUMBERS)
ENDS = pa.array([2, ROWS], pa.int32())
KINDS = pa.array([0, 1] * (ROWS // 2), pa.int8())


def decimals(dtype: pa.DataType) -> pa.Array:
    return pa.array([Decimal(number) for number in NUMBERS], dtype)


UNREADABLE = {
    "decimal of 256 bits and 50 digits": decimals(pa.decimal256(50, 2)),
    "decimal of 256 bits and 20 digits": decimals(pa.decimal256(20, 2)),
    "interval": pa.array([(1, 2, number) for number in NUMBERS], pa.month_day_nano_interval()),
    "union": pa.UnionArray.from_sparse(KINDS, [WHOLE, WHOLE]),
    "run-end encoded": pa.RunEndEncodedArray.from_arrays(ENDS, pa.array([1.5, 2.5])),
    "list view": pa.array([[number] for number in NUMBERS], pa.list_view(pa.int64())),
    "nested list view": pa.array(
        [{"a": [number]} for number in NUMBERS], pa.struct([("a", pa.list_view(pa.int64()))])
    ),
}
NOT_IN_PARQUET = ("interval", "union", "run-end encoded")
READABLE = {
    "number": [
        decimals(pa.decimal32(5, 1)),
        decimals(pa.decimal128(20, 2)),
        pa.array(NUMBERS, pa.float16()),
        WHOLE.dictionary_encode(),
    ],
    "time": [
        pa.array(NUMBERS, pa.time64("ns")),
        pa.array(NUMBERS, pa.duration("s")),
        pa.array(NUMBERS, pa.timestamp("ms", "+02:00")),
        pa.array([86_400_000 * number for number in NUMBERS], pa.date64()),
    ],
    "category": [
        pa.array(["a", "b"] * (ROWS // 2), pa.string_view()),
        pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
    ],
}
UNLEARNABLE = [
    pa.array([b"ab"] * ROWS, pa.binary(2)),
    pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64())),
    pa.array([[1, 2]] * ROWS, pa.list_(pa.int64(), 2)),
    pa.array([bytes(16)] * ROWS, pa.uuid()),
]


def written(folder: Path, extension: str, values: pa.Array) -> Path:
    table = pa.table({"n": pa.array(NUMBERS, pa.float64()), "odd ü": values})
    path = folder / f"a.{extension}"
    if extension == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize(
    ("extension", "name"),
    [("arrow", name) for name in UNREADABLE]
    + [("parquet", name) for name in UNREADABLE if name not in NOT_IN_PARQUET],
)
def test_types_that_polars_lacks_are_named(tmp_path: Path, extension: str, name: str) -> None:
    path = written(tmp_path, extension, UNREADABLE[name])
    if extension == "parquet" and "20 digits" in name:
        assert open_source(path).read()["odd ü"].to_list() == [Decimal(n) for n in NUMBERS]
        return
    message = "column 'odd ü' is of type .*, which cannot be read. .* cast it to numbers"
    with pytest.raises(InputError, match=message):
        open_source(path).read()


@pytest.mark.parametrize("extension", ["parquet", "arrow"])
@pytest.mark.parametrize("kind", READABLE)
def test_types_that_are_learned(tmp_path: Path, extension: str, kind: str) -> None:
    for values in READABLE[kind]:
        table = open_source(written(tmp_path, extension, values)).read()
        assert TableEncoder.fit(table).features[1].kind == kind


@pytest.mark.parametrize("extension", ["parquet", "arrow"])
@pytest.mark.parametrize("values", UNLEARNABLE, ids=lambda values: str(values.type)[:9])
def test_types_that_are_read_and_not_learned(
    tmp_path: Path, extension: str, values: pa.Array
) -> None:
    source = open_source(written(tmp_path, extension, values))
    message = r"column 'odd ü' holds values of type .*Convert the column, or ignore it"
    with pytest.raises(InputError, match=message), source.located():
        TableEncoder.fit_batches(source.batches())


@pytest.mark.parametrize("extension", ["parquet", "arrow"])
def test_what_is_damaged_is_called_so_and_loses_no_row(tmp_path: Path, extension: str) -> None:
    sound, path = tmp_path / f"a.{extension}", tmp_path / f"b.{extension}"
    table = good_table()
    table.write_parquet(sound) if extension == "parquet" else table.write_ipc(sound)
    content, generator = sound.read_bytes(), random.Random(0)
    for _ in range(100):
        spoilt = bytearray(content)
        for _ in range(generator.choice([1, 3, 20])):
            spoilt[generator.randrange(len(spoilt))] = generator.randrange(256)
        path.write_bytes(
            spoilt[: generator.choice([len(spoilt), generator.randrange(len(spoilt))])]
        )
        try:
            assert open_source(path).read().height == table.height
        except InputError as error:
            assert re.search(r"damaged, or no|the file is empty|has no UTF", str(error))  # noqa: PT017
