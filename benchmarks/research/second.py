"""Second round, rules over the kept parts: python -m benchmarks.research.second [VARIANT] [SEEDS]."""

import sys

import numpy as np
from sklearn.metrics import average_precision_score as ap, roc_auc_score as roc

from benchmarks.research.base import CACHE

MIX = "kdd-u2r sick bank cmc german kdd-probe adult".split()
PLANTED = "payments payments-dirt flights".split()
NUM = "annthyroid thyroid fault Ionosphere mammography vowels Waveform Wilt optdigits breastw glass letter cardio Cardiotocography satellite satimage-2 pendigits".split()
PAPER = ["paper-" + n for n in "letter cardio satellite optdigits pendigits".split()]


def nats(tr, te, log, tail="mean", q=0.9, floor=None):
    shrink, tail = tail.endswith("p"), tail.rstrip("p") or "mean"
    tr = np.sort(tr)
    n = len(tr)
    floor = floor if floor is not None else (1e-6 if log else 1.0)
    at = np.quantile(tr, q, method="inverted_cdf")
    share = lambda v: -np.log((n - np.searchsorted(tr, v - 1e-12 * np.abs(v)) + 0.5) / (n + 1))
    f = (lambda v: np.log(np.maximum(v, 1e-12))) if log else (lambda v: v)
    above = tr[tr > at]
    if len(above) < 5:
        return share(te)
    e = f(above) - f(at)
    if tail == "mean":
        scale = np.mean(e)
    elif tail == "median":
        scale = np.median(e) / np.log(2)
    else:  # censored: what lies above a share of the excesses counts as at its end
        c = np.quantile(e, 1 - float(tail))
        scale = np.minimum(e, c).sum() / max((e <= c).sum(), 1)
    scale = max(scale, floor)
    base = share(np.array([at + 1e-9 * abs(at)]))[0] if (tr == at).mean() > 0.01 else -np.log(1 - q)
    z = np.maximum(f(te) - f(at), 0) / scale
    if shrink:  # the predictive tail of an exponential whose scale was estimated from m excesses
        m = len(e) if tail == "mean" else (e <= c).sum()
        z = m * np.log1p(z / m)
    return np.where(te <= at, share(te), base + z)


def norm(x, q):
    return (np.maximum(x, 0) ** q).sum(1) ** (1 / q)


def parts(name, seed, variant, tail, own=True):
    f = dict(np.load(CACHE / f"full-q3-{name}-{seed}.npz"))
    if own and name not in PLANTED and (CACHE / f"base-{name}-{seed}.npz").exists():
        b = dict(np.load(CACHE / f"base-{name}-{seed}.npz"))
        f |= {k: b[k] for k in ("N_tr", "N_te", "D_tr", "D_te")}
    if variant != "q3":
        c = np.load(CACHE / f"r-{variant}-{name}-{seed}.npz")
        f |= {k: c[k] for k in ("c_tr", "c_te")}
    knn = CACHE / f"knn-{name}-{seed}.npz"
    p = {"y": f["y"], "kinds": f.get("kinds"), "raw": f}
    c_tr, c_te = f["c_tr"][..., 0], f["c_te"][..., 0]

    def put(key, tr, te, log=False, **kw):
        p[key] = nats(tr, te, log, tail, **kw)
        p[key + "_tr"] = nats(tr, tr, log, tail, **kw)

    put("N", f["N_tr"], f["N_te"], True)
    put("D", f["D_tr"], f["D_te"], True)
    if knn.exists():
        k = np.load(knn)
        for key in k.files:
            if key.endswith("_te"):
                put(key[:-3], k[key[:-3] + "_tr"], k[key], True)
    for q in (1, 2, 2.5, 3):
        put(f"M{q}", norm(f["m_tr"], q), norm(f["m_te"], q))
        put(f"R{q}", norm(c_tr, q), norm(c_te, q))
        put(f"J{q}", norm(np.concatenate([c_tr, f["m_tr"]], 1), q), norm(np.concatenate([c_te, f["m_te"]], 1), q))
    p["L"], p["L_tr"] = p["N"] + p["D"] / 2, p["N_tr"] + p["D_tr"] / 2
    p["Lc"] = nats(p["L_tr"], p["L"], False, tail)
    p["ND"] = nats(p["N_tr"] + p["D_tr"], p["N"] + p["D"], False, tail)
    return p


