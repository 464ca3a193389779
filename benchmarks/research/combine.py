"""Combinations of the kept factors: python -m benchmarks.research.combine VARIANT [SEEDS]."""

import sys
import numpy as np
from sklearn.metrics import average_precision_score as ap, roc_auc_score as roc
from benchmarks.research.base import CACHE

MIX = "kdd-u2r sick bank cmc payments flights kdd-probe adult german".split()
NUM = "annthyroid thyroid fault Ionosphere mammography vowels Waveform Wilt optdigits".split()
CONF = "breastw glass letter cardio Cardiotocography satellite satimage-2 pendigits".split()


ORACLE = len(sys.argv) > 3


def nats(tr, te, q=0.9, log=True, floor=1e-6):
    """-log share of normal rows that reach a value; beyond the 90th percentile an exponential tail."""
    tr = np.sort(tr)
    n = len(tr)
    at = np.quantile(tr, q, method="inverted_cdf")
    share = lambda v: -np.log((n - np.searchsorted(tr, v - 1e-12 * np.abs(v)) + 0.5) / (n + 1))
    f = (lambda v: np.log(np.maximum(v, 1e-12))) if log else (lambda v: v)
    above = tr[tr > at]
    if len(above) < 5:
        return share(te)
    scale = max(np.mean(f(above) - f(at)), floor)
    base = share(np.array([at + 1e-9 * abs(at)]))[0] if (tr == at).mean() > 0.01 else -np.log(1 - q)
    return np.where(te <= at, share(te), base + (f(te) - f(at)) / scale)


def lse(x, axis=1):
    m = x.max(axis, keepdims=True)
    return (m + np.log(np.exp(x - m).sum(axis, keepdims=True)))[:, 0]


def parts(name, seed, variant):
    b = dict(np.load(CACHE / f"base-{name}-{seed}.npz"))
    c = dict(np.load(CACHE / f"cond-{variant}-{name}-{seed}.npz"))
    if ORACLE:
        normal = np.flatnonzero(b["y"] == 0)[::2]
        for f, g in ((b, "N"), (b, "D"), (b, "m"), (c, "c")):
            f[g + "_tr"] = f[g + "_te"][normal]
    p = {}
    p["y"], p["kinds"] = b["y"], b.get("kinds")
    p["N"], p["D"] = nats(b["N_tr"], b["N_te"]), nats(b["D_tr"], b["D_te"])
    M_tr, M_te = b["m_tr"].sum(1), b["m_te"].sum(1)
    p["M"] = nats(M_tr, M_te, log=False)
    p["Mx"] = nats(b["m_tr"].max(1), b["m_te"].max(1), log=False)
    s, e = c["c_te"][..., 0], c["c_te"][..., 1]
    str_, etr = c["c_tr"][..., 0], c["c_tr"][..., 1]
    p["C"] = nats(str_.sum(1), s.sum(1), log=False)
    p["Ce"] = nats((str_ - etr).sum(1), (s - e).sum(1), log=False)
    p["Cp"] = nats(np.maximum(str_ - etr, 0).sum(1), np.maximum(s - e, 0).sum(1), log=False)
    p["Cx"] = nats((str_ - etr).max(1), (s - e).max(1), log=False)
    # each column calibrated by itself
    u = np.stack([nats(str_[:, j], s[:, j], log=False) for j in range(s.shape[1])], 1)
    utr = np.stack([nats(str_[:, j], str_[:, j], log=False) for j in range(s.shape[1])], 1)
    p["U"] = nats(utr.sum(1), u.sum(1), log=False)
    p["Ux"] = nats(utr.max(1), u.max(1), log=False)
    ztr, z = np.maximum(str_ - etr, 0), np.maximum(s - e, 0)
    for q in (2, 3, 4):
        p[f"C{q}"] = nats((ztr**q).sum(1) ** (1 / q), (z**q).sum(1) ** (1 / q), log=False)
        p[f"R{q}"] = nats((str_**q).sum(1) ** (1 / q), (s**q).sum(1) ** (1 / q), log=False)
    mt, mr = b["m_te"], b["m_tr"]
    if len(mr) != len(str_):
        mr = mr[c["held"]]
    for q in (2, 3):
        f = lambda s, m, q=q: (np.maximum(s, m) ** q).sum(1) ** (1 / q)
        p[f"X{q}"] = nats(f(str_, mr), f(s, mt), log=False)
        f = lambda s, m, q=q: ((s + m) ** q).sum(1) ** (1 / q)
        p[f"A{q}"] = nats(f(str_, mr), f(s, mt), log=False)
        f = lambda s, m, q=q: (s**q + m**q).sum(1) ** (1 / q)
        p[f"J{q}"] = nats(f(str_, mr), f(s, mt), log=False)
    w = np.sqrt(c["c_tr"][..., 2].mean(0) + 0.1)
    p["W2"] = nats(np.sqrt(((ztr / w)**2).sum(1)), np.sqrt(((z / w)**2).sum(1)), log=False)
    p["Craw"] = s.sum(1)
    p["today"] = b["s_te"]
    return p


