"""The measured data sets, their splits and their scaling.

The data folder is not part of the repository: set ``ADVAE_DATA`` to it, or keep it at
``../shared/data`` beside the repository. Its own README describes the sets.
"""

import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.io
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
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


SELECTION = (
    *("annthyroid", "thyroid", "fault", "Ionosphere", "mammography"),
    *("vowels", "Waveform", "Wilt", "musk"),
)
CONFIRMATION = (
    *("breastw", "glass", "letter", "cardio", "Cardiotocography"),
    *("satellite", "satimage-2", "optdigits", "pendigits"),
)
"""The open sets, cut once. Choices, the default preset's among them, are made on SELECTION alone;
CONFIRMATION has all five sets of the paper, and sets cut from one source are on the same side."""
SEEN = "optdigits"
"""The set of CONFIRMATION with which parts of score and training were chosen nevertheless."""


class Split(NamedTuple):
    """Rows to train and to test on.

    ``train``: (n, d), normal rows. ``test``: (m, d), the held-out normal rows, then all anomalies.
    ``labels``: (m,), 0 for the normal and 1 for the anomalous test rows.
    """

    train: Array
    test: Array
    labels: Labels


def data_folder() -> Path:
    """Return the folder with the data sets; it need not exist."""
    configured = os.environ.get("ADVAE_DATA")
    if configured:
        return Path(configured)
    return Path(__file__).resolve().parents[3] / "shared" / "data"


def missing_data(*relative: str) -> str | None:
    """Return what to tell the user where these paths are not in the data folder, else None."""
    folder = data_folder()
    missing = [name for name in relative or (".",) if not (folder / name).exists()]
    if not missing:
        return None
    return f"no {', '.join(missing)} in {folder}: set ADVAE_DATA to the data folder"


def load_paper_set(name: str) -> Split:
    """Load one of the paper's five sets, split by row position and scaled to [0, 1].

    Every training column spans [0, 1], a constant one is 0. The test rows have the training rows'
    scaling and are therefore not confined to [0, 1].
    """
    part = PAPER_SETS[name]
    content = scipy.io.loadmat(str(data_folder() / "advae-paper" / f"{name}.mat"))
    rows = np.asarray(content["X"], dtype=np.float64)
    is_anomaly = np.asarray(content["y"]).ravel() == 1
    normal, anomalous = rows[~is_anomaly], rows[is_anomaly]
    if part.test_from_end:
        train, held_out = normal[: -part.test_normals], normal[-part.test_normals :]
    else:
        held_out, train = normal[: part.test_normals], normal[part.test_normals :]
    return scaled(_split(train, held_out, anomalous))


def adbench_names() -> list[str]:
    """Return the names of the ADBench sets in the data folder, in the order of their numbers."""
    return [path.stem for path in labelled_files(data_folder() / "adbench")]


def load_adbench(name: str) -> tuple[Array, Labels]:
    """Load the rows and the labels, 1 for an anomaly, of one ADBench set, as they are."""
    return load_labelled(data_folder() / "adbench" / f"{name}.npz")


def labelled_files(folder: Path) -> list[Path]:
    """Return the .npz files of a folder, those that begin with a number in its order first."""

    def order(path: Path) -> tuple[float, str]:
        number = path.stem.split("_")[0]
        return (int(number) if number.isdecimal() else math.inf), path.stem

    return sorted(folder.glob("*.npz"), key=order)


def load_labelled(path: Path) -> tuple[Array, Labels]:
    """Load the rows ``X`` and the labels ``y``, 1 for an anomaly, of a .npz file, as they are."""
    with np.load(path, allow_pickle=False) as stored:
        return np.asarray(stored["X"], np.float64), np.asarray(stored["y"], np.int64).ravel()


def shuffled_half(X: Array, y: Labels, seed: int) -> Split:
    """Train on a random half of the normal rows, test on the other half and all anomalies.

    Parameters
    ----------
    X
        Rows, shape (n, d), not scaled; see ``scaled``.
    y
        Labels, shape (n,), 1 for an anomaly.
    seed
        Of the shuffle.
    """
    normal = np.random.default_rng(seed).permutation(np.flatnonzero(y == 0))
    half = len(normal) // 2
    return _split(X[normal[:half]], X[normal[half:]], X[y == 1])


def first_half(X: Array, y: Labels) -> Split:
    """Train on the first half of the normal rows in the order of the file, test on all others.

    ``X``: rows, shape (n, d), not scaled. ``y``: labels, shape (n,), 1 for an anomaly.
    """
    normal = X[y == 0]
    half = len(normal) // 2
    return _split(normal[:half], normal[half:], X[y == 1])


def scaled(split: Split) -> Split:
    """Scale to [0, 1] on the training rows; a column constant in them only moves, to 0 there."""
    low = split.train.min(axis=0)
    return _in_units(split, low, split.train.max(axis=0) - low)


def standardised(split: Split) -> Split:
    """Scale to mean 0 and standard deviation 1 on the training rows; a constant one only moves."""
    varies = split.train.max(axis=0) > split.train.min(axis=0)  # rounding gives others a deviation
    return _in_units(split, split.train.mean(axis=0), split.train.std(axis=0) * varies)


def _in_units(split: Split, origin: Array, unit: Array) -> Split:
    unit = np.where(unit == 0, 1.0, unit)
    return Split((split.train - origin) / unit, (split.test - origin) / unit, split.labels)


def _split(train: Array, held_out: Array, anomalous: Array) -> Split:
    labels = np.repeat(np.array([0, 1]), [len(held_out), len(anomalous)])
    return Split(train, np.concatenate([held_out, anomalous]), labels)


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
