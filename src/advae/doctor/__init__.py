"""The examination of a training table before anything is learned from it."""

from advae.doctor.checks import Finding
from advae.doctor.examination import Diagnosis, examine
from advae.doctor.new_rows import compare

__all__ = ["Diagnosis", "Finding", "compare", "examine"]
