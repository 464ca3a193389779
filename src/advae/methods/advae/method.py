"""adVAE as a `Method`: the networks, the steps of Algorithm 1, and the score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advae.config import VARIANTS, Config, Variant
from advae.core.adam import StepSize
from advae.core.arrays import ColumnsByRows, HostMatrix, Matrix, Vector
from advae.core.method import LatentRows, Members, Method, Scored, ScoredInGraph, Terms
from advae.core.randomness import generator
from advae.graph import Graph, Value
from advae.methods.advae import graph as graphs
from advae.methods.advae import scoring
from advae.methods.advae.latent import encode_rows, transform_codes
from advae.methods.advae.losses import Noise, Settings, squared_error
from advae.methods.advae.networks import INPUT_RANGE, AdVAE, Sizes, initialise
from advae.methods.advae.scoring import Scorer
from advae.methods.advae.steps import TrainState, fresh_state, train_step
from advae.methods.advae.surprise import KINDS, Surprise
from advae.variables import Variable


@dataclass(frozen=True)
class AdVAEMethod(Method):
    """adVAE and its variants.

    ``sizes`` are those of the networks; ``variant`` says which terms act; ``surprises``, whether
    the score is in nats.
    """

    sizes: Sizes
    variant: Variant
    surprises: bool = False

    @classmethod
    def of(cls, columns: int, config: Config) -> Self:
        """Return the method with these settings for rows of so many encoded columns."""
        sizes = Sizes(columns, *config.network_sizes(columns))
        return cls(sizes, VARIANTS[config.variant], config.surprise)

    @property
    def draws(self) -> tuple[int, int]:
        """Shape of the draws of a row: those for z, and those for z_T where T takes part."""
        kinds = 1 + self.variant.transforms if self.variant.stochastic else 0
        return kinds, self.sizes.latent

    @property
    def floats_per_row(self) -> int:
        """Columns and draws, those for z_T included whether or not T takes part."""
        return self.sizes.columns + 2 * self.sizes.latent

    def settings(self, config: Config) -> Settings:
        """Return the weights and margins of the terms."""
        return Settings(*(getattr(config, name) for name in Settings._fields))

    def initial_state(self, config: Config) -> TrainState:
        """Return untrained networks, and optimisers at rest."""
        members = range(config.members)
        draws = [generator(config.seed, "initial weights", member) for member in members]
        return fresh_state(initialise(self.sizes, draws))

    def step(
        self,
        state: TrainState,
        x: ColumnsByRows,
        shown: ColumnsByRows,
        noise: Float[Array, "kinds latent rows"],
        settings: Settings,
        step_size: StepSize,
    ) -> tuple[TrainState, Terms]:
        """Do one iteration of Algorithm 1."""
        return train_step(state, x, shown, self._noise(noise), settings, step_size, self.variant)

    def error(
        self, model: AdVAE, x: ColumnsByRows, noise: Float[Array, "kinds latent rows"]
    ) -> Vector:
        """Return ||x - x_r||^2 of each row."""
        # One value far outside the training range would hide everything else.
        x = jnp.clip(x, *INPUT_RANGE)
        z = model.encoder(x).sample(self._noise(noise).z)
        return squared_error(x, model.generator(z))

    def _noise(self, noise: Float[Array, "kinds latent rows"]) -> Noise:
        """Return the draws by name; zeros where latent variables are not sampled."""
        if not self.variant.stochastic:
            nothing = jnp.zeros(noise.shape[1:], noise.dtype)
            return Noise(nothing, nothing)
        return Noise(noise[0], noise[-1])

    @property
    def whole(self) -> bool:
        """A score in nats knows of the columns that never varied."""
        return self.surprises

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those of a score in nats."""
        return KINDS if self.surprises else ()

    @property
    def unseen_kind(self) -> int:
        """An unusual value; that it is far from all rows and improbable beside others follows."""
        return KINDS.index("unusual value")

    def prepare(
        self,
        rows: HostMatrix,
        config: Config,
        member_rows: Int[np.ndarray, "members member_rows"] | None,
        variables: Sequence[Variable],
    ) -> Surprise | None:
        """Learn how frequent and how likely values are, and compile the programs that score."""
        return scoring.prepare(self, rows, config, member_rows, variables)

    def learn(
        self,
        model: AdVAE,
        rows: HostMatrix,
        config: Config,
        member_rows: Int[np.ndarray, "members member_rows"] | None = None,
        ready: Surprise | None = None,
    ) -> tuple[Scorer, Int[np.ndarray, "kept"]]:
        """Return networks, latent noise, usual residuals, rows to compare with, and surprises."""
        return scoring.learn(self, model, rows, config, member_rows, ready)

    def scorer_shapes(self, config: Config, stored: Mapping[str, np.ndarray]) -> Scorer:
        """Return the shapes of a scorer; those of its reference depend on the rows it is of."""
        return scoring.scorer_shapes(self.sizes, config, stored)

    def prepared(self, scorer: Scorer) -> Scorer:
        """Return the scorer with what the compiled score needs made of its arrays."""
        return scorer.prepared()

    def score(
        self, scorer: Scorer, x: Matrix, units: Float[Array, "rows columns"] | None
    ) -> Scored:
        """Return the scores of one block of rows by all members; equations (11) and (12)."""
        return scoring.score_block(scorer, x, units)

    def in_graph(self, graph: Graph, scorer: Scorer, x: Value, width: int) -> ScoredInGraph:
        """Write down the scores as operators."""
        return graphs.in_graph(graph, scorer, x, width)

    def latent_rows(self, scorer: Scorer, x: HostMatrix) -> LatentRows:
        """Return q = E(x), and q_T = T(q) where T took part in training."""
        codes = encode_rows(scorer.model, x)
        if not self.variant.transforms:
            return LatentRows(*codes)
        return LatentRows(*codes, LatentRows(*transform_codes(scorer.model, codes)))

    def strangers(
        self, scorer: Scorer, members: Members, absent: Int[np.ndarray, "absent"]
    ) -> Scorer:
        """Return the scorer with these members alone, and a memory that lacks some rows."""
        return scorer.strangers(members, absent)

    def kept_rows(self, scorer: Scorer) -> int:
        """Return how many training rows the memory has."""
        memory = scorer.reference.memory
        return 0 if memory is None else len(memory.rows)

    def summary(self, config: Config) -> str:
        """Return variant and sizes of the networks in words."""
        return f"{config.variant}, {self.sizes.hidden} wide, {self.sizes.latent} latent"
