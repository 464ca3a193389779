"""The data sets and weights published with the adVAE paper, for tests and benchmarks.

The folder is not part of the repository: set ``ADVAE_DATA`` to it, or keep it at
``../shared/data`` beside the repository. The split and the scaling are those of the paper's
published loader, described in the folder's own README.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

Array = NDArray[np.float64]
Layers = list[tuple[Array, Array]]


class PaperSplit(NamedTuple):
    """How many normal rows are tested on, from which end of the file, and the latent size."""

    test_normals: int
    test_from_end: bool
    latent_size: int


PAPER_SETS = {
    "letter": PaperSplit(300, True, 11),
    "cardio": PaperSplit(331, True, 7),
    "satellite": PaperSplit(1080, False, 12),
    "optdigits": PaperSplit(1013, True, 16),
    "pendigits": PaperSplit(1343, False, 5),
}


def data_folder() -> Path:
    """Return the folder with the data sets; it need not exist."""
    configured = os.environ.get("ADVAE_DATA")
    if configured:
        return Path(configured)
    return Path(__file__).resolve().parents[2] / "shared" / "data"


def require_data(*relative: str) -> None:
    """Skip the calling test unless these paths exist inside the data folder."""
    folder = data_folder()
    missing = [name for name in relative or (".",) if not (folder / name).exists()]
    if missing:
        pytest.skip(f"no {', '.join(missing)} in {folder}: set ADVAE_DATA to the data folder")


def load_paper_set(name: str) -> tuple[Array, Array, NDArray[np.int64]]:
    """Load one of the paper's five sets, split by row position and scaled to [0, 1].

    Returns
    -------
    train
        (n, d) normal rows; every column spans [0, 1], a constant column is 0.
    test
        (m, d) the held-out normal rows, then all anomalies, with the training rows' scaling and
        therefore not confined to [0, 1].
    labels
        (m,) 0 for the normal and 1 for the anomalous test rows.
    """
    split = PAPER_SETS[name]
    content = scipy.io.loadmat(str(data_folder() / "advae-paper" / f"{name}.mat"))
    rows = np.asarray(content["X"], dtype=np.float64)
    is_anomaly = np.asarray(content["y"]).ravel() == 1
    normal, anomalous = rows[~is_anomaly], rows[is_anomaly]
    if split.test_from_end:
        train, held_out = normal[: -split.test_normals], normal[-split.test_normals :]
    else:
        held_out, train = normal[: split.test_normals], normal[split.test_normals :]
    low = train.min(axis=0)
    span = train.max(axis=0) - low
    span[span == 0] = 1.0
    test = np.concatenate([held_out, anomalous])
    labels = np.repeat(np.array([0, 1]), [len(held_out), len(anomalous)])
    return (train - low) / span, (test - low) / span, labels


def published_weights(name: str) -> tuple[Layers, Layers]:
    """Return the encoder's and generator's (weight, bias) layers published for this set.

    Only letter and cardio have them. The encoder's two heads are stacked into its last layer,
    mean first. The transformer's weights were not published.
    """
    path = data_folder() / "advae-paper" / "checkpoints" / f"{name}.npz"
    with np.load(path, allow_pickle=False) as stored:
        values = {key: np.asarray(stored[key], dtype=np.float64) for key in stored.files}

    def layer(key: str) -> tuple[Array, Array]:
        return values[f"{key}.weight"], values[f"{key}.bias"]

    mean_head, log_variance_head = layer("encoder.fcmu"), layer("encoder.fclogvar")
    heads = (
        np.concatenate([mean_head[0], log_variance_head[0]]),
        np.concatenate([mean_head[1], log_variance_head[1]]),
    )
    encoder = [layer("encoder.fc1"), layer("encoder.fc2"), heads]
    generator = [layer("decoder.fc3"), layer("decoder.fc4"), layer("decoder.fcxmu")]
    return encoder, generator
