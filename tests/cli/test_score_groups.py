"""``advae score --groups``: the column, and the stories in the terminal."""

import json
from pathlib import Path

import polars as pl
import pytest
from command_line import Run
from report_data import labelled_table, mixed_detector

import advae


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("groups")
    advae.save(mixed_detector(), folder / "m.advae")
    labelled_table().write_parquet(folder / "new.parquet")
    return folder / "m.advae", folder / "new.parquet"


def test_every_flagged_row_has_a_group_and_no_other(run: Run, files: tuple[Path, Path]) -> None:
    model, data = files
    done = run("score", model, data, "--keep", "key", "--groups", "--fdr", 0.2, "--explain", 1)
    assert done.code == 0, done.err
    scored = pl.read_csv(done.out.encode())
    assert scored.columns[:7] == [
        *("row", "key", "anomaly_score", "is_anomaly", "p_value", "is_discovery", "group"),
    ]
    assert scored["group"].is_not_null().to_list() == scored["is_anomaly"].to_list()
    found = mixed_detector().groups(labelled_table())
    assert scored["group"].drop_nulls().to_list() == found.numbers.tolist()
    plain = run("score", model, data, "--keep", "key", "--quiet")
    assert pl.read_csv(plain.out.encode())["anomaly_score"].equals(scored["anomaly_score"])


def test_the_terminal_tells_the_stories(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = files
    done = run("score", model, data, "--groups", "-o", tmp_path / "out.parquet")
    assert done.code == 0, done.err
    assert "what drives the alarms" in done.err
    assert "“always” differs (“y”)" in " ".join(done.err.split())
    groups = pl.read_parquet(tmp_path / "out.parquet")["group"]
    assert groups.drop_nulls().is_in(range(10)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_kept_column_cannot_be_called_group(
    run: Run, files: tuple[Path, Path], tmp_path: Path
) -> None:
    model, _ = files
    labelled_table().rename({"key": "group"}).write_parquet(tmp_path / "new.parquet")
    done = run("score", model, tmp_path / "new.parquet", "--keep", "group", "--groups")
    assert (done.code, done.out) == (2, "")
    assert "column 'group' cannot be kept" in done.err


def test_rows_of_several_files_have_their_own_groups(
    run: Run, files: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = files
    table, out = pl.read_parquet(data), tmp_path / "out.parquet"
    middle = table.height // 2
    for name, part in (("a", table[:middle]), ("b", table[middle:])):
        (tmp_path / "in").mkdir(exist_ok=True)
        part.write_parquet(tmp_path / "in" / f"{name}.parquet")
    several = tmp_path / "in" / "*.parquet"
    words = ("score", model, several, "--keep", "key", "--groups", "-o", out)
    done = run(*words, "--summary", "json")
    assert done.code == 0, done.err
    scored = pl.read_parquet(out)
    assert scored["group"].is_not_null().to_list() == scored["is_anomaly"].to_list()
    whole = mixed_detector().groups(labelled_table())
    assert scored["group"].drop_nulls().to_list() == whole.numbers.tolist()
    # The row of a group is that of the file that is named beside it.
    for told, group in zip(json.loads(done.out)["groups"], whole.groups, strict=True):
        file = pl.read_parquet(told["last_file"])
        assert file["key"][told["last"]] == table["key"][group.last]
    done = run(*words)
    said = " ".join(done.err.split())
    assert f"such as {whole.groups[0].typical % middle:,} of " in said
    assert "┃ file" in said
    assert "b.parquet" in said
    page = tmp_path / "r.html"
    done = run("report", model, several, "-o", page, "--quiet")
    assert done.code == 0, done.err
    text = page.read_text()
    assert "<bdi>in file</bdi>" in text
    assert "<bdi>row in file</bdi>" in text
    assert "b.parquet" in text


def test_groups_of_rows_beside_those_left_out(
    run: Run, files: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = files
    table = pl.read_parquet(data)
    odd = [0, 1, table.height // 2]
    texts = table["twice"].cast(pl.String).scatter(odd, "oops")
    table.with_columns(twice=texts).write_csv(tmp_path / "new.csv")
    out = tmp_path / "out.parquet"
    words = ("score", model, tmp_path / "new.csv", "--groups", "-o", out, "--on-error", "skip")
    done = run(*words, "--summary", "json")
    assert done.code == 0, done.err
    scored = pl.read_parquet(out)
    assert scored["group"].is_not_null().to_list() == scored["is_anomaly"].to_list()
    for told in json.loads(done.out)["groups"]:
        rows = scored.filter(group=told["number"])["row"]
        assert (told["first"], told["last"]) == (rows.min(), rows.max())
        assert told["typical"] in rows
