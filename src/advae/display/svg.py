"""Paths of small charts, drawn in a box that the page around them stretches.

The box is 1000 wide and 100 (bars) or 1000 (curves) high.
"""

from collections.abc import Iterable, Sequence

WIDTH, BAR_HEIGHT, HEIGHT = 1000, 100, 1000


def bars(shares: Sequence[float], highest: float | None = None) -> str:
    """Return the outline of touching bars, down to the baseline; the tallest fills the box."""
    top = max(shares, default=0.0) if highest is None else highest
    if top <= 0:
        return ""
    step = WIDTH / len(shares)
    path = [f"M0 {BAR_HEIGHT}"]
    for position, share in enumerate(shares):
        height = rounded(BAR_HEIGHT * (1 - min(share / top, 1.0)))
        path.append(f"V{height}H{rounded((position + 1) * step)}")
    return "".join([*path, f"V{BAR_HEIGHT}Z"])


def polyline(points: Iterable[tuple[float, float]]) -> str:
    """Return a line through points of the box."""
    return "M" + "L".join(f"{rounded(x)} {rounded(y)}" for x, y in points)


def rounded(value: float) -> str:
    """Return a coordinate with one decimal: a tenth of a thousandth of the box is enough."""
    return f"{value:.1f}".removesuffix(".0")
