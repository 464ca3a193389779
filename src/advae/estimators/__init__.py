"""The detector as scikit-learn and PyOD know estimators."""
