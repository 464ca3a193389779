"""A detector as an ONNX file: from the user's columns to score, p-value, flag and contributions.

The columns and the method write down their parts; here these become one graph, and a file that
was checked. No converter takes part.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from advae.atomic import replacing
from advae.core.randomness import generator
from advae.detector.detector import UNJUDGED, Detector, unjudged
from advae.errors import InputError, MissingExtraError, ModelFileError
from advae.graph import IR_VERSION, ML_OPSET, OPSET, Graph, Input, Value
from advae.tables.frames import as_frame
from advae.tables.values import Given, check_columns

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-5
"""Relative, between the scores of the file and those of the model."""

GOLDEN_ROWS = 8

LARGEST = 2**31 - 1
"""Bytes. No larger message can be read."""

THRESHOLD = "threshold"
OUTPUTS = {
    "anomaly_score": (np.float64, ("rows",)),
    "p_value": (np.float64, ("rows",)),
    "is_anomaly": (np.bool_, ("rows",)),
    "contributions": (np.float32, ("rows", "features")),
}


def write_onnx(detector: Detector, path: str | Path, fingerprint: str | None = None) -> list[str]:
    """Write a detector as an ONNX file, after checking that onnxruntime gives its scores.

    Inputs are the training columns by name, each of shape [rows], and the threshold, which may be
    left out. Outputs are ``anomaly_score``, ``p_value``, ``is_anomaly``, each [rows], and
    ``contributions`` [rows, features]. A value that `Detector.anomaly_score` would refuse gives a
    score of NaN, and the row is flagged. How values are given, names of the features, threshold,
    fingerprint and golden rows stand in the file's metadata as JSON.

    Parameters
    ----------
    detector
        What to write.
    path
        The file; it appears when it is whole and was checked.
    fingerprint
        SHA-256 of the model file, to be found in the metadata.

    Returns
    -------
        Sentences on what users of the file should know.

    Raises
    ------
    InputError
        If the method has no graph, the file would be too large, or cannot be written.
    ModelFileError
        If onnxruntime does not give the scores of the model.
    MissingExtraError
        If onnx or onnxruntime is missing.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            f"ONNX files need {error.name}. Install it with: pip install 'advae[onnx]'"
        ) from None
    reviewed, detector = bool(detector.reviews), replace(detector, reviews=())
    inputs = input_names(detector.table.feature_names)
    graph = whole_graph(detector, inputs)
    golden = golden_rows(detector)
    given = feeds(detector, golden)
    explained = detector.explain(golden)
    wanted = {"anomaly_score": explained.score, "contributions": explained.contributions}
    model = _model(graph)
    described = _metadata(detector, inputs, fingerprint, given, explained.score)
    onnx.helper.set_model_props(model, described)
    if model.ByteSize() > LARGEST:
        raise InputError(
            f"{path} would have {model.ByteSize():,} bytes, more than the {LARGEST:,} of an ONNX "
            "file. Fit again with a smaller memory, or fewer members."
        )
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # that a threshold can be given is no news
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found = dict(zip(wanted, session.run(list(wanted), given), strict=True))
    _check(found, wanted, path)
    with replacing(Path(path)) as stream:
        stream.write(content)
    forgotten = ["the file knows nothing of reviews: what they excused, alarms in it"]
    return [*(forgotten if reviewed else []), *_remarks(detector, inputs)]


def feeds(detector: Detector, data: Any) -> dict[str, np.ndarray]:
    """Return the rows of a table as inputs of the file, by name.

    Raises
    ------
    InputError
        For a missing column, or a value that cannot be read.
    """
    frame, table = as_frame(data), detector.table
    check_columns(table.feature_names, frame.columns, "the table")
    names = input_names(table.feature_names)
    return {
        name: feature.fed(frame[feature.name], 0)
        for name, feature in zip(names, table.features, strict=True)
    }


def input_names(columns: tuple[str, ...]) -> list[str]:
    """Return the names of the inputs of columns: their own, unless the graph uses that itself."""
    used = {"", THRESHOLD, *OUTPUTS}
    names = []
    for column in columns:
        name = column
        while name in used or (name != column and name in columns):
            name = f"column {name}"
        names.append(name)
        used.add(name)
    return names


