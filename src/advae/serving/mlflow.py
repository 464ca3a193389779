"""A detector as a model of MLflow: the model file itself, with a signature and an example.

Nothing is pickled: MLflow keeps the model file, and asks this module to load it.
"""

import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from advae.detector import model_file
from advae.detector.detector import Detector
from advae.detector.explanation import example_rows
from advae.errors import InputError, MissingExtraError
from advae.tables.frames import as_frame
from advae.tables.values import to_texts

try:
    import mlflow.artifacts
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType
except ImportError as error:
    raise MissingExtraError(
        f"advae.mlflow needs {error.name}: pip install 'advae[mlflow]'"
    ) from None

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models.model import ModelInfo

_FILE = "model.advae"
_LOADER = "advae.serving.mlflow"


def log_model(detector: Detector, name: str = "model", **more: Any) -> "ModelInfo":
    """Log a detector to the active run of MLflow as a pyfunc model.

    Parameters
    ----------
    detector
        A fitted detector.
    name
        What to call the model.
    more
        Further arguments of ``mlflow.pyfunc.log_model``, such as ``registered_model_name``.

    Returns
    -------
        What MLflow says of the logged model; its ``model_uri`` is for `load_model`.

    Examples
    --------
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> import advae.mlflow
    >>> import mlflow
    >>> with mlflow.start_run():
    ...     told = advae.mlflow.log_model(detector, "sales")
    >>> advae.mlflow.load_model(told.model_uri).threshold == detector.threshold
    True
    """
    with tempfile.TemporaryDirectory() as folder:
        parts = _parts(detector, Path(folder))
        logged: ModelInfo = mlflow.pyfunc.log_model(name=name, **parts, **more)
        return logged


def save_model(detector: Detector, path: str | Path, **more: Any) -> None:
    """Write a detector to a folder, in MLflow's form of a pyfunc model.

    Parameters
    ----------
    detector
        A fitted detector.
    path
        The folder, which must not exist.
    more
        Further arguments of ``mlflow.pyfunc.save_model``.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> import advae.mlflow
    >>> import mlflow
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     advae.mlflow.save_model(detector, f"{folder}/saved")
    ...     model = mlflow.pyfunc.load_model(f"{folder}/saved")
    >>> model.metadata.signature.inputs.input_names()
    ['column_0', 'column_1']
    """
    with tempfile.TemporaryDirectory() as folder:
        mlflow.pyfunc.save_model(path=str(path), **_parts(detector, Path(folder)), **more)


def load_model(uri: str) -> Detector:
    """Return the detector that `log_model` or `save_model` kept.

    Parameters
    ----------
    uri
        What MLflow knows the model by, such as ``"models:/name/1"``, or a folder.

    Raises
    ------
    InputError
        If it is another kind of model.
    ModelFileError
        If the model file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import advae
    >>> normal = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = advae.fit_detector(normal, advae.Config(iterations=50))
    >>> import advae.mlflow
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     advae.mlflow.save_model(detector, f"{folder}/saved")
    ...     again = advae.mlflow.load_model(f"{folder}/saved")
    >>> bool((again.anomaly_score(normal) == detector.anomaly_score(normal)).all())
    True
    """
    folder = Path(mlflow.artifacts.download_artifacts(str(uri)))
    flavor = Model.load(str(folder)).flavors.get("python_function", {})
    if flavor.get("loader_module") != _LOADER:
        raise InputError(f"{uri} is not a model of advae. Load it with mlflow.pyfunc.load_model.")
    return model_file.load(folder / flavor["data"])


def _parts(detector: Detector, folder: Path) -> dict[str, Any]:
    """Return what MLflow is to keep."""
    model_file.save(detector, folder / _FILE)
    example = example_rows(detector)
    return {
        "loader_module": _LOADER,
        "data_path": str(folder / _FILE),
        "signature": _signature(detector, example),
        "input_example": _pandas(example),
        "pip_requirements": [f"advae[mlflow]=={version('advae')}", "pandas"],
    }


def _signature(detector: Detector, example: pl.DataFrame) -> ModelSignature:
    features = detector.table.features
    columns: list[ColSpec | TensorSpec] = [
        _column(example[each.name], each.profile.quantiles) for each in features
    ]
    return ModelSignature(
        inputs=Schema(columns),
        outputs=Schema(
            [
                ColSpec(DataType.double, "anomaly_score"),
                ColSpec(DataType.boolean, "is_anomaly"),
                ColSpec(DataType.double, "p_value"),
            ]
        ),
        params=ParamSchema([ParamSpec("explain", DataType.long, 0)]),
    )


def _column(values: pl.Series, quantiles: Sequence[float]) -> ColSpec:
    dtype = values.dtype
    whole = dtype.is_numeric() and all(value == round(value) for value in quantiles)
    if whole or isinstance(dtype, pl.Duration):
        # pandas has whole numbers as such, or as others where one is missing, and MLflow takes
        # neither for the other; durations it does not know.
        return ColSpec(AnyType(), values.name)  # type: ignore[no-untyped-call]
    if dtype.is_numeric():
        kind = DataType.double
    elif isinstance(dtype, pl.Boolean):
        kind = DataType.boolean
    elif isinstance(dtype, pl.Datetime | pl.Date):
        kind = DataType.datetime
    else:
        kind = DataType.string
    return ColSpec(kind, values.name)


def _pandas(frame: pl.DataFrame) -> "pd.DataFrame":
    import pandas as pd

    # Through NumPy: Polars' own conversion needs pyarrow. Times of day and durations become texts,
    # which the JSON of an example can hold.
    def column(values: pl.Series) -> Any:
        if isinstance(values.dtype, pl.Date):
            values = values.cast(pl.Datetime("us"))
        if isinstance(values.dtype, pl.Datetime):
            return values.dt.cast_time_unit("us").to_numpy()
        return (to_texts(values) if values.dtype.is_temporal() else values).to_list()

    return pd.DataFrame({values.name: column(values) for values in frame})


class _Pyfunc:
    """What MLflow calls to score a pandas frame."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def predict(
        self, model_input: "pd.DataFrame", params: dict[str, Any] | None = None
    ) -> "pd.DataFrame":
        """Return scores, flags and p-values; with ``explain`` among the parameters, reasons."""
        explain = int((params or {}).get("explain", 0))
        scored = pl.concat(self.detector.score_batches([as_frame(model_input)], explain=explain))
        return _pandas(scored.drop("row"))


def _load_pyfunc(path: str) -> _Pyfunc:
    """Load the model file; MLflow calls this by its name."""
    return _Pyfunc(model_file.load(path))
