"""Delimited text in memory: its header, its records, its faults with file and line.

Quotes follow RFC 4180: a field in double quotes may hold delimiters and line breaks, and a doubled
quote stands for one.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as arrow_csv

from distrain.data.columns import TextRules, arrow_type, canonical, clean_text, is_text
from distrain.data.text_files import encoding_fault, lines_before
from distrain.errors import DataError

_QUOTE, _NEWLINE = ord('"'), ord("\n")
# Arrow parses a block at a time; a record must fit into one.
_BLOCK_BYTES: Final = 16 * 2**20
_HEADER_BYTES: Final = 2**20
_DELIMITERS: Final = (",", ";", "\t", "|")
_SNIFFED_RECORDS: Final = 20
_SHOWN_LETTERS: Final = 60
_QUOTES: Final = "correct the line (a delimiter inside a value needs quotes around the value)"


@final
@dataclass(frozen=True)
class CsvText:
    """Whole records of one file, as UTF-8.

    Args:
        text: the bytes.
        uri: the file, for messages.
        has_header: whether the first record holds names.
        lines_before: lines of the file before these, for messages.
        byte_start: instead of `lines_before`, about where in the file this begins.
        has_split_records: whether quoted fields may go over line breaks; costs a look at each byte.
    """

    text: bytes
    uri: str
    has_header: bool = False
    lines_before: int = 0
    byte_start: int = 0
    has_split_records: bool = False

    def first_line(self) -> int:
        """Return how many lines of the file come before; reads that far if it must."""
        return lines_before(self.uri, self.byte_start) if self.byte_start else self.lines_before


@final
@dataclass(frozen=True)
class CsvForm:
    """How records become columns.

    Args:
        names: the names of all columns in the order of the records.
        wanted: the columns that are kept.
        column_types: types that are known; others are inferred.
        rules: how text is read.
        delimiter: one character.
    """

    names: tuple[str, ...]
    wanted: tuple[str, ...]
    column_types: Mapping[str, str]
    rules: TextRules
    delimiter: str


def parse(text: CsvText, form: CsvForm) -> pa.Table:
    """Return records as a table of column types, text cleaned.

    A column whose stated type does not fit the text is read by inference instead.

    Raises:
        DataError: a record has too few or too many fields, or the text is not UTF-8.
    """
    stated = {name: form.column_types[name] for name in form.wanted if name in form.column_types}
    try:
        table = _read(text, form, stated)
    except arrow_csv_faults as fault:
        if "conversion error" not in str(fault):
            raise _explain(fault, text, form) from fault
        texts = {name: kind for name, kind in stated.items() if kind == "string"}
        try:
            table = _read(text, form, texts)
        except arrow_csv_faults as second:
            raise _explain(second, text, form) from second
    return _cleaned(table, text, form.rules)


def header_names(text: bytes, uri: str, delimiter: str, *, strip: bool) -> tuple[str, ...]:
    """Return the fields of the first record; an empty one is called `unnamed_<place>`.

    Raises:
        DataError: the text is not UTF-8 or two columns have the same name.
    """
    fields = first_record(text, uri, delimiter)
    names = [field.strip() if strip else field for field in fields]
    named = tuple(name or f"unnamed_{place}" for place, name in enumerate(names))
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise DataError(
            f"{len(twice)} column {'name stands' if len(twice) == 1 else 'names stand'} there more "
            f"than once: {', '.join(map(repr, twice[:8]))}",
            where=f"{uri}:1",
            expected="a different name for each column",
            mend="Correct the header, or give data.read.names.",
        )
    return named


def first_record(text: bytes, uri: str, delimiter: str) -> list[str]:
    """Return the fields of the first record that is not blank; none where there is none."""
    decoded = _decoded_head(text, uri)
    records = csv.reader(io.StringIO(decoded, newline=""), delimiter=delimiter)
    return next((record for record in records if record), [])


def _decoded_head(text: bytes, uri: str) -> str:
    head = text[:_HEADER_BYTES]
    cut = head.rfind(b"\n") + 1 if len(text) > len(head) else len(head)
    try:
        return head[:cut].decode("utf-8")
    except UnicodeDecodeError as fault:
        raise encoding_fault(text, uri, 0, fault.start) from fault


def sniffed_delimiter(text: bytes, uri: str) -> str:
    """Return the sign that cuts the first records into the same number of fields, most of them.

    Args:
        text: the beginning of a file.
        uri: the file, for messages.

    Returns:
        A comma where no sign does.
    """
    head = _decoded_head(text, uri)
    found, most = ",", 1
    for sign in _DELIMITERS:
        records = csv.reader(io.StringIO(head, newline=""), delimiter=sign)
        widths = {len(record) for record in islice(filter(None, records), _SNIFFED_RECORDS)}
        if len(widths) == 1 and max(widths) > most:
            found, most = sign, max(widths)
    return found


def has_split_records(text: bytes) -> bool:
    """Return whether quoted fields may go over line breaks: a line's quotes are odd in number."""
    if b'"' not in text:
        return False
    quotes, breaks = _positions(text)
    quotes_before = np.searchsorted(quotes, breaks)
    return bool((quotes_before & 1).any())


