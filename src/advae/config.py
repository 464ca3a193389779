"""Settings of a detector: one frozen record, its two presets, every check, to and from JSON."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeGuard, get_args

from advae.errors import ConfigError

Preset = Literal["default", "paper"]

ITERATIONS_A_ROW, FEWEST_ITERATIONS, MOST_ITERATIONS = 3, 1_000, 6_000
"""What ``iterations=None`` comes to: a small table is learned by heart by more."""
TREND = 'Config(time="trend")'
"""What makes rows be judged by their place in the training period, in messages; the command line
puts its option there."""
VariantName = Literal["adVAE", "E-adVAE", "G-adVAE", "VAE", "AE"]
Schedule = Literal["constant", "cosine"]
Sampling = Literal["random", "sobol"]
TimeSetting = Literal["cycles", "trend"]
ThresholdMethod = Literal["kde", "conformal"]


@dataclass(frozen=True)
class Variant:
    """What a variant trains with.

    ``generator_discriminates`` and ``encoder_discriminates``: whether the margin and re-encoding
    terms of step 1 and step 2 act. ``stochastic``: whether latent variables are sampled.
    """

    generator_discriminates: bool
    encoder_discriminates: bool
    stochastic: bool = True

    @property
    def transforms(self) -> bool:
        """Whether the Gaussian transformer takes part."""
        return self.generator_discriminates or self.encoder_discriminates


VARIANTS: dict[VariantName, Variant] = {
    "adVAE": Variant(True, True),
    "E-adVAE": Variant(False, True),
    "G-adVAE": Variant(True, False),
    "VAE": Variant(False, False),
    "AE": Variant(False, False, stochastic=False),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a detector; the defaults are those of the ``default`` preset.

    Parameters
    ----------
    method
        Name of the method: ``"advae"``, or one of those that its paper argues with,
        ``"complementary-vae"``, ``"dagmm"``, ``"gan"``, ``"mo-gaal"`` and ``"wgan-gp"``. Of the
        settings of networks, training and score these heed ``hidden``, ``latent``, ``iterations``,
        ``batch_size``, ``learning_rate``, ``schedule``, ``patience`` and ``members`` alone, and
        ``"complementary-vae"`` ``lambda_``.
    variant
        ``"adVAE"``; ``"E-adVAE"``, only the encoder discriminates; ``"G-adVAE"``, only the
        generator; ``"VAE"``, neither; ``"AE"``, no sampling and no KLD either.
    hidden
        Hidden width h, at least 1; None is floor(d / 2), the paper's.
    latent
        Latent size k, at least 1; None is max(2, round(d / 3)). Never more than d when
        ``latent_at_most_columns``.
    latent_at_most_columns
        Reduce ``latent`` to d on narrow tables.
    lambda_
        Weight of KLD(q) in step 2 and of KLD(q || q_T) in step 1, at least 0.
    gamma
        Weight of the discrimination terms in latent space, at least 0.
    margin_x
        m_x: wanted squared error between the two reconstructions, in encoded units, at least 0.
    margin_z
        m_z: wanted KLD of what the encoder should reject, in nats, at least 0.
    relative_margin_x, relative_margin_z
        What is added to m_x and m_z in every batch, in units of its mean reconstruction error
        and of its mean KLD(q), at least 0; 0 in the paper.
    swap
        Largest share of a row's values, in [0, 1], that other rows' replace before the encoder
        sees it in training; 0 in the paper. See `corruption`.
    input_noise
        Standard deviation of the noise added before the encoder sees a row in training, in units
        of the columns' training ranges, at least 0; 0 in the paper.
    iterations
        Training iterations, at least 1, each one step 1 and one step 2. None for
        `ITERATIONS_A_ROW` for each row that a network sees, `FEWEST_ITERATIONS` to
        `MOST_ITERATIONS`.
    batch_size
        Rows of a batch, at least 1, drawn with replacement.
    learning_rate
        Of Adam, above 0.
    schedule
        ``"constant"``, or ``"cosine"`` from ``learning_rate`` to 0 over the iterations.
    patience
        Iterations without a lower error of rows set apart for it (`advae.detector.split`) after
        which training ends; the weights of the lowest error are kept. It ends no later than after
        ``iterations``, over which the schedule runs whether or not it ends before. 0 in the paper:
        all iterations are done, and the last weights kept.
    points
        Latent noise vectors of the score, L, 1 to 2**20.
    sampling
        ``"sobol"``: scrambled Sobol points mapped to normal quantiles, with the mean and
        covariance of the standard normal; ``"random"``: pseudo-random draws, the paper's.
    whiten
        Weigh the residual by what is usual among training rows, see
        `advae.methods.advae.reference`. False in the paper.
    memory
        Most training rows that the model keeps, encoded, to compare new rows with: the score is
        then the geometric mean of two distances, see `advae.methods.advae.reference`. 0 keeps none,
        as the paper; else 2 to 2**16.
    surprise
        Score in nats, see `advae.methods.advae.surprise`: by what is usual of networks and memory,
        of single values, and of values given the rest of their row. False in the paper.
    time
        What is learned of dates: ``"cycles"``, the time of day, the weekday and the day of the
        year, as far as the training period repeats them; ``"trend"``, where in the training period
        they lie as well: rows after it then score higher.
    members
        Networks of the ensemble, 1 to 1024; their squared residuals are averaged. At least 4 where
        a table has too few rows to hold some out for a conformal threshold.
    threshold
        ``"conformal"``: quantile of the scores of rows that the networks scoring them never saw,
        KDE where there are too few rows, see `advae.detector.split`; ``"kde"``: quantile of a
        kernel density of the training scores, equations (13) to (16); or the score itself, at
        least 0.
    calibration
        Most of the normal rows, as a share in (0, 1), to hold out for the conformal threshold.
    alpha
        Share of normal rows that may be flagged, in (0, 1).
    trim
        Most of the given rows, as a share in [0, 0.5), to set aside as suspected anomalies before
        anything is learned, see ``screening.suspects``; 0 screens nothing. New normal rows like
        those set aside are flagged too: up to about alpha plus their share, instead of alpha.
    seed
        Origin of all randomness, in [0, 2**63).

    Examples
    --------
    >>> from advae import Config
    >>> Config(alpha=0.01).threshold
    'conformal'
    >>> Config.preset("paper", lambda_=0.01).margin_z
    40.0
    >>> Config(alpha=2)
    Traceback (most recent call last):
    advae.errors.ConfigError: alpha is 2; expected a share between 0 and 1, both excluded
    """

    method: str = "advae"
    variant: VariantName = "E-adVAE"
    hidden: int | None = 128
    latent: int | None = 32
    latent_at_most_columns: bool = True
    lambda_: float = 0.001
    gamma: float = 0.0001
    margin_x: float = 0.0
    margin_z: float = 0.0
    relative_margin_x: float = 0.3
    relative_margin_z: float = 2.0
    swap: float = 0.9
    input_noise: float = 0.05
    iterations: int | None = None
    batch_size: int = 128
    learning_rate: float = 0.001
    schedule: Schedule = "cosine"
    patience: int = 0
    points: int = 8
    sampling: Sampling = "sobol"
    whiten: bool = True
    memory: int = 4096
    surprise: bool = True
    time: TimeSetting = "cycles"
    members: int = 1
    threshold: ThresholdMethod | float = "conformal"
    calibration: float = 0.2
    alpha: float = 0.1
    trim: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if hasattr(value, "item") and getattr(value, "shape", None) == ():
                # One of NumPy's numbers, as searches over parameters give them.
                object.__setattr__(self, field.name, value.item())
        # Which there are, the registry of `advae.methods` knows.
        _check("method", self.method, isinstance(self.method, str), "the name of a method")
        for name, choices in _CHOICES.items():
            _check(name, getattr(self, name), getattr(self, name) in choices, f"one of {choices}")
        if not _is_number(self.threshold) or self.threshold < 0:
            methods = get_args(ThresholdMethod)
            expected = f"one of {methods}, or a score, at least 0"
            _check("threshold", self.threshold, self.threshold in methods, expected)
        for name, (low, high) in _COUNTS.items():
            value = getattr(self, name)
            if value is None and name in ("hidden", "latent", "iterations"):
                continue
            is_count = isinstance(value, int) and not isinstance(value, bool)
            _check(
                name, value, is_count and low <= value <= high, f"a whole number, {low} to {high}"
            )
        for name in _NUMBERS:
            value = getattr(self, name)
            _check(name, value, _is_number(value) and value >= 0, "a finite number, at least 0")
        for name in ("latent_at_most_columns", "whiten", "surprise"):
            value = getattr(self, name)
            _check(name, value, isinstance(value, bool), "True or False")
        _check("swap", self.swap, self.swap <= 1, "a share between 0 and 1")
        _check("memory", self.memory, self.memory != 1, "0 for none, or at least 2")
        _check("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0")
        for name in ("alpha", "calibration"):
            value = getattr(self, name)
            is_share = isinstance(value, float) and 0 < value < 1
            _check(name, value, is_share, "a share between 0 and 1, both excluded")
        _check("trim", self.trim, self.trim < 0.5, "a share, at least 0 and below 0.5")

    @classmethod
    def of(cls, config: Self | None) -> Self:
        """Return settings that a caller gave, or the defaults for None.

        Raises
        ------
        ConfigError
            For anything else, such as a dict.
        """
        if config is None:
            return cls()
        if not isinstance(config, cls):
            raise ConfigError(
                f"the settings are of type {type(config).__name__}; expected a Config, such as "
                "Config(alpha=0.1)"
            )
        return config

    @classmethod
    def preset(cls, name: Preset, **changes: Any) -> Self:
        """Return a preset with some settings changed; a change to None is none.

        Raises
        ------
        ConfigError
            For an unknown preset or setting, or a value outside its range.
        """
        if name not in PRESETS:
            raise ConfigError(f"preset is {name!r}; expected one of {tuple(PRESETS)}")
        given = {setting: value for setting, value in changes.items() if value is not None}
        return cls.from_json(PRESETS[name] | given)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> Self:
        """Return the settings that ``to_json`` gave; settings left out have their defaults.

        Raises
        ------
        ConfigError
            For an unknown setting, or a value outside its range.
        """
        if not isinstance(settings, dict):
            raise ConfigError(f"the settings are {settings!r:.100}; expected names and values")
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(settings.keys() - known)
        if unknown:
            raise ConfigError(f"unknown setting {unknown[0]!r}; known are {sorted(known)}")
        return cls(**settings)

    def nearest_preset(self) -> tuple[Preset, dict[str, Any]]:
        """Return the preset with the fewest differences, and the changes that give these settings.

        No change is None, so that ``Config.preset(name, **changes)`` undoes it.
        """
        settings = self.to_json()
        found = []
        for name in PRESETS:
            base = self.preset(name).to_json()
            changes = {key: value for key, value in settings.items() if value != base[key]}
            if None not in changes.values():
                found.append((name, changes))
        return min(found, key=lambda preset: len(preset[1]))

    def iterations_for(self, rows: int) -> int:
        """Return how many iterations a training on so many rows has."""
        if self.iterations is not None:
            return self.iterations
        return min(MOST_ITERATIONS, max(FEWEST_ITERATIONS, ITERATIONS_A_ROW * rows))

    def network_sizes(self, columns: int) -> tuple[int, int]:
        """Return (hidden width, latent size) for rows of ``columns`` encoded columns."""
        hidden = self.hidden if self.hidden is not None else max(1, columns // 2)
        latent = self.latent if self.latent is not None else max(2, round(columns / 3))
        return hidden, min(latent, columns) if self.latent_at_most_columns else latent


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _check(name: str, value: object, valid: bool, expected: str) -> None:
    if not valid:
        raise ConfigError(f"{name} is {value!r}; expected {expected}")


_CHOICES: dict[str, tuple[str, ...]] = {
    "variant": get_args(VariantName),
    "schedule": get_args(Schedule),
    "sampling": get_args(Sampling),
    "time": get_args(TimeSetting),
}
_COUNTS = {
    "hidden": (1, 65_536),
    "latent": (1, 16_384),
    "iterations": (1, 10**9),
    "batch_size": (1, 10**6),
    "patience": (0, 10**9),
    "points": (1, 2**20),
    "memory": (0, 2**16),
    "members": (1, 1024),
    "seed": (0, 2**63 - 1),
}
_NUMBERS = (
    *("lambda_", "gamma", "margin_x", "margin_z", "relative_margin_x", "relative_margin_z"),
    *("swap", "input_noise", "learning_rate", "trim"),
)

PRESETS: dict[Preset, dict[str, Any]] = {
    "default": {},
    "paper": {
        "variant": "adVAE",
        "hidden": None,
        "latent": None,
        "latent_at_most_columns": False,
        "lambda_": 0.03,
        "gamma": 0.001,
        "margin_x": 2.0,
        "margin_z": 40.0,
        "relative_margin_x": 0.0,
        "relative_margin_z": 0.0,
        "swap": 0.0,
        "input_noise": 0.0,
        "iterations": 20_000,
        "schedule": "constant",
        "points": 1000,
        "sampling": "random",
        "whiten": False,
        "memory": 0,
        "surprise": False,
        "time": "trend",
        "threshold": "kde",
    },
}
