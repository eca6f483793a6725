"""Single values against a JSON Schema: whether one fits, and how to mend one that does not."""

import math
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from distrain.config.faults import KeyPath, dotted
from distrain.config.source_lines import scalar
from distrain.config.words import Schema, given, names_of
from distrain.errors import nearest

_YES = ("yes", "y", "on", "true")
_NO = ("no", "n", "off", "false")


def fits(value: Any, schema: Schema) -> bool:
    """Return whether a value that is no mapping fits a schema that is no union.

    Args:
        value: a plain value; for a list its items are looked at too.
        schema: a JSON Schema without references.
    """
    if "enum" in schema or "const" in schema:
        valid = schema.get("enum", [schema.get("const")])
        return any(type(value) is type(name) and value == name for name in valid)
    kind = schema.get("type")
    if isinstance(kind, list):
        return any(fits(value, {**schema, "type": each}) for each in kind)
    return kind is None or _FITS.get(kind, _never)(value, schema)


def mend(value: Any, options: Sequence[Schema], path: KeyPath) -> str:
    """Return how to make the value fit one of the options, or nothing where that is not plain.

    Args:
        value: a plain value that fits none.
        options: schemas that are no unions.
        path: where it stands.
    """
    kinds = {str(option.get("type")) for option in options}
    if isinstance(value, str):
        return _mend_text(value, options, kinds, path)
    if isinstance(value, bool | int | float) and any(fits(given(value), o) for o in options):
        return f"Put it in quotes: '{given(value)}'"
    if isinstance(value, bool | int | float) and "array" in kinds:
        return f"Put it in brackets: [{given(value)}]"
    return ""


def _mend_text(text: str, options: Sequence[Schema], kinds: set[str], path: KeyPath) -> str:
    close = nearest(text, [name for option in options for name in names_of(option)])
    if close:
        return f"Did you mean {close!r}?"
    if "${" in text and "string" not in kinds:
        return (
            "A variable can stand only for text; on the command line the shell fills it in: "
            f"{dotted(path)}=$VAR"
        )
    if kinds & {"integer", "number"} and any(fits(scalar(text), option) for option in options):
        return "Take the quotes off"
    if "boolean" in kinds and text.lower() in (*_YES, *_NO):
        return f"Write {'true' if text.lower() in _YES else 'false'}"
    return f"Put it in brackets: [{text}]" if "array" in kinds and text else ""


def _never(_value: Any, _schema: Schema) -> bool:
    return False


def _fits_text(value: Any, schema: Schema) -> bool:
    return (
        isinstance(value, str)
        and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf)
        and ("pattern" not in schema or re.fullmatch(schema["pattern"], value) is not None)
    )


def _fits_whole_number(value: Any, schema: Schema) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and _is_within(value, schema)


def _fits_number(value: Any, schema: Schema) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max and _is_within(value, schema)


def _is_within(value: float, schema: Schema) -> bool:
    is_within: bool = (
        schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
        and schema.get("exclusiveMinimum", -math.inf) < value
        and value < schema.get("exclusiveMaximum", math.inf)
    )
    return is_within


_FITS: dict[str, Callable[[Any, Schema], bool]] = {
    "null": lambda value, _schema: value is None,
    "boolean": lambda value, _schema: isinstance(value, bool),
    "integer": _fits_whole_number,
    "number": _fits_number,
    "string": _fits_text,
}
