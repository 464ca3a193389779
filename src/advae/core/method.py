"""What a method of anomaly detection is: the one interface that training, files and scores use.

A method is a class with `Method` as its base, one line in the registry `advae.methods`, and nothing
else: the loop of training, early stopping, checkpoints, model files, blocks of rows and threads,
thresholds and explanations are those of all methods.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from advae.config import Config
from advae.core.adam import StepSize
from advae.core.arrays import ColumnsByRows, HostMatrix, Matrix, Scalar, Vector
from advae.graph import Graph, Value
from advae.variables import Variable

Tree: TypeAlias = Any
"""Named tuples of arrays, of a shape that its method knows. Files name an array by its path."""

Members: TypeAlias = slice | list[int]
"""Some of the members."""

Terms: TypeAlias = dict[str, Scalar]
"""The terms of a loss by name, unweighted, each a mean over the rows of the batch."""


@runtime_checkable
class State(Protocol):
    """Everything that training changes: the model, and what its optimiser remembers."""

    @property
    def model(self) -> Tree:
        """The weights that training is for."""


class Scored(NamedTuple):
    """Scores of encoded rows and where they come from; JAX's arrays or NumPy's.

    ``score``: shape (rows,), at least 0. ``contributions``: shape (rows, columns), at least 0, sums
    to the score. ``expected``: shape (rows, columns), what the model expects of each row, in units
    of the training ranges. ``by_kind``: the contributions by the kinds of surprise of
    `Method.kinds`, shape (rows, columns, kinds); None without kinds. ``factors``: what the method
    itself learns from, shape (rows, factors), or None.
    """

    score: Any
    contributions: Any
    expected: Any
    by_kind: Any = None
    factors: Any = None


class LatentRows(NamedTuple):
    """Where a model puts rows: a Gaussian for each, with arrays of shape (rows, latent).

    ``made``: the Gaussians that training made of these for anomalies; None where it made none.
    """

    mean: Float[np.ndarray, "rows latent"]
    log_variance: Float[np.ndarray, "rows latent"]
    made: "LatentRows | None" = None


class ScoredInGraph(NamedTuple):
    """Scores in a graph: ``score`` [n] and ``contributions`` [n, columns], both float32."""

    score: Value
    contributions: Value


@runtime_checkable
class Method(Protocol):
    """A detector of anomalous encoded rows.

    Instances are hashable. Equal ones compute by the same program, so an instance holds what is
    part of the program (sizes, which terms act), and is given what is data of it (`settings`).

    The arrays of `initial_state`, and so those of every state and model, lead with a member axis.
    `step`, `error` and `score` are compiled by JAX; the first two see a single member, and arrays
    with a column for each row (`ColumnsByRows`).
    """

    @classmethod
    def of(cls, columns: int, config: Config) -> Self:
        """Return the method with these settings for rows of so many encoded columns."""

    @property
    def draws(self) -> tuple[int, int]:
        """Shape of the standard normal numbers that each row of a batch needs in an iteration."""

    @property
    def floats_per_row(self) -> int:
        """Numbers drawn for each row of a batch, encoded row included: they limit a block."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What a value can be surprising by, in words; none where a score has one kind alone."""
        return ()

    @property
    def unseen_kind(self) -> int:
        """Place in `kinds` of what a value is that training never had, whatever else follows."""
        return 0

    def settings(self, config: Config) -> Tree:
        """Return the numbers of the objective: another value of theirs compiles nothing."""

    def initial_state(self, config: Config) -> State:
        """Return the untrained members, as NumPy's arrays of float32."""

    def step(
        self,
        state: Any,
        x: ColumnsByRows,
        shown: ColumnsByRows,
        noise: Float[Array, "kinds size rows"],
        settings: Any,
        step_size: StepSize,
    ) -> tuple[State, Terms]:
        """Do one iteration of one member; return its state, and the terms of its loss.

        Parameters
        ----------
        state, settings
            As `initial_state` and `settings` gave them, without the member axis.
        x
            Batch of encoded rows, shape (columns, rows).
        shown
            What the model is to reconstruct them from: the rows themselves, or corrupted ones.
        noise
            Standard normal draws, shape (`draws`, rows).
        step_size
            How far Adam moves now.
        """

    def error(self, model: Any, x: ColumnsByRows, noise: Float[Array, "kinds size rows"]) -> Vector:
        """Return the error of one member on each row; it decides when training ends early."""

    @property
    def whole(self) -> bool:
        """Whether `prepare`, `learn` and `score` are given all encoded columns.

        And so account for those that never varied in training, which come last; otherwise these
        are left out, and add their squares to the score.
        """
        return False

    def prepare(
        self,
        rows: HostMatrix,
        config: Config,
        member_rows: Int[np.ndarray, "members member_rows"] | None,
        variables: Sequence[Variable],
    ) -> Tree:
        """Do beside training what takes time and no trained model; return it for `learn`.

        Parameters
        ----------
        rows
            Encoded training rows, shape (rows, columns).
        config
            The settings.
        member_rows
            Positions of the rows that each member sees; None for all.
        variables
            What the encoded columns are of.
        """
        del rows, config, member_rows, variables
        return None

    def learn(
        self,
        model: Any,
        rows: HostMatrix,
        config: Config,
        member_rows: Int[np.ndarray, "members member_rows"] | None = None,
        ready: Any = None,
    ) -> tuple[Tree, Int[np.ndarray, "kept"]]:
        """Return all that scoring needs, and the positions of the training rows that it keeps.

        Parameters
        ----------
        model
            Trained members.
        rows
            Encoded training rows, shape (rows, columns).
        config
            The settings.
        member_rows
            Positions of the rows that each member saw; None for all.
        ready
            What `prepare` returned.

        Raises
        ------
        TrainingError
            If the model is not usable.
        """
        del rows, config, member_rows, ready
        return model, np.empty(0, int)

    def scorer_shapes(self, config: Config, stored: Mapping[str, np.ndarray]) -> Tree:
        """Return what has the shapes of the scorer in a model file.

        Parameters
        ----------
        config
            The settings of the model.
        stored
            The arrays of the file; some of a scorer's lengths may stand nowhere else.
        """
        del stored
        return self.initial_state(config).model

    def prepared(self, scorer: Any) -> Tree:
        """Return the scorer as `score` is given it, for instance padded to a common shape."""
        return scorer

    def score(self, scorer: Any, x: Matrix, units: Float[Array, "rows columns"] | None) -> Scored:
        """Return the scores of one block of rows by all members.

        Parameters
        ----------
        scorer
            What `prepared` returned.
        x
            Encoded rows, shape (rows, columns); training rows lie in [0, 1], new ones anywhere
            finite within +/-1e9.
        units
            Of the columns in each row, at least 0: a difference counts so many times. None is 1.
        """

    def in_graph(self, graph: Graph, scorer: Any, x: Value, width: int) -> ScoredInGraph | None:
        """Write down `score` for encoded rows [n, width] of a table, without units.

        None for a method whose scores nobody has written down so.
        """
        del graph, scorer, x, width
        return None

    def latent_rows(self, scorer: Any, x: HostMatrix) -> LatentRows | None:
        """Return where the first member puts encoded rows, to be drawn.

        None for a method whose latent variables, if there are any, are no Gaussians.
        """
        del scorer, x
        return None

    def strangers(self, scorer: Any, members: Members, absent: Int[np.ndarray, "absent"]) -> Tree:
        """Return the scorer with these members alone, and without some of the rows it keeps.

        ``absent`` are positions among the kept rows.
        """
        del absent
        return jax.tree.map(lambda leaf: leaf[members], scorer)

    def kept_rows(self, scorer: Any) -> int:
        """Return how many training rows the scorer keeps."""
        del scorer
        return 0

    def summary(self, config: Config) -> str:
        """Return what a model is, in a few words."""
