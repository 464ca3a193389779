"""Conditional surprise: each column of a row predicted while it is hidden, -log p of its value."""

import sys
import time
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from benchmarks.research.base import CACHE
from benchmarks.research.tables import load


class Number:
    """Quantile bins, and a piecewise linear encoding of them; a spike is a bin of its own."""

    def __init__(self, s: pl.Series, bins: int, tails: int = 0):
        a = s.drop_nulls().to_numpy().astype(float)
        values = np.unique(a)
        if len(values) <= bins + 16:
            edges = (values[1:] + values[:-1]) / 2
        else:
            counts = np.diff(np.searchsorted(np.sort(a), np.append(values, np.inf)))
            spike = counts > len(a) / bins
            rest = a[~np.isin(a, values[spike])]
            levels = np.arange(1, bins) / bins
            if tails:
                # each further one holds half of what is left, down to `tails` rows
                far = 0.5 ** np.arange(1, 40) / bins
                far = far[far * len(rest) >= tails]
                levels = np.concatenate([far, levels, 1 - far])
            q = np.unique(np.quantile(rest, np.sort(levels), method="inverted_cdf"))
            places = np.flatnonzero(spike)
            after = values[places[places + 1 < len(values)] + 1]
            q = np.unique(np.concatenate([q, values[places], after]))
            edges = q[q > values[0]]
        self.edges = edges
        self.low, self.high = (values[0], values[-1]) if len(values) else (0.0, 0.0)
        self.k = len(edges) + 2  # and one for missing
        self.median = float(np.median(a)) if len(a) else 0.0

    def bins(self, s):
        v = s.to_numpy().astype(float)
        b = np.searchsorted(self.edges, v, "right")
        return np.where(np.isnan(v), self.k - 1, b)

    def inputs(self, s):
        v = s.to_numpy().astype(float)
        e = np.concatenate([[self.low], self.edges, [self.high]])
        width = np.diff(e)
        width[width <= 0] = 1.0
        x = np.clip((v[:, None] - e[:-1]) / width, 0, 1)
        miss = np.isnan(v)
        x[miss] = 0
        return np.concatenate([x, miss[:, None]], 1).astype(np.float32)


class Category:
    def __init__(self, s: pl.Series, bins: int, tails: int = 0):
        counts = s.value_counts().drop_nulls().sort(["count", s.name], descending=True)
        self.levels = {v: i for i, (v, c) in enumerate(counts.iter_rows()) if c > 1 or len(counts) < 3}
        self.k = len(self.levels) + 1

    def bins(self, s):
        return np.array([self.levels.get(v, self.k - 1) for v in s.to_list()])

    def inputs(self, s):
        return np.eye(self.k, dtype=np.float32)[self.bins(s)]


def encode(train, tests, bins, tails):
    cols = [(Category if train[c].dtype == pl.String else Number)(train[c], bins, tails) for c in train.columns]
    cols = list(zip(train.columns, cols))
    k = [c.k for _, c in cols]
    def x(f):
        return np.concatenate([c.inputs(f[n]) for n, c in cols], 1)
    def b(f):
        return np.stack([c.bins(f[n]) for n, c in cols], 1)
    u = np.concatenate([np.linspace(-1.7, 1.7, c.k - 1).tolist() + [0] if isinstance(c, Number) and c.k > 3 else np.zeros(c.k) for _, c in cols])
    return (k, u.astype(np.float32)), [(x(f), b(f)) for f in (train, *tests)]


def layer(rng, i, o):
    return [rng.normal(0, np.sqrt(2 / i), (i, o)).astype(np.float32), np.zeros(o, np.float32)]


