"""A model as bytes, to be sent to workers, and what a worker does with it."""

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from advae import tensorfile
from advae.errors import ConfigError

# What scores is imported by the workers, and by nobody who only hands the work to them: JAX makes
# threads, and engines fork.
if TYPE_CHECKING:
    from advae.detector.detector import Detector

    Model = Detector | str | Path


@dataclass(frozen=True)
class PortableModel:
    """The content of a model file, which processes and machines can hand to each other.

    Parameters
    ----------
    content
        The bytes of the file.
    """

    content: bytes = field(repr=False)

    @classmethod
    def of(cls, model: "Model") -> "PortableModel":
        """Return the content of a model file, or of the one that a detector would be saved to.

        Raises
        ------
        ModelFileError
            If the file is missing, damaged, or not a model.
        """
        with tempfile.TemporaryDirectory(prefix="advae-") as folder:
            if isinstance(model, str | Path):
                path = Path(model)
                tensorfile.check_single(path)
                tensorfile.read(path, "model")  # to refuse it here, and not in every worker
            else:
                from advae.detector.bundle import Bundle
                from advae.detector.model_file import save

                if isinstance(model, Bundle):
                    raise ConfigError(
                        "a bundle has a model for each segment, and this takes a single one. "
                        "bundle.detector(VALUE) gives it."
                    )
                path = Path(folder) / "model.advae"
                save(model, path)
            return cls(path.read_bytes())

    @property
    def fingerprint(self) -> str:
        """What tells this model from others, see `advae.tensorfile.fingerprint`."""
        return tensorfile.fingerprint(self.content)

    def detector(self) -> "Detector":
        """Return the detector, which each process makes once."""
        return _detector(self)


@functools.lru_cache(maxsize=4)
def _detector(model: PortableModel) -> "Detector":
    from advae.detector.model_file import load

    with tempfile.TemporaryDirectory(prefix="advae-") as folder:
        path = Path(folder) / "model.advae"
        path.write_bytes(model.content)
        return load(path)


def score_columns(detector: "Detector", columns: Mapping[str, Any], explain: int) -> pl.DataFrame:
    """Score rows that an engine hands over as Arrow columns.

    Only learned columns become Polars': engines have types, of others, that it lacks.

    Returns
    -------
    What ``Detector.score_batches`` yields, without ``row``: an engine's rows have no positions.
    """
    learned = detector.table.feature_names
    frame = pl.DataFrame({name: pl.Series(columns[name]) for name in learned if name in columns})
    if not frame.height and frame.width == len(learned):
        return pl.DataFrame(schema=score_schema(detector, explain))
    return _scores(detector, frame, explain)


def score_schema(detector: "Detector", explain: int) -> Mapping[str, pl.DataType]:
    """Return the names and types of the columns of `score_columns`."""
    from advae.detector.explanation import example_rows

    return _scores(detector, example_rows(detector), explain).schema


def _scores(detector: "Detector", frame: pl.DataFrame, explain: int) -> pl.DataFrame:
    scored: pl.DataFrame = next(detector.score_batches([frame], explain=explain))
    return scored.drop("row")
