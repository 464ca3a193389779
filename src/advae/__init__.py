"""Find the rows of a table that are not normal, and say why.

>>> import advae, polars
>>> detector = advae.fit_detector(polars.read_csv("normal.csv"))  # doctest: +SKIP
>>> detector.anomaly_score(polars.read_csv("new.csv"))  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advae.config import Config
    from advae.detector.bundle import Bundle, load_bundle
    from advae.detector.detector import Detector, Threshold
    from advae.detector.explanation import Explanation
    from advae.detector.fitting import fit_detector
    from advae.detector.model_file import load, save
    from advae.detector.rows import read_table
    from advae.detector.segments import fit_detectors
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
    from advae.estimators.sklearn import AdVAEDetector
    from advae.files.options import ReadOptions
    from advae.report.page import write_report
    from advae.tables.labels import LabelColumn

__all__ = [
    "AdVAEDetector",
    "AdVAEError",
    "Bundle",
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
    "ReadOptions",
    "Threshold",
    "TrainingError",
    "fit_detector",
    "fit_detectors",
    "load",
    "load_bundle",
    "read_table",
    "save",
    "write_report",
]

_HOMES = {
    "AdVAEDetector": "estimators.sklearn",
    "Bundle": "detector.bundle",
    "Config": "config",
    "Detector": "detector.detector",
    "Explanation": "detector.explanation",
    "LabelColumn": "tables.labels",
    "ReadOptions": "files.options",
    "Threshold": "detector.detector",
    "fit_detector": "detector.fitting",
    "fit_detectors": "detector.segments",
    "load": "detector.model_file",
    "load_bundle": "detector.bundle",
    "read_table": "detector.rows",
    "save": "detector.model_file",
    "write_report": "report.page",
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