def whole_graph(detector: Detector, names: list[str]) -> Graph:
    """Return the graph of a detector, whose inputs have these names.

    Raises
    ------
    InputError
        If its method has no graph.
    """
    table, method = detector.table, detector.method
    graph = Graph(frozenset({*names, THRESHOLD, *OUTPUTS}))
    parts, readable = [], []
    for name, feature in zip(names, table.features, strict=True):
        values = graph.input(Input(name, feature.given.dtype, ("rows",)))
        written = feature.in_graph(graph, values)
        parts.append(written.encoded)
        readable += [] if written.readable is None else [written.readable]
    places = np.concatenate([np.array(each) for each in table.places])
    encoded = graph.concat(parts).take(np.argsort(places), axis=1)
    hidden = np.zeros((1, table.width), bool)
    hidden[:, unjudged(table, detector.config)] = True
    if hidden.any():
        encoded = graph.constant(hidden).where(UNJUDGED, encoded)
    width = table.width if method.whole else table.network_width
    varied = encoded if width == table.width else encoded.take(np.arange(width), axis=1)
    scored = method.in_graph(graph, detector.scorer, varied, width)
    if scored is None:
        raise InputError(
            f"the method {detector.config.method!r} has no ONNX graph. Use the model file itself."
        )
    score, contributions = scored.score.cast(np.float64), scored.contributions
    if width < table.width:
        fixed = encoded.take(np.arange(width, table.width), axis=1)
        squares = fixed * fixed
        score = score + squares.cast(np.float64).sum(1)
        contributions = graph.concat([contributions, squares])
    contributions = contributions @ np.eye(len(table.features), dtype=np.float32)[table.owner]
    _give_out(graph, detector, score, contributions, readable)
    return graph


def _give_out(
    graph: Graph, detector: Detector, score: Value, contributions: Value, readable: list[Value]
) -> None:
    """Add the outputs, those of rows with an unreadable value as NaN."""
    normal = np.sort(np.asarray(detector.reference_scores, np.float64))
    below = graph.search(normal[None], score.widened(1)).reshape(-1).cast(np.float64)
    rows = len(normal)
    share = (graph.constant(np.float64(rows + 1)) - below) / np.float64(rows + 1)
    if readable:
        good = readable[0]
        for each in readable[1:]:
            good = good & each
        score, share = (good.where(each, np.float64(np.nan)) for each in (score, share))
        contributions = good.widened(1).where(contributions, np.float32(np.nan))
    default = np.array([detector.threshold.value])
    threshold = graph.input(Input(THRESHOLD, np.float64, (1,), default))
    # So that a row without a score is flagged, and not overlooked.
    flagged = ~((score < threshold) | score.equals(threshold))
    for name, value in zip(OUTPUTS, (score, share, flagged, contributions), strict=True):
        graph.output(name, value)


def _model(graph: Graph) -> "onnx.ModelProto":
    """Return a graph as ONNX's message."""
    from importlib.metadata import version

    from onnx import helper

    written = _message(graph, "advae")
    for name, (dtype, shape) in OUTPUTS.items():
        written.output.append(helper.make_tensor_value_info(name, _element(dtype), shape))
    return helper.make_model(
        written,
        producer_name="advae",
        producer_version=version("advae"),
        ir_version=IR_VERSION,
        opset_imports=[
            helper.make_opsetid("", OPSET),
            helper.make_opsetid("ai.onnx.ml", ML_OPSET),
        ],
    )


def _message(graph: Graph, name: str) -> "onnx.GraphProto":
    """Return a graph, or the body of a loop, as ONNX's message; a whole graph lacks outputs."""
    from onnx import helper, numpy_helper

    def attribute(value: Any) -> Any:
        if isinstance(value, Graph):
            return _message(value, "body")
        return _element(value) if isinstance(value, np.dtype) else value

    nodes = [
        helper.make_node(
            node.kind,
            node.inputs,
            node.outputs,
            domain=node.domain,
            **{key: attribute(value) for key, value in node.attributes.items()},
        )
        for node in graph.nodes
    ]
    inputs = [
        helper.make_tensor_value_info(each.name, _element(each.dtype), each.shape)
        for each in graph.inputs
    ]
    arrays = graph.constants | {
        each.name: each.default for each in graph.inputs if each.default is not None
    }
    initializers = [numpy_helper.from_array(array, key) for key, array in arrays.items()]
    outputs = []
    if graph.outer is not None:  # what a loop gives out is of the shape of its state
        state = graph.inputs[0]
        outputs = [
            helper.make_tensor_value_info(key, _element(state.dtype), state.shape)
            for key in graph.outputs
        ]
    return helper.make_graph(nodes, name, inputs, outputs, initializers)