def records_end(text: bytes) -> int:
    """Return where the last whole record ends, 0 where none does: a line break outside quotes."""
    if b'"' not in text:
        return text.rfind(b"\n") + 1
    quotes, breaks = _positions(text)
    is_outside = np.searchsorted(quotes, breaks) % 2 == 0
    ends = breaks[is_outside]
    return int(ends[-1]) + 1 if len(ends) else 0


def is_byte_wise(encoding: str) -> bool:
    """Return whether ASCII characters are single bytes in an encoding, so that text can be cut."""
    ascii_bytes = bytes(range(128))
    try:
        return ascii_bytes.decode(encoding) == ascii_bytes.decode("ascii")
    except UnicodeError:
        return False


arrow_csv_faults = (pa.ArrowInvalid, UnicodeDecodeError)


def _read(text: CsvText, form: CsvForm, types: Mapping[str, str]) -> pa.Table:
    words = list(form.rules.missing)
    if form.rules.strip:
        words += [f" {word}" for word in words]
    return arrow_csv.read_csv(
        pa.BufferReader(text.text),
        read_options=arrow_csv.ReadOptions(
            use_threads=False,
            column_names=list(form.names),
            skip_rows_after_names=int(text.has_header),
            block_size=min(_BLOCK_BYTES, max(len(text.text), 1)),
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=form.delimiter, newlines_in_values=text.has_split_records
        ),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=list(form.wanted),
            null_values=words,
            strings_can_be_null=True,
            column_types={
                name: arrow_type(kind) for name, kind in types.items() if arrow_type(kind)
            },
        ),
    )


def _cleaned(table: pa.Table, text: CsvText, rules: TextRules) -> pa.Table:
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_binary(column.type):
            raise _explain(pa.ArrowInvalid("invalid UTF8 data"), text, None)
        if is_text(column.type):
            chunks = [clean_text(chunk, rules) for chunk in column.chunks]
            columns[name] = pa.chunked_array(chunks, pa.string())
        else:
            columns[name] = canonical(column)
    return pa.table(columns)


def _explain(fault: Exception, text: CsvText, form: CsvForm | None) -> DataError:
    """Return a DataError with the line of what Arrow complains about."""
    if "UTF8" in str(fault) or form is None or isinstance(fault, UnicodeDecodeError):
        try:
            text.text.decode("utf-8")
        except UnicodeDecodeError as place:
            return encoding_fault(text.text, text.uri, text.first_line(), place.start)
    elif "Expected" in str(fault):
        found = _ragged(text, form)
        if found is not None:
            return found
    return DataError(
        f"the text cannot be read: {str(fault).splitlines()[0][:300]}",
        where=text.uri,
        expected="delimited text",
        mend="Check data.read.delimiter and the quotes in the file.",
    )


def _ragged(text: CsvText, form: CsvForm) -> DataError | None:
    lines = io.StringIO(text.text.decode("utf-8", errors="replace"), newline="")
    records = csv.reader(lines, delimiter=form.delimiter)
    line = num_fitting = 0
    for record in records:
        first, line = line + 1, records.line_num
        if record and len(record) != len(form.names):
            count = len(record)
            begins = text.first_line() + first
            over = f"; it begins in line {begins}, where a quote may be left open"
            return DataError(
                f"the record has {count} {'field' if count == 1 else 'fields'}"
                + (over if line > first else ""),
                where=f"{text.uri}:{text.first_line() + records.line_num}",
                expected=f"{len(form.names)}, as there are columns",
                mend=_mend_ragged(text, is_first=num_fitting == int(text.has_header)),
            )
        num_fitting += bool(record)
    return None


def _mend_ragged(text: CsvText, *, is_first: bool) -> str:
    """Return what can be done about a record whose fields are not as many as the columns.

    Args:
        text: where it stands.
        is_first: whether no record before it fits the header.
    """
    settings = "set data.read.delimiter, data.read.header and data.read.names."
    if is_first and text.has_header:
        head = text.text[: text.text.find(b"\n")].decode("utf-8", errors="replace").strip()
        shown = head if len(head) <= _SHOWN_LETTERS else f"{head[:_SHOWN_LETTERS]}..."
        told = f"If the first line, {shown!r}, is no header, take it out; else {_QUOTES}"
    else:
        told = _QUOTES.capitalize()
    return f"{told}, or {settings}"


def _positions(text: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    data = np.frombuffer(text, dtype=np.uint8)
    return np.flatnonzero(data == _QUOTE), np.flatnonzero(data == _NEWLINE)
