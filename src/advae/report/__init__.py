"""The report: one page that shows what is normal, where the threshold lies, and who stands out.

``summary.summarise`` turns a detector and a table into plain data, ``page.render_page`` that into
HTML, and ``page.write_report`` does both.
Nothing is imported here, so that ``advae score`` needs no HTML for its few lines in the terminal.
"""
