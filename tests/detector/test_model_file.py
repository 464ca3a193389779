"""The model file: the same detector back, and one clear error for everything else."""

import copy
import json
import os
import pickle
import struct
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import polars as pl
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from advae import tensorfile
from advae.atomic import replacing
from advae.config import Config
from advae.detector import model_file
from advae.detector.fitting import fit_detector
from advae.errors import InputError, ModelFileError
from advae.methods.advae import conditional

# The sizes of test_invariants and test_training: programs compiled there serve here.
CONFIG = Config(hidden=8, latent=3, batch_size=16, points=8, members=2, iterations=50)


def table(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(rng.normal(size=(rows, 3)), schema=["a", "b", "c"])
    return frame.with_columns(
        pl.Series("kind", rng.choice(["red", "green"], rows)),
        pl.Series("on", rng.random(rows) < 0.5),
        pl.lit("here").alias("site"),
        pl.lit(7).alias("unused"),
    )


@pytest.fixture(scope="module")
def detector():
    return fit_detector(table(), CONFIG, ignored=["unused"])


@pytest.fixture(scope="module")
def content(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("artifact") / "model"
    model_file.save(detector, path)
    return path.read_bytes()


@pytest.fixture
def path(content, tmp_path):
    """Return a path with a model file of the test's own."""
    path = tmp_path / "a model.advae"
    path.write_bytes(content)
    return path


# --- there and back ---


def test_round_trip_keeps_every_score(detector, path):
    loaded = model_file.load(path)
    rows = table(50, seed=1)
    np.testing.assert_array_equal(loaded.anomaly_score(rows), detector.anomaly_score(rows))
    np.testing.assert_array_equal(loaded.p_value(rows), detector.p_value(rows))
    np.testing.assert_array_equal(loaded.is_anomaly(rows), detector.is_anomaly(rows))
    ours, theirs = loaded.explain(rows), detector.explain(rows)
    np.testing.assert_array_equal(ours.contributions, theirs.contributions)
    assert ours.expected.equals(theirs.expected)


def test_the_widths_of_networks_are_those_of_the_file(path, monkeypatch):
    monkeypatch.setattr(conditional, "HIDDEN_OF_FEW", 24)  # as another version may have chosen
    wide = fit_detector(table(), CONFIG, ignored=["unused"])
    model_file.save(wide, path)
    monkeypatch.undo()
    loaded = model_file.load(path)
    assert loaded.scorer.surprise.conditional.bias.shape[-1] == 24
    np.testing.assert_array_equal(
        loaded.anomaly_score(table(20, 1)), wide.anomaly_score(table(20, 1))
    )


def test_round_trip_keeps_every_part(detector, path):
    loaded = model_file.load(str(path))
    assert loaded.config == detector.config
    assert loaded.table == detector.table
    assert loaded.threshold == detector.threshold
    assert loaded.summary == detector.summary
    assert loaded.ignored == detector.ignored == ("unused",)
    jax.tree.map(np.testing.assert_array_equal, loaded.scorer, detector.scorer)
    for name in ("training_scores", "calibration_scores"):
        found, expected = getattr(loaded, name), getattr(detector, name)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


def test_saving_what_was_loaded_gives_the_same_bytes(path, content, tmp_path):
    model_file.save(model_file.load(path), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == content


def test_a_file_may_be_replaced(detector, path, content):
    path.write_bytes(b"something else")
    model_file.save(detector, path)
    assert path.read_bytes() == content


def test_info_is_the_record(detector, path):
    info, _ = tensorfile.read(path, "model")
    assert info["format_version"] == tensorfile.FORMAT_VERSION
    assert Config.from_json(info["config"]) == detector.config
    assert info["threshold"]["value"] == detector.threshold.value
    assert info["summary"]["rows"] == detector.summary.rows
    assert info["summary"]["versions"].keys() >= {"advae", "jax"}


def modules_after(statement, path):
    code = f"import sys; path = sys.argv[1]; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_info_does_not_load_jax(path):
    loaded = modules_after("from advae import tensorfile; tensorfile.read(path, 'model')", path)
    assert not loaded & {"jax"}


# --- what stands in the file ---


def test_the_file_is_plain_safetensors(path):
    with safe_open(path, framework="numpy") as stored:
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        assert stored.metadata().keys() == {"advae"}
    assert {array.dtype.kind for array in arrays.values()} == {"f", "i"}
    assert {name for name in arrays if not name.startswith(("model.", "surprise."))} == {
        "reference.whitening",
        "reference.memory.rows",
        "reference.memory.errors",
        "reference.memory.bandwidth",
        "latent_noise",
        "training_scores",
        "calibration_scores",
        "golden_rows",
        "golden_scores",
        "golden_contributions",
        "specimen_scores",
    }


def test_no_training_row_is_in_the_file_but_the_memory(detector, path):
    rows = detector.table.transform(table().drop("unused"))
    _, arrays = tensorfile.read(path, "model")
    assert set(map(bytes, arrays.pop("reference.memory.rows"))) <= set(
        map(bytes, rows[:, : detector.table.network_width])
    )
    for name, array in arrays.items():
        flat = array.astype(np.float64).ravel()
        for width in (rows.shape[1], detector.table.network_width):
            if len(flat) < width:
                continue
            windows = np.lib.stride_tricks.sliding_window_view(flat, width)
            for row in rows[:, :width]:
                near = np.isclose(windows, row, rtol=1e-5, atol=1e-6).all(axis=1)
                assert not near.any(), name


def test_nothing_is_unpickled(path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    model_file.load(path)


# --- files that are not models ---


def assert_refused(path, message):
    """Both readers refuse the file, with one sentence that names it."""
    for read in (model_file.load, partial(tensorfile.read, kind="model")):
        with pytest.raises(ModelFileError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_missing_file(tmp_path):
    assert_refused(tmp_path / "none", r"model file .*none does not exist. Check the path")


def test_folder(tmp_path):
    assert_refused(tmp_path, "is not a file. Give the path of an advae model file")


@pytest.mark.parametrize(
    "bad",
    [b"", b"\0", b"a,b\n1,2\n", b"\0" * 5000, b"\xff" * 64, b"{}", struct.pack("<Q", 2) + b"{}"],
)
def test_foreign_bytes(tmp_path, bad):
    path = tmp_path / "bad"
    path.write_bytes(bad)
    assert_refused(path, "is not an advae model file.*. Give a file that advae wrote")


def test_random_bytes(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "bad"
    for length in (1, 7, 8, 9, 100, 10_000):
        path.write_bytes(rng.bytes(length))
        assert_refused(path, "is not an advae model file")


def test_truncated_file(path, content):
    for length in (1, 8, 9, 1000, len(content) // 2, len(content) - 1000, len(content) - 1):
        path.write_bytes(content[:length])
        assert_refused(path, "is not an advae model file.*cut short")


def test_bytes_behind_the_end(path, content):
    path.write_bytes(content + b"\0")
    assert_refused(path, "is not an advae model file")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"advae": "no JSON"},
        {"advae": "[]"},
        {"advae": "{}"},
        {"advae": '{"record": []}'},
        {"advae": '{"record": {"kind": "modem"}}'},
        {"advae": '{"record": ' * 100_000},
    ],
    ids=["none", "torch", "text", "list", "empty", "record list", "other kind", "deep"],
)
def test_foreign_safetensors(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": np.ones((2, 2), np.float32)}, path, metadata)
    assert_refused(path, "is not an advae model file. Give a file that advae wrote")


def test_checkpoint_given_as_model(detector, tmp_path):
    path = tmp_path / "checkpoint"

    def stop(snapshot):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_detector(table(), CONFIG, ignored=["unused"], checkpoint=str(path), on_block=stop)
    assert_refused(path, "is not an advae model file")


def test_too_large_a_file_is_not_read(path, monkeypatch):
    monkeypatch.setattr(tensorfile, "LARGEST_FILE", 1000)
    assert_refused(path, r"has \d+ bytes, more than the 1000 that an advae model file can have")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(path):
    path.chmod(0)
    assert_refused(path, "no permission to read")


def test_no_permission_as_the_library_says_it(path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tensorfile, "safe_open", refuse)
    assert_refused(path, "no permission to read")


def test_a_name_that_cannot_be_one(tmp_path):
    assert_refused(tmp_path / ("x" * 5000), "x+")


# --- models that were altered ---


def test_a_later_version_is_refused(path):
    record, arrays = tensorfile.read(path, "model")
    tensorfile.write(path, record | {"format_version": 99}, arrays)
    assert_refused(
        path,
        f"has format version 99, this advae reads up to {tensorfile.FORMAT_VERSION}. Upgrade advae",
    )


def test_an_earlier_version_is_refused(path):
    record, arrays = tensorfile.read(path, "model")
    tensorfile.write(path, record | {"format_version": tensorfile.FORMAT_VERSION - 1}, arrays)
    assert_refused(
        path,
        rf"of an advae before the first release; this one reads {tensorfile.FORMAT_VERSION}\. Fit",
    )


@pytest.mark.parametrize("version", [None, "1", 0, -1, True, 1.5])
def test_a_version_that_is_none(path, version):
    record, arrays = tensorfile.read(path, "model")
    tensorfile.write(path, record | {"format_version": version}, arrays)
    assert_refused(path, "has no valid format version")


def test_edited_record(path, content):
    for old, new in ((b'alpha\\": 0.1', b'alpha\\": 0.3'), (b'rows\\": 2', b'rows\\": 9')):
        assert old in content
        path.write_bytes(content.replace(old, new))
        assert_refused(path, r"was altered or damaged.*checksum does not match")


def test_a_changed_byte_anywhere_in_the_arrays(path, content):
    start = 8 + struct.unpack("<Q", content[:8])[0]
    for position in np.linspace(start, len(content) - 1, 25, dtype=int):
        changed = bytearray(content)
        changed[position] ^= 0x01
        path.write_bytes(changed)
        with pytest.raises(
            ModelFileError, match=r"was altered or damaged.*checksum does not match"
        ):
            model_file.load(path)


def test_arrays_that_changed_places(path):
    record, arrays = tensorfile.read(path, "model")
    envelope = json.loads(safe_open(path, framework="numpy").metadata()["advae"])
    for changed in (
        arrays | {"training_scores": arrays["training_scores"].reshape(1, -1)},
        arrays | {"training_scores": arrays["training_scores"].view(np.int64)},
        arrays | {"more": np.zeros(3)},
        {name: array for name, array in arrays.items() if name != "calibration_scores"},
    ):
        save_file(changed, path, {"advae": json.dumps(envelope)})
        with pytest.raises(ModelFileError, match="checksum does not match"):
            model_file.load(path)
    assert envelope["record"] == record


def rewritten(path, change):
    """Change a model file as somebody would who can also compute its checksum."""
    record, arrays = tensorfile.read(path, "model")
    record = copy.deepcopy(record)
    change(record, arrays)
    tensorfile.write(path, record, arrays)


def times(factor, name):
    return lambda record, arrays: arrays.update({name: arrays[name] * np.float32(factor)})


@pytest.mark.parametrize("net", ["encoder", "generator"])
def test_golden_rows_catch_other_weights(path, net):
    rewritten(path, times(1.01, f"model.{net}.layers.1.weight"))
    with pytest.raises(ModelFileError, match="does not give the scores it gave where it was writ"):
        model_file.load(path)


def test_golden_rows_catch_other_noise_and_their_own_change(path, content):
    for change in (
        times(1.5, "latent_noise"),
        times(0.99, "golden_scores"),
        times(0.9, "golden_rows"),
    ):
        path.write_bytes(content)
        rewritten(path, change)
        with pytest.raises(ModelFileError, match="does not give the scores it gave"):
            model_file.load(path)


def test_golden_scores_allow_for_another_machine(path, detector):
    rewritten(path, times(1 + 1e-5, "golden_scores"))
    rows = table(20)
    np.testing.assert_array_equal(
        model_file.load(path).anomaly_score(rows), detector.anomaly_score(rows)
    )


def placed(value, name, *place):
    """Put a value into one place of an array; it may be made of what is there."""

    def change(record, arrays):
        array = arrays[name].copy()
        array[place] = value(array[place]) if callable(value) else value
        arrays[name] = array

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (times(1.5, "surprise.conditional.head"), "does not give|explain"),
        (
            placed(lambda v: v + 0.3, "surprise.conditional.head_bias", 0, 7),
            "does not give|explain",
        ),
        (times(1.001, "golden_contributions"), "does not explain scores"),
        (placed(np.inf, "surprise.classes.low", 2), "are those of no rows"),
        (placed(lambda v: 2 * v, "surprise.classes.width", 2), "are not side by side"),
        (placed(99, "surprise.classes.rules", 0), "are those of no rows"),
        (placed(1e9, "surprise.marginal.counts", 1), "are not those of rows"),
        (placed(-np.inf, "surprise.marginal.knots", 0, 1), "are not those of rows"),
        (placed(np.inf, "surprise.shares.values", 0, 4), "'surprise.shares.values' holds values"),
        (
            lambda record, arrays: arrays.update(
                {
                    f"surprise.conditional.{name}": arrays[f"surprise.conditional.{name}"][None]
                    for name in ("bias", "middle_bias")
                }
            ),
            "expected float32",
        ),
    ],
    ids=range(10),
)
def test_what_surprises_are_computed_from_is_checked(path, change, message):
    rewritten(path, change)
    with pytest.raises(ModelFileError, match=message):
        model_file.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda record, arrays: arrays.update(
                {"model.encoder.layers.0.bias": np.zeros((2, 9), np.float32)}
            ),
            r"array 'model.encoder.layers.0.bias' is float32\[2, 9\], expected float32\[2, 8\]",
        ),
        (
            lambda record, arrays: arrays.update(
                {"model.encoder.layers.0.bias": np.zeros((2, 8), np.float64)}
            ),
            "array 'model.encoder.layers.0.bias' is float64",
        ),
        (
            lambda record, arrays: arrays.pop("model.transformer.layers.2.bias"),
            "array 'model.transformer.layers.2.bias' is missing",
        ),
        (lambda record, arrays: arrays.pop("latent_noise"), "array 'latent_noise' is missing"),
        (
            lambda record, arrays: arrays.update(latent_noise=np.zeros((8, 4), np.float32)),
            r"array 'latent_noise' is float32\[8, 4\], expected float32\[8, 3\]",
        ),
        (
            lambda record, arrays: arrays.update(latent_noise=np.zeros((0, 3), np.float32)),
            r"array 'latent_noise' is float32\[0, 3\], expected float32\[8, 3\]",
        ),
        (
            lambda record, arrays: arrays.update(golden_rows=np.zeros((4, 5), np.float32)),
            "is damaged",
        ),
        (lambda record, arrays: arrays.update(golden_rows=np.zeros(6, np.float32)), "is damaged"),
        (lambda record, arrays: record["config"].update(members=3), "expected float32"),
        (lambda record, arrays: record["config"].update(hidden=65_536), "expected float32"),
        (
            lambda record, arrays: record["config"].update(alpha=2.0),
            "field 'config': alpha is 2.0",
        ),
        (
            lambda record, arrays: record["config"].update(more=1),
            "field 'config': unknown setting",
        ),
        (lambda record, arrays: record.pop("config"), "is damaged: the field 'config' is missing"),
        (lambda record, arrays: record["table"].update(features=[]), "is damaged"),
        (lambda record, arrays: record["table"].update(features=[{"kind": "x"}]), "is damaged"),
        (lambda record, arrays: record.update(table=3), "is damaged"),
        (lambda record, arrays: record.update(threshold=None), "is damaged"),
        (lambda record, arrays: record["threshold"].pop("value"), "is damaged"),
        (lambda record, arrays: record.update(summary=[]), "is damaged"),
        (lambda record, arrays: record.pop("ignored"), "is damaged"),
    ],
)
def test_models_that_do_not_fit_together(path, change, message):
    rewritten(path, change)
    with pytest.raises(ModelFileError, match=message) as caught:
        model_file.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda record: record["summary"]["history"]["iteration"].__setitem__(0, "a"), "iteration"),
        (lambda record: record["summary"].update(versions={"jax": 3}), "summary.versions.jax"),
        (lambda record: record["summary"].update(notes="text"), "summary.notes"),
        (lambda record: record["summary"].update(rows=1.5), "summary.rows"),
        (lambda record: record["summary"].update(rows=10**30), "summary.rows"),
        (lambda record: record["threshold"].update(why="\ud800"), "threshold.why"),
        (lambda record: record["threshold"].update(value=float("inf")), "threshold.value"),
        (lambda record: record["threshold"].update(method="best"), "threshold.method"),
        (lambda record: record.update(earlier_thresholds=[3]), r"earlier_thresholds\[0\]"),
        (lambda record: record.update(ignored=["a", None]), r"ignored\[1\]"),
        (lambda record: record["reading"].update(null=3), "null"),
        (lambda record: record.update(reviews=[{"made": 3}]), r"reviews\[0\]"),
        (lambda record: record.update(more=3), "more"),
        (lambda record: record["table"]["features"][1].update(name=3), r"features\[1\].name"),
    ],
)
def test_a_field_that_is_wrong_is_named_before_anything_is_shown(path, run, change, field):
    rewritten(path, lambda record, arrays: change(record))
    with pytest.raises(ModelFileError, match=f"is damaged: the field .*{field}"):
        model_file.load(path)
    for words in (("info", path), ("info", path, "--json"), ("threshold", path)):
        result = run(*words)
        assert result.code == 2
        assert result.out == ""
        assert result.err.count("\n") == 1


