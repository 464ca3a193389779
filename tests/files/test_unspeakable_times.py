"""Times that no text can spell: refused with their place, or kept in Parquet."""

from pathlib import Path

import polars as pl
import pytest

from advae.errors import InputError
from advae.files.sink import write_frames
from advae.tables.values import ValueKind

FAR = 2**62


@pytest.mark.parametrize("dtype", [pl.Datetime("ms", "UTC"), pl.Datetime("us"), pl.Date()])
@pytest.mark.parametrize("ending", ["csv", "ndjson"])
@pytest.mark.parametrize("batch", [0, 1])
def test_texts_name_the_row(dtype: pl.DataType, ending: str, batch: int, tmp_path: Path) -> None:
    far = 2**31 - 1 if dtype == pl.Date() else FAR
    frames = [pl.DataFrame({"when": [0, 0]}).cast({"when": dtype}) for _ in range(2)]
    late = pl.Series([0, far], dtype=pl.Int64).cast(frames[0]["when"].to_physical().dtype)
    frames[batch] = pl.DataFrame({"when": late.cast(dtype)})
    with pytest.raises(InputError, match=rf"column 'when'.*row {2 * batch + 1}"):
        write_frames(frames, tmp_path / f"t.{ending}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", [pl.Datetime("ms", "UTC"), pl.Datetime("us")])
def test_a_column_of_texts_names_the_row(dtype: pl.DataType) -> None:
    values = pl.Series("kind", [0, FAR]).cast(dtype)
    with pytest.raises(InputError, match="column 'kind', row 11"):
        ValueKind("text").texts(values, 10)


def test_parquet_holds_them(tmp_path: Path) -> None:
    far = pl.DataFrame({"when": pl.Series([FAR]).cast(pl.Datetime("ms", "UTC"))})
    assert write_frames([far], tmp_path / "t.parquet") == 1
    assert pl.read_parquet(tmp_path / "t.parquet").equals(far)
