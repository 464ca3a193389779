"""Times that Python or Polars cannot hold: one error that names column and row, no panic."""

from pathlib import Path

import pyarrow as pa
import pytest
from command_line import Run
from pyarrow import parquet

FAR = 17
"""The row of the odd value."""


def write(path: Path, table: pa.Table) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, table.schema) as file:
            file.write_table(table)
    return path


def edge_table(dtype: pa.DataType, odd: int) -> pa.Table:
    days = [3 * row for row in range(60)]
    whole = pa.int32() if dtype.bit_width == 32 else pa.int64()
    values = [day if dtype.bit_width == 32 else day * 3_600_000 for day in days]
    values[FAR] = odd
    numbers = pa.array([row % 7 + 0.1 * row for row in range(60)])
    return pa.table({"x": numbers, "t": pa.array(values, whole).cast(dtype)})


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("dtype", "odd"),
    [
        (pa.date32(), 3_000_000),
        (pa.date32(), -800_000),
        (pa.date32(), 2**31 - 1),
        (pa.timestamp("us"), 3 * 10**17),
        (pa.timestamp("us"), -(10**17)),
        (pa.timestamp("us"), 2**63 - 1),
        (pa.timestamp("ms"), 2**63 - 1),
        (pa.timestamp("us", "UTC"), 2**63 - 1),
        (pa.timestamp("ms", "Europe/Berlin"), -(10**14)),
        (pa.duration("ms"), 2**63 - 1),
    ],
    ids=str,
)
def test_a_time_out_of_range_is_one_error_with_its_place(
    run: Run, tmp_path: Path, dtype: pa.DataType, odd: int, ending: str
) -> None:
    data = write(tmp_path / f"t.{ending}", edge_table(dtype, odd))
    model = tmp_path / "m.advae"
    done = run("fit", data, "-o", model)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "column 't', row 17 " in done.err
    found = run("doctor", data)
    assert found.code == 0 or "column 't', row 17 " in found.err
    assert found.err.count("\n") == (found.code == 2)
    assert not model.exists()


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("command", ["doctor", "fit"])
def test_two_columns_of_one_name(run: Run, tmp_path: Path, ending: str, command: str) -> None:
    numbers = pa.array([0.1 * row for row in range(60)])
    data = write(tmp_path / f"t.{ending}", pa.Table.from_arrays([numbers] * 2, ["x", "x"]))
    done = run(command, data, *(["-o", tmp_path / "m.advae"] if command == "fit" else []))
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert f"{data}" in done.err
    assert "'x'" in done.err


@pytest.mark.parametrize("zone", ["Mars/Olympus", "+99:99"])
@pytest.mark.parametrize("command", ["doctor", "fit"])
def test_an_unknown_time_zone(run: Run, tmp_path: Path, zone: str, command: str) -> None:
    table = edge_table(pa.timestamp("us"), 0)
    column = pa.array(table["t"].cast(pa.int64()).to_pylist(), pa.int64())
    data = write(
        tmp_path / "t.arrow", table.set_column(1, "t", column.cast(pa.timestamp("us", zone)))
    )
    done = run(command, data, *(["-o", tmp_path / "m.advae"] if command == "fit" else []))
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert f"column 't' has the time zone '{zone}', which is unknown here" in done.err
