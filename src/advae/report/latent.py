"""The latent space in two dimensions: where the model puts normal and flagged rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from advae.detector.detector import Detector
from advae.tables.sampling import Reservoir

SHOWN = 1000
"""Most flagged and most other rows drawn."""

INFORMATIVE = 0.1
"""Nats that a latent variable must tell of a row, on average, to count as used."""

CENTRAL = (0.005, 0.995)
"""Quantiles of the points that set the drawn range; the few beyond stand at the edge."""


@dataclass(frozen=True)
class PointGroup:
    """Rows that are drawn alike.

    Attributes
    ----------
    key
        ``"normal"`` (not flagged), ``"flagged"``, ``"missed"`` (labelled anomalous, not flagged)
        or ``"synthetic"`` (made by the Gaussian transformer).
    total
        Rows of this kind in the table; 0 for synthetic ones.
    x, y
        Places in the drawing, in [0, 1].
    rows, scores
        Position in the scored table, and score; empty for synthetic ones.
    """

    key: str
    total: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    rows: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class LatentView:
    """Two principal components of the encoder's means.

    Attributes
    ----------
    groups
        What is drawn, in drawing order.
    explained
        Share of the spread that each of the two components holds.
    latent, used
        Latent variables, and how many of them tell anything of the rows.
    kld
        Mean divergence of the rows that are not flagged from the prior, in nats.
    """

    groups: tuple[PointGroup, ...]
    explained: tuple[float, float]
    latent: int
    used: int
    kld: float


def view_latent(
    detector: Detector, normal: Reservoir, flagged: Reservoir, missed: int = 0
) -> LatentView | None:
    """Project a sample of the scored rows; None for a method that has nothing to project.

    Parameters
    ----------
    detector
        What scored them.
    normal, flagged
        Samples with ``row``, ``score``, ``encoded`` (network columns), and perhaps ``anomalous``;
        at least one row in total.
    missed
        Rows of the table that are labelled anomalous and not flagged.
    """
    samples = [sample for sample in (normal, flagged) if len(sample)]
    encoded = np.concatenate([sample["encoded"] for sample in samples])
    codes = detector.method.latent_rows(detector.scorer, encoded)
    if codes is None:
        return None
    mean = codes.mean.astype(np.float64)
    log_variance = codes.log_variance.astype(np.float64)
    divergence = 0.5 * (np.exp(log_variance) + mean**2 - 1.0 - log_variance)
    typical = divergence[: len(normal) or None].mean(axis=0)

    centre, axes, explained = _principal(mean)
    points = (mean - centre) @ axes.T
    low, high = np.quantile(points, CENTRAL, axis=0)
    margin = 0.04 * (high - low) + 1e-12
    low, high = low - margin, high + margin

    def placed(points: Float[np.ndarray, "rows 2"]) -> Float[np.ndarray, "2 rows"]:
        return np.asarray(np.clip((points - low) / (high - low), 0.0, 1.0).T)

    groups = _groups(samples, normal, placed(points), missed)
    if codes.made is not None and len(normal):
        made_mean, made_log_variance = (part[: len(normal)] for part in codes.made[:2])
        noise = np.random.default_rng(0).standard_normal(made_mean.shape)
        drawn = made_mean + np.exp(0.5 * made_log_variance) * noise
        groups.insert(0, _group("synthetic", 0, placed((drawn - centre) @ axes.T)))
    return LatentView(
        groups=tuple(groups),
        explained=explained,
        latent=mean.shape[1],
        used=int((typical > INFORMATIVE).sum()),
        kld=float(typical.sum()),
    )


def _principal(
    mean: Float[np.ndarray, "rows latent"],
) -> tuple[Float[np.ndarray, "latent"], Float[np.ndarray, "2 latent"], tuple[float, float]]:
    """Return centre, two axes, and the share of the spread along each."""
    centre = np.median(mean, axis=0)
    spread, axes = np.linalg.svd(mean - centre, full_matrices=False)[1:]
    power = np.zeros(2)
    power[: min(2, len(spread))] = (spread**2)[:2] / max(float((spread**2).sum()), 1e-300)
    kept = np.zeros((2, mean.shape[1]))
    kept[: min(2, len(axes))] = axes[:2]
    # A singular vector's sign is arbitrary; the largest part pointing up makes it reproducible.
    for axis in kept:
        axis *= np.sign(axis[np.abs(axis).argmax()]) or 1.0
    return centre, kept, (float(power[0]), float(power[1]))


def _groups(
    samples: Sequence[Reservoir],
    normal: Reservoir,
    places: Float[np.ndarray, "2 rows"],
    missed_rows: int,
) -> list[PointGroup]:
    groups: list[PointGroup] = []
    first = 0
    for sample in samples:
        part = places[:, first : first + len(sample)]
        first += len(sample)
        missed = np.zeros(len(sample), bool)
        if sample is normal and "anomalous" in sample:
            missed = sample["anomalous"]
        key = "normal" if sample is normal else "flagged"
        for name, chosen in ((key, ~missed), ("missed", missed)):
            if chosen.any():
                total = missed_rows if name == "missed" else sample.seen
                if name == "normal":
                    total -= missed_rows
                groups.append(
                    _group(
                        name, total, part[:, chosen], sample["row"][chosen], sample["score"][chosen]
                    )
                )
    # Flagged and missed rows are drawn last, on top of the others.
    return sorted(groups, key=lambda group: ("normal", "flagged", "missed").index(group.key))


def _group(
    key: str,
    total: int,
    places: Float[np.ndarray, "2 rows"],
    rows: np.ndarray | None = None,
    scores: np.ndarray | None = None,
) -> PointGroup:
    x, y = (tuple(np.round(axis, 4).tolist()) for axis in places)
    return PointGroup(
        key,
        total,
        x,
        y,
        () if rows is None else tuple(rows.tolist()),
        () if scores is None else tuple(scores.tolist()),
    )
