"""Models of advae in MLflow; needs ``pip install 'advae[mlflow]'``."""

from advae.serving.mlflow import load_model, log_model, save_model

__all__ = ["load_model", "log_model", "save_model"]
