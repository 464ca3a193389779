"""Scores on Ray: of a Ray Data dataset, or of files into a folder of parts."""

import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from advae.engines.models import PortableModel, score_columns
from advae.engines.parts import Job, Outcome, score_file
from advae.errors import InputError, MissingExtraError
from advae.tables.frames import names_given

if TYPE_CHECKING:
    from ray.data import Dataset

    from advae.engines.models import Model

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report on its use otherwise
try:
    import ray
except ImportError:
    raise MissingExtraError("this needs Ray: pip install 'advae[ray]'") from None

ROWS = 16_384
"""Rows that a worker scores at once."""

RETRIES = 3
"""How often a file is scored again whose worker died."""


def score(
    dataset: "Dataset",
    model: "Model",
    *,
    keep: Sequence[str] | None = None,
    explain: int = 0,
    workers: int | None = None,
) -> "Dataset":
    """Score the rows of a dataset, lazily, as Ray Data does all its work.

    Parameters
    ----------
    dataset
        Rows with the columns that the model learned; others may be there.
    model
        A detector, or the path of a model file. It is sent to the workers, each of which loads it
        once; they need advae installed.
    keep
        Columns to carry along; all if not given.
    explain
        How many of the columns that contributed most to name.
    workers
        The most processes that score at a time, each with one core; Ray's choice if not given.

    Returns
    -------
        The kept columns, and those of ``Detector.score_batches`` without ``row``.

    Examples
    --------
    >>> import ray  # doctest: +SKIP
    >>> import advae.engines.ray  # doctest: +SKIP
    >>> new = ray.data.read_parquet("lake/")  # doctest: +SKIP
    >>> scored = advae.engines.ray.score(new, "model.advae", keep=["id"])  # doctest: +SKIP
    >>> scored.write_parquet("scores/")  # doctest: +SKIP
    """
    kept = None if keep is None else names_given(keep)
    # Tasks, and not actors: these hold their cores, and where they hold all, nothing can be read.
    return dataset.map_batches(
        partial(_score_table, model=PortableModel.of(model), keep=kept, explain=explain),
        batch_format="pyarrow",
        batch_size=ROWS,
        num_cpus=1,
        concurrency=workers,
    )


def _score_table(table: Any, model: PortableModel, keep: list[str] | None, explain: int) -> Any:
    """Score an Arrow table; the process that does so keeps the model for the next one."""
    columns = {name: table.column(name) for name in table.column_names}
    scored = score_columns(model.detector(), columns, explain).to_arrow()
    kept = table if keep is None else table.select(keep)
    for name in scored.column_names:
        kept = kept.append_column(name, scored.column(name))
    return kept


class RayEngine:
    """Runs jobs on a cluster, or on Ray processes of this machine.

    Parameters
    ----------
    address
        Of a cluster, such as ``"auto"`` or ``"ray://head:10001"``; None uses the Ray that this
        process has begun, or begins one here.
    workers
        How many files are scored at a time; as many as there are cores if None.

    Examples
    --------
    >>> from advae.engines.parts import score_files
    >>> from advae.engines.ray import RayEngine
    >>> engine = RayEngine("ray://head:10001", workers=8)
    >>> score_files("lake/*.parquet", "scores", "model.advae", engine)  # doctest: +SKIP
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        self._address, self._workers = address, workers

    def run(self, model: PortableModel, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yield what became of each job, as it ends; see `advae.engines.parts.Engine`."""
        here: dict[str, Any] = {"include_dashboard": False}
        if self._address is None:
            here["num_cpus"] = self._workers
        # What is imported here is to be found there, too, where the machine is the same.
        runtime = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
        begun = not ray.is_initialized()
        try:
            if begun:
                _check_answer(self._address)
                ray.init(
                    self._address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **(here | {"runtime_env": runtime} if self._address is None else {}),
                )
        except Exception as error:  # Ray raises that itself
            raise InputError(
                f"no Ray at {self._address or 'this machine'}: {str(error).splitlines()[0]} Check "
                "the address, and that Ray answers."
            ) from None
        try:
            yield from self._outcomes(ray.put(model), list(jobs))
        except ray.exceptions.RayError as error:
            raise InputError(
                f"Ray stopped the work: {str(error).splitlines()[0]}. Run the same command again "
                "to do the rest."
            ) from None
        finally:
            if begun:
                ray.shutdown()

    def _outcomes(self, model: Any, waiting: list[Job]) -> Iterator[Outcome]:
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(score_file)
        at_once = self._workers or int(cast(Any, ray).cluster_resources().get("CPU", 1))
        waiting.reverse()
        running: list[Any] = []
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(task.remote(model, waiting.pop()))
            ended, running = ray.wait(running)
            yield from ray.get(ended)


def _check_answer(address: str | None) -> None:
    """Raise ``OSError`` if nobody listens at an address: Ray would wait for many minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
