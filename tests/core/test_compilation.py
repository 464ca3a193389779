"""Programs are the same under all settings of JAX, and are forgotten when others come."""

import gc
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from advae.core.compilation import compiled, shielded

FIT = """
import sys, threading, jax, numpy as np, advae
from advae.methods.advae import latent
rows = np.random.default_rng(0).normal(size=(600, 3))
def made(**changes):
    config = advae.Config(iterations=30, hidden=8, batch_size=16, points=4, members=2)
    detector = advae.fit_detector(rows, config, **changes)
    advae.save(detector, sys.argv[1])
    found = advae.load(sys.argv[1])
    scores, codes = found.explain(rows), latent.encode_rows(found.scorer.model, rows[:, :3])
    alone = found.anomaly_score(rows[:1])
    return b"".join(map(bytes, (*codes, alone, scores.score, scores.contributions))) + open(
        sys.argv[1], "rb").read()
"""


def run(program: str, *arguments: object, **environment: str) -> str:
    command = [sys.executable, "-c", FIT + program, *map(str, arguments)]
    done = subprocess.run(
        command,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_settings_of_the_program_change_nothing_and_stay(tmp_path: Path) -> None:
    program = """
usual = made()
foreign = {
    "threefry_partitionable": False, "numpy_rank_promotion": "raise", "debug_nans": True,
    "numpy_dtype_promotion": "strict", "debug_key_reuse": True, "enable_x64": True,
    "default_matmul_precision": "bfloat16", "default_prng_impl": "rbg", "disable_jit": True,
    "transfer_guard": "disallow_explicit",
}
def setting():
    return {name: getattr(jax.config, f"jax_{name}") for name in foreign}
def check(_=None):
    assert setting() == wanted, setting()
def use(settings):  # in all threads
    for name, value in settings.items():
        jax.config.update(f"jax_{name}", value)
default = setting()
for names in ({"threefry_partitionable"}, {"disable_jit"}, foreign.keys() - {"disable_jit"}):
    wanted = default | {name: foreign[name] for name in names}
    use(wanted)
    assert made(on_block=check) == usual, names
    check()
use(default)
wanted = default
def in_a_thread():
    with jax.enable_x64(True), jax.threefry_partitionable(False), jax.transfer_guard("disallow"):
        found.append(made())
        found.append(jax.config.jax_enable_x64)
found = []
thread = threading.Thread(target=in_a_thread)
thread.start()
thread.join()
assert found == [usual, True]
check()
"""
    model, usual, other = (tmp_path / name for name in ("model", "usual", "other"))
    run(f"{program}open(sys.argv[2], 'wb').write(usual)", model, usual, OMP_NUM_THREADS="2")
    environment = {
        "JAX_ENABLE_X64": "1",
        "JAX_THREEFRY_PARTITIONABLE": "0",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_TRANSFER_GUARD": "disallow",
        "JAX_DEBUG_NANS": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
    }
    run("open(sys.argv[2], 'wb').write(made())", model, other, **environment)
    assert usual.read_bytes() == other.read_bytes()


def test_a_setting_comes_back_after_an_error() -> None:
    with jax.enable_x64(True):
        with pytest.raises(ZeroDivisionError):
            shielded(lambda: 1 // jax.config.jax_enable_x64)()  # off inside
        assert jax.config.jax_enable_x64


def test_programs_are_forgotten_when_others_come() -> None:
    traced = []

    @partial(compiled, keep=3)
    def plus(x: jax.Array, *, more: int) -> jax.Array:
        traced.append((len(x), more))
        return x + more

    def alive() -> int:
        gc.collect()
        return len(jax.devices()[0].client.live_executables())

    before = alive()
    for _ in range(2):
        for length in range(1, 4):  # a handful in turn: compiled once
            assert np.asarray(plus(np.zeros(length, np.float32), more=1)).sum() == length
    assert traced == [(1, 1), (2, 1), (3, 1)]
    assert alive() - before == 3
    for more in range(2, 9):
        plus(np.zeros(1, np.float32), more=1)  # always among the last
        plus(np.zeros(3, np.float32), more=more)
    assert traced.count((1, 1)) == 1
    assert alive() - before == 3
