"""Pictures on disk."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: "Figure", path: Path) -> None:
    """Write a picture in the format of the path's suffix, an SVG the same way each time."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "advae", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)
