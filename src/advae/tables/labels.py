"""Columns of known labels: which rows are normal, to learn from them and to measure by them."""

import re
import unicodedata
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from advae.errors import ColumnError, InputError, quoted, quoted_list
from advae.tables.frames import check_name
from advae.tables.values import bad_cell, to_texts, to_truths

ANOMALY = ("1", "1.0", "true", "yes", "anomaly", "anomalous")
NORMAL = ("0", "0.0", "false", "no", "normal")
NAMING = "advae.LabelColumn(COL, normal=VALUE)"
"""What names the label of normal rows in messages; the command line puts its option there."""

NAMED = 5
"""Labels that an error names, of those that there are."""

ACCEPTED = f"{', '.join(NORMAL)} for a normal row; {', '.join(ANOMALY)} for an anomaly"

A_LABEL = f"a label. Labels are {ACCEPTED}; of others, name that of normal rows by {NAMING}"
"""What an error says was expected."""


@dataclass(frozen=True)
class LabelColumn:
    """A column of known labels.

    Attributes
    ----------
    name
        Of the column.
    normal
        The label of normal rows, a text or a number; every other label is an anomaly's. None for
        labels among `NORMAL` and `ANOMALY`.

    Raises
    ------
    InputError
        If ``normal`` cannot be a label, such as a blank, or the name is a pattern.

    Examples
    --------
    >>> import polars as pl
    >>> from advae import LabelColumn
    >>> LabelColumn("kind", normal="benign").anomalous(pl.DataFrame({"kind": ["Benign", "scan"]}))
    array([False,  True])
    """

    name: str
    normal: str | float | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.normal is not None:
            _normal_word(self.normal)

    @classmethod
    def of(cls, label: "str | LabelColumn | None") -> "LabelColumn | None":
        """Return a label column given by its name alone, or as it is."""
        # As text, which the names of a frame become: pandas has others, such as 0.
        return label if label is None or isinstance(label, cls) else cls(str(label))

    def anomalous(self, frame: pl.DataFrame, first_row: int = 0) -> NDArray[np.bool_]:
        """Return which rows are anomalies; see `parse_labels`."""
        return parse_labels(frame[self.name], first_row, self.normal)


class LabelReader:
    """Reads the labels of a stream of frames, and sees whether the normal one occurs.

    Attributes
    ----------
    column
        Of labels.
    rows, normal_rows
        Rows read so far, and those of them that are normal.
    """

    def __init__(self, column: LabelColumn) -> None:
        self.column = column
        self.rows = 0
        self.normal_rows = 0
        self._others: dict[str, None] = {}

    def read(self, frame: pl.DataFrame) -> NDArray[np.bool_]:
        """Return which of the next rows are anomalies [n]; see `parse_labels`."""
        anomalous = self.column.anomalous(frame, self.rows)
        self.rows += frame.height
        self.normal_rows += int((~anomalous).sum())
        if not self.normal_rows and len(self._others) < NAMED:
            labels = to_texts(frame[self.column.name]).unique(maintain_order=True)
            self._others |= dict.fromkeys(labels.head(NAMED))
        return anomalous

    def check(self) -> None:
        """Refuse a table, after its last row, in which the normal label never occurred.

        Without a normal label in the user's own words a table of anomalies alone is sound.

        Raises
        ------
        ColumnError
            Names labels that there are.
        """
        if self.column.normal is None or self.normal_rows or not self.rows:
            return
        raise ColumnError(
            quoted(self.column.name),
            None,
            f"has no label {quoted(self.column.normal)}; it has, for instance, "
            f"{quoted_list(list(self._others)[:NAMED])}. Name that of normal rows by {NAMING}.",
        )


def parse_labels(
    values: pl.Series,
    first_row: int = 0,
    normal: str | float | None = None,
    wanted: str = A_LABEL,
) -> NDArray[np.bool_]:
    """Read labels: True for an anomaly, False for a normal row.

    Parameters
    ----------
    values
        One label per row [n]: booleans, the numbers 0 and 1, or texts among `ANOMALY` and
        `NORMAL` in any case. With ``normal``, any texts, categories, numbers or booleans.
    first_row
        The row number of ``values[0]``, for errors.
    normal
        The only label of normal rows, in any case and form of Unicode; 0, 0.0 and -0.0 are the
        same.
    wanted
        What the error says was expected, where ``normal`` is None.

    Returns
    -------
        bool [n].

    Raises
    ------
    InputError
        If ``normal`` cannot be a label.
    ColumnError
        For a missing label or any other value; names the column, row, value and accepted forms.
    """
    if normal is not None:
        texts = to_texts(values)
        spelled = {text: _spelled(text) for text in texts.drop_nulls().unique()}
        missing = (texts.is_null() | _are(texts, spelled, "")).to_numpy()
        if missing.any():
            raise bad_cell(values, missing, first_row, "a label")
        others: NDArray[np.bool_] = (~_are(texts, spelled, _normal_word(normal))).to_numpy()
        return others
    truths = to_truths(values, first_row, true=ANOMALY, false=NORMAL, wanted=wanted)
    missing = np.isnan(truths)
    if missing.any():
        raise bad_cell(values, missing, first_row, wanted)
    labels: NDArray[np.bool_] = truths == 1
    return labels


def _normal_word(normal: object) -> str:
    """Return the label of normal rows as labels are compared."""
    try:
        # Spelled as in a column: 2023, True and 0.5 can be labels too.
        word = _spelled(to_texts(pl.Series([normal]))[0] or "")
    except (ValueError, OverflowError, pl.exceptions.PolarsError):
        word = ""
    if not word:
        raise InputError(
            f"{normal!r} cannot be the label of normal rows. Give a number, or a word "
            "in UTF-8, as it stands in the label column."
        )
    return word


def _are(texts: pl.Series, spelled: dict[str, str], word: str) -> pl.Series:
    """Return which of the texts, null where one is missing, are spelled as a word."""
    return texts.is_in([text for text, spelling in spelled.items() if spelling == word])


def _spelled(label: str) -> str:
    """Return a label as it is compared; nothing of a blank one.

    Unicode's caseless comparison: an accent may be a character of its own, and case is folded.
    """
    word = unicodedata.normalize("NFC", label.strip()).casefold()
    # The Turkish capital \u0130 folds into an i with one more dot.
    word = unicodedata.normalize("NFC", word).replace("i\u0307", "i")
    # A column of whole numbers can be read as floats, or as texts, by another command.
    number = re.fullmatch(r"(-?[0-9]+)(\.0+)?", word)
    if number is None:
        return word
    return "0" if number[1] == "-0" else number[1]
