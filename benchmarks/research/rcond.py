"""The conditional network alone, with full.py's split: python -m benchmarks.research.rcond SETS SEEDS VARIANTS."""

import sys
import time
import warnings

import numpy as np

from benchmarks.research.base import CACHE
from benchmarks.research.cond import encode, train_net
from benchmarks.research.full import CAL, within_positions
from benchmarks.research.tables import load

BASE = {"share": (0.0, 1.0), "wd": 0.03, "swap": 0.0, "smooth": True}
VARIANTS = {
    "q3": {},
    "b32": {"bins": 32},
    "b48h": {"bins": 48, "h": 256},
    "h256": {"h": 256},
    "h256i6": {"h": 256, "iters": 6000},
    "b32h6": {"bins": 32, "h": 256, "iters": 6000},
    "b256": {"batch": 512, "h": 256, "bins": 32},
    "low": {"share": (0.0, 0.5)},
    "wd1": {"wd": 0.01},
    "lowi6": {"share": (0.0, 0.5), "iters": 6000},
    "lowtrimj": {"share": (0.0, 0.5), "trim": 0.01, "joint": True},
    "i6": {"iters": 6000},
    "lr4": {"lr": 4e-3, "batch": 256},
    "trim": {"trim": 0.01},
    "trim2": {"trim": 0.02},
    "trimj": {"trim": 0.01, "joint": True},
    "trimj2": {"trim": 0.02, "joint": True},
    "lr2": {"batch": 256},
    "clock": {"clock": True},
    "o3": {"order": 3},
}


def main(name, seed, variant):
    t = load(name, seed, 0)
    t = t._replace(test=within_positions(t.train, t.test))
    n = len(t.train)
    order = np.random.default_rng(seed + 99).permutation(n)
    count = int(np.clip(CAL * n, min(50, n // 3), 4000))
    held, fit = np.sort(order[:count]), np.sort(order[count:])
    s = dict(BASE) | VARIANTS[variant]
    k, ((x, b), (xh, bh), (xt, bt)) = encode(t.train[fit], [t.train[held], t.test], s.pop("bins", 16), s.pop("tails", 5))
    t1 = time.perf_counter()
    cond, _ = train_net(x, b, k, seed, **s)
    t2 = time.perf_counter()
    c_tr, c_te = cond(xh, bh), cond(xt, bt)
    t3 = time.perf_counter()
    np.savez(CACHE / f"r-{variant}-{name}-{seed}.npz", c_tr=c_tr, c_te=c_te)
    print(variant, name, seed, "fit", round(t2 - t1, 1), "score", round(t3 - t2, 1), "held nats by column", dict(zip(t.train.columns, c_tr[..., 0].mean(0).round(2).tolist())) if len(t.train.columns) < 22 else round(float(c_tr[..., 0].sum(1).mean()), 2), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for variant in sys.argv[3].split(","):
        for seed in map(int, sys.argv[2].split(",")):
            for name in sys.argv[1].split(","):
                if not (CACHE / f"r-{variant}-{name}-{seed}.npz").exists():
                    try:
                        main(name, seed, variant)
                    except Exception as error:
                        print("FAILED", name, seed, variant, repr(error)[:300], flush=True)