def test_what_is_odd_in_a_model_reaches_no_terminal_raw(path, run):
    odd = "\x1b[31mred\x07\x9b2J[bold]\u202e"

    def change(record, arrays):
        record["summary"]["notes"] = [odd]
        record["summary"]["versions"][odd] = odd
        record["summary"]["history"][odd] = record["summary"]["history"]["iteration"]
        record["threshold"]["why"] = odd
        record["earlier_thresholds"] = [record["threshold"]]
        record["ignored"] = [odd]
        record["table"]["features"][0]["name"] = odd
        record["config"]["method"] = odd
        record["reviews"] = [
            {"made": odd, "radius": 1.0, "verdicts": [], "joined": [], "doubts": [odd]}
        ]

    rewritten(path, change)
    for words in (("info", path), ("info", path, "--json"), ("review", path), ("threshold", path)):
        result = run(*words)
        assert not set("\x1b\x07\x9b\u202e") & set(result.out + result.err)
    assert "[bold]" in run("info", path).out


@pytest.mark.parametrize(
    "change",
    [
        lambda features: features[0]["scale"].update(low=features[0]["scale"]["low"] - 1),
        lambda features: features[0].update(median=features[0]["scale"]["low"]),
        lambda features: features[3]["categories"].reverse(),
        lambda features: features[5].update(value="there"),
        lambda features: features.insert(0, features.pop(1)),
    ],
    ids=["range", "median", "categories", "constant", "order"],
)
def test_specimens_catch_columns_that_were_changed(path, change):
    rewritten(path, lambda record, arrays: change(record["table"]["features"]))
    with pytest.raises(ModelFileError, match="does not give the scores it gave where it was writ"):
        model_file.load(path)


