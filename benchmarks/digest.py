"""Digests that tell whether a kept measurement is of the code and the data of today."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

CORE_MODULES = (
    *("batches", "compilation", "config", "corruption", "gaussian", "held_out", "latent_noise"),
    *("losses", "networks", "residuals", "row_blocks", "scoring", "steps", "streams"),
    *("threshold", "training"),
)
"""What decides on a training, and on the scores of encoded rows."""

DETECTOR_MODULES = (
    *CORE_MODULES,
    *("calibration", "categories", "column_fit", "column_summary", "columns", "detector"),
    *("fitting", "frames", "instants", "matching", "out_of_fold", "plan", "readings", "reference"),
    *("sampling", "screening", "slots", "table", "times", "values"),
)
"""What decides on the scores that ``Detector.anomaly_score`` gives the rows of a table."""


class _Bare(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node


def code_version(modules: Iterable[str]) -> str:
    """Return a digest of the code of these modules of advae, without comments and docstrings."""
    digest = hashlib.sha256()
    for name in modules:
        spec = importlib.util.find_spec(f"advae.{name}")
        if spec is not None and spec.origin is not None:
            code = _Bare().visit(ast.parse(Path(spec.origin).read_bytes()))
            digest.update(ast.dump(code).encode())
    return digest.hexdigest()[:12]


def file_version(path: Path) -> str:
    """Return a digest of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