def train_net(x, b, k, seed, iters=3000, batch=128, h=128, depth=2, share=(0.1, 0.6), swap=0.1, lr=2e-3, wd=0.0, drop=0.0, smooth=False, floor=0.0, vae=0.0, latent=32, trim=0.0, joint=False):
    k, u = k
    rng = np.random.default_rng(seed)
    d, K = len(k), sum(k)
    starts = np.cumsum([0, *k[:-1]])
    owner = np.repeat(np.arange(d), k)
    S = jnp.asarray(np.eye(d, dtype=np.float32)[owner])  # K x d
    n = len(x)
    prior = np.concatenate([np.log((np.bincount(b[:, j], minlength=k[j]) + 0.5) / (n + 0.5 * k[j])) for j in range(d)]).astype(np.float32)
    lone = smooth * d
    sizes = [K + d + lone, *[h] * depth, K + 2 * lone]
    if vae:
        latent = min(latent, d)
        sizes = [K + d + lone, h, h, 2 * latent, h, h, K + 2 * lone]
    U = jnp.asarray(u)
    # the coordinate of a value among its bins, from its piecewise linear encoding
    first = np.concatenate([[u[s]] for s in starts])
    gaps = np.zeros(K, np.float32)
    for s_, k_ in zip(starts, k):
        if u[s_] < 0: gaps[s_ : s_ + k_ - 1] = 3.4 / (k_ - 1)
    to_u = jnp.asarray(np.eye(d, dtype=np.float32)[owner] * gaps[:, None])
    first = jnp.asarray(first)
    params = [layer(rng, i, o) for i, o in zip(sizes[:-1], sizes[1:])]
    if vae:
        params[3] = layer(rng, latent, h)
        params[2][0] *= 0.3
    params[-1][0] *= 0.1
    X, B = jnp.asarray(x), jnp.asarray(b.astype(np.int32))
    ST = jnp.asarray(starts, jnp.int32)
    ow = jnp.asarray(owner)
    prior = jnp.asarray(prior)

    kl = []

    def logits(params, x, mask, key=None):
        z = jnp.concatenate([x * (1 - mask)[:, ow], mask, *([(x @ to_u + first) * (1 - mask)] if smooth else [])], 1)
        for i, (w, bb) in enumerate(params[:-1]):
            z = z @ w + bb
            if vae and i == 2:
                mean, lv = z[:, :latent], jnp.clip(z[:, latent:], -12, 6)
                z = mean if key is None else mean + jnp.exp(lv / 2) * jax.random.normal(jax.random.fold_in(key, 9), mean.shape)
                if key is not None:
                    kl.append(0.5 * jnp.mean(jnp.sum(mean**2 + jnp.exp(lv) - 1 - lv, 1)))
                continue
            z = jax.nn.relu(z)
            if drop and key is not None:
                z = z * jax.random.bernoulli(jax.random.fold_in(key, i), 1 - drop, z.shape) / (1 - drop)
        o = z @ params[-1][0] + params[-1][1]
        if smooth:
            o, a, c = o[:, :K], o[:, K : K + d], o[:, K + d :]
            o = o + a[:, ow] * U + c[:, ow] * U**2
        return o + prior

    def logp(params, x, mask, b, key=None):
        o = logits(params, x, mask, key)
        top = jax.ops.segment_max(jax.lax.stop_gradient(o).T, ow, d, indices_are_sorted=True).T
        o = o - top[:, ow]
        lse = jnp.log(jnp.exp(o) @ S + 1e-30)
        picked = jnp.take_along_axis(o, b + ST, 1)
        return picked - lse

    def loss(params, x, mask, b, key):
        kl.clear()
        error = -jnp.mean(jnp.sum(logp(params, x, mask, b, key) * mask, 1) / (jnp.sum(mask, 1) + 1e-6))
        return error + (vae * kl[0] if vae else 0.0)

    def step(i, carry):
        params, m, v, key = carry
        key, a, c, s1, s2, s3, kd = jax.random.split(key, 7)
        rows = jax.random.randint(a, (batch,), 0, n)
        sh = jax.random.uniform(c, (batch, 1), minval=share[0], maxval=share[1])
        u = jax.random.uniform(s1, (batch, d))
        mask = ((u < sh) | (u <= u.min(1, keepdims=True))).astype(jnp.float32)
        xb, bb = X[rows], B[rows]
        if swap:
            other = X[jax.random.randint(s2, (batch,), 0, n)]
            sw = (jax.random.uniform(s3, (batch, d)) < swap * jax.random.uniform(s2, (batch, 1)))
            xs = jnp.where(sw[:, ow], other, xb)
        else:
            xs = xb
        g = jax.grad(loss)(params, xs, mask, bb, kd)
        size = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(g)))
        g = jax.tree.map(lambda leaf: leaf * jnp.minimum(1.0, 1.0 / (size + 1e-9)), g)
        t = i + 1.0
        rate = lr * 0.5 * (1 + jnp.cos(jnp.pi * i / iters))
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        params = jax.tree.map(lambda p, a, b: p - rate * (a / (1 - 0.9**t) / (jnp.sqrt(b / (1 - 0.999**t)) + 1e-8) + wd * p), params, m, v)
        return params, m, v, key

    zeros = jax.tree.map(jnp.zeros_like, params)
    carry = (jax.tree.map(jnp.asarray, params), zeros, jax.tree.map(jnp.zeros_like, params), jax.random.key(seed))
    half = iters // 2 if trim else iters
    carry = jax.jit(lambda c: jax.lax.fori_loop(0, half, step, c), donate_argnums=0)(carry)
    params = carry[0]

    @jax.jit
    def hide(params, x, b, j):
        mask = jnp.zeros((len(x), d)).at[:, j].set(1.0)
        o = logits(params, x, mask)
        o = jnp.where(ow[None, :] == j, o, -jnp.inf)
        lp = jax.nn.log_softmax(o, 1)
        p = jnp.exp(lp)
        ent = -jnp.sum(jnp.where(p > 0, p * lp, 0), 1)
        ent2 = jnp.sum(jnp.where(p > 0, p * lp * lp, 0), 1) - ent**2
        return -jnp.take_along_axis(lp, (b[:, j] + ST[j])[:, None], 1)[:, 0], ent, ent2

    def score(x, b):
        out = []
        for i in range(0, len(x), 2000):
            xb, bb = jnp.asarray(x[i : i + 2000]), jnp.asarray(b[i : i + 2000].astype(np.int32))
            out.append(np.stack([np.stack(hide(params, xb, bb, j), -1) for j in range(d)], 1))
        return np.concatenate(out)

    if trim:  # the most surprising rows so far are not learned any further
        odd = (score(x, b)[..., 0] ** 2).sum(1)
        if joint:
            odd = odd + (np.asarray(prior)[b + starts] ** 2).sum(1)
        keep = np.flatnonzero(odd <= np.quantile(odd, 1 - trim))
        X, B, n = X[keep], B[keep], len(keep)
        carry = jax.jit(lambda c: jax.lax.fori_loop(half, iters, lambda i, c: step(i, c), c), donate_argnums=0)(carry)
        params = carry[0]
    return score, jax.block_until_ready(params)


