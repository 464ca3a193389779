"""Detectors to compare with that no package has, written from their papers."""
