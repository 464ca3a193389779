"""Scores on Spark: of a data frame, at rest or streaming, or of files into a folder of parts."""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

from advae.engines.models import PortableModel, score_columns, score_schema
from advae.engines.parts import Job, Outcome, score_file
from advae.errors import InputError, MissingExtraError
from advae.tables.frames import check_free, names_given
from advae.tables.values import NAME_ANOTHER, check_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from advae.engines.models import Model

try:
    import pyspark
    from pyspark.sql import SparkSession, types
except ImportError:
    raise MissingExtraError("this needs Spark: pip install 'advae[spark]'") from None

ATTEMPTS = 4
"""How often a file is begun before the work stops: its worker may die."""

TYPES = {"Float64": types.DoubleType(), "Boolean": types.BooleanType()}
"""Spark's types of columns of scores, by the names of Polars'; the others are texts."""


def score(
    frame: "DataFrame", model: "Model", *, keep: Sequence[str] | None = None, explain: int = 0
) -> "DataFrame":
    """Score the rows of a Spark data frame, lazily; one that streams, too.

    Parameters
    ----------
    frame
        Rows with the columns that the model learned; others may be there.
    model
        A detector, or the path of a model file. It is sent to the workers, each of which loads it
        once; they need advae installed.
    keep
        Columns to carry along; all if not given.
    explain
        How many of the columns that contributed most to name.

    Returns
    -------
        The kept columns, and those of ``Detector.score_batches`` without ``row``.

    Raises
    ------
    InputError
        For a column that the frame lacks, or one to keep that is called as one of the scores.

    Examples
    --------
    >>> import advae.engines.spark  # doctest: +SKIP
    >>> from pyspark.sql import SparkSession  # doctest: +SKIP
    >>> new = SparkSession.builder.getOrCreate().read.parquet("lake/")  # doctest: +SKIP
    >>> scored = advae.engines.spark.score(new, "model.advae", keep=["id"])  # doctest: +SKIP
    >>> scored.write.parquet("scores/")  # doctest: +SKIP
    """
    portable = PortableModel.of(model)
    detector = portable.detector()
    detector.check_columns(frame.columns, "the data frame")
    kept = frame.columns if keep is None else names_given(keep)
    check_columns(kept, frame.columns, "the data frame", advice=NAME_ANOTHER)
    added = score_schema(detector, explain)
    check_free(kept, added)
    fields = [frame.schema[name] for name in kept]
    fields += [
        types.StructField(name, TYPES.get(str(dtype), types.StringType()))
        for name, dtype in added.items()
    ]
    return frame.mapInArrow(_Scorer(portable, kept, explain), types.StructType(fields))


class _Scorer:
    """What a Python worker of Spark runs; the model is loaded once in each."""

    def __init__(self, model: PortableModel, keep: Sequence[str], explain: int) -> None:
        self._model, self._keep, self._explain = model, list(keep), explain

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Score Arrow batches."""
        import pyarrow as pa

        detector = self._model.detector()
        for batch in batches:
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            scored = score_columns(detector, columns, self._explain).to_arrow()
            arrays = [columns[name] for name in self._keep]
            for each in scored.columns:
                plain = each.combine_chunks()
                arrays.append(plain.cast(pa.string()) if _is_text(plain.type) else plain)
            yield pa.RecordBatch.from_arrays(arrays, [*self._keep, *scored.column_names])


def _is_text(dtype: Any) -> bool:
    return "string" in str(dtype)


class SparkEngine:
    """Runs jobs on a cluster, or in Spark processes of this machine.

    Parameters
    ----------
    address
        Of a master, such as ``"spark://host:7077"`` or ``"yarn"``; None uses the
        session that this process has begun, or begins one here.
    workers
        How many files are scored at a time; Spark's own parallelism if None.

    Examples
    --------
    >>> from advae.engines.parts import score_files
    >>> from advae.engines.spark import SparkEngine
    >>> engine = SparkEngine("spark://head:7077", workers=8)
    >>> score_files("lake/*.parquet", "scores", "model.advae", engine)  # doctest: +SKIP
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        self._address, self._workers = address, workers

    def run(self, model: PortableModel, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yield what became of each job, as it ends; see `advae.engines.parts.Engine`."""
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.appName("advae score").config("spark.log.level", "ERROR")
        builder = builder.config("spark.ui.showConsoleProgress", "false")
        if self._address is None:
            builder = builder.config("spark.ui.enabled", "false")
            builder = builder.config("spark.driver.bindAddress", "127.0.0.1")
            builder = builder.config("spark.driver.host", "127.0.0.1")
        master = self._address or f"local[{self._workers or '*'},{ATTEMPTS}]"
        begun = SparkSession.getActiveSession() is None
        try:
            session = builder.master(master).getOrCreate()
        except Exception as error:  # of Java, or of Spark in Java
            raise InputError(
                f"no Spark at {master}: {str(error).splitlines()[0]}. Check the address, and that "
                "Java is installed."
            ) from None
        context = session.sparkContext
        try:
            shared = context.broadcast(model)
            at_once = self._workers or context.defaultParallelism

            def outcome(job: Job) -> Outcome:
                # A job of Spark for each file: the driver hears when one ends, not when all have.
                task = context.parallelize([job], 1).map(
                    lambda each: score_file(shared.value, each)
                )
                return task.collect()[0]

            with ThreadPoolExecutor(at_once) as pool:
                running = [pool.submit(outcome, job) for job in jobs]
                try:
                    for ended in as_completed(running):
                        yield ended.result()
                except pyspark.errors.PySparkException as error:
                    raise _stopped(error) from None
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
                    context.cancelAllJobs()
        finally:
            if begun:
                session.stop()


def _stopped(error: Exception) -> InputError:
    return InputError(
        f"Spark stopped the work: {str(error).splitlines()[0]}. Run the same command again to do "
        "the rest."
    )
