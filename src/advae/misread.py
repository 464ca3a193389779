"""What a column of texts seems to hold besides: numbers or dates, spoilt or in another form."""

import re
from collections.abc import Collection

import polars as pl

from advae.errors import InputError
from advae.instants import to_instants
from advae.values import quoted_list

MARKS = frozenset(
    {"", "-", "--", "---", ".", "?", "*", "na", "n.a.", "n/a", "#n/a", "nan", "nat", "nil"}
    | {"null", "(null)", "none", "missing", "unknown", "<na>", "#div/0!", "#value!", "#num!"}
)
"""Texts that stand for a missing value, in lower case."""

_GROUPED = r"\d{1,3}(?:[.,'\u2019_ \u00a0\u202f]\d{3})+(?:[.,]\d+)?"
_NUMBER = rf"(?:{_GROUPED}|\d+(?:[.,]\d+)?)"
_SIGN = r"[$€£¥%]?"
WRITTEN = re.compile(rf"[-+−(]?\s*{_SIGN}\s*[-+−]?{_NUMBER}\s*{_SIGN}\s*[-)]?$")
"""A number with a sign of its unit, groups of digits, a decimal comma, or brackets for minus."""

_DAY = r"(?:\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d\d(?:\d\d)?)"
DATED = re.compile(rf"{_DAY}(?:\b|T)")


def misreading(texts: Collection[str]) -> str:
    """Say what different texts, all of a column, seem to be, and what to do; nothing if texts.

    Numbers alone are no misreading: they may name categories, and nothing but texts can.
    """
    known = sorted(text.strip() for text in texts)
    marks = [text for text in known if text.lower() in MARKS]
    values = [text for text in known if text.lower() not in MARKS]
    plain = pl.Series(values, dtype=pl.String).cast(pl.Float64, strict=False).is_not_null()
    if len(values) < 2:
        return ""
    if plain.all():
        return marked(marks) if marks else ""
    if all(map(WRITTEN.match, values)):
        return (
            f"holds numbers written like {quoted_list(values, 3)}: write them without signs and "
            "groups, and with a decimal point."
        )
    if not all(map(DATED.match, values)):
        return ""
    try:
        to_instants(pl.Series(values), like="datetime")
    except InputError:
        return (
            f"holds dates in a form, or in forms, that are not read, such as "
            f"{quoted_list(values, 3)}: write them like 2024-12-31."
        )
    return "holds dates as texts: convert it."


def marked(marks: Collection[str]) -> str:
    """Say that numbers are mixed with some texts."""
    return (
        f"holds numbers, except for texts such as {quoted_list(marks, 3)}: leave those fields "
        "empty to have it read so."
    )
