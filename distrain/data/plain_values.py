"""What a task hands over, in a plain form: JSON, and beside it the bytes of its arrays.

The types that a value is read back by are declared by whoever reads it, never named by what is
read. Known are dataclasses, tuples, dicts with text for keys, numpy arrays, text, numbers, truth
values and None. Every float keeps its bits: JSON has the shortest text that stands for it alone.
"""

import json
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import repeat
from typing import Any, NamedTuple, Union, final, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Buffer = Any  # bytes, or a buffer of Arrow's


@final
class PlainValue(NamedTuple):
    """A value taken apart.

    Args:
        text: JSON; a dataclass is the list of its fields, an array its dtype and its shape.
        content: the arrays' bytes, one after the other in the order of the text.
    """

    text: str
    content: Buffer = b""


def to_plain(value: Any) -> PlainValue:
    """Return a value in its plain form.

    Raises:
        TypeError: it holds something of another type than the known ones.
    """
    arrays: list[Array] = []
    text = json.dumps(_taken_apart(value, arrays), ensure_ascii=False)
    return PlainValue(text, b"".join(array.tobytes() for array in arrays))


def from_plain(kind: Any, plain: PlainValue) -> Any:
    """Return the value of a plain form; its arrays have memory of their own.

    Args:
        kind: its type, as one annotates it, e.g. `tuple[Row, ...]`.
        plain: from `to_plain`.
    """
    position = 0

    def next_array(dtype: str, shape: Sequence[int]) -> Array:
        nonlocal position
        count = math.prod(shape)
        values = np.frombuffer(plain.content, dtype, count, position).reshape(shape).copy()
        position += values.nbytes
        return values

    return _built(kind, json.loads(plain.text), next_array)


def _taken_apart(value: Any, arrays: list[Array]) -> Any:
    """Return a value as what JSON knows; its arrays are added to `arrays`."""
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("an array of Python objects has no plain form")
        arrays.append(value)
        return [value.dtype.str, value.shape]
    if is_dataclass(value):
        return [_taken_apart(getattr(value, field.name), arrays) for field in fields(value)]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("only a dict whose keys are text has a plain form")
        return {key: _taken_apart(item, arrays) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_taken_apart(item, arrays) for item in value]
    return value


def _built(kind: Any, value: Any, next_array: Callable[[str, Sequence[int]], Array]) -> Any:
    """Return what `_taken_apart` took apart; its arrays are asked for in their order."""

    def built(kind: Any, value: Any) -> Any:
        return _built(kind, value, next_array)

    kind = _without_none(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if value is None:
        return None
    if hasattr(kind, "__dataclass_fields__"):
        return kind(*map(built, _field_types(kind), value))
    if origin is np.ndarray:
        return next_array(*value)
    if origin is tuple:
        return tuple(map(built, repeat(inner[0]) if inner[-1] is Ellipsis else inner, value))
    if origin in (dict, Mapping):
        return {key: built(inner[1], item) for key, item in value.items()}
    return value


def _without_none(kind: Any) -> Any:
    """Return the type of what is there, of one that may be missing."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    (there,) = (one for one in get_args(kind) if one is not types.NoneType)
    return there


@cache
def _field_types(kind: Any) -> list[Any]:
    hints = get_type_hints(kind)
    return [hints[field.name] for field in fields(kind)]
