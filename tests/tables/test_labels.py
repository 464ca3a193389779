"""Reading known labels."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from advae.errors import InputError
from advae.tables.frames import as_frame
from advae.tables.labels import LabelColumn, parse_labels


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, 1],
        [0.0, 1.0, 1.0],
        [False, True, True],
        ["0", "1", "1.0"],
        ["false", "TRUE", " True "],
        ["no", "Yes", "YES"],
        ["Normal", "anomaly", "ANOMALOUS"],
    ],
)
def test_every_accepted_form(values: list[Any]) -> None:
    assert parse_labels(pl.Series("label", values)).tolist() == [False, True, True]


def test_categorical_labels() -> None:
    values = pl.Series("label", ["normal", "anomaly"], dtype=pl.Categorical)
    assert parse_labels(values).tolist() == [False, True]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 1, 2], "'2'"),
        ([0, 1, -1], "'-1'"),
        ([0, 1, 0.5], "'0.5'"),
        ([0, 1, None], "a missing value"),
        ([0.0, 1.0, float("nan")], "'nan'"),
        (["0", "1", ""], "''"),
        (["0", "1", "outlier"], "'outlier'"),
    ],
)
def test_anything_else_is_refused_with_its_place(values: list[Any], shown: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_labels(pl.Series("label", values, strict=False), 40)
    message = str(caught.value)
    assert message.startswith("column 'label', row 42 ")
    assert f"{shown} is not a label" in message
    assert "normal for a normal row" in message


def test_dates_are_no_labels() -> None:
    with pytest.raises(InputError, match=r"^column 'label' holds values of type Date"):
        parse_labels(pl.Series("label", ["2024-01-01"]).str.to_date())


def test_the_name_of_a_label_column_can_be_a_number_of_pandas() -> None:
    assert LabelColumn.of(3) == LabelColumn("3")  # type: ignore[arg-type]
    labels = LabelColumn.of(np.int64(3)).anomalous(as_frame(pd.DataFrame({3: [0, 1]})))
    assert labels.tolist() == [False, True]
