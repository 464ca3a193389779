"""A fitted model on one card, as HTML, for notebooks."""

from collections.abc import Iterable, Mapping
from html import escape

import numpy as np
from jaxtyping import Float

from advae.display.charts import BAR_HEIGHT, WIDTH, ScoreAxis, bars, rounded
from advae.display.text import number, share

_BINS = 60
_CARD = (
    "font:14px/1.5 system-ui,sans-serif;max-width:44rem;padding:.75rem 1rem;margin:.25rem 0;"
    "border:1px solid #8886;border-radius:8px;font-variant-numeric:tabular-nums"
)


def card(
    title: str,
    facts: Mapping[str, str],
    scores: Mapping[str, Float[np.ndarray, "rows"]],
    threshold: float,
    notes: Iterable[str] = (),
) -> str:
    """Return a card: facts, and where scores lie on both sides of the threshold.

    Parameters
    ----------
    title
        What the card is about.
    facts
        Names and values.
    scores
        Scores by the name of their rows; groups without scores are left out.
    threshold
        What lies above it is drawn in red.
    notes
        Sentences to add.
    """
    groups = {name: group for name, group in scores.items() if len(group)}
    axis = ScoreAxis.around(threshold, groups.values())
    rows = [
        f'<div style="opacity:.65">{escape(name)}</div><div>{escape(value)}</div>'
        for name, value in facts.items()
    ]
    charts = [_chart(name, group, axis, threshold) for name, group in groups.items()]
    at = 100 * float(axis.place(np.array([threshold]))[0])
    ends = (
        '<div style="font-size:12px;opacity:.65">'
        f'<div style="width:max-content;position:relative;left:{at:.1f}%;'
        f'transform:translateX(-{at:.1f}%)">threshold {number(threshold)}</div>'
        '<div style="display:flex;justify-content:space-between">'
        f"<span>score {number(axis.low, 3)}</span><span>{number(axis.high, 3)}</span></div></div>"
    )
    remarks = [f'<p style="margin:.5rem 0 0">{escape(note)}</p>' for note in notes]
    return (
        f'<div style="{_CARD}"><strong>{escape(title)}</strong>'
        '<div style="display:grid;grid-template-columns:max-content 1fr;gap:0 1rem;'
        f'margin:.5rem 0">{"".join(rows)}</div>'
        f"{''.join(charts)}{ends if charts else ''}{''.join(remarks)}</div>"
    )


def _chart(name: str, scores: Float[np.ndarray, "rows"], axis: ScoreAxis, threshold: float) -> str:
    """Return one histogram, cut at the threshold into a calm and a red part."""
    shares = axis.shares(scores, _BINS).tolist()
    place = float(axis.place(np.array([threshold]))[0])
    share_above = float(np.mean(scores > threshold))
    cut = _BINS * axis.cut(threshold, share_above, _BINS)
    calm = [share if part < cut else 0.0 for part, share in enumerate(shares)]
    high = [share if part >= cut else 0.0 for part, share in enumerate(shares)]
    words = escape(f"{name}, {len(scores):,}: {share(share_above)} above the threshold")
    return (
        f'<div style="font-size:12px;margin-top:.35rem">{words}</div>'
        f'<svg viewBox="0 0 {WIDTH} {BAR_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{words}" style="display:block;width:100%;height:2.5rem;'
        'border-bottom:1px solid #888a">'
        f'<path d="{bars(calm, max(shares))}" fill="#7d98a6"/>'
        f'<path d="{bars(high, max(shares))}" fill="#d2492f"/>'
        f'<path d="M{rounded(WIDTH * place)} 0V{BAR_HEIGHT}" stroke="#888" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )
