"""Whether a line of a journal says what a record of its kind says, whoever wrote it.

A checksum tells of a torn line and not of a forged one: with each run, its journal may come from
anywhere.
"""

from collections.abc import Callable, Mapping
from typing import Final

from distrain.foreign import is_count


def is_sound(seq: object, time_ms: object, kind: object, payload: object) -> bool:
    """Return whether the fields of a record are such as `journal.py` writes.

    Args:
        seq: its number.
        time_ms: when it was recorded.
        kind: what it is; of one that is not known here, the payload may be anything.
        payload: its content.
    """
    if not (is_count(seq) and is_count(time_ms) and isinstance(kind, str)):
        return False
    if not isinstance(payload, dict):
        return False
    return all(name in payload and fits(payload[name]) for name, fits in _FIELDS.get(kind, ()))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_path(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value  # which no path can hold


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _are_numbers(value: object) -> bool:
    return isinstance(value, dict) and all(
        type(number) in (float, int) or number in ("nan", "inf", "-inf")
        for number in value.values()
    )


_Fields = tuple[tuple[str, Callable[[object], bool]], ...]
_FIELDS: Final[Mapping[str, _Fields]] = {
    "artifact": (("path", _is_path), ("artifact_path", _is_path)),
    "assessment": (("split", _is_text), ("counts", _is_table)),
    "checkpoint": (("step", is_count),),
    "metrics": (("step", is_count), ("values", _are_numbers)),
    "model": (("path", _is_path), ("facts", _is_table)),
    "note": (("text", _is_text),),
    "run": (("experiment", _is_text), ("key", _is_text), ("name", _is_text), ("tags", _is_table)),
    "search": (("event", _is_text),),
    "start": (("step", is_count),),
    "status": (("status", _is_text),),
    "store": (("identity", _is_text),),
    "system": (("step", is_count), ("values", _are_numbers)),
}
