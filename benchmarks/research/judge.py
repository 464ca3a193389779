"""Rules over the parts that full.py kept: python -m benchmarks.research.judge VARIANT SEEDS."""

import sys
import numpy as np
from sklearn.metrics import average_precision_score as ap, roc_auc_score as roc
from benchmarks.research.base import CACHE
from benchmarks.research.combine import nats

FLOOR = float(sys.argv[3]) if len(sys.argv) > 3 else 1e-6
Q = float(sys.argv[4]) if len(sys.argv) > 4 else 0.9
MIX = "kdd-u2r sick bank cmc german kdd-probe adult".split()
PLANTED = "payments payments-dirt flights".split()
NUM = "annthyroid thyroid fault Ionosphere mammography vowels Waveform Wilt musk optdigits breastw glass letter cardio Cardiotocography satellite satimage-2 pendigits".split()
PAPER = ["paper-" + n for n in "letter cardio satellite optdigits pendigits".split()]


def norm(x, q):
    return (np.maximum(x, 0) ** q).sum(1) ** (1 / q)


def parts(name, seed, variant):
    f = dict(np.load(CACHE / f"full-{variant}-{name}-{seed}.npz"))
    if len(sys.argv) > 5 and name not in PLANTED:  # networks of N on all rows, shares from the same rows
        b = dict(np.load(CACHE / f"base-{name}-{seed}.npz"))
        f |= {k: b[k] for k in ("N_tr", "N_te", "D_tr", "D_te")}
    p = {"y": f["y"], "kinds": f.get("kinds"), "raw": f}
    both = {}
    c_tr, c_te = f["c_tr"][..., 0], f["c_te"][..., 0]
    e_tr, e_te = f["c_tr"][..., 1], f["c_te"][..., 1]
    def put(key, tr, te, log=False):
        p[key], p[key + "_tr"] = nats(tr, te, log=log, q=Q, floor=1e-6 if log else FLOOR), nats(tr, tr, log=log, q=Q, floor=1e-6 if log else FLOOR)
    put("N", f["N_tr"], f["N_te"], True)
    put("D", f["D_tr"], f["D_te"], True)
    put("M", norm(f["m_tr"], 1), norm(f["m_te"], 1))
    put("M2", norm(f["m_tr"], 2), norm(f["m_te"], 2))
    for q in (1, 2, 3):
        put(f"R{q}", norm(c_tr, q), norm(c_te, q))
        put(f"J{q}", norm(np.concatenate([c_tr, f["m_tr"]], 1), q), norm(np.concatenate([c_te, f["m_te"]], 1), q))
    p["ND"] = np.log(f["N_te"] + 1e-12) + np.log(f["D_te"] + 1e-12)
    p["L"] = p["N"] + p["D"] / 2
    p["L_tr"] = p["N_tr"] + p["D_tr"] / 2
    
    return p


