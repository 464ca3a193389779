"""Distances to several kept rows instead of one: python -m benchmarks.research.knn SETS SEEDS."""

import sys

import numpy as np
import polars as pl

from advae.table import TableEncoder
from benchmarks.research.base import CACHE
from benchmarks.research.full import within_positions
from benchmarks.research.second import PLANTED
from benchmarks.research.full import CAL
from benchmarks.research.tables import load


def nearest(kept, x, k, skip):
    own = (kept**2).sum(1)
    out = []
    for i in range(0, len(x), 1000):
        d = own - 2 * x[i : i + 1000] @ kept.T
        d = np.sort(np.partition(d, k + skip, axis=1)[:, : k + skip], axis=1)[:, skip:]
        out.append(np.maximum(d + (x[i : i + 1000] ** 2).sum(1)[:, None], 0))
    return np.concatenate(out)


for seed in map(int, sys.argv[2].split(",")):
    for name in sys.argv[1].split(","):
        t = load(name, seed, 0 if name in PLANTED else 20_000)
        t = t._replace(test=within_positions(t.train, t.test))
        hashed = [c for c in t.train.columns if t.train[c].dtype == pl.String and t.train[c].n_unique() > 50]
        table = TableEncoder.fit(t.train, hashed=hashed)
        w = table.network_width
        whole, test = table.transform(t.train), table.transform(t.test)
        n = len(whole)
        out = {}
        if name in PLANTED:  # full.py's split: the calibration rows are not kept
            order = np.random.default_rng(seed + 99).permutation(n)
            count = int(np.clip(CAL * n, min(50, n // 3), 4000))
            held, fit = np.sort(order[:count]), np.sort(order[count:])
        else:
            held = fit = np.arange(n)
        shown = held if name in PLANTED else held[:6000]
        skip = int(name not in PLANTED)
        for size in (4096, 16384):
            kept = fit if len(fit) <= size else np.sort(np.random.default_rng(seed).permutation(fit)[:size])
            inside = skip and len(kept) == n
            for key, e, s in (("tr", whole[shown], int(inside)), ("te", test, 0)):
                d = nearest(np.ascontiguousarray(whole[kept][:, :w]), np.clip(e[:, :w], -1, 2), 5, s) + ((e[:, :w] - np.clip(e[:, :w], -1, 2)) ** 2).sum(1)[:, None] + (e[:, w:] ** 2).sum(1)[:, None]
                for k in (1, 3, 5):
                    out[f"D{size}k{k}_{key}"] = d[:, k - 1]
                    out[f"D{size}m{k}_{key}"] = d[:, :k].mean(1)
        np.savez(CACHE / f"knn-{name}-{seed}.npz", **out)
        print(name, seed, flush=True)
