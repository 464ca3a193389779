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


@pytest.mark.parametrize(
    "values",
    [['{"c": "x"}', '{"c": {"d": null}}'], ["[1]", '["x", {"d": 2}]'], ['{"c": 1}', "[2]"]],
)
@pytest.mark.parametrize("between", [0, 9000])
def test_objects_of_several_kinds_are_in_nobodys_way(
    values: list[str], between: int, tmp_path: Path
) -> None:
    path = tmp_path / "t.ndjson"
    lines = [f'{{"a": {number}, "b": {value}}}\n' for number, value in enumerate(values)]
    path.write_text(lines[0] + '{"a": 7, "b": null}\n' * between + lines[1])
    source = open_source(path)
    assert source.schema["b"].is_nested()
    read = source.read()
    assert read["a"].to_list() == [0, *[7] * between, 1]
    assert read["b"].null_count() == between


def test_fields_of_objects_come_whole_wherever_they_first_stand(tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    first = '{"a": 1, "b": {"n": 1, "tags": ["x", null]}}\n'
    last = '{"a": 2, "b": {"n": 2.5, "late": {"flag": true}, "tags": []}}\n'
    path.write_text(first * 9000 + '{"a": 1}\n' + last)
    read = open_source(path).read()["b"]
    assert read[0] == {"n": 1.0, "tags": ["x", None], "late": None}
    assert read[9000] is None
    assert read[9001] == {"n": 2.5, "tags": [], "late": {"flag": True}}


def test_what_has_no_type_is_kept_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    path.write_text('{"b": {"n": 9007199254740993}}\n{"b": {"n": 0.5}}\n{"b": {}}\n')
    texts = open_source(path).read()["b"].struct["JSON"].to_list()
    assert texts == ['{"n": 9007199254740993}', '{"n": 0.5}', "{}"]
