"""A model as bytes, to be sent to workers, and what a worker makes of them."""

import functools
import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from advae.detector.detector import Detector
from advae.detector.model_file import load, save

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
    def of(cls, model: Model) -> "PortableModel":
        """Return the content of a model file, or of the one that a detector would be saved to.

        Raises
        ------
        ModelFileError
            If the file is missing, damaged, or not a model.
        """
        with tempfile.TemporaryDirectory(prefix="advae-") as folder:
            if isinstance(model, Detector):
                path = Path(folder) / "model.advae"
                save(model, path)
            else:
                path = Path(model)
                load(path)  # to refuse it here, and not in every worker
            return cls(path.read_bytes())

    @property
    def fingerprint(self) -> str:
        """What tells this model from others, see `fingerprint`."""
        return fingerprint(self.content)

    def detector(self) -> Detector:
        """Return the detector, which each process makes once."""
        return _detector(self)


def fingerprint(content: bytes) -> str:
    """Return 16 hexadecimal digits that tell a model file from others, by its bytes."""
    return hashlib.sha256(content).hexdigest()[:16]


@functools.lru_cache(maxsize=4)
def _detector(model: PortableModel) -> Detector:
    with tempfile.TemporaryDirectory(prefix="advae-") as folder:
        path = Path(folder) / "model.advae"
        path.write_bytes(model.content)
        return load(path)
