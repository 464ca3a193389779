"""A detector for each segment: what each learns, how rows find it, and the file of all of them."""

import copy
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import advae
from advae.config import Config
from advae.detector.bundle import Bundle, Segment, load_bundle
from advae.errors import ConfigError, InputError, ModelFileError

CONFIG = Config(iterations=100, hidden=16, latent=2, memory=256)
LEVELS = {"a": 0.0, "b": 50.0, "c": 100.0}


def table(rows: int, names: tuple[str, ...] = ("a", "b", "c"), seed: int = 0) -> pl.DataFrame:
    """Return rows of segments in turn, each around a level of its own."""
    draws = np.random.default_rng(seed)
    shop = [names[place % len(names)] for place in range(rows)]
    level = np.array([LEVELS.get(name, 50.0) for name in shop])
    first = level + draws.normal(size=rows)
    second = first + 0.1 * draws.normal(size=rows)
    return pl.DataFrame({"shop": shop, "first": first, "second": second})


@pytest.fixture(scope="module")
def training() -> pl.DataFrame:
    few = table(12, ("few",), seed=5)
    same = pl.DataFrame({"shop": ["same"] * 150, "first": [1.0] * 150, "second": [1.0] * 150})
    return pl.concat([table(450), few, same])


@pytest.fixture(scope="module")
def bundle(training: pl.DataFrame) -> Bundle:
    return advae.fit_detectors(training, "shop", CONFIG)


def test_each_segment_has_the_detector_of_its_rows(bundle: Bundle, training: pl.DataFrame) -> None:
    rows = training.filter(shop="b")
    alone = advae.fit_detector(rows, CONFIG, ignored=["shop"])
    new = table(30, ("b",), seed=1)
    np.testing.assert_array_equal(bundle.detector("b").anomaly_score(new), alone.anomaly_score(new))
    assert bundle.detector("b").threshold.value == alone.threshold.value
    own = {each.key: each for each in bundle.segments}
    assert own["b",] == Segment(("b",), 150, alone.threshold.value)


