"""What an examination of a table can find."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["problem", "hint"]


@dataclass(frozen=True)
class Finding:
    """One thing about a table that its owner should know before fitting.

    Parameters
    ----------
    check
        Which check found it, the same word in every version: ``"identifier"``.
    severity
        ``"problem"``: fitting refuses the table, or learns what it should not. ``"hint"``: worth
        a look.
    columns
        The columns meant; empty for the table as a whole.
    message
        What was found, in one sentence.
    advice
        What to do about it, in one sentence.
    """

    check: str
    severity: Severity
    columns: tuple[str, ...]
    message: str
    advice: str
