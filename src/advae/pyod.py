"""The PyOD face, under the name that programs import: ``from advae.pyod import AdVAE``."""

from advae.estimators.pyod import AdVAE

__all__ = ["AdVAE"]