L = lambda p: p["N"] + p["D"] / 2
l2 = lambda *v: np.sqrt(sum(np.maximum(x, 0) ** 2 for x in v))
mx = lambda *v: np.maximum.reduce(v)
RULES = {
    "today": lambda p: p["today"],
    "N*D": lambda p: p["N"] + p["D"],
    **{k: (lambda p, k=k: p[k]) for k in ("M", "C", "R2", "R3", "Cx", "X2", "J2", "J3")},
    "lead": lambda p: L(p) + p["M"] / 4,
    "max(L,R2)": lambda p: mx(L(p), p["R2"]),
    "max(L,R3)": lambda p: mx(L(p), p["R3"]),
    "max(L,J2)": lambda p: mx(L(p), p["J2"]),
    "max(L,M,R2)": lambda p: mx(L(p), p["M"], p["R2"]),
    "max(L,M,1.5R2)": lambda p: mx(L(p), p["M"], 1.5*p["R2"]),
    "max(L,M,2R2)": lambda p: mx(L(p), p["M"], 2*p["R2"]),
    "max(L,M,R3)": lambda p: mx(L(p), p["M"], p["R3"]),
    "max(L,M,C,R3)": lambda p: mx(L(p), p["M"], p["R3"], p["C"]),
    "max(L,M,R2,J2)": lambda p: mx(L(p), p["M"], p["R2"], p["J2"]),
    "l2(L,M,R2)": lambda p: l2(L(p), p["M"], p["R2"]),
    "l3(L,M,R2)": lambda p: L(p)**3+ p["M"]**3 + p["R2"]**3,
    "l2(L,R2)": lambda p: l2(L(p), p["R2"]),
    "l2(L,M,R3)": lambda p: l2(L(p), p["M"], p["R3"]),
    "l2(L,M,R2,J2)": lambda p: l2(L(p), p["M"], p["R2"], p["J2"]),
    "l2(L,M,1.5R2)": lambda p: l2(L(p), p["M"], 1.5 * p["R2"]),
    "l2(L/2,M,R2)": lambda p: l2(L(p)/2, p["M"], p["R2"]),
    "l2(L/1.5,M,R2)": lambda p: l2(L(p)/1.5, p["M"], p["R2"]),
    "l3(L/1.5,M,R2)": lambda p: (L(p)/1.5)**3+ p["M"]**3+ p["R2"]**3,
    "max(L/1.5,M,R2)": lambda p: mx(L(p)/1.5, p["M"], p["R2"]),
}

if __name__ == "__main__":
    variant = sys.argv[1]
    seeds = [int(s) for s in sys.argv[2].split(",")] if len(sys.argv) > 2 else [0]
    sets = [n for n in MIX + NUM + CONF if all((CACHE / f"{k}-{n}-{s}.npz").exists() for k in ("base", f"cond-{variant}") for s in seeds)]
    loaded = {n: [parts(n, s, variant) for s in seeds] for n in sets}
    print(" " * 15, *(n[:5].rjust(5) for n in sets), "mixed  num")
    for rule, f in RULES.items():
        a = {n: np.mean([100 * ap(p["y"], f(p)) for p in loaded[n]]) for n in sets}
        mixed = [a[n] for n in sets if n in MIX and n not in ("payments", "flights")]
        num = [a[n] for n in sets if n not in MIX]
        print(rule.ljust(15), *(f"{a[n]:5.1f}" for n in sets), f"{np.mean(mixed):5.1f}", f"{np.mean(num or [0]):5.1f}")
    for n, rate in (("payments", 0.01), ("flights", 0.005)):
        if n in loaded:
            kinds = sorted(set(loaded[n][0]["kinds"]) - {""})
            print("\n" + n, kinds)
            for rule, f in RULES.items():
                found = []
                for p in loaded[n]:
                    v = f(p)
                    limit = np.quantile(v[p["y"] == 0], 1 - rate)
                    found.append([100 * np.mean(v[p["kinds"] == k] > limit) for k in kinds])
                print(rule.ljust(15), *(f"{x:6.0f}" for x in np.mean(found, 0)))
