"""Arrays have the shapes that annotations say, in a whole fit, scoring, report and examination."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("beartype", reason="beartype is not installed: pip install 'advae[test]'")

from beartype import BeartypeConf, beartype

MODULES = (
    *("core.batches", "core.evaluation", "core.randomness", "core.screening", "core.threshold"),
    *("core.training", "core.validation", "detector.calibration", "detector.counterfactual"),
    *("detector.detector", "detector.explanation", "detector.out_of_fold", "detector.split"),
    *("display", "doctor.examination", "methods.advae.gaussian", "methods.advae.latent"),
    *("methods.advae.losses", "methods.advae.networks", "methods.advae.scoring", "parallel"),
    *("report.columns", "report.gather", "report.latent", "report.rows"),
    *("report.scores", "tables.distributions", "tables.sampling"),
)
PROGRAM = """
from jaxtyping import install_import_hook
import test_shapes
names = [f"advae.{name}" for name in test_shapes.MODULES]
with install_import_hook(names, "test_shapes.check"):
    import advae, numpy as np
    from advae.doctor.examination import examine
    from advae.report.summary import summarise
    from report_data import labelled_table, mixed_table
    rows, new = mixed_table(300, 1), labelled_table()
    for changes in (
        {}, {"members": 4, "trim": 0.1},
        {"variant": "adVAE", "patience": 100, "memory": 0, "surprise": False},
        {"variant": "AE", "threshold": "kde", "whiten": False, "surprise": False},
    ):
        config = advae.Config(iterations=210, hidden=8, latent=3, points=8, **changes)
        detector = advae.fit_detector(rows, config)
        detector.p_value(new), detector.explain(new), detector._repr_html_()
        list(detector.score_batches([new], explain=2))
        summarise(detector, new, label="label")
    wide = np.random.default_rng(0).normal(size=(30, 80))
    advae.fit_detector(wide, advae.Config(iterations=20, surprise=False)).explain(wide)
    examine(new, label="label")
"""

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # a whole number is a float, too


def test_arrays_have_the_shapes_that_annotations_say() -> None:
    here = str(Path(__file__).parent)
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
