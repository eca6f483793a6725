"""Values by dotted key, put into the plain values of a configuration.

A trial is the configuration that stands, resolved, with some of its values replaced: whole, never
merged. With another `name`, or `target`, the keys beside it take the defaults of that name.
"""

from collections.abc import Mapping
from typing import Any

from distrain.config.explain import known_keys
from distrain.config.faults import KeyPath
from distrain.config.settings import EITHER_OR
from distrain.config.tree import CHOICES

FREE_TABLES: tuple[KeyPath, ...] = (("model", "args"), ("train", "loss", "class_weights"))
"""Mappings with keys of the user's own."""

_CHOOSING = ("name", "target")
_COUNTERPARTS = {mine: other for pair in EITHER_OR for mine, other in (pair, pair[::-1])}


def path_of(dotted_key: str) -> KeyPath:
    """Return the path that a dotted key stands for."""
    return tuple(dotted_key.split("."))


def exists(path: KeyPath) -> bool:
    """Return whether some configuration has a value at the path."""
    is_free = any(path[: len(table)] == table and len(path) > len(table) for table in FREE_TABLES)
    return path in known_keys() or is_free


def value_in(values: Any, path: KeyPath) -> tuple[bool, Any]:
    """Return whether plain values have something at a path, and what."""
    for key in path:
        if not isinstance(values, Mapping) or key not in values:
            return False, None
        values = values[key]
    return True, values


def with_values(values: Mapping[str, Any], assignment: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values of a configuration with others in their place, and without `tune`.

    Args:
        values: all of a resolved configuration; it is not changed, and parts of it are shared.
        assignment: dotted key -> plain value; a key goes in before those below it, and a name
            before the keys beside it.
    """
    changed = {**values, "tune": None}
    ordered = sorted(
        assignment, key=lambda key: (key.count("."), path_of(key)[-1] not in _CHOOSING)
    )
    for key in ordered:
        _put(changed, path_of(key), assignment[key])
    return changed


def _put(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Replace one value, in place; the mappings on the way are copied first."""
    parent = values
    for depth, key in enumerate(path[:-1]):
        below = parent.get(str(key))
        is_choosing = depth == len(path) - 2 and path[-1] in _CHOOSING and path[:-1] in CHOICES
        if not isinstance(below, Mapping) or (is_choosing and below.get(path[-1]) != value):
            below = {}
        parent[str(key)] = parent = dict(below)
    parent[str(path[-1])] = _written_out(path, value)
    other = _COUNTERPARTS.get(path)
    if other is not None and value is not None:
        _put_null(values, other)


def _put_null(values: dict[str, Any], path: KeyPath) -> None:
    parent = values
    for key in path[:-1]:
        parent[str(key)] = parent = dict(parent[str(key)])
    parent[str(path[-1])] = None


def _written_out(path: KeyPath, value: Any) -> Any:
    """Return {name: word} for the word that a section may be given as."""
    if path in CHOICES and isinstance(value, str):
        return {"target" if ":" in value else "name": value}
    return value
