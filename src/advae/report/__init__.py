"""The report: one page that shows what is normal, where the threshold lies, and who stands out.

``summarise`` turns a detector and a table into plain data, ``render_page`` that into HTML, and
``write_report`` does both; ``plotting`` draws the same data as Matplotlib figures.
"""

from advae.report.page import render_page
from advae.report.summary import Report, summarise
from advae.report.writing import write_report

__all__ = ["Report", "render_page", "summarise", "write_report"]
