"""Values, numbers and shares as a reader sees them, safe to show whatever the data hold."""

import math
import re
from collections.abc import Sequence

LONGEST = 80
"""Characters of a value that are shown."""

# Control characters and those that reorder text: invisible, or able to disguise what is shown.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def without_controls(text: str) -> str:
    """Put a mark in the place of each character that is obeyed and not shown; lines stay lines."""
    return _UNSEEN.sub("\ufffd", text)


def shorten(value: object, limit: int = LONGEST) -> str:
    """Show any value on one line, at most ``limit`` characters of it."""
    text = value if isinstance(value, str) else str(value)
    cut = text[: limit + 1]  # before anything else: a value can have any length
    line = " ".join(without_controls(cut).split())
    return line if len(text) <= limit else f"{line[: limit - 1]}…"


def number(value: float, digits: int = 4) -> str:
    """Show a number with some significant digits: 1,234,567; 0.2080; 1.30e-07."""
    if not math.isfinite(value):
        return "\u2013"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e9:
        return f"{value:.{digits - 2}e}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}".rstrip(".")


def share(value: float) -> str:
    """Show a share in per cent; what rounds to 0 or 100 without being so is < 0.1 or > 99.9 %."""
    if 0 < value < 0.001:
        return "< 0.1 %"
    if 0.999 < value < 1:
        return "> 99.9 %"
    return f"{100 * value:.1f} %"


def count(value: float, noun: str = "", plural: str = "") -> str:
    """Show a count with its noun: 1 row, 2,345 rows."""
    if not noun:
        return f"{value:,.0f}"
    return f"{value:,.0f} {noun if value == 1 else plural or noun + 's'}"


def quote(name: str) -> str:
    """Show a name in quotation marks, cut where it is long."""
    return f"“{shorten(name, 40)}”"


def listed(names: Sequence[str], limit: int = 3) -> str:
    """Join names in quotation marks, some of them where there are many."""
    shown = [quote(name) for name in names[:limit]]
    more = len(names) - limit
    if more > 0:
        return f"{', '.join(shown)} and {count(more, 'other')}"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