def lse(p, *keys):
    return np.logaddexp.reduce([p[k] if isinstance(k, str) else k for k in keys])


RULES = {
    "L": lambda p: p["L"],
    "R2": lambda p: p["R2"],
    "L M2": lambda p: lse(p, "L", "M2"),
    "L R2": lambda p: lse(p, "L", "R2"),
    "L M2 R2": lambda p: lse(p, "L", "M2", "R2"),
    "Lc M2 R2": lambda p: lse(p, "Lc", "M2", "R2"),
    "Lc M2 R2 R1": lambda p: lse(p, "Lc", "M2", "R2", "R1"),
    "ND M2 R2": lambda p: lse(p, "ND", "M2", "R2"),
    "N D M2 R2": lambda p: lse(p, "N", "D", "M2", "R2"),
    "L M2.5 R2.5": lambda p: lse(p, "L", "M2.5", "R2.5"),
    "L M2 R2.5": lambda p: lse(p, "L", "M2", "R2.5"),
    "L M2 R3": lambda p: lse(p, "L", "M2", "R3"),
    "L M2 R2 R1": lambda p: lse(p, "L", "M2", "R2", "R1"),
    "L J2 R2": lambda p: lse(p, "L", "J2", "R2"),
    "L M2 R2 J2": lambda p: lse(p, "L", "J2", "R2", "M2"),
    "N+D/4 M2 R2": lambda p: lse(p, p["N"] + p["D"] / 4, "M2", "R2"),
    "N M2 R2": lambda p: lse(p, "N", "M2", "R2"),
    ".9L M2 R2": lambda p: lse(p, 0.9 * p["L"], "M2", "R2"),
    ".9L M2 R2 R1": lambda p: lse(p, 0.9 * p["L"], "M2", "R2", "R1"),
    "Lmean": lambda p: lse(p, p["N"] / 2 + p["D"] / 2, "M2", "R2"),
    "Lmax": lambda p: lse(p, np.maximum(p["N"], p["D"]), "M2", "R2"),
    "L2": lambda p: lse(p, np.hypot(p["N"], p["D"]), "M2", "R2"),
}

if __name__ == "__main__":
    variant = sys.argv[1] if len(sys.argv) > 1 else "q3"
    seeds = [int(s) for s in (sys.argv[2] if len(sys.argv) > 2 else "0").split(",")]
    tail = sys.argv[3] if len(sys.argv) > 3 else "mean"
    own = len(sys.argv) <= 4
    r = "q3" if variant == "q3" else variant
    pre = "full-q3" if variant == "q3" else f"r-{variant}"
    have = {n: [s for s in seeds if (CACHE / f"{pre}-{n}-{s}.npz").exists()] for n in PLANTED + MIX + NUM + PAPER}
    sets = [n for n in have if have[n]]
    loaded = {n: [parts(n, s, variant, tail, own) for s in have[n]] for n in sets}
    print(" " * 14, *(n.replace("payments-d", "d").replace("paper-", "p")[:4].rjust(4) for n in sets), "mixed num paper | ROC mixed num")
    for rule, f in RULES.items():
        try:
            a = {n: np.mean([100 * ap(p["y"], f(p)) for p in loaded[n]]) for n in sets}
        except KeyError:
            continue
        c = {n: np.mean([100 * roc(p["y"], f(p)) for p in loaded[n]]) for n in sets}
        mean = lambda a, g: np.mean([a[n] for n in sets if n in g] or [0])
        print(rule.ljust(14), *(f"{a[n]:4.0f}" for n in sets), *(f"{v:5.1f}" for v in (mean(a, MIX), mean(a, NUM), mean(a, PAPER), mean(c, MIX), mean(c, NUM))), "|", *(f"{a[n]:.1f}" for n in PLANTED if n in sets))
    for n in PLANTED:
        if n in sets:
            kinds = sorted(set(loaded[n][0]["kinds"]) - {""})
            print(n, *kinds, sep="  ")
            for rule, f in RULES.items():
                found = []
                try:
                    for p in loaded[n]:
                        v = f(p)
                        limit = np.quantile(v[p["y"] == 0], 1 - (0.005 if n == "flights" else 0.01))
                        found.append([100 * np.mean(v[p["kinds"] == k] > limit) for k in kinds])
                except KeyError:
                    continue
                print(rule.ljust(14), *(f"{x:4.0f}" for x in np.mean(found, 0)))
