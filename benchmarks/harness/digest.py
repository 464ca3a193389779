"""Digests that tell whether a kept measurement is of the code and the data of today."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

CORE_MODULES = ("config", "display", "graph", "parallel", "variables", "core", "methods")
"""What decides on a training, and on the scores of encoded rows: modules and whole packages."""

DETECTOR_MODULES = (*CORE_MODULES, "tables", "detector")
"""What decides on the scores that ``Detector.anomaly_score`` gives the rows of a table."""


class _Bare(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node


def code_version(modules: Iterable[str]) -> str:
    """Return a digest of the code of modules and packages of advae, without docstrings."""
    digest = hashlib.sha256()
    for name in modules:
        spec = importlib.util.find_spec(f"advae.{name}")
        assert spec is not None, name
        assert spec.origin is not None, name
        origin = Path(spec.origin)
        for path in sorted(origin.parent.rglob("*.py")) if spec.parent == spec.name else [origin]:
            digest.update(ast.dump(_Bare().visit(ast.parse(path.read_bytes()))).encode())
    return digest.hexdigest()[:12]


def file_version(path: Path) -> str:
    """Return a digest of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