def test_only_detectors_of_many_segments_train_shorter(
    training: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advae.config.FEWEST_ITERATIONS", 20)
    monkeypatch.setattr("advae.detector.segments.ITERATIONS", 30)
    config = replace(CONFIG, iterations=None)

    def trained(detector: advae.Detector) -> float:
        return detector.summary.history["iteration"][-1]

    alone = trained(advae.fit_detector(training.filter(shop="b"), config, ignored=["shop"]))
    assert alone == 363  # three for each of 121 rows that train
    few = advae.fit_detectors(training, "shop", config)
    assert trained(few.detector("b")) == alone
    monkeypatch.setattr("advae.detector.segments.MANY", 3)  # of four with rows enough
    many = advae.fit_detectors(training, "shop", config)
    assert trained(many.detector("b")) == 30
    assert trained(many.fallback) == trained(few.fallback)
    assert trained(advae.fit_detectors(training, "shop", CONFIG).detector("b")) == 100


def test_the_fallback_of_a_long_table_learns_from_a_sample(training: pl.DataFrame) -> None:
    fallback = advae.fit_detectors(training, "shop", CONFIG, sample=200).fallback
    assert fallback.summary.rows + fallback.summary.calibration_rows == 200
    assert fallback.table.features[0].profile.quantiles[-1] > 90  # of all shops, not the first


def test_segments_without_a_detector_say_why(bundle: Bundle) -> None:
    why = {each.key[0]: each.why for each in bundle.segments if each.why}
    assert why.keys() == {"few", "same"}
    assert "12 rows, fewer than 100" in why["few"]
    assert "identical" in why["same"]
    with pytest.raises(InputError, match="12 rows, fewer than 100"):
        bundle.detector("few")
    with pytest.raises(InputError, match="training had no such rows"):
        bundle.detector("elsewhere")


def test_a_row_is_judged_by_its_segment_wherever_it_stands(bundle: Bundle) -> None:
    new = table(300, ("a", "few", "b", "elsewhere", "c"), seed=2)
    new = new.with_columns(shop=pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise("shop"))
    scored = pl.concat(bundle.score_batches([new[:100], new[100:]], keep=["first"], explain=1))
    assert scored["row"].to_list() == list(range(300))
    assert scored.columns[:4] == ["row", "shop", "first", "own_model"]
    assert scored["first"].equals(new["first"])
    assert scored["own_model"].to_list() == [name in LEVELS for name in new["shop"]]
    for name in LEVELS:
        rows = new.filter(shop=name)
        found = scored.filter(shop=name)
        detector = bundle.detector(name)
        np.testing.assert_array_equal(found["anomaly_score"], detector.anomaly_score(rows))
        np.testing.assert_array_equal(found["is_anomaly"], detector.is_anomaly(rows))
    others = new.filter(~pl.col("shop").is_in(list(LEVELS)).fill_null(False))
    found = scored.filter(~pl.col("own_model"))
    np.testing.assert_array_equal(found["anomaly_score"], bundle.fallback.anomaly_score(others))
    np.testing.assert_array_equal(bundle.anomaly_score(new), scored["anomaly_score"])
    # What is normal in one segment is not in another.
    moved = table(30, ("a",), seed=3).with_columns(shop=pl.lit("c"))
    assert all(frame["is_anomaly"].all() for frame in bundle.score_batches(moved))


def test_a_file_gives_the_same_scores_and_reads_what_is_asked_for(
    bundle: Bundle, training: pl.DataFrame, tmp_path: Path
) -> None:
    path, streamed = tmp_path / "b.advae", tmp_path / "streamed.advae"
    bundle.save(path)
    advae.fit_detectors(training, ["shop"], CONFIG, output=streamed)
    assert path.read_bytes() == streamed.read_bytes()
    new = table(40, ("a", "b", "c", "few"), seed=4)
    for file in (path, streamed):
        loaded = load_bundle(file)
        assert loaded.segments == bundle.segments
        np.testing.assert_array_equal(loaded.anomaly_score(new), bundle.anomaly_score(new))
    copied = copy.deepcopy(load_bundle(path))  # reads from the same open file
    np.testing.assert_array_equal(copied.anomaly_score(new), bundle.anomaly_score(new))
    with pytest.raises(ModelFileError, match=r"advae\.load_bundle reads it"):
        advae.load(path)
    single = tmp_path / "single.advae"
    advae.save(bundle.fallback, single)
    with pytest.raises(
        ModelFileError, match=r"single\.advae has a single model\. advae\.load reads"
    ):
        load_bundle(single)
    single.write_bytes(single.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match=r"single\.advae is damaged"):
        load_bundle(single)
    # The damage of one model is no matter to the others.
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("segments/000001.advae").header_offset
    content = bytearray(path.read_bytes())
    content[place + 2000] ^= 1
    path.write_bytes(content)
    damaged = load_bundle(path)
    assert damaged.detector("a").threshold == bundle.detector("a").threshold
    with pytest.raises(ModelFileError, match=r"b\.advae is damaged.*segments/000001"):
        damaged.detector("b")


def test_a_detector_that_made_room_comes_back_the_same(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle.advae"
    bundle.save(path)
    monkeypatch.setattr("advae.detector.bundle.HELD", 1)  # there is room for one
    again = advae.load_bundle(path)
    first, *others = again.detectors
    before, again_first = again.detectors[first], None
    for key in (*others, first):
        again_first = again.detectors[key]
    assert again_first is not before
    rows = table(20, seed=5)
    assert again_first.anomaly_score(rows).tolist() == before.anomaly_score(rows).tolist()


def test_keys_of_several_columns_and_types(training: pl.DataFrame) -> None:
    frame = table(400, ("a", "b")).with_columns(line=pl.int_range(pl.len()) // 2 % 2)
    bundle = advae.fit_detectors(frame, ["shop", "line"], CONFIG, fewest=100)
    assert [each.key for each in bundle.segments] == [
        *(("a", "0"), ("a", "1"), ("b", "0"), ("b", "1"))
    ]
    assert bundle.detector("a", 1) is bundle.detectors["a", "1"]
    assert "line" not in bundle.fallback.table.feature_names
    # A missing value makes floats of whole numbers, in pandas and elsewhere.
    floats = frame.with_columns(line=pl.col("line").cast(pl.Float64))
    np.testing.assert_array_equal(bundle.anomaly_score(floats), bundle.anomaly_score(frame))
    assert bundle.detector("a", 1.0) is bundle.detectors["a", "1"]


def test_what_cannot_be_is_refused(training: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing column 'shops'"):
        advae.fit_detectors(training, "shops", CONFIG)
    with pytest.raises(InputError, match=r"no segment by 'shop' has 1,000 rows \(the largest of 5"):
        advae.fit_detectors(training, "shop", CONFIG, fewest=1000)
    with pytest.raises(ConfigError, match="fewest is 1"):
        advae.fit_detectors(training, "shop", CONFIG, fewest=1)
    with pytest.raises(ConfigError, match="by names no column"):
        advae.fit_detectors(training, [], CONFIG)
    with pytest.raises(ConfigError, match="'shop', which is the label"):
        advae.fit_detectors(training, "shop", CONFIG, label="shop")
    output = tmp_path / "b.advae"
    output.write_text("old")

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        advae.fit_detectors(training, "shop", CONFIG, output=output, on_segment=stop)
    assert output.read_text() == "old"
    assert list(tmp_path.iterdir()) == [output]


def test_an_interrupted_bundle_goes_on_to_the_same_bytes(
    training: pl.DataFrame, tmp_path: Path
) -> None:
    output, kept = tmp_path / "b.advae", tmp_path / "kept"
    whole = tmp_path / "whole.advae"
    advae.fit_detectors(training, "shop", CONFIG, output=whole)

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    files = {"output": output, "checkpoint": kept}
    with pytest.raises(KeyboardInterrupt):
        advae.fit_detectors(training, "shop", CONFIG, **files, on_segment=stop)
    assert not output.exists()
    for path in kept.glob("*.advae"):
        os.utime(path, (1e9, 1e9))  # interrupted years ago
    finished = {path: path.stat().st_mtime_ns for path in kept.glob("*.advae")}
    assert len(finished) >= 2

    steps = []

    def look(done: int, of: int) -> None:
        steps.append((done, of))
        if done < of:
            assert {path: path.stat().st_mtime_ns for path in finished} == finished

    resumed = advae.fit_detectors(training, "shop", CONFIG, **files, resume=True, on_segment=look)
    assert steps == [(n, 6) for n in range(1, 7)]
    assert not kept.exists()
    assert resumed.segments == load_bundle(whole).segments
    assert output.read_bytes() == whole.read_bytes()


def test_what_is_kept_of_other_rows_is_not_taken(training: pl.DataFrame, tmp_path: Path) -> None:
    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    files = {"output": tmp_path / "b.advae", "checkpoint": tmp_path / "kept"}
    with pytest.raises(KeyboardInterrupt):
        advae.fit_detectors(training, "shop", CONFIG, **files, on_segment=stop)
    moved = training.with_columns(pl.col("first") + 1.0)
    resumed = advae.fit_detectors(moved, "shop", CONFIG, **files, resume=True)
    alone = advae.fit_detectors(moved, "shop", CONFIG, output=tmp_path / "alone.advae")
    assert resumed.segments == alone.segments
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(InputError, match=r"cannot keep models in .*kept.* Remove it"):
        advae.fit_detectors(training, "shop", CONFIG, **files)
    with pytest.raises(ConfigError, match="expected output as well"):
        advae.fit_detectors(training, "shop", CONFIG, checkpoint=tmp_path / "kept")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "damaged"),
        ({"other.txt": "x"}, "is no bundle of models"),
        ({"index.json": "[1"}, "is no bundle of models"),
        ({"index.json": json.dumps({"version": 99})}, "version 99"),
        ({"index.json": json.dumps({"version": 1, "by": ["x"], "segments": []})}, "lacks fallback"),
        ({"index.json": '{"version": 1}', "fallback.advae": "x"}, "not an advae model file"),
    ],
)
def test_other_files_are_refused(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.advae"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)
    with pytest.raises(ModelFileError, match=message):
        load_bundle(path)
