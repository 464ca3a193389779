"""The candidate with honest shares: python -m benchmarks.research.full SETS SEEDS [VARIANT].

The networks see 85 % of the training rows; the shares of N and R come from the other 15 %.
"""

import sys
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from advae import scoring
from advae.config import Config
from advae.fitting import fit_detector
from advae.reference import learn_reference
from advae.residuals import Memory, recall, weighed
from benchmarks.research.base import CACHE, marginal
from benchmarks.research.cond import VARIANTS, encode, train_net
from benchmarks.research.tables import load

CAL = 0.15


def nearest(kept, x, k=5):
    centre = kept.mean(0)
    kept, x = kept - centre, x - centre
    own = (kept**2).sum(1)
    out = []
    for i in range(0, len(x), 500):
        d = (x[i : i + 500] ** 2).sum(1)[:, None] + own - 2 * x[i : i + 500] @ kept.T
        d = np.sort(np.partition(d, k + 1, axis=1)[:, : k + 2], axis=1) if len(kept) > k + 2 else np.sort(d, 1)
        out.append(np.maximum(d, 0)[:, : k + 1])
    return np.concatenate(out)


def within_positions(train, test):
    """A number that never falls from training row to row is a position: beyond its end says nothing."""
    for c in train.columns:
        if train[c].dtype != pl.String and train[c].n_unique() > 2 and (train[c].diff().drop_nulls() >= 0).all():
            test = test.with_columns(pl.col(c).clip(train[c].min(), train[c].max()))
    return test


def main(name, seed, variant, dirt=0.0):
    t = load(name, seed, 0)
    t = t._replace(test=within_positions(t.train, t.test))
    train = t.train
    n = len(train)
    rng = np.random.default_rng(seed + 99)
    order = rng.permutation(n)
    count = int(np.clip(CAL * n, min(50, n // 3), 4000))
    held, fit = np.sort(order[:count]), np.sort(order[count:])
    settings = dict(VARIANTS[variant])
    settings.pop("cal", None), settings.pop("cap", None)
    tails, bins = settings.pop("tails", 0), settings.pop("bins", 16)
    hashed = [c for c in train.columns if train[c].dtype == pl.String and train[c].n_unique() > 50]
    config = Config.preset("default", threshold="kde", seed=seed)
    t0 = time.perf_counter()
    det = fit_detector(train[fit], config, hashed=hashed)
    t1 = time.perf_counter()
    k, ((x, b), (xh, bh), (xt, bt)) = encode(train[fit], [train[held], t.test], bins, tails)
    cond, _ = train_net(x, b, k, seed, **settings)
    t2 = time.perf_counter()
    out = {"y": t.labels, "fit_today": t1 - t0, "fit_cond": t2 - t1, "n": n}
    if t.kinds is not None:
        out["kinds"] = t.kinds.astype(str)
    m = [marginal(train[c], t.test[c]) for c in train.columns]
    out["m_tr"], out["m_te"] = np.stack([a for a, _ in m], 1)[held], np.stack([v for _, v in m], 1)
    w = det.table.network_width
    whole = det.table.transform(train)
    model, noise = det.model, det.latent_noise
    ref, kept = learn_reference(model, noise, whole[:, :w], config)
    rec = jax.jit(lambda x: recall(Memory(*map(jnp.asarray, ref.memory)), x))
    s0 = time.perf_counter()
    for key, e in (("tr", whole[held]), ("te", det.table.transform(t.test))):
        e, novel = e[:, :w], (e[:, w:] ** 2).sum(1)
        expected = scoring.score_rows(model, noise, e).expected
        N, D = [], []
        for i in range(0, len(e), 1000):
            part = jnp.asarray(e[i : i + 1000])
            r = rec(jnp.clip(part, -1, 2))
            W = jax.tree.map(lambda leaf: leaf[0], ref.whitening)
            N.append(np.asarray(jnp.sum(weighed(part - expected[i : i + 1000] - r.error, W) ** 2, 1)))
            D.append(np.asarray(jnp.sum((part - r.nearest) ** 2, 1)))
        out[f"N_{key}"], out[f"D_{key}"] = np.concatenate(N) + novel, np.concatenate(D) + novel
    s1 = time.perf_counter()
    out["c_tr"], out["c_te"] = cond(xh, bh), cond(xt, bt)
    s2 = time.perf_counter()
    out["score_today"], out["score_cond"] = s1 - s0, s2 - s1
    np.savez(CACHE / f"full-{variant}-{name}-{seed}.npz", **out)
    print(name, seed, "fit", round(t1 - t0, 1), round(t2 - t1, 1), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    variant = sys.argv[3] if len(sys.argv) > 3 else "q3"
    for seed in map(int, sys.argv[2].split(",")):
        for name in sys.argv[1].split(","):
            if not (CACHE / f"full-{variant}-{name}-{seed}.npz").exists():
                try:
                    main(name, seed, variant)
                except Exception as error:
                    print("FAILED", name, seed, repr(error)[:300], flush=True)
