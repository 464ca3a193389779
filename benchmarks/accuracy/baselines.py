"""Detectors to compare with: what each is, its settings, and the scaling that it gets.

Settings are the library's own where none are given, and the same for every data set. All run on
one thread.
"""

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.harness.data import Array, Split, scaled, standardised
from benchmarks.peers.diffusion_time import most_likely_variance

Scaling = Literal["min-max", "standard"]
SCALINGS: dict[Scaling, Callable[[Split], Split]] = {"min-max": scaled, "standard": standardised}
Scorer = Callable[[Array], Array]
"""Gives each row a score that is higher for a more anomalous one."""


@dataclass(frozen=True)
class Baseline:
    """A detector to compare with.

    ``fit`` takes scaled training rows, the parameters, and a seed where it is ``seeded``: where
    its scores of the same rows depend on chance. ``needs``: packages beyond the library's own.
    """

    fit: Callable[..., Scorer]
    scaling: Scaling
    parameters: dict[str, Any] = field(default_factory=dict)
    seeded: bool = False
    needs: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Return the packages it needs that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]

    def scorer(self, train: Array, seed: int, parameters: dict[str, Any]) -> Scorer:
        """Fit to scaled training rows."""
        return self.fit(train, **parameters, **({"seed": seed} if self.seeded else {}))

    @property
    def settings(self) -> dict[str, Any]:
        """What its scores depend on, of JSON types."""
        return {"fit": self.fit.__name__, "scaling": self.scaling, "parameters": self.parameters}


def neighbours(train: Array, n_neighbors: int) -> Scorer:
    """Distance to the k-th nearest training row."""
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=n_neighbors).fit(train)
    return lambda rows: model.kneighbors(rows)[0][:, -1]


def diffusion_variances(train: Array, n_neighbors: int) -> Scorer:
    """DTE-NP: the noise that takes a row as far as it is from its nearest training rows."""
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=n_neighbors).fit(train)

    def score(rows: Array) -> Array:
        squares = np.square(model.kneighbors(rows)[0]).mean(axis=1)
        return most_likely_variance(squares, rows.shape[1])

    return score


def peer(train: Array, name: str, seed: int, **parameters: Any) -> Scorer:
    """One of benchmarks.peers, with its authors' settings."""
    fitted: Scorer = _class(f"benchmarks.peers.{name}")(train, seed, **parameters)
    return fitted


def principal_components(train: Array, share: float) -> Scorer:
    """Squared distance to the plane of the components that explain a share of the variance."""
    from sklearn.decomposition import PCA

    model = PCA(n_components=share, svd_solver="full").fit(train)

    def score(rows: Array) -> Array:
        return np.square(rows - model.inverse_transform(model.transform(rows))).sum(axis=1)

    return score


def scikit_learn(train: Array, name: str, seed: int | None = None, **parameters: Any) -> Scorer:
    """One of scikit-learn's outlier detectors."""
    given = {} if seed is None else {"random_state": seed}
    model = _class(f"sklearn.{name}")(**parameters, **given).fit(train)
    return lambda rows: -model.score_samples(rows)


def pyod(train: Array, name: str, **parameters: Any) -> Scorer:
    """One of PyOD's detectors."""
    return _pyod(name, parameters, train).decision_function


def pyod_random(train: Array, name: str, seed: int, **parameters: Any) -> Scorer:
    """One of PyOD's detectors that draws."""
    return pyod(train, name, random_state=seed, **parameters)


def angles(train: Array, **parameters: Any) -> Scorer:
    """PyOD's fast ABOD, where a row that coincides with its neighbours is the most normal one.

    It spans no angle with them; PyOD divides by the distance and returns NaN or an infinity.
    """
    variance = pyod(train, "abod.ABOD", method="fast", **parameters)

    def score(rows: Array) -> Array:
        scores = np.asarray(variance(rows), np.float64)
        finite = np.isfinite(scores)
        return np.where(finite, scores, scores[finite].min() if finite.any() else 0.0)

    return score