def test_a_file_without_specimens_is_read(path, detector):
    def change(record, arrays):
        del record["specimens"], arrays["specimen_scores"]

    rewritten(path, change)
    rows = table(20)
    assert np.array_equal(model_file.load(path).anomaly_score(rows), detector.anomaly_score(rows))


def test_settings_that_are_a_list(path):
    rewritten(path, lambda record, arrays: record.update(config=[]))
    with pytest.raises(ModelFileError):
        model_file.load(path)


def test_golden_scores_of_another_number(path):
    rewritten(path, lambda record, arrays: arrays.update(golden_scores=np.zeros(3, np.float32)))
    with pytest.raises(ModelFileError):
        model_file.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda record, arrays: record["threshold"].update(value="high"),
        lambda record, arrays: record["threshold"].update(value=float("nan")),
        lambda record, arrays: arrays.update(training_scores=np.zeros((4, 4))),
        lambda record, arrays: arrays.update(training_scores=arrays["training_scores"][::-1]),
        lambda record, arrays: arrays.update(
            golden_rows=arrays["golden_rows"][:0], golden_scores=arrays["golden_scores"][:0]
        ),
    ],
    ids=["text threshold", "NaN threshold", "score matrix", "unsorted scores", "no golden rows"],
)
def test_parts_that_are_not_checked(path, change):
    rewritten(path, change)
    with pytest.raises(ModelFileError):
        model_file.load(path)


