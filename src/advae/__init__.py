"""Find the rows of a table that are not normal, and say why.

>>> import advae, polars
>>> detector = advae.fit_detector(polars.read_csv("normal.csv"))  # doctest: +SKIP
>>> detector.anomaly_score(polars.read_csv("new.csv"))  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advae.artifact import load, save
    from advae.config import Config
    from advae.detector import Detector, Threshold
    from advae.errors import (
        AdVAEError,
        ColumnError,
        ConfigError,
        ForkError,
        InputError,
        MissingExtraError,
        ModelFileError,
        TrainingError,
    )
    from advae.estimator import AdVAEDetector
    from advae.explain import Explanation
    from advae.fitting import fit_detector
    from advae.labels import LabelColumn
    from advae.report.writing import write_report

__all__ = [
    "AdVAEDetector",
    "AdVAEError",
    "ColumnError",
    "Config",
    "ConfigError",
    "Detector",
    "Explanation",
    "ForkError",
    "InputError",
    "LabelColumn",
    "MissingExtraError",
    "ModelFileError",
    "Threshold",
    "TrainingError",
    "fit_detector",
    "load",
    "save",
    "write_report",
]

_HOMES = {
    "AdVAEDetector": "estimator",
    "Config": "config",
    "Detector": "detector",
    "Explanation": "explain",
    "LabelColumn": "labels",
    "Threshold": "detector",
    "fit_detector": "fitting",
    "load": "artifact",
    "save": "artifact",
    "write_report": "report.writing",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that the command line answers --help before JAX is loaded.
    if name not in __all__:
        raise AttributeError(f"module 'advae' has no attribute {name!r}")
    value = getattr(import_module(f"advae.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