def pyod_network(train: Array, name: str, seed: int, **parameters: Any) -> Scorer:
    """One of PyOD's PyTorch detectors, whose randomness is that of the process in part."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (DeepSVDD shuffles with it, in a process of ours)
    if name in ("deep_svdd.DeepSVDD", "vae.VAE", "lunar.LUNAR"):
        parameters |= {"random_state": seed}
    if name == "deep_svdd.DeepSVDD":
        parameters |= {"n_features": train.shape[1]}
    return _pyod(name, parameters, train).decision_function


def evidence_bound_vae(train: Array, seed: int, **parameters: Any) -> Scorer:
    """PyOD's VAE with the loss of a VAE.

    Its KLD is clipped to [0, capacity], and the default capacity is 0: there is no KLD then. Its
    reconstruction error is a mean over the d columns, its KLD a sum over the latent variables, so
    beta = 2 / d gives the evidence lower bound of a Gaussian of variance 1.
    """
    beta = 2 / train.shape[1]
    return pyod_network(train, "vae.VAE", seed, capacity=1e9, beta=beta, **parameters)


def negated_gaal(train: Array, seed: int, **parameters: Any) -> Scorer:
    """PyOD's MO_GAAL, upside down.

    PyOD 3.6.7 returns D(x), which the discriminator learns to be 1 on real rows; the score of the
    method's paper is 1 - D(x).
    """
    normality = pyod_network(train, "mo_gaal.MO_GAAL", seed, **parameters)
    return lambda rows: -normality(rows)


def subspaces_of_all(train: Array, **parameters: Any) -> Scorer:
    """PyOD's SOD among training and test rows.

    Its decision function compares rows only with each other and forgets the training rows, which
    are therefore given to it again.
    """
    from pyod.models.sod import SOD

    model = SOD(**parameters)
    return lambda rows: model.decision_function(np.concatenate([train, rows]))[len(train) :]


QUIET = {"verbose": 0}
PYOD = ("pyod",)
TORCH = ("pyod", "torch")
DEEP: dict[str, tuple[Scaling, str]] = {
    "DTE-C": ("standard", "diffusion_time.diffusion_times"),
    "ICL": ("standard", "internal_contrast.internal_contrast"),
    "NeuTraL": ("min-max", "neural_transformations.neural_transformations"),
    "DDAE": ("standard", "scheduled_denoising.scheduled_denoising"),
    "K-DSM": ("standard", "score_matching.score_matching"),
}
"""Networks of benchmarks.peers: their scaling, and what fits them."""

BASELINES: dict[str, Baseline] = {
    "1-NN": Baseline(neighbours, "min-max", {"n_neighbors": 1}),
    "5-NN": Baseline(neighbours, "min-max", {"n_neighbors": 5}),
    "LOF": Baseline(
        scikit_learn, "min-max", {"name": "neighbors.LocalOutlierFactor", "novelty": True}
    ),
    "OCSVM": Baseline(scikit_learn, "standard", {"name": "svm.OneClassSVM"}),
    "IForest": Baseline(scikit_learn, "min-max", {"name": "ensemble.IsolationForest"}, seeded=True),
    "PCA": Baseline(principal_components, "min-max", {"share": 0.9}),
    "ECOD": Baseline(pyod, "min-max", {"name": "ecod.ECOD"}, needs=PYOD),
    "HBOS": Baseline(pyod, "min-max", {"name": "hbos.HBOS"}, needs=PYOD),
    "ABOD": Baseline(angles, "min-max", needs=PYOD),
    "LUNAR": Baseline(
        pyod_network,
        "min-max",
        {"name": "lunar.LUNAR", "scaler": False},
        seeded=True,
        needs=TORCH,
    ),
    "VAE, PyOD": Baseline(
        evidence_bound_vae, "standard", {"preprocessing": False} | QUIET, seeded=True, needs=TORCH
    ),
    "MO_GAAL": Baseline(negated_gaal, "min-max", seeded=True, needs=TORCH),
    "DeepSVDD": Baseline(
        pyod_network,
        "standard",
        {"name": "deep_svdd.DeepSVDD", "preprocessing": False} | QUIET,
        seeded=True,
        needs=TORCH,
    ),
    "SOD": Baseline(subspaces_of_all, "min-max", needs=PYOD),
    "DTE-NP": Baseline(diffusion_variances, "standard", {"n_neighbors": 5}),
    **{
        name: Baseline(peer, scaling, {"name": function}, seeded=True, needs=("torch",))
        for name, (scaling, function) in DEEP.items()
    },
    "KDE": Baseline(pyod, "standard", {"name": "kde.KDE"}, needs=PYOD),
    "GMM": Baseline(pyod_random, "standard", {"name": "gmm.GMM"}, seeded=True, needs=PYOD),
    "INNE": Baseline(pyod_random, "min-max", {"name": "inne.INNE"}, seeded=True, needs=PYOD),
}


def check_installed(methods: Iterable[str]) -> None:
    """Raise ValueError for a baseline of these methods that lacks a package."""
    for name in methods:
        missing = BASELINES[name].missing() if name in BASELINES else []
        if missing:
            raise ValueError(
                f"{name} needs {' and '.join(missing)}: pip install 'advae[bench]', or name other "
                "methods with --methods"
            )


def _pyod(name: str, parameters: dict[str, Any], train: Array) -> Any:
    model = _class(f"pyod.models.{name}")(**parameters)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        return model.fit(train)


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)
