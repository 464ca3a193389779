"""How text files are written, where the user says it."""

from dataclasses import asdict, dataclass, replace

from advae.errors import ConfigError
from advae.records import restore

MISSING_WORDS = (
    *("NA", "N/A", "NaN", "nan", "NULL", "null", "None"),
    *("n/a", "#N/A", "<NA>"),
)
"""These count as missing in delimited files, as the empty field does, quoted or not."""


@dataclass(frozen=True)
class ReadOptions:
    """How files are written; what is not given is found out from each file.

    Attributes
    ----------
    separator
        The one character between fields of delimited text.
    decimal
        The decimal sign, "." or ",".
    quote
        The character around quoted fields; empty where no field is quoted.
    encoding
        The name of the encoding, as Python knows it, such as "latin-1".
    date_format
        How dates or instants are written, by the signs of ``strptime``, such as "%m/%d/%Y".
    null
        The words that stand for missing values, in place of `MISSING_WORDS`.
    sheet
        The sheet of a workbook; the first if not given.

    Examples
    --------
    >>> from advae import ReadOptions
    >>> german = ReadOptions(separator=";", decimal=",", date_format="%d.%m.%Y")
    >>> german.updated(ReadOptions(null=("-",))).missing
    ('', '-')
    >>> ReadOptions(decimal="·")
    Traceback (most recent call last):
    advae.errors.ConfigError: the decimal sign is '·'; expected '.' or ','
    """

    separator: str | None = None
    decimal: str | None = None
    quote: str | None = None
    encoding: str | None = None
    date_format: str | None = None
    null: tuple[str, ...] = ()
    sheet: str | None = None

    def __post_init__(self) -> None:
        separator, quote = self.separator, self.quote
        if separator is not None and (len(separator) != 1 or separator in '"\r\n\0'):
            raise ConfigError(f"the separator is {separator!r}; expected one character")
        if quote and (len(quote) != 1 or quote in "\r\n\0"):
            raise ConfigError(f"the quote is {quote!r}; expected one character, or none")
        if not (separator or "").isascii() or not (quote or "").isascii():
            raise ConfigError("separator and quote must be ASCII characters")
        if separator is not None and separator in (quote, self.decimal):
            raise ConfigError(f"{separator!r} cannot be the separator and something else")
        if self.decimal not in (None, ".", ","):
            raise ConfigError(f"the decimal sign is {self.decimal!r}; expected '.' or ','")
        if self.date_format is not None and "%" not in self.date_format:
            raise ConfigError(
                f"the date format is {self.date_format!r}; expected one such as '%d/%m/%Y'"
            )
        try:
            "".encode(self.encoding or "utf-8")  # also refuses codecs that are not of texts
        except (LookupError, ValueError):
            raise ConfigError(f"the encoding {self.encoding!r} is unknown") from None

    @classmethod
    def from_json(cls, data: object) -> "ReadOptions":
        """Undo `dataclasses.asdict` and JSON; options left out have their defaults."""
        return restore(cls, data, whole=False)

    def updated(self, said: "ReadOptions") -> "ReadOptions":
        """Return these options, and those that are said in their place."""
        given = {name: value for name, value in asdict(said).items() if value not in (None, ())}
        return replace(self, **given)

    @property
    def missing(self) -> tuple[str, ...]:
        """The texts that stand for missing values, the empty one first."""
        return ("", *(self.null or MISSING_WORDS))
