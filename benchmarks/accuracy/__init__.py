"""Accuracy against known labels, beside other detectors in the same splits."""
