"""Files that say much in few bytes: memory stays that of a batch, and what is too long is named."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from backports import zstd

from advae.detector.fitting import fit_detector
from advae.detector.rows import read_table
from advae.doctor.examination import MOST_COLUMNS, examine
from advae.errors import InputError
from advae.files.source import open_source
from advae.files.streams import LONGEST_ROW
from advae.tables.values import LONGEST_TEXT

ENDLESS = b"7" * (20 << 20)


@pytest.mark.parametrize(
    ("name", "beginning", "line"),
    [
        ("header.csv", b"", 1),
        ("first.csv", b"a,b\n", 2),
        ("row.csv", b"a,b\n1,2\n", 3),
        ("later.csv", b"a,b\n" + b"1,2\n" * 300_000, 300_002),
        ("quote.csv", b'a,b\n1,2\n3,"' + b"x\n" * 10_000_000, 3),
        ("row.ndjson", b'{"a": 1}\n{"a": "', 2),
        ("first.ndjson", b'{"a": "', 1),
    ],
)
@pytest.mark.parametrize("packed", [gzip.compress, zstd.compress], ids=["gz", "zst"])
def test_a_row_without_end_is_named(
    name: str, beginning: bytes, line: int, packed: type, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}.{'gz' if packed is gzip.compress else 'zst'}"
    path.write_bytes(packed(beginning + ENDLESS, 1))
    with pytest.raises(InputError, match=rf"begins in line {line} takes more than 16 MiB"):
        read_table(path)


def test_rows_up_to_the_longest_are_read(tmp_path: Path) -> None:
    text = "x" * (LONGEST_ROW - 100)
    for path in (tmp_path / "t.csv", tmp_path / "t.ndjson"):
        pl.DataFrame({"a": [1, 2], "b": [text, "short"]}).write_csv(path)
        if path.suffix == ".ndjson":
            path.write_text(f'{{"a": 1, "b": "{text}"}}\n{{"a": 2, "b": "short"}}\n')
        assert read_table(path)["b"].str.len_bytes().to_list() == [len(text), 5]


def test_a_header_longer_than_what_is_looked_at_first_is_read(tmp_path: Path) -> None:
    names = [f"{'long' * 30}{place}" for place in range(10_000)]
    (tmp_path / "t.csv").write_text(f"{','.join(names)}\n" + f"{','.join('1' * 10_000)}\n" * 3)
    assert open_source(tmp_path / "t.csv", only=names[:2]).columns == tuple(names)


def test_names_that_are_values_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advae.files.ndjson.MOST_NAMES", 500)
    path = tmp_path / "t.ndjson"
    path.write_text("".join(f'{{"user {row}": 1}}\n' for row in range(600)))
    with pytest.raises(InputError, match=r"line 501 .*500 different names"):
        read_table(path)


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical])
def test_a_text_too_long_to_learn_is_named(kind: pl.DataType) -> None:
    texts = ["a", "b", "c", "d" * (LONGEST_TEXT + 1)] * 10
    table = pl.DataFrame({"n": range(40), "t": pl.Series(texts, dtype=kind)})
    for learn in (examine, fit_detector):
        with pytest.raises(InputError, match=r"column 't', row 3 .* 4,097 bytes"):
            learn(table)
    examine(table, ignored=["t"])
    with pytest.raises(InputError, match="pattern"):
        examine(table.rename({"t": "^t$"}).head(3))


def test_of_a_wide_table_doctor_says_what_it_examined() -> None:
    rng = np.random.default_rng(0)
    wide = pl.DataFrame({f"c{place}": rng.normal(size=40) for place in range(MOST_COLUMNS + 500)})
    said = [each.message for each in examine(wide).findings if each.check == "sampled"]
    assert said == ["1,000 of 1,500 columns were examined, evenly spread"]
    assert not [each for each in examine(wide[:, :50]).findings if each.check == "sampled"]


def test_a_value_repeated_without_end_takes_the_memory_of_a_batch(tmp_path: Path) -> None:
    rows, path = 30_000_000, tmp_path / "t.parquet"
    pl.select(a=pl.repeat(0, rows), b=pl.repeat(0.5, rows)).write_parquet(
        path, row_group_size=rows, compression="zstd"
    )
    code = (
        "import resource, sys; from advae.files.source import open_source; "
        "first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "rows = sum(batch.height for batch in open_source(sys.argv[1]).batches()); "
        "print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    read, kilobytes = map(int, done.stdout.split())
    assert read == rows
    assert path.stat().st_size < 100_000
    assert kilobytes < 400_000  # all of it would take 480 MB, and half as much again to decode


def test_an_arrow_file_of_one_repeated_value_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    pl.DataFrame({"a": pl.zeros(70_000_000, pl.UInt8, eager=True)}).write_ipc(
        path, compression="zstd"
    )
    with pytest.raises(InputError, match=r"70,000,000 rows in .* bytes.*Write it as Parquet"):
        open_source(path)
    pl.DataFrame({"a": pl.zeros(70_000, pl.UInt8, eager=True)}).write_ipc(path, compression="zstd")
    assert sum(batch.height for batch in open_source(path).batches()) == 70_000