mx = lambda *v: np.maximum.reduce(v)
lp = lambda q, *v: sum(np.maximum(x, 0) ** q for x in v) ** (1 / q)
RULES = {
    "N*D": lambda p: p["ND"],
    "M": lambda p: p["M"], "M2": lambda p: p["M2"],
    "R1": lambda p: p["R1"], "R2": lambda p: p["R2"], "R3": lambda p: p["R3"], "J2": lambda p: p["J2"],
    "L": lambda p: p["L"],
    "max L M2 R2": lambda p: mx(p["L"], p["M2"], p["R2"]),
    "max L M R2": lambda p: mx(p["L"], p["M"], p["R2"]),
    "max L M2 J2": lambda p: mx(p["L"], p["M2"], p["J2"]),
    "max L M2 R2 J2": lambda p: mx(p["L"], p["M2"], p["R2"], p["J2"]),
    "max L M2 R1 R2": lambda p: mx(p["L"], p["M2"], p["R1"], p["R2"]),
    "max L M2 R2 R3": lambda p: mx(p["L"], p["M2"], p["R2"], p["R3"]),
    "max L M2 1.25R2": lambda p: mx(p["L"], p["M2"], 1.25 * p["R2"]),
    "max L M2 1.5R2": lambda p: mx(p["L"], p["M2"], 1.5 * p["R2"]),
    "l2": lambda p: lp(2, p["L"], p["M2"], p["R2"]),
    "l3": lambda p: lp(3, p["L"], p["M2"], p["R2"]),
    "l4": lambda p: lp(4, p["L"], p["M2"], p["R2"]),
    "l6": lambda p: lp(6, p["L"], p["M2"], p["R2"]),
    "l3 1.25R2": lambda p: lp(3, p["L"], p["M2"], 1.25 * p["R2"]),
    "l3 .8L": lambda p: lp(3, 0.8 * p["L"], p["M2"], p["R2"]),
    "l3 J2": lambda p: lp(3, p["L"], p["M2"], p["J2"]),
    "l3 R2 J2": lambda p: lp(3, p["L"], p["M2"], p["R2"], p["J2"]),
    "l3 R1 R2": lambda p: lp(3, p["L"], p["M2"], p["R2"], p["R1"]),
    "lse": lambda p: np.logaddexp.reduce([p["L"], p["M2"], p["R2"]]),
    "lse R1": lambda p: np.logaddexp.reduce([p["L"], p["M2"], p["R2"], p["R1"]]),
    "lse J2": lambda p: np.logaddexp.reduce([p["L"], p["M2"], p["R2"], p["J2"]]),
    "lse R1 J2": lambda p: np.logaddexp.reduce([p["L"], p["M2"], p["R2"], p["J2"], p["R1"]]),
    "lse .8L": lambda p: np.logaddexp.reduce([.8 * p["L"], p["M2"], p["R2"]]),
    "lse 1.25R2": lambda p: np.logaddexp.reduce([p["L"], p["M2"], 1.25 * p["R2"]]),
    "lse .8L R1": lambda p: np.logaddexp.reduce([.8 * p["L"], p["M2"], p["R2"], p["R1"]]),
    "sum": lambda p: p["L"] + p["M2"] / 4 + p["R2"],
    "lse2": lambda p: np.logaddexp.reduce([p["L"] / 2, p["M2"] / 2, p["R2"] / 2]),
}

if __name__ == "__main__":
    variant, seeds = sys.argv[1], [int(s) for s in sys.argv[2].split(",")]
    have = {n: [s for s in seeds if (CACHE / f"full-{variant}-{n}-{s}.npz").exists()] for n in MIX + PLANTED + NUM + PAPER}
    sets = [n for n in have if have[n]]
    loaded = {n: [parts(n, s, variant) for s in have[n]] for n in sets}
    print(" " * 16, *(n.replace("paper-", "p-")[:5].rjust(5) for n in sets), "mixed  num paper | ROC mixed num")
    for rule, f in RULES.items():
        a = {n: np.mean([100 * ap(p["y"], f(p)) for p in loaded[n]]) for n in sets}
        r = {n: np.mean([100 * roc(p["y"], f(p)) for p in loaded[n]]) for n in sets}
        mean = lambda a, group: np.mean([a[n] for n in sets if n in group] or [0])
        print(rule.ljust(16), *(f"{a[n]:5.1f}" for n in sets), *(f"{v:5.1f}" for v in (mean(a, MIX), mean(a, NUM), mean(a, PAPER), mean(r, MIX), mean(r, NUM))))
    for n in PLANTED:
        if n in sets:
            kinds = sorted(set(loaded[n][0]["kinds"]) - {""})
            print("\n" + n, *kinds, sep="  ")
            for rule, f in RULES.items():
                found = []
                for p in loaded[n]:
                    v = f(p)
                    limit = np.quantile(v[p["y"] == 0], 1 - (0.005 if n == "flights" else 0.01))
                    found.append([100 * np.mean(v[p["kinds"] == k] > limit) for k in kinds])
                print(rule.ljust(16), *(f"{x:6.0f}" for x in np.mean(found, 0)))
    print("\nfit: today, conditional; score:", {n: tuple(round(float(loaded[n][0]["raw"][k]), 1) for k in ("fit_today", "fit_cond", "score_today", "score_cond")) for n in sets})
