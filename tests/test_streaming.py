"""Tables larger than memory: one pass, a uniform sample, and the same answers as in memory."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import advae
from advae.sampling import RowSample, sample_rows

CONFIG = advae.Config(iterations=20, hidden=16)


def numbers(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 4))
    return pl.DataFrame(values, schema=["a", "b", "c", "d"]).with_row_index("position")


def cut(frame: pl.DataFrame, size: int) -> Iterator[pl.DataFrame]:
    for first in range(0, frame.height, size):
        yield frame.slice(first, size)


def test_a_stream_that_fits_gives_the_same_detector_as_a_table() -> None:
    frame = numbers(300)
    whole = advae.fit_detector(frame, CONFIG, ignored=["position"])
    streamed = advae.fit_detector(cut(frame, 70), CONFIG, ignored=["position"])
    assert (whole.anomaly_score(frame) == streamed.anomaly_score(frame)).all()
    assert whole.summary == streamed.summary


def test_a_longer_stream_is_sampled_and_says_so() -> None:
    frame = numbers(3000)
    frame[2900, "a"] = 50.0  # seen by the encoder, whether sampled or not
    detector = advae.fit_detector(cut(frame, 256), CONFIG, ignored=["position"], sample=500)
    summary = detector.summary
    assert summary.rows + summary.calibration_rows == 500
    assert any("500 of 3,000 rows" in note for note in summary.notes)
    encoded = detector.table.transform(frame)
    assert encoded[:, 0].max() == 1.0
    other = advae.fit_detector(cut(frame, 999), CONFIG, ignored=["position"], sample=500)
    assert (other.anomaly_score(frame) == detector.anomaly_score(frame)).all()


def test_an_empty_stream_is_refused() -> None:
    with pytest.raises(advae.InputError, match="no table"):
        advae.fit_detector(iter([]))


@pytest.mark.parametrize("size", [1, 10, 97, 1000])
def test_a_sample_does_not_depend_on_the_cuts(size: int) -> None:
    frame = numbers(500)
    samples = [sample_rows(cut(frame, rows), size, seed=3) for rows in (1, 64, 500)]
    assert all(sample.equals(samples[0]) for sample in samples)
    positions = samples[0]["position"]
    assert positions.n_unique() == min(size, 500)
    if size >= 500:
        assert positions.is_sorted()


def test_a_sample_is_uniform() -> None:
    counts = np.zeros(60)
    for seed in range(3000):
        sample = RowSample(6, seed)
        for batch in cut(pl.DataFrame({"position": np.arange(60)}), 25):
            sample.add(batch)
        counts[sample.frame()["position"].to_numpy()] += 1
    # 300 expected of each, standard deviation 16.4: 4.5 of those leave a chance of 4 in 10,000.
    assert np.abs(counts - 300).max() < 75


def test_an_arrow_stream_is_a_stream() -> None:
    frame = numbers(300)
    whole = advae.fit_detector(frame, CONFIG, ignored=["position"])
    reader = pa.Table.from_pandas(frame.to_pandas()).to_reader(max_chunksize=64)
    streamed = advae.fit_detector(reader, CONFIG, ignored=["position"])
    assert (whole.anomaly_score(frame) == streamed.anomaly_score(frame)).all()


def test_the_order_of_ignored_columns_does_not_matter() -> None:
    frame = numbers(60).with_columns(other=pl.lit("x"))
    one = advae.fit_detector(frame, CONFIG, ignored=["position", "other"])
    two = advae.fit_detector(frame, CONFIG, ignored=["other", "position"])
    assert one.ignored == two.ignored


def test_two_rows_always_remain_to_learn_from() -> None:
    config = advae.Config(iterations=5, hidden=16, calibration=0.999)
    detector = advae.fit_detector(numbers(300), config, ignored=["position"])
    assert detector.summary.rows >= 2
