"""A model as a service over HTTP, and as an MLflow model."""
