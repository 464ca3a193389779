"""The exceptions of advae: one root, one child per place where a user can act.

Every message says what is wrong, where (file, column, row), and what to do about it, the last in a
sentence of its own; of a setting, what it is and what is expected. The command line prints the
message alone and exits with code 2.
"""

from collections.abc import Collection


class AdVAEError(Exception):
    """Root of every error that advae raises on purpose.

    Examples
    --------
    >>> import advae
    >>> try:
    ...     advae.load("lost.advae")
    ... except advae.AdVAEError as error:
    ...     print(error)
    model file lost.advae does not exist. Check the path.
    """


class InputError(AdVAEError, ValueError):
    """A table, file or array cannot be used as it is.

    Examples
    --------
    >>> import advae
    >>> advae.read_table("lost.csv")
    Traceback (most recent call last):
    advae.errors.InputError: lost.csv: no such file. Check the name and the folder.
    """


class ColumnError(InputError):
    """Values of a column cannot be used as they are.

    Attributes
    ----------
    column
        The column's name, quoted.
    row
        The row of the first such value, counted from 0 where the table begins; None if all are.
    problem
        What is wrong with it, and what to do.

    Examples
    --------
    >>> import advae
    >>> try:
    ...     advae.fit_detector({"price": [1.5, 2.0, float("inf")]})
    ... except advae.ColumnError as error:
    ...     print(error.column, error.row, error.problem)
    'price' 2 'inf' is not a finite number. Correct the value, or remove the row.
    """

    def __init__(self, column: str, row: int | None, problem: str) -> None:
        super().__init__(column, row, problem)
        self.column, self.row, self.problem = column, row, problem

    def __str__(self) -> str:
        """Return the message."""
        if self.row is None:
            return f"column {self.column} {self.problem}"
        return f"column {self.column}, row {self.row} (the first data row is row 0): {self.problem}"

    def at(self, row: int) -> "ColumnError":
        """Return the same error in another row."""
        return ColumnError(self.column, row, self.problem)


class ConfigError(AdVAEError, ValueError):
    """A setting has a value, or a combination of values, that cannot work.

    Examples
    --------
    >>> import advae
    >>> advae.Config(alpha=2)
    Traceback (most recent call last):
    advae.errors.ConfigError: alpha is 2; expected a share between 0 and 1, both excluded
    """


class ModelFileError(AdVAEError):
    """A model or checkpoint file is missing, damaged, too new, or not a model.

    Examples
    --------
    >>> import advae
    >>> advae.load("lost.advae")
    Traceback (most recent call last):
    advae.errors.ModelFileError: model file lost.advae does not exist. Check the path.
    """


class TrainingError(AdVAEError, RuntimeError):
    """Training could not go on, for instance because a loss stopped being finite.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> try:
    ...     advae.fit_detector(normal, advae.Config(iterations=50, learning_rate=1e30))
    ... except advae.TrainingError as error:
    ...     print(str(error).rpartition(". ")[2])
    Lower learning_rate, gamma or lambda_.
    """


class MissingExtraError(AdVAEError, ImportError):
    """An optional dependency is needed; the message names the extra to install.

    Examples
    --------
    >>> import advae
    >>> try:
    ...     from advae.pyod import AdVAE
    ... except advae.MissingExtraError as error:
    ...     print(error)  # says: pip install 'advae[pyod]'
    """


class ForkError(AdVAEError, RuntimeError):
    """A fork of a process that had computed would wait for ever for threads that it lacks.

    Examples
    --------
    >>> from multiprocessing import get_context
    >>> workers = get_context("spawn")  # begins processes that are no forks, and may compute
    >>> workers.get_start_method()
    'spawn'
    """


def quoted(value: object) -> str:
    """Show a user's value on one line: escaped, and cut at 40 characters."""
    text = str(value)
    return repr(text if len(text) <= 40 else text[:39] + "…")


def quoted_list(values: Collection[object], limit: int = 10) -> str:
    """Show some of the user's values, at most ``limit`` of them."""
    shown = ", ".join(quoted(value) for value in list(values)[:limit])
    return shown if len(values) <= limit else f"{shown} and {len(values) - limit} more"
