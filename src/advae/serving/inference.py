"""The Open Inference Protocol, version 2, which KServe and Triton's clients speak.

A column is a tensor of shape [rows] or [rows, 1]. Numbers may have any type of the protocol;
texts, categories and times are BYTES. A missing value is null in JSON, NaN in a tensor of
floating-point numbers, and an element without bytes in a binary tensor of BYTES.
"""

import json
import struct
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from fastapi import APIRouter, Request, Response

from advae.errors import quoted
from advae.serving.bodies import JSON, RequestError, Rows, check_height, read_json
from advae.serving.models import Model, Scored

if TYPE_CHECKING:
    from advae.serving.app import Service

BINARY_LENGTH = "Inference-Header-Content-Length"
TYPES = {
    "BOOL": "?",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""NumPy's names for the types of the protocol besides BYTES."""

OUTPUTS = {"anomaly_score": "FP64", "is_anomaly": "BOOL", "p_value": "FP64"}


def routes(service: "Service") -> APIRouter:
    """Return the addresses of the protocol."""
    router = APIRouter()

    @router.get("/v2")
    async def describe_server() -> dict[str, Any]:
        """Return what the server is."""
        return {
            "name": "advae",
            "version": version("advae"),
            "extensions": ["binary_tensor_data"],
        }

    @router.get("/v2/health/live")
    async def is_live() -> dict[str, bool]:
        """Tell that the process answers."""
        return {"live": True}

    @router.get("/v2/health/ready")
    async def is_ready() -> dict[str, bool]:
        """Tell that the models are loaded."""
        return {"ready": True}  # before that, nobody listens

    @router.get("/v2/models/{name}/ready")
    async def is_model_ready(name: str) -> dict[str, Any]:
        """Tell that a model is loaded."""
        return {"name": service.model(name).name, "ready": True}

    @router.get("/v2/models/{name}")
    async def describe_tensors(name: str) -> dict[str, Any]:
        """Return the tensors that a model takes and gives."""
        model = service.model(name)
        features = model.current.detector.table.features
        example = model.current.example
        inputs = []
        for feature in features:
            dtype = example[feature.name].dtype
            kind = (
                "FP64"
                if dtype.is_numeric()
                else "BOOL"
                if isinstance(dtype, pl.Boolean)
                else "BYTES"
            )
            inputs.append({"name": feature.name, "datatype": kind, "shape": [-1]})
        return {
            "name": model.name,
            "versions": [model.current.fingerprint[:12]],
            "platform": "advae",
            "inputs": inputs,
            "outputs": [
                {"name": name, "datatype": kind, "shape": [-1]} for name, kind in OUTPUTS.items()
            ],
        }

    @router.post("/v2/models/{name}/infer", openapi_extra=_INFER, response_class=Response)
    async def infer(request: Request, name: str) -> Response:
        """Score rows that are given as tensors."""
        model = service.model(name)
        length = request.headers.get(BINARY_LENGTH)

        async def answer(body: bytes) -> Response:
            asked = await service.beside(len(body), _read, body, length)
            check_height(asked.height, service.settings.max_rows)
            rows = Rows.of_columns(asked.columns, model.current.detector, len(body))
            scored = await model.score(rows)
            request.state.rows = rows.height
            return _answer(asked, model, scored)

        return await service.within_limits(request, answer)

    return router


@dataclass
class _Asked:
    """A request: its columns, and which outputs it wants, True for those in binary."""

    id: str | None
    columns: dict[str, list[Any]]
    height: int
    outputs: dict[str, bool]


def _wrong(message: str, column: str | None = None) -> RequestError:
    return RequestError(422, "invalid_inference_request", message, column)


def _read(body: bytes, header_length: str | None) -> _Asked:
    if header_length is None:
        head, binary = body, b""
    elif header_length.isdecimal() and int(header_length) <= len(body):
        head, binary = body[: int(header_length)], body[int(header_length) :]
    else:
        raise RequestError(
            400,
            "invalid_header",
            f"{BINARY_LENGTH} is {quoted(header_length)}; expected the length of the JSON, at most "
            f"{len(body)}.",
        )
    request = read_json(head)
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(inputs, list) or not inputs:
        raise _wrong('the request has no list of "inputs". Give a tensor for each column.')
    columns: dict[str, list[Any]] = {}
    height = 0
    for tensor in inputs:
        name, values, binary = _tensor(tensor, binary)
        if name in columns:
            raise _wrong(f"input {quoted(name)} occurs twice. Give it once.", name)
        if columns and len(values) != height:
            raise _wrong(f"input {quoted(name)} has {len(values)} rows, others {height}.", name)
        columns[name], height = values, len(values)
    if binary:
        raise _wrong(f"{len(binary)} bytes follow the tensors. Leave them out.")
    if not height:
        raise _wrong("the tensors hold no rows. Send at least one.")
    identity = request.get("id")
    if not isinstance(identity, str | None):
        raise _wrong("the id is no text. Correct it.")
    return _Asked(identity, columns, height, _wanted(request))


def _wanted(request: dict[str, Any]) -> dict[str, bool]:
    """Return the outputs that a request asks for, and whether it wants each in binary."""
    by_default = _parameters(request).get("binary_data_output") is True
    outputs = request.get("outputs")
    if outputs is None:
        return dict.fromkeys(OUTPUTS, by_default)
    if not isinstance(outputs, list):
        raise _wrong('"outputs" is no list. Correct it.')
    wanted = {}
    for output in outputs:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in OUTPUTS:
            raise _wrong(f"there is no output {quoted(name)}. Ask for {', '.join(OUTPUTS)}.")
        wanted[name] = _parameters(output).get("binary_data", by_default) is True
    return wanted


def _parameters(owner: dict[str, Any]) -> dict[str, Any]:
    found = owner.get("parameters", {})
    if not isinstance(found, dict):
        raise _wrong('"parameters" is no object. Correct it.')
    return found


def _tensor(tensor: Any, binary: bytes) -> tuple[str, list[Any], bytes]:
    """Return a tensor's name and values, and the binary data that is left for further ones."""
    name = tensor.get("name") if isinstance(tensor, dict) else None
    if not isinstance(name, str):
        raise _wrong("an input has no name. Give it that of a column.")
    shape, datatype = tensor.get("shape"), tensor.get("datatype")
    if (
        not isinstance(shape, list)
        or not all(type(side) is int and side >= 0 for side in shape)
        or len(shape) not in (1, 2)
        or shape[1:] not in ([], [1])
    ):
        raise _wrong(f"input {quoted(name)} has shape {quoted(shape)}; expected [rows].", name)
    if not isinstance(datatype, str) or (datatype not in TYPES and datatype != "BYTES"):
        raise _wrong(f"input {quoted(name)} has no known datatype. Give FP64 or BYTES.", name)
    rows = shape[0]
    size = _parameters(tensor).get("binary_data_size")
    if size is None:
        values = tensor.get("data")
        if isinstance(values, list) and any(isinstance(value, list) for value in values):
            values = [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values]
        if not isinstance(values, list) or len(values) != rows:
            raise _wrong(f"input {quoted(name)} does not hold a list of {rows} values.", name)
        return name, _checked(name, datatype, values), binary
    if type(size) is not int or not 0 <= size <= len(binary):
        raise _wrong(f"the binary data of input {quoted(name)} is incomplete.", name)
    own, rest = binary[:size], binary[size:]
    if datatype == "BYTES":
        found = _texts(name, own)
    else:
        dtype = np.dtype(TYPES[datatype])
        if len(own) % dtype.itemsize:
            raise _wrong(f"the binary data of input {quoted(name)} is incomplete.", name)
        found = np.frombuffer(own, dtype).tolist()
    if len(found) != rows:
        raise _wrong(f"input {quoted(name)} holds {len(found)} values; expected {rows}.", name)
    return name, found, rest


def _checked(name: str, datatype: str, values: list[Any]) -> list[Any]:
    """Refuse values of JSON that are not of the type that their tensor declares."""
    known: tuple[type, ...] = (int, float)
    if datatype in ("BOOL", "BYTES"):
        known = (bool,) if datatype == "BOOL" else (str,)
    for row, value in enumerate(values):
        if value is not None and type(value) not in known:
            raise RequestError(
                422,
                "invalid_inference_request",
                f"input {quoted(name)}, row {row}: {quoted(value)} is not of datatype {datatype}. "
                "Correct the value, or the datatype.",
                name,
                row,
            )
    return values


def _texts(name: str, data: bytes) -> list[str | None]:
    """Return the elements of a binary tensor of BYTES; each has its length before it."""
    found: list[str | None] = []
    place = 0
    while place < len(data):
        if place + 4 > len(data):
            raise _wrong(f"the binary data of input {quoted(name)} is incomplete.", name)
        (length,) = struct.unpack_from("<I", data, place)
        place += 4
        if place + length > len(data):
            raise _wrong(f"the binary data of input {quoted(name)} is incomplete.", name)
        try:
            found.append(data[place : place + length].decode() if length else None)
        except UnicodeDecodeError:
            raise RequestError(
                422,
                "invalid_inference_request",
                f"input {quoted(name)}, row {len(found)}: not text in UTF-8. Encode it so.",
                name,
                len(found),
            ) from None
        place += length
    return found


def _answer(asked: _Asked, model: Model, scored: Scored) -> Response:
    arrays = {
        "anomaly_score": scored.scores.astype("<f8"),
        "is_anomaly": scored.flags,
        "p_value": scored.p_values.astype("<f8"),
    }
    outputs, binary = [], []
    for name, as_binary in asked.outputs.items():
        values = arrays[name]
        output: dict[str, Any] = {
            "name": name,
            "datatype": OUTPUTS[name],
            "shape": [len(values)],
        }
        if as_binary:
            binary.append(values.tobytes())
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            output["data"] = values.tolist()
        outputs.append(output)
    told: dict[str, Any] = {
        "model_name": model.name,
        "model_version": model.current.fingerprint[:12],
        "outputs": outputs,
    }
    if asked.id is not None:
        told["id"] = asked.id
    head = json.dumps(told).encode()
    if not binary:
        return Response(head, media_type=JSON)
    headers = {BINARY_LENGTH: str(len(head))}
    return Response(b"".join([head, *binary]), 200, headers, "application/octet-stream")


_INFER: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "id": {"type": "string"},
                        "inputs": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["name", "shape", "datatype", "data"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "shape": {"type": "array", "items": {"type": "integer"}},
                                    "datatype": {"enum": [*TYPES, "BYTES"]},
                                    "data": {"type": "array"},
                                },
                            },
                        },
                        "outputs": {"type": "array", "items": {"type": "object"}},
                    },
                }
            }
        },
    }
}
