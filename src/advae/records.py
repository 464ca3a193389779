"""Dataclasses out of decoded JSON that anybody may have edited: every field is checked.

An error names the field as a path, such as ``summary.history.encoder_kld[0]``.
"""

import math
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from advae.errors import AdVAEError, InputError, quoted

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")

LARGEST = 2**63
"""Whole numbers stay below it, of either sign."""


def restore(cls: type[Record], data: object, where: str = "", *, whole: bool = True) -> Record:
    """Build a dataclass from what `dataclasses.asdict` and JSON made of one.

    Parameters
    ----------
    cls
        A dataclass whose fields are bool, int, float, str, None, literals, unions, tuples and
        dicts of these, or such dataclasses. A class with a method ``from_json`` builds itself.
    data
        The decoded JSON: a dict with exactly the fields of ``cls``.
    where
        The path of the record, for errors.
    whole
        Whether fields with a default must be there, too.

    Raises
    ------
    InputError
        When a field is missing, unknown, or of another type, a number is not finite, or a text is
        no Unicode. Each class checks its own values.
    """
    hints, needed = _hints(cls), [each.name for each in fields(cls) if whole or _needed(each)]
    if not isinstance(data, dict):
        raise InputError(f"the field {quoted(where)} cannot be {quoted(data)}")
    for name in needed:
        if name not in data:
            raise InputError(f"the field {quoted(_path(where, name))} is missing")
    for name in data:
        if name not in hints:
            raise InputError(f"the field {quoted(_path(where, name))} is unknown")
    return cls(**{name: _convert(hints[name], data[name], _path(where, name)) for name in data})


@cache
def _hints(cls: type) -> dict[str, Any]:
    types = get_type_hints(cls)
    return {each.name: types[each.name] for each in fields(cls)}


def _needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _path(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _convert(hint: Any, value: object, where: str) -> object:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if type(value) in arguments and _usable(value):
            return value
        for option in arguments:
            try:
                return _convert(option, value, where)
            except InputError:
                continue
    elif origin is Literal:
        if isinstance(value, str) and value in arguments:
            return value
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_each(arguments[0], value, where))
    elif origin is list and isinstance(value, list):
        return _each(arguments[0], value, where)
    elif origin is dict and isinstance(value, dict):
        return {
            _convert(str, name, where): _convert(arguments[1], each, _path(where, name))
            for name, each in value.items()
        }
    elif hasattr(hint, "from_json") or is_dataclass(hint):
        return _built(hint, value, where)
    elif _is_of(hint, value) and _usable(value):
        return value
    raise InputError(f"the field {quoted(where)} cannot be {quoted(value)}")


def _each(hint: Any, values: Sequence[object], where: str) -> list[object]:
    if hint is float and all(type(value) is float and math.isfinite(value) for value in values):
        return list(values)  # most of a model file: no place of an error to spell for each
    return [_convert(hint, value, f"{where}[{i}]") for i, value in enumerate(values)]


def _is_of(hint: Any, value: object) -> bool:
    # Other JSON writers drop the point of 1.0.
    return type(value) is hint or (hint is float and type(value) is int)


def _built(hint: Any, value: object, where: str) -> object:
    """Build a record inside another; name the field in what its class has to say."""
    if not hasattr(hint, "from_json"):
        return restore(hint, value, where)
    try:
        return hint.from_json(value)
    except AdVAEError as error:
        raise InputError(f"the field {quoted(where)}: {error}") from None


def _usable(value: object) -> bool:
    """Return whether a number is finite and a text can be written as UTF-8."""
    if isinstance(value, str):
        return not any("\ud800" <= sign <= "\udfff" for sign in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) < LARGEST
