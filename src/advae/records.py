"""Frozen dataclasses from JSON, field by field, so that a damaged model is refused as such."""

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from advae.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")


def restore(cls: type[Record], data: object) -> Record:
    """Build a dataclass from what `dataclasses.asdict` and JSON made of one.

    Parameters
    ----------
    cls
        A dataclass whose fields are bool, int, float, str, None, unions and tuples of these, or
        such dataclasses.
    data
        The decoded JSON: a dict with exactly the fields of ``cls``.

    Raises
    ------
    InputError
        When a field is missing, unknown, or of another type. Each class checks its own values.
    """
    types = get_type_hints(cls)
    hints = {field.name: types[field.name] for field in fields(cls)}
    if not isinstance(data, dict) or set(data) != set(hints):
        raise InputError(f"expected the fields {sorted(hints)}, found {data!r:.200}")
    return cls(**{name: _convert(hint, data[name], name) for name, hint in hints.items()})


def _convert(hint: Any, value: object, name: str) -> object:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(arguments[0], item, name) for item in value)
    if origin in (Union, UnionType):
        for option in arguments:
            if type(value) is option:
                return value
    if isinstance(hint, type) and is_dataclass(hint):
        return restore(hint, value)
    if hint is float and type(value) is int:  # other JSON writers drop the point of 1.0
        return float(value)
    if type(value) is hint:
        return value
    raise InputError(f"the field {name!r} cannot be {value!r:.200}")