# --- writing ---


def failing(*arguments, **options):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_failure_while_writing_leaves_the_old_file(detector, path, content, monkeypatch, name):
    old = b"the old file"
    path.write_bytes(old)
    if name == "fsync":
        monkeypatch.setattr(os, "fsync", failing)
    else:
        monkeypatch.setattr(type(path), "replace", failing)
    with pytest.raises(InputError, match=r"cannot write .*: No space left on device"):
        model_file.save(detector, path)
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]


def test_an_interruption_while_writing_leaves_the_old_file(path, content):
    def write_half():
        with replacing(path) as stream:
            stream.write(b"half a")
            stream.flush()
            assert path.read_bytes() == content
            assert len(list(path.parent.iterdir())) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_new_file_has_the_usual_permissions(detector, tmp_path):
    old = os.umask(0o027)
    try:
        model_file.save(detector, tmp_path / "model")
    finally:
        os.umask(old)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o640


def test_places_that_cannot_be_written(detector, tmp_path):
    places = {
        tmp_path / "none" / "model": "folder .*/none does not exist. Create it first",
        tmp_path / ("x" * 300): "File name too long. Choose another place",
        tmp_path: "it is a folder",
    }
    for place, message in places.items():
        with pytest.raises(InputError, match=f"cannot write .*{message}"):
            model_file.save(detector, place)
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_a_zero_byte_is_refused(detector):
    with pytest.raises(InputError, match="Choose another name"):
        model_file.save(detector, "a\0b")
