"""The training in words: what each loss term means, and whether it did its work."""

from dataclasses import dataclass

from advae.core.validation import VALIDATION_ERROR, History, best_block
from advae.detector.detector import Detector

COLLAPSED = 0.05
"""Nats of KLD(q) below which the latent variables tell nothing of the rows."""

OVERFITTED = 1.1
"""Last held-out error over the least one, from which on training went on for too long."""

UNSTEADY = 1.5
"""The same where the error of the training rows rose, too. Less is usual: it rises when the encoder
begins to reject what the generator makes, and comes down slowly."""


@dataclass(frozen=True)
class TermView:
    """One loss term, unweighted, over the training.

    Attributes
    ----------
    name, symbol, meaning
        What it is called here, its formula in the paper, and what it means.
    iterations, values
        At the end of each block of iterations: how many were done, and the mean over the block.
    held_out
        The same term of rows that took no part in training; empty where it was not measured.
    """

    name: str
    symbol: str
    meaning: str
    iterations: tuple[int, ...]
    values: tuple[float, ...]
    held_out: tuple[float, ...] = ()


_MEANINGS = {
    "encoder_reconstruction": (
        "Reconstruction error",
        "‖x − x_r‖²",
        "How far reconstructions of normal rows are from the rows. It should fall and level off.",
    ),
    "encoder_kld": (
        "Latent information",
        "KLD(q)",
        "How much the latent variables tell of a row, in nats. Near 0 the posterior has collapsed.",
    ),
    "encoder_margin_z_r": (
        "Encoder margin, reconstructions",
        "[m_z − KLD(q_r)]⁺",
        "What the encoder still lacks to tell reconstructions from rows; 0 once it does.",
    ),
    "encoder_margin_z_Tr": (
        "Encoder margin, synthetic anomalies",
        "[m_z − KLD(q_Tr)]⁺",
        "What the encoder still lacks to tell synthetic anomalies from rows; 0 once it does.",
    ),
    "generator_reconstruction": (
        "Reconstruction error, generator's step",
        "‖x − x_r‖²",
        "The same error, measured before the encoder of the iteration has moved.",
    ),
    "generator_kld_r": (
        "Reconstructions, encoded again",
        "KLD(q_r)",
        "How far reconstructions lie from the prior; the generator wants them to look normal.",
    ),
    "generator_margin_x": (
        "Generator margin",
        "[m_x − ‖x_r − x_Tr‖²]⁺",
        "What the generator still lacks to spoil synthetic anomalies; 0 once it does.",
    ),
    "generator_margin_z": (
        "Generator margin, latent",
        "[m_z − KLD(q_Tr)]⁺",
        "What synthetic anomalies still lack to look abnormal to the encoder; 0 once they do.",
    ),
    "transformer_kld": (
        "Transformer",
        "KLD(q ‖ q_T)",
        "How far the synthetic anomalies stand from the rows they are made of.",
    ),
    "reconstruction": (
        "Reconstruction error",
        "",
        "How far reconstructions of normal rows are from the rows. It should fall and level off.",
    ),
    "kld": (
        "Latent information",
        "KLD(q)",
        "How much the latent variables tell of a row, in nats. Near 0 the posterior has collapsed.",
    ),
    "anomaly_reconstruction": (
        "Reconstruction error, anomalies made",
        "",
        "How far reconstructions of anomalies that were made of normal rows are from these.",
    ),
    "anomaly_kld": (
        "Divergence from the anomaly prior",
        "",
        "How far latent variables of anomalies made are from the complement of the normal prior.",
    ),
    "energy": (
        "Energy",
        "−log p(z)",
        "How improbable rows are to the Gaussian mixture of their batch. It should fall.",
    ),
    "inverse_variance": (
        "Inverse variances",
        "Σ 1 / Σ_jj",
        "Large where a Gaussian of the mixture shrinks to a point.",
    ),
    "discriminator_real": (
        "Discriminator, rows",
        "−log D",
        "What the discriminator lacks to know normal rows; 0.69 is chance.",
    ),
    "discriminator_made": (
        "Discriminator, made rows",
        "−log(1 − D)",
        "What the discriminator lacks to know rows that a generator made; 0.69 is chance.",
    ),
    "critic_distance": (
        "Critic's distance",
        "D(G(z)) − D(x)",
        "The negated distance of made rows from normal ones, to the critic; it should near 0.",
    ),
    "critic_penalty": (
        "Gradient penalty",
        "(‖∇D‖ − 1)²",
        "How far the critic's slopes are from 1.",
    ),
}

_RECONSTRUCTION = ("encoder_reconstruction", "reconstruction")
"""The terms that the error of rows held out stands beside; a training has one or none."""


def view_training(detector: Detector) -> tuple[TermView, ...]:
    """Return the loss terms of a detector's training, the most telling first."""
    history = dict(detector.summary.history)
    iterations = tuple(int(done) for done in history.pop("iteration", []))
    held_out = tuple(history.pop(VALIDATION_ERROR, []))
    known = [name for name in _MEANINGS if name in history]
    views = []
    for name in [*known, *(name for name in history if name not in _MEANINGS)]:
        title, symbol, meaning = _MEANINGS.get(name, (name.replace("_", " "), "", ""))
        extra = held_out if name in _RECONSTRUCTION else ()
        views.append(TermView(title, symbol, meaning, iterations, tuple(history[name]), extra))
    return tuple(views)


def _own_error(history: History) -> list[float]:
    """Return the reconstruction error of the training rows after each block; empty without one."""
    return next((history[name] for name in _RECONSTRUCTION if name in history), [])


def training_warnings(detector: Detector) -> list[str]:
    """Say in plain words what went wrong in a training, if anything did."""
    history, config = detector.summary.history, detector.config
    found = []
    kld = history.get("encoder_kld", [])
    if kld and kld[-1] < COLLAPSED and config.variant != "AE":
        found.append(
            f"The posterior collapsed: at the end of training the latent variables tell "
            f"{kld[-1]:.2g} nats of a row, next to nothing, so every row is expected to look the "
            f"same. Fit again with a smaller lambda_ than {config.lambda_:g}."
        )
    margins = {
        "generator_margin_x": "margin_x",
        "generator_margin_z": "margin_z",
        "encoder_margin_z_r": "margin_z",
        "encoder_margin_z_Tr": "margin_z",
    }
    idle = [name for name in margins if history.get(name) and not any(history[name])]
    for setting in dict.fromkeys(margins[name] for name in idle):
        terms = [_MEANINGS[name][0].lower() for name in idle if margins[name] == setting]
        found.append(
            f"{' and '.join(terms).capitalize()} never acted: 0 in every block of the training, so "
            f"the self-adversarial part of the method did nothing here. A larger {setting} than "
            f"{getattr(config, setting):g} would make it act."
        )
    held_out, own = history.get(VALIDATION_ERROR, []), _own_error(history)
    if not config.patience and own and held_out and held_out[-1] > OVERFITTED * min(held_out):
        best = best_block(history)
        when = f"The held-out error was least at iteration {int(history['iteration'][best]):,}"
        if own[-1] < own[best]:
            found.append(
                f"{when} and rose after it: the networks began to learn the training rows by "
                "heart. Fit with more rows, fewer iterations, or with patience, which ends "
                "training there."
            )
        elif held_out[-1] > UNSTEADY * min(held_out):
            found.append(
                f"{when} and rose after it, and so did that of the training rows: the training "
                "was not steady. Fit with another seed, a smaller gamma or a smaller "
                "learning_rate, and compare."
            )
    return found
