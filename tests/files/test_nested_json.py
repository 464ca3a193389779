"""Lists and objects in JSON lines, in a column that training knew as one of single values."""

from pathlib import Path

import polars as pl
import pytest

from advae.errors import InputError
from advae.files.source import open_source

LINES = '{"a": 1, "b": null}\n{"a": 2, "b": [1]}\n'


@pytest.mark.parametrize("wanted", [pl.String(), pl.Float64()])
def test_a_list_among_texts_is_named(wanted: pl.DataType, tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    path.write_text(LINES)
    source = open_source(path, dtypes={"b": wanted})
    with pytest.raises(InputError, match=r"line 2, column 'b': .* is not a single value"):
        source.read()


def test_a_batch_without_lists_before_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    path.write_text('{"a": 1, "b": null}\n' * 9000 + '{"a": 2, "b": {"c": 1}}\n')
    with pytest.raises(InputError, match="line 9001, column 'b'"):
        open_source(path, dtypes={"b": pl.String()}).read()
