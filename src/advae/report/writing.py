"""A report on a table, written to a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advae.detector import Detector
from advae.labels import LabelColumn
from advae.replacement import replacing
from advae.report.page import render_page
from advae.report.summary import Report, summarise


def write_report(
    detector: Detector,
    data: Any,
    path: str | Path,
    *,
    label: str | LabelColumn | None = None,
    keep: Sequence[str] = (),
    data_name: str = "the table",
    model_name: str = "the model",
) -> Report:
    """Score a table and write a page on it: one HTML file that needs nothing else.

    Parameters
    ----------
    detector
        A fitted detector.
    data
        Rows with the training columns: a table, or batches of it; see ``frames.as_batches``.
    path
        Where to write. The file appears when it is complete; an error leaves an older one as is.
    label
        Column of known labels to measure the model against, see ``labels.LabelColumn``.
    keep
        Columns to show beside the most anomalous rows.
    data_name, model_name
        What to call the table and the model on the page.

    Returns
    -------
    report : Report
        What the page shows, as plain data.

    Raises
    ------
    InputError
        For a table without rows, a missing column, a value or label that cannot be read, a normal
        label that does not occur, or a file that cannot be written.
    """
    report = summarise(
        detector, data, label=label, keep=keep, data_name=data_name, model_name=model_name
    )
    # The name of a model file need not be text.
    page = render_page(report).encode(errors="replace")
    with replacing(Path(path)) as stream:
        stream.write(page)
    return report
