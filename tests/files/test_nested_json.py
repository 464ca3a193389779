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


def test_objects_and_lists_are_kept_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    first = '{"n": 9007199254740993, "tags": ["x", null, "\u00e9"], "e": {}}'
    last = '{"n": 0.10, "late": {"big": 1e400, "yes": true, "none": [], "minus": -0}}'
    lines = [f'{{"a": 1, "b": {first}}}\n'] * 9000 + ['{"a": 1}\n', f'{{"a": 2, "b": {last}}}\n']
    path.write_text("".join(lines), encoding="utf-8")
    read = open_source(path).read()["b"]
    assert read[0] == {"JSON": first}
    assert read[9000] is None
    assert read[9001] == {"JSON": last}


def test_files_of_other_objects_have_one_type(tmp_path: Path) -> None:
    values = ['{"n": 1, "e": {}}', '{"n": [1.5]}', '["x"]', '{"JSON": "x"}']
    paths = [tmp_path / f"{number}.ndjson" for number in range(len(values))]
    for path, value in zip(paths, values, strict=True):
        path.write_text(f'{{"b": {value}}}\n')
    read = open_source(paths).read()["b"]
    assert read.struct["JSON"].to_list() == values


@pytest.mark.parametrize("deep", [65, 400])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x": ', "}")])
def test_values_that_are_nested_too_deep_are_named(
    deep: int, opening: str, closing: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.ndjson"
    path.write_text(f'{{"b": [1]}}\n{{"b": {opening * deep}1{closing * deep}}}\n')
    with pytest.raises(InputError, match="line 2, column 'b': more than 64 lists or objects"):
        open_source(path).read()
