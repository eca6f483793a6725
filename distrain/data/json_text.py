"""JSON in memory: a record a line, or one list of records; its faults with file and line.

Arrow reads lines whose columns have one type each. What it cannot take, Python reads: the result is
the same, with text where a column holds text here and numbers there.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import pyarrow as pa
from pyarrow import json as arrow_json

from distrain.data.columns import arrow_type, canonical, type_name
from distrain.data.text_files import lines_before
from distrain.errors import DataError, first_line

# Arrow parses a block at a time; a record must fit into one.
_BLOCK_BYTES: Final = 16 * 2**20
_KINDS: Final = {
    dict: "an object", list: "a list", str: "a text", bool: "a truth value", int: "a number",
    float: "a number", type(None): "null",
}  # fmt: skip
_LARGEST_INTEGER: Final = 2**63
# Numbers of too many digits, and too many objects within another.
_UNREADABLE: Final = (ValueError, RecursionError)

Record = dict[str, Any]


@final
@dataclass(frozen=True)
class JsonText:
    """Whole records of one file, as UTF-8.

    Args:
        text: the bytes.
        uri: the file, for messages.
        lines_before: lines of the file before these, for messages.
        byte_start: instead of `lines_before`, about where in the file this begins.
        may_be_list: whether it may be a single list of records.
    """

    text: bytes
    uri: str
    lines_before: int = 0
    byte_start: int = 0
    may_be_list: bool = False

    @property
    def is_list(self) -> bool:
        """Return whether this is a list of records, not lines."""
        return self.may_be_list and self.text.lstrip()[:1] == b"["

    def where(self, line: int) -> str:
        """Return a line of this text, counted from 0, as a place in the file."""
        return f"{self.uri}:{self._first_line() + line + 1}"

    def _first_line(self) -> int:
        return lines_before(self.uri, self.byte_start) if self.byte_start else self.lines_before


def parse_json(text: JsonText, types: Mapping[str, str]) -> pa.Table:
    """Return records as a table, all columns in the order in which they first come.

    Args:
        text: the records; a key that is absent counts as null.
        types: column types that are known; others are inferred. One that does not fit is left.

    Raises:
        DataError: a record is no JSON object, or has a key twice.
    """
    if not text.text.strip():
        return pa.table({})
    table = None if text.is_list else _read_by_arrow(text, types)
    if table is None:
        records = _listed_records(text) if text.is_list else list(_records(text))
        table = _table_of(records, types)
    columns = {
        name: _as_stated(canonical(column), types.get(name))
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return pa.table(columns) if columns else table


def line_with(text: JsonText, key: str) -> str:
    """Return the place of the first record that has a key."""
    if text.is_list:
        return text.uri
    return next((text.where(line) for line, record in _numbered(text) if key in record), text.uri)


def _read_by_arrow(text: JsonText, types: Mapping[str, str]) -> pa.Table | None:
    texts = [pa.field(name, pa.string()) for name, kind in types.items() if kind == "string"]
    try:
        if not text.text.isascii():
            text.text.decode("utf-8")  # which Arrow takes for granted
        return arrow_json.read_json(
            pa.BufferReader(text.text),
            read_options=arrow_json.ReadOptions(
                use_threads=False, block_size=min(_BLOCK_BYTES, max(len(text.text), 1))
            ),
            parse_options=arrow_json.ParseOptions(explicit_schema=pa.schema(texts)),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):  # told, or read after all, by `_records`
        return None


def _records(text: JsonText) -> Iterator[Record]:
    return (record for _, record in _numbered(text))


def _numbered(text: JsonText) -> Iterator[tuple[int, Record]]:
    """Yield each record with its line, counted from 0; blank lines are no records."""
    for number, line in enumerate(text.text.splitlines()):
        if line.strip():
            yield number, _record(line, text, number)


def _record(line: bytes, text: JsonText, number: int) -> Record:
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_unique)
    except json.JSONDecodeError as fault:
        is_cut = fault.pos >= len(line.decode("utf-8").rstrip()) or "Unterminated" in fault.msg
        raise DataError(
            f"the line is cut short ({fault.msg})"
            if is_cut
            else f"the line is no JSON ({fault.msg}, at character {fault.colno})",
            where=text.where(number),
            expected="one JSON object in each line",
            mend="Write the file again; of a list of records, set data.format to json."
            if not is_cut
            else "Write the line to its end, or the file again.",
        ) from fault
    except UnicodeDecodeError as fault:
        raise DataError(
            f"byte 0x{line[fault.start]:02x} is not UTF-8",
            where=text.where(number),
            expected="text in the encoding that data.read.encoding names (utf-8 unless given)",
            mend="Set data.read.encoding to what the file was written in.",
        ) from fault
    except _KeyTwiceError as fault:
        raise _key_twice(str(fault), text.where(number)) from fault
    except _UNREADABLE as fault:
        raise _unreadable(fault, text.where(number)) from fault
    return _checked(value, text.where(number))


def _listed_records(text: JsonText) -> list[Record]:
    try:
        values = json.loads(text.text.decode("utf-8"), object_pairs_hook=_unique)
    except (json.JSONDecodeError, UnicodeDecodeError) as fault:
        line = f":{fault.lineno}" if isinstance(fault, json.JSONDecodeError) else ""
        raise DataError(
            f"the file is no whole JSON ({first_line(fault)})",
            where=f"{text.uri}{line}",
            expected="a list of records, as in [{...}, {...}]",
            mend="Write the file again.",
        ) from fault
    except _KeyTwiceError as fault:
        raise _key_twice(str(fault), text.uri) from fault
    except _UNREADABLE as fault:
        raise _unreadable(fault, text.uri) from fault
    return [_checked(value, f"{text.uri}, record {n}") for n, value in enumerate(values, 1)]


def _unreadable(fault: Exception, where: str) -> DataError:
    return DataError(
        f"the JSON there cannot be read ({type(fault).__name__}: {first_line(fault)})",
        where=where,
        expected="numbers of fewer than 4,300 digits, and objects without hundreds within another",
        mend="Write it otherwise, or leave the record out.",
    )


def _checked(value: Any, where: str) -> Record:
    if isinstance(value, dict):
        _check_characters(value, where)
        return value
    raise DataError(
        f"the record is {_KINDS[type(value)]}",
        where=where,
        expected="an object, with a value for each column",
        mend='Write each row as {"column": value, ...}.',
    )


def _check_characters(record: Record, where: str) -> None:
    """Refuse text with half a character in it, as one escape of a pair alone is."""
    for name, value in record.items():
        try:
            name.encode()
            if isinstance(value, str):
                value.encode()
        except UnicodeEncodeError as fault:
            half = fault.object[fault.start]
            raise DataError(
                f"there is half a character in {name.encode(errors='replace').decode()!r}, "
                f"\\u{ord(half):04x} without its other half",
                where=where,
                expected="text that can be written as UTF-8",
                mend="Take it out, e.g. by text.encode('utf-16', 'surrogatepass').decode('utf-16', "
                "'replace') in Python.",
            ) from fault


class _KeyTwiceError(ValueError):
    """A key stands twice in an object."""


def _unique(pairs: Sequence[tuple[str, Any]]) -> Record:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _KeyTwiceError(next(key for key in keys if keys.count(key) > 1))
    return record


def _key_twice(key: str, where: str) -> DataError:
    return DataError(
        f"the record has {key!r} twice",
        where=where,
        expected="each key once",
        mend="Write the file again with other names.",
    )


def _table_of(records: Sequence[Record], types: Mapping[str, str]) -> pa.Table:
    names = dict.fromkeys(name for record in records for name in record)
    columns = {
        name: _column([record.get(name) for record in records], is_text=types.get(name) == "string")
        for name in names
    }
    return pa.table({name: pa.chunked_array([column]) for name, column in columns.items()})


def _column(values: list[Any], *, is_text: bool) -> pa.Array:
    """Return values as an array of the type that holds them all; text holds everything."""
    kinds = {type(value) for value in values} - {type(None)}
    if not is_text and kinds <= {int, float} and _has_large(values):
        return pa.array([None if value is None else _float(value) for value in values])
    if not is_text and (len(kinds) <= 1 or kinds == {int, float}) and not kinds & {dict, list}:
        array = pa.array(values)
        return _dates(array) if kinds == {str} else array
    if kinds and kinds <= {dict, list}:
        # A type that no reader takes, so that the column is told by its name where it is used.
        return pa.array([None if value is None else [] for value in values])
    return pa.array([_text(value) for value in values], pa.string())


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # as Arrow reads it
        return math.inf if number > 0 else -math.inf


def _has_large(values: Iterable[Any]) -> bool:
    return any(isinstance(v, int) and not -_LARGEST_INTEGER <= v < _LARGEST_INTEGER for v in values)


def _dates(text: pa.Array) -> pa.Array:
    try:
        return text.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        return text


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _as_stated(column: pa.ChunkedArray, kind: str | None) -> pa.ChunkedArray:
    """Return a column in the type that is stated, as it is where it does not fit."""
    wanted = arrow_type(kind or "")
    found = type_name(column.type)
    if wanted is None or found in (None, "string", kind):
        return column
    try:
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return column