def _element(dtype: Any) -> int:
    from onnx import TensorProto, helper

    if np.dtype(dtype) == object:
        return int(TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def golden_rows(detector: Detector) -> pl.DataFrame:
    """Return rows to check the file by: typical ones, extreme ones, and one of missing values."""
    table, config = detector.table, detector.config
    encoded = generator(config.seed, "golden rows").random((GOLDEN_ROWS, table.width), np.float32)
    # Beyond the training range, and what training never had.
    encoded[-2] *= 3
    encoded[:-2, table.network_width :] = 0
    frame = table.decode(encoded)
    columns = []
    for feature in table.features:
        values = frame[feature.name]
        if feature.csv_dtype.is_numeric() and not values.dtype.is_numeric():
            values = pl.Series(feature.name, np.arange(float(GOLDEN_ROWS)))  # buckets have no value
        columns.append(values)
    frame = pl.DataFrame({each.name: each for each in columns})
    return pl.concat([frame[:-1], frame.clear(1)])


def _check(found: dict[str, Any], wanted: dict[str, np.ndarray], path: str | Path) -> None:
    """Refuse a file that does not give the scores and contributions of the golden rows."""
    scores = wanted["anomaly_score"]
    allowed = TOLERANCE * np.abs(scores)
    off = np.abs(found["anomaly_score"] - scores)
    apart = np.abs(found["contributions"] - wanted["contributions"]).max(axis=1)
    bad = np.flatnonzero(~((off <= allowed) & (apart <= 10 * allowed)))
    if len(bad):
        row = bad[0]
        raise ModelFileError(
            f"{path} was not written: for golden row {row} onnxruntime gives the score "
            f"{found['anomaly_score'][row]} instead of {scores[row]}, or other contributions. "
            "Use the model file itself."
        )


def _metadata(
    detector: Detector,
    inputs: list[str],
    fingerprint: str | None,
    given: dict[str, np.ndarray],
    scores: np.ndarray,
) -> dict[str, str]:
    """Return what stands beside the graph, each a text."""
    columns = [
        {
            "column": feature.name,
            "kind": feature.kind,
            "input": name,
            **_described(feature.given),
        }
        for name, feature in zip(inputs, detector.table.features, strict=True)
    ]
    threshold = detector.threshold
    schema = {
        "columns": columns,
        "contributions": list(detector.table.feature_names),
        "threshold": {
            "value": threshold.value,
            "method": threshold.method,
            "alpha": threshold.alpha,
        },
    }
    rows = {
        name: [None if _same(v, feature.given.missing) else v for v in given[name].tolist()]
        for name, feature in zip(inputs, detector.table.features, strict=True)
    }
    golden = {"inputs": rows, "anomaly_score": scores.tolist()}
    return {
        "advae.fingerprint": fingerprint or "",
        "advae.opset": f"ai.onnx {OPSET}, ai.onnx.ml {ML_OPSET}, the oldest that will do",
        "advae.schema": json.dumps(schema),
        "advae.golden_rows": json.dumps(golden),
    }


def _described(given: Given) -> dict[str, Any]:
    kind = "string" if given.dtype is object else np.dtype(given.dtype).name
    missing = "NaN" if _same(given.missing, np.nan) else given.missing
    return {"type": kind, "missing": missing, "meaning": given.meaning}


def _same(value: Any, missing: Any) -> bool:
    both_nan = value != value and missing != missing
    return bool(value == missing or both_nan)


def _remarks(detector: Detector, inputs: list[str]) -> list[str]:
    """Say what is given otherwise than one would think."""
    features = detector.table.features
    found = [
        f"the input of {feature.name!r} is {feature.given.meaning}"
        for feature in features
        if feature.caution == "hashed"
    ]
    found += [
        f"the input of column {feature.name!r} is called {name!r}"
        for name, feature in zip(inputs, features, strict=True)
        if name != feature.name
    ]
    return found
