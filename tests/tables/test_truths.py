"""What equals what among true, false and the texts for them, however training held them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from advae.errors import InputError
from advae.files.source import open_source
from advae.tables.encoder import TableEncoder
from advae.tables.frames import as_frame

TRUTHS = [True, False, None, True, False]
NUMBERS = [0.5, 1.0, 1.5, 2.0, 2.5]

HELD: dict[str, Any] = {
    "Polars Boolean": pl.Series(TRUTHS),
    "Polars texts": pl.Series([None if t is None else str(t) for t in TRUTHS]),
    "Polars categories": pl.Series(["true", "false", None, "true", "false"], dtype=pl.Categorical),
    "pandas objects": pd.Series(TRUTHS, dtype=object),
    "pandas boolean": pd.Series(TRUTHS, dtype="boolean"),
    "pandas texts": pd.Series(["True", "False", None, "True", "False"], dtype=object),
    "NumPy objects": np.array([np.True_, np.False_, None, np.True_, np.False_], dtype=object),
    "capital texts": ["TRUE", "FALSE", None, "TRUE", "FALSE"],
    "padded texts": [" true", "false ", None, " true", "false "],
    "NumPy bool": np.ma.array([t or False for t in TRUTHS], mask=[t is None for t in TRUTHS]),
}


def held(values: Any) -> pl.DataFrame:
    if isinstance(values, pd.Series):
        return as_frame(pd.DataFrame({"n": NUMBERS, "t": values}))
    return as_frame({"n": NUMBERS, "t": values})


def written(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".csv"):
        true, false = ("True", "False") if "python" in name else ("true", "false")
        cells = [{True: true, False: false, None: ""}[truth] for truth in TRUTHS]
        path.write_text(
            "n,t\n" + "".join(f"{n},{t}\n" for n, t in zip(NUMBERS, cells, strict=True))
        )
    elif name.endswith(".ndjson"):
        pl.DataFrame({"n": NUMBERS, "t": TRUTHS}).write_ndjson(path)
    else:
        pl.DataFrame({"n": NUMBERS, "t": TRUTHS}).write_parquet(path)
    return path


FILES = ["polars.csv", "python.csv", "a.ndjson", "a.parquet"]


@pytest.mark.parametrize("learned", HELD)
def test_true_is_true_however_it_was_learned_and_comes(tmp_path: Path, learned: str) -> None:
    frame = held(HELD[learned])
    table = TableEncoder.fit(frame)
    expected = table.transform(frame)
    for new, values in HELD.items():
        assert table.transform(held(values)).tolist() == expected.tolist(), new
    for name in FILES:
        source = open_source(written(tmp_path, name), dtypes=table.dtypes)
        assert table.transform(source.read()).tolist() == expected.tolist(), name


@pytest.mark.parametrize("name", FILES)
def test_true_is_true_when_a_file_was_learned(tmp_path: Path, name: str) -> None:
    frame = open_source(written(tmp_path, name)).read()
    table = TableEncoder.fit(frame)
    assert table.features[1].kind == "boolean"
    for new, values in HELD.items():
        assert table.transform(held(values)).tolist() == table.transform(frame).tolist(), new


@pytest.mark.parametrize("value", [True, "True", "true", "TRUE"])
def test_a_column_of_one_truth_value(value: object) -> None:
    table = TableEncoder.fit(held([value] * 5))
    for same in (True, "True", "true", " TRUE"):
        assert not table.transform(held([same] * 5))[:, 1:].any(), same
    for other in (False, "False", "false"):
        assert table.transform(held([other] * 5))[:, -1].all(), other


def test_truths_among_other_words_keep_their_own_spelling() -> None:
    words = ["True", "False", "maybe"] * 10
    table = TableEncoder.fit(pl.DataFrame({"n": range(30), "t": words}))
    truths = table.transform(pl.DataFrame({"n": [0, 1], "t": [True, False]}))
    texts = table.transform(pl.DataFrame({"n": [0, 1], "t": ["True", "False"]}))
    assert truths.tolist() == texts.tolist()
    # Two spellings of true are two words: which one a boolean would be, nothing says.
    twofold = TableEncoder.fit(pl.DataFrame({"n": range(30), "t": ["True", "TRUE", "False"] * 10}))
    encoded = twofold.transform(pl.DataFrame({"n": [0, 0], "t": ["True", "TRUE"]}))
    assert encoded[0].tolist() != encoded[1].tolist()
    assert twofold.transform(pl.DataFrame({"n": [0], "t": [True]}))[0, -2] == 1


def test_mixtures_that_have_no_one_meaning_are_refused() -> None:
    for values in ([True, "no"], [True, 1.5]):
        with pytest.raises(InputError, match=r"column 't' mixes"):
            as_frame(pd.DataFrame({"t": pd.Series(values, dtype=object)}))
