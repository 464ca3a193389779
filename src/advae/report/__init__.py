"""The report: one page that shows what is normal, where the threshold lies, and who stands out.

`advae.report.summary.summarise` turns a detector and a table into plain data;
`advae.report.page.render_page` turns these into HTML, and ``write_report`` there does both.
Nothing is imported here, so that ``advae score`` needs no HTML for its few lines in the terminal.
"""
