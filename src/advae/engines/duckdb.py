"""Scores inside SQL: a function of DuckDB."""

from typing import TYPE_CHECKING, Any

from advae.engines.models import PortableModel, score_columns
from advae.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import duckdb

    from advae.engines.models import Model


def register(
    connection: "duckdb.DuckDBPyConnection", model: "Model", name: str = "advae_score"
) -> None:
    """Give a connection a function that scores rows: ``select advae_score(t) from t``.

    Parameters
    ----------
    connection
        Of DuckDB; the function lasts as long as the connection.
    model
        A detector, or the path of a model file.
    name
        What the function is called.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed, which DuckDB hands rows over with.
    ModelFileError
        If the file is missing, damaged, or not a model.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> import advae.sql
    >>> import duckdb
    >>> connection = duckdb.connect()
    >>> advae.sql.register(connection, detector)
    >>> found = connection.sql(
    ...     "select advae_score(t) from (values (0.1, -0.2), (0.0, 9.0)) as t(column_0, column_1)"
    ... )
    >>> [bool(score > detector.threshold.value) for (score,) in found.fetchall()]
    [False, True]
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtraError("advae.sql needs pip install 'advae[duckdb]'") from None
    detector = PortableModel.of(model).detector()

    def score(*arguments: Any) -> Any:
        if len(arguments) != 1 or not pa.types.is_struct(arguments[0].type):
            raise InputError(
                f"{name} takes a row. Write {name}(t) for the rows of a table or subquery t."
            )
        rows = arguments[0]
        rows = rows.combine_chunks() if isinstance(rows, pa.ChunkedArray) else rows
        names = [field.name for field in rows.type]
        scored = score_columns(detector, dict(zip(names, rows.flatten(), strict=True)), 0)
        return pa.array(scored["anomaly_score"].to_numpy())

    # Without parameters it takes rows of any columns, and may look at values that are missing.
    connection.create_function(  # type: ignore[call-overload]
        name, score, None, "DOUBLE", type="arrow", null_handling="special"
    )