def main(name, seed, variant, bins=16, tails=0, cap=20_000, cal=0.0, **kw):
    t = load(name, seed, cap)
    train = t.train
    n = len(train)
    order = np.random.default_rng(seed + 99).permutation(n)
    held = order[: int(cal * n)][:4000] if cal else order[:3000]
    fit = np.setdiff1d(np.arange(n), held) if cal else np.arange(n)
    k, ((x, b), (xh, bh), (xt, bt)) = encode(train[fit], [train[held], t.test], bins, tails)
    t0 = time.perf_counter()
    score, _ = train_net(x, b, k, seed, **kw)
    t1 = time.perf_counter()
    c_te, c_tr = score(xt, bt), score(xh, bh)
    t2 = time.perf_counter()
    np.savez(CACHE / f"cond-{variant}-{name}-{seed}.npz", c_te=c_te, c_tr=c_tr, held=held, k=k[0], fit=t1 - t0, score=t2 - t1)
    from sklearn.metrics import average_precision_score as ap
    s, e, v = c_te[..., 0], c_te[..., 1], c_te[..., 2]
    z = (s - e)
    a = lambda q: f"{100 * ap(t.labels, q):.1f}"
    print(variant, name, seed, "sum", a(s.sum(1)), "sum-ent", a(z.sum(1)), "pos", a(np.maximum(z, 0).sum(1)), "max", a(z.max(1)), "train/test nats", round(float(c_tr[..., 0].sum(1).mean()), 2), round(float(s[t.labels == 0].sum(1).mean()), 2), "fit", round(t1 - t0, 1), "score/1000", round((t2 - t1) / (len(xt) + len(xh)) * 1000, 2), flush=True)


VARIANTS = {
    "b16": {},
    "b32": {"bins": 32},
    "b16s": {"iters": 1000},
    "b16d": {"drop": 0.1},
    "b16w": {"wd": 0.01},
    "b16c": {"cal": 0.15},
    "b8": {"bins": 8},
    "t": {"tails": 5, "share": (0.1, 1.0), "wd": 0.03},
    "t2": {"tails": 2, "bins": 12, "share": (0.1, 1.0), "wd": 0.03},
    "th": {"tails": 5, "share": (0.1, 1.0), "wd": 0.03, "h": 256},
    "ts": {"tails": 5, "share": (0.05, 0.5), "wd": 0.03},
    "tc": {"tails": 5, "share": (0.1, 1.0), "wd": 0.03, "cap": 90_000},
    "t0": {"tails": 5, "share": (0.1, 1.0), "wd": 0.03, "swap": 0.0},
    "q": {"tails": 5, "share": (0.1, 1.0), "wd": 0.03, "swap": 0.0, "smooth": True},
    "q2": {"tails": 5, "share": (0.0, 1.0), "wd": 0.03, "swap": 0.0, "smooth": True, "iters": 2000, "lr": 0.001},
    "q3": {"tails": 5, "share": (0.0, 1.0), "wd": 0.03, "swap": 0.0, "smooth": True, "cal": 0.15},
    "q4": {"tails": 5, "share": (0.0, 1.0), "wd": 0.03, "swap": 0.0, "smooth": True, "cal": 0.15, "drop": 0.1},
    "v3": {"tails": 5, "share": (0.0, 1.0), "wd": 0.03, "swap": 0.0, "smooth": True, "cal": 0.15, "vae": 1e-3},
    "v4": {"tails": 5, "share": (0.0, 1.0), "wd": 0.03, "swap": 0.0, "smooth": True, "cal": 0.15, "vae": 1e-4},
    "q5": {"tails": 5, "share": (0.0, 1.0), "wd": 0.03, "swap": 0.0, "smooth": True, "cal": 0.15, "cap": 90_000},
    "q6": {"tails": 5, "share": (0.0, 1.0), "wd": 0.03, "swap": 0.0, "smooth": True, "cal": 0.15, "iters": 1500},
    "s1": {"iters": 1000},
    "d2": {"drop": 0.2},
    "d5": {"drop": 0.5},
    "w3": {"wd": 0.03},
    "w10": {"wd": 0.1},
    "m9": {"share": (0.1, 1.0)},
    "s9": {"swap": 0.9},
    "d2w3": {"drop": 0.2, "wd": 0.03},
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for variant in sys.argv[3].split(","):
        for seed in map(int, sys.argv[2].split(",")):
            for name in sys.argv[1].split(","):
                if not (CACHE / f"cond-{variant}-{name}-{seed}.npz").exists():
                    main(name, seed, variant, **VARIANTS[variant])
