"""Fitting by labels: only the rows that a column of labels calls normal are learned from."""

import numpy as np
import polars as pl
import pytest

import advae
from advae.tables.labels import LabelColumn

CONFIG = advae.Config(iterations=20, members=1)


def labelled(rows: int = 200) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    kind = np.where(rng.random(rows) < 0.2, "bad", "ok")
    return pl.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows), "kind": kind})


def test_the_normal_rows_are_learned_from_whole_tables_and_batches() -> None:
    frame = labelled()
    chosen = frame.filter(pl.col("kind") == "ok")
    wanted = advae.fit_detector(chosen, CONFIG, ignored=["kind"])
    label = LabelColumn("kind", "ok")
    for data in (frame, frame.iter_slices(37), frame.to_pandas()):
        found = advae.fit_detector(data, CONFIG, label=label)
        assert found.ignored == ("kind",)
        np.testing.assert_array_equal(found.anomaly_score(frame), wanted.anomaly_score(frame))


def test_rows_set_aside_have_the_numbers_of_the_whole_table() -> None:
    frame = labelled().with_columns(
        a=pl.when(pl.int_range(pl.len()) == 150).then(9e3).otherwise("a")
    )
    frame = frame.with_columns(
        kind=pl.when(pl.int_range(pl.len()) == 150).then(pl.lit("ok")).otherwise("kind")
    )
    trimming = advae.Config(iterations=20, members=1, trim=0.05)
    detector = advae.fit_detector(frame.iter_slices(60), trimming, label=LabelColumn("kind", "ok"))
    assert any("most suspect: 150" in note for note in detector.summary.notes)


def test_a_cell_is_named_by_its_row_in_the_whole_table() -> None:
    frame = labelled()
    row = int((frame["kind"] == "ok").arg_true()[-1])
    frame[row, "b"] = np.inf
    with pytest.raises(advae.InputError, match=f"column 'b', row {row} "):
        advae.fit_detector(frame, CONFIG, label=LabelColumn("kind", "ok"))


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("absent", "missing column 'absent'"),
        ("kind", "is not a label"),
        (LabelColumn("kind", "fine"), "has no label 'fine'"),
        ("anomalous", "column 'anomalous' marks no row as normal"),
    ],
)
def test_labels_that_cannot_be_used(label: str | LabelColumn, said: str) -> None:
    frame = labelled().with_columns(anomalous=pl.lit(value=True))
    with pytest.raises(advae.InputError, match=said):
        advae.fit_detector(frame, CONFIG, label=label)
