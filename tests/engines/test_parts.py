"""Parts of a folder: each file scored once, by one model, whatever was there before."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest
from command_line import Run
from lake_data import FILES, detector, finished, make_lake, payments, scores

import advae
from advae.engines.models import PortableModel
from advae.engines.parts import Job, Outcome, score_file, score_files


class Here:
    """An engine in this process, which may stop after some jobs."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.jobs = stop_after, 0

    def run(self, model: PortableModel, jobs: Sequence[Job]) -> Iterator[Outcome]:
        for job in jobs:
            if self.jobs == self.stop_after:
                raise KeyboardInterrupt
            self.jobs += 1
            yield score_file(model, job)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    monkeypatch.chdir(tmp_path)
    return make_lake(tmp_path, 300)


def score(engine: Here, data: str = "lake/*.parquet", **settings: object) -> tuple[int, ...]:
    chosen: dict = {"model": "m.advae", "keep": ["id"], "explain": 1} | settings
    return tuple(score_files(data, "out", chosen.pop("model"), engine, **chosen))


def test_a_stopped_run_is_finished_by_another(lake: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(Here(stop_after=3))
    assert finished(tmp_path) == 3
    rest = Here()
    totals = score(rest)
    assert rest.jobs == FILES + 1 - 3
    assert totals[:2] == (FILES + 1, FILES * 300)
    assert totals[2] == lake["is_anomaly"].sum()
    assert scores(tmp_path).equals(lake)
    assert score(Here(stop_after=0)) == (*totals[:3], 0)


def test_a_line_that_a_crash_cut_short_counts_for_nothing(
    lake: pl.DataFrame, tmp_path: Path
) -> None:
    score(Here())
    manifest = tmp_path / "out" / "_manifest.ndjson"
    manifest.write_bytes(manifest.read_bytes()[:-5])
    again = Here()
    score(again)
    assert again.jobs == 1
    assert scores(tmp_path).equals(lake)
    assert finished(tmp_path) == FILES + 1


def test_files_that_changed_or_came_are_scored(lake: pl.DataFrame, tmp_path: Path) -> None:
    score(Here())
    payments(50, 300).write_parquet("lake/day-3.parquet")
    payments(60, 300).write_parquet("lake/day-9.parquet")
    (part,) = (tmp_path / "out").glob("day-5*.parquet")
    part.unlink()
    again = Here()
    score(again)
    assert again.jobs == 3
    found = scores(tmp_path)
    assert found.height == (FILES + 1) * 300
    assert found["id"].max() == 61 * 300 - 1


def test_models_and_settings_do_not_mix(lake: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(Here(stop_after=2))
    other = detector().with_threshold(advae.Threshold("given", None, 1.0))
    for settings in ({"model": other}, {"explain": 0}, {"keep": []}):
        with pytest.raises(advae.InputError, match="holds scores by another model"):
            score(Here(), **settings)
    with pytest.raises(advae.InputError, match="scores of 1 other files"):
        score(Here(), "lake/day-1.parquet")
    assert finished(tmp_path) == 2


def test_what_cannot_be_scored_is_told_with_its_file(lake: pl.DataFrame, tmp_path: Path) -> None:
    payments(0, 5).drop("amount").write_parquet("lake/day-4.parquet")
    with pytest.raises(advae.InputError, match=r"day-4.parquet: missing column 'amount'"):
        score(Here())
    assert finished(tmp_path) == 4
    payments(4, 300).write_parquet("lake/day-4.parquet")
    score(Here())
    assert scores(tmp_path).equals(lake)


def test_text_files_are_read_as_the_command_reads_them(
    lake: pl.DataFrame, tmp_path: Path, run: Run
) -> None:
    table = payments(1, 300).with_columns(id=pl.format("00{}", "id"))
    table.write_csv("new.csv")
    score(Here(), "new.csv")
    words = ("m.advae", "new.csv", "-o", "wanted.parquet", "--keep", "id", "--explain", 1)
    assert run("score", *words, "--quiet").code == 0
    (part,) = (tmp_path / "out").glob("new*.parquet")
    wanted = pl.read_parquet("wanted.parquet")
    assert pl.read_parquet(part).equals(wanted)
    assert pl.read_parquet(part)["id"][0] == "00300"


def test_other_folders_are_left_alone(lake: pl.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(advae.InputError, match="holds other files"):
        score(Here())
    with pytest.raises(advae.InputError, match=r"cannot write into m\.advae"):
        score_files("lake/*.parquet", "m.advae", "m.advae", Here())
    with pytest.raises(advae.ModelFileError):
        score_files("lake/*.parquet", "new", "lake/day-1.parquet", Here())
    assert not (tmp_path / "new").exists()


def test_two_runs_do_not_write_into_one_folder(lake: pl.DataFrame) -> None:
    class Nested(Here):
        def run(self, model: PortableModel, jobs: Sequence[Job]) -> Iterator[Outcome]:
            with pytest.raises(advae.InputError, match="another run is writing"):
                score(Here())
            yield from super().run(model, jobs)

    assert score(Nested())[3] == FILES + 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "ray"), "--output FOLDER"),
        (("--engine", "ray", "-o", "out", "--fdr", "0.1"), "Leave out --fdr."),
        (("--workers", "2"), "Add --engine"),
        (("--engine", "dask"), "dask"),
    ],
)
def test_options_of_which_one_needs_another(run: Run, words: tuple[str, ...], said: str) -> None:
    done = run("score", "m.advae", "new.csv", *words)
    assert done.code == 2
    assert said in done.err
