"""Today's factors and the marginal surprise, kept in files: python -m benchmarks.research.base SET SEED."""

import sys
import warnings
from pathlib import Path

import numpy as np
import polars as pl

from advae.config import Config
from advae.fitting import fit_detector
from benchmarks.research.tables import load

CACHE = Path("/tmp/accuracy/cache")


def marginal(train: pl.Series, test: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """-log of the two-sided tail share, or of the frequency, of the values of one column."""
    n = len(train)
    if train.dtype == pl.String:
        counts = dict(train.value_counts().iter_rows())
        return tuple(np.array([-np.log((counts.get(v, 0) + 0.5) / (n + 1)) for v in s.to_list()]) for s in (train, test))
    a = np.sort(train.drop_nulls().to_numpy().astype(float))
    m = max(len(a), 1)
    missing = -np.log((train.null_count() + 0.5) / (n + 1))

    def of(s: pl.Series, own: int) -> np.ndarray:
        v = s.to_numpy().astype(float)
        low = np.searchsorted(a, v, "right") / m
        high = 1 - np.searchsorted(a, v, "left") / m
        share = np.clip(2 * np.minimum(low, high), 1 / (m + 1), 1)
        return np.where(np.isnan(v), missing, -np.log(share))

    return of(train, 1), of(test, 0)


def today(t, seed):
    from advae import scoring
    from advae.networks import INPUT_RANGE
    from advae.residuals import Memory, recall, weighed
    import jax, jax.numpy as jnp
    hashed = [c for c in t.train.columns if t.train[c].dtype == pl.String and t.train[c].n_unique() > 50]
    det = fit_detector(t.train, Config.preset("default", threshold="kde", seed=seed), hashed=hashed)
    return det


def main(name: str, seed: int) -> None:
    cap = 20_000
    t = load(name, seed, cap)
    m = [marginal(t.train[c], t.test[c]) for c in t.train.columns]
    out = {"y": t.labels, "m_tr": np.stack([a for a, _ in m], 1), "m_te": np.stack([b for _, b in m], 1)}
    if t.kinds is not None:
        out["kinds"] = t.kinds.astype(str)
    det = today(t, seed)
    import dataclasses
    from advae import scoring
    from advae.residuals import recall, weighed, Memory
    import jax, jax.numpy as jnp
    out["s_te"] = det.anomaly_score(t.test)
    model, noise, ref = det.model, det.latent_noise, det.reference
    w = det.table.network_width
    enc = {'tr': det.table.transform(t.train[:6000]), 'te': det.table.transform(t.test)}

    rec = jax.jit(lambda x: recall(Memory(*map(jnp.asarray, ref.memory)), x))
    for key, whole in enc.items():
        x, novel = whole[:, :w], (whole[:, w:] ** 2).sum(1)
        expected = scoring.score_rows(model, noise, x).expected
        N, D, E = [], [], []
        for i in range(0, len(x), 1000):
            part = jnp.asarray(x[i : i + 1000])
            r = rec(jnp.clip(part, -1, 2))
            e = part - expected[i : i + 1000] - r.error
            W = jax.tree.map(lambda l: l[0], ref.whitening)
            N.append(np.asarray(jnp.sum(weighed(e, W) ** 2, 1)))
            D.append(np.asarray(jnp.sum((part - r.nearest) ** 2, 1)))
        out[f"N_{key}"], out[f"D_{key}"] = np.concatenate(N) + novel, np.concatenate(D) + novel
        out[f"P_{key}"] = ((x - expected) ** 2).sum(1)
    CACHE.mkdir(exist_ok=True)
    np.savez(CACHE / f"base-{name}-{seed}.npz", **out)
    from sklearn.metrics import average_precision_score as ap
    s = np.log(out["N_te"] + 1e-12) + np.log(out["D_te"] + 1e-12)
    print(name, seed, "today", round(100 * ap(t.labels, out["s_te"]), 1), "NxD", round(100 * ap(t.labels, s), 1), "M", round(100 * ap(t.labels, out["m_te"].sum(1)), 1), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    seeds = [int(s) for s in sys.argv[2].split(",")]
    for seed in seeds:
        for name in sys.argv[1].split(","):
            if not (CACHE / f"base-{name}-{seed}.npz").exists():
                main(name, seed)
