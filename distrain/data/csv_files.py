"""Units of delimited text files as tables: small files together, a range of one, or a stream."""

import codecs
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from typing import Final, final

import pyarrow as pa

from distrain.config.names import is_text_encoding
from distrain.data.columns import common_type, type_name
from distrain.data.csv_text import (
    CsvForm,
    CsvText,
    encoding_fault,
    first_record,
    has_split_records,
    header_names,
    parse,
    records_end,
)
from distrain.data.files import SourceFile, open_file
from distrain.data.reading import CannotCut, FileLog, Piece, Reading, Unit
from distrain.data.sniff import check_content, check_text
from distrain.errors import DataError, did_you_mean

# A stream is parsed in parts of this size, so that a task's memory does not grow with the file.
STREAM_BYTES: Final = 64 * 2**20
MAX_UNPACKED_BYTES: Final = 4 * STREAM_BYTES
"""A packed file is held whole up to that size; a few bytes may unpack to any size."""
MAX_RECORD_BYTES: Final = 2 * STREAM_BYTES
_READ_BYTES: Final = 4 * 2**20
_HEAD_BYTES: Final = 2**20
_PROBE_BYTES: Final = 2**16
_BOM: Final = codecs.BOM_UTF8


def read_csv_unit(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield the tables of a unit, in order; what was read is noted in `log`."""
    if unit.is_read_in_passes:
        yield from _read_stream(unit.pieces[0], reading, log)
        return
    loaded = [_load_piece(piece, reading, log) for piece in unit.pieces]
    texts = [text for text in loaded if text is not None]
    if len(texts) < len(loaded):  # one is larger than its packed size lets one expect
        for piece in unit.pieces:
            yield from _read_stream(piece, reading, log)
        return
    forms = [_form(text, piece, reading) for text, piece in zip(texts, unit.pieces, strict=True)]
    tables = [_parse(text, form) for text, form in zip(texts, forms, strict=True)]
    disputed = _disputed_columns(tables, reading)
    if disputed:
        forms = [replace(form, column_types={**form.column_types, **disputed}) for form in forms]
        tables = [_parse(text, form) for text, form in zip(texts, forms, strict=True)]
    for piece, table in zip(unit.pieces, tables, strict=True):
        log.count_rows(piece, table.num_rows)
        yield table


def read_head(file: SourceFile, reading: Reading, num_bytes: int) -> tuple[CsvText, bool, int]:
    """Return a file's first whole records as UTF-8.

    Returns:
        The text, whether it is the whole file, and how many stored bytes it came from.
    """
    with open_file(file.uri) as source:
        check_content(file, source.read(16), reading.format)
        source.seek(0)
        content = decompressed(source, file.compression)
        head = read_exactly(content, num_bytes + 1)
        stored_bytes = source.tell() if file.compression else min(len(head), num_bytes)
    is_whole = len(head) <= num_bytes
    text = _to_utf8(head[:num_bytes], file.uri, reading, is_whole=is_whole)
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise encoding_fault(text, file.uri, 0, 0)
    check_text(text, file)
    if not is_whole:
        text = text[: records_end(text)] or text
    has_split = has_split_records(text)
    head_text = CsvText(text, file.uri, reading.has_header, has_split_records=has_split)
    return head_text, is_whole, stored_bytes


def names_in_file(text: CsvText, reading: Reading) -> tuple[str, ...]:
    """Return the column names of a file, from its header, from the settings, or `f0`, `f1` ...

    Args:
        text: the beginning of the file.
        reading: how it is read; `columns` are names from the settings where there are any.

    Raises:
        DataError: names were given and the file has another number of columns.
    """
    if reading.has_given_names:
        fields = first_record(text.text, text.uri, reading.delimiter)
        if fields and len(fields) != len(reading.columns):
            raise DataError(
                f"the first record has {len(fields)} fields",
                where=f"{text.uri}:1",
                expected=f"{len(reading.columns)}, as data.read.names gives names",
                mend="Correct data.read.names or data.read.delimiter.",
            )
        return reading.columns
    if reading.has_header:
        strip = reading.text.strip
        return header_names(text.text, text.uri, reading.delimiter, strip=strip)
    fields = first_record(text.text, text.uri, reading.delimiter)
    return tuple(f"f{place}" for place in range(len(fields)))


def _load_piece(piece: Piece, reading: Reading, log: FileLog) -> CsvText | None:
    """Return a small file, or the lines that begin within a range of a large one.

    None stands for a packed file that is too large to be held when it is unpacked.

    Raises:
        CannotCut: a quoted field may go over a line break, so that the range's ends may be wrong.
    """
    with open_file(piece.file.uri) as source:
        if piece.stop is None:
            raw = source.read()
            check_content(piece.file, raw[:16], reading.format)
        else:
            start, stop = (next_line(source, at) for at in (piece.start, piece.stop))
            source.seek(start)
            raw = source.read(stop - start)
    log.add(piece, hashlib.sha256(raw).hexdigest(), len(raw))
    if piece.file.compression:
        unpacked = decompressed(pa.BufferReader(raw), piece.file.compression)
        raw = read_exactly(unpacked, MAX_UNPACKED_BYTES + 1)
        if len(raw) > MAX_UNPACKED_BYTES:
            return None
    text = _to_utf8(raw, piece.file.uri, reading, is_whole=True)
    is_split = has_split_records(text)
    if is_split and piece.stop is not None:
        raise CannotCut(piece.file.uri)
    has_header = reading.has_header and piece.start == 0
    return CsvText(text, piece.file.uri, has_header, 0, piece.start, is_split)


def next_line(source: pa.NativeFile, position: int) -> int:
    """Return where the first line begins at or after a position; the end of the file if none.

    Args:
        source: the file, opened for reading at any position.
        position: a byte.
    """
    if position == 0:
        return 0
    source.seek(position - 1)
    while text := source.read(_PROBE_BYTES):
        end = text.find(b"\n") + 1
        if end:
            return int(source.tell() - len(text) + end)
    return int(source.size())


def _read_stream(piece: Piece, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield a file that is too large to hold, part by part, cut where records end."""
    form: CsvForm | None = None
    rest, lines = b"", 0
    with open_file(piece.file.uri) as source:
        check_content(piece.file, source.read(16), reading.format)
        source.seek(0)
        hashed = HashingReader(source)
        stream = decompressed(pa.PythonFile(hashed, mode="r"), piece.file.compression)
        decoder = _Decoder(piece.file.uri, reading)
        while True:
            raw = read_exactly(stream, STREAM_BYTES)
            rest += decoder.decode(raw, is_last=not raw)
            end = records_end(rest) if raw else len(rest)
            if not end and len(rest) > MAX_RECORD_BYTES:
                raise _endless_record(piece.file.uri)
            part, rest = rest[:end], rest[end:]
            if part:
                has_header = reading.has_header and form is None
                text = CsvText(part, piece.file.uri, has_header, lines, 0, has_split_records(part))
                form = form or _form(text, piece, reading)
                table = _parse(text, form)
                lines += part.count(b"\n")
                log.count_rows(piece, table.num_rows)
                yield table
            if not raw:
                break
    log.add(piece, hashed.digest.hexdigest(), hashed.num_bytes)


def _endless_record(uri: str) -> DataError:
    return DataError(
        f"a record has more than {MAX_RECORD_BYTES:,} bytes",
        where=uri,
        expected="records that end, each at a line break outside of quotes",
        mend="Check its quotes, and that it is what it is called.",
    )


def _form(text: CsvText, piece: Piece, reading: Reading) -> CsvForm:
    """Return how this file's records become columns; its columns may stand in another order.

    Raises:
        DataError: its columns are not those of the source.
    """
    if piece.start == 0:
        names = names_in_file(text, reading) if text.text else reading.columns
    else:
        names = names_in_file(read_head(piece.file, reading, _HEAD_BYTES)[0], reading)
    absent = [name for name in reading.columns if name not in names]
    extra = [name for name in names if name not in reading.columns]
    if absent or extra:
        raise _differing_columns(piece.file.uri, absent, extra, names)
    return CsvForm(names, reading.wanted, reading.column_types, reading.text, reading.delimiter)


def _parse(text: CsvText, form: CsvForm) -> pa.Table:
    if not text.text or text.text.isspace():
        return pa.table({name: pa.nulls(0) for name in form.wanted})
    return parse(text, form)


def _disputed_columns(tables: list[pa.Table], reading: Reading) -> dict[str, str]:
    """Return the columns that files read as different types, with `string` for each."""
    disputed = {}
    for name in reading.wanted:
        kinds = {type_name(table.schema.field(name).type) or "string" for table in tables}
        if reduce(common_type, kinds) == "string" and not kinds <= {"string", "null"}:
            disputed[name] = "string"
    return disputed


def _differing_columns(
    uri: str, absent: list[str], extra: list[str], names: tuple[str, ...]
) -> DataError:
    parts = []
    if absent:
        parts.append(f"lacks {', '.join(map(repr, absent[:8]))}")
    if extra:
        parts.append(f"has {', '.join(map(repr, extra[:8]))} besides")
    near = did_you_mean(absent[0], names, listed="It has") if absent else ""
    return DataError(
        f"the file {' and '.join(parts)}",
        where=uri,
        expected="the columns of the first file of the source",
        mend=f"{near} Make the headers agree, or name only the files that belong together.".strip(),
    )


@final
class HashingReader:
    """A file to Arrow that hashes what is read from it, front to back."""

    closed = False

    def __init__(self, source: pa.NativeFile) -> None:
        self.digest = hashlib.sha256()
        self.num_bytes = 0
        self._source = source

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data: bytes = self._source.read(None if size < 0 else size)
        self.digest.update(data)
        self.num_bytes += len(data)
        return data

    def close(self) -> None:
        """The file belongs to the caller."""


@final
class _Decoder:
    """A file's bytes to UTF-8, part by part; UTF-8 itself is passed on unchecked."""

    def __init__(self, uri: str, reading: Reading) -> None:
        _check_encoding(reading.encoding, uri)
        self._uri = uri
        self._is_first = True
        self._is_utf8 = codecs.lookup(reading.encoding).name in ("utf-8", "utf-8-sig")
        self._decoder = codecs.getincrementaldecoder(reading.encoding)()
        self._encoding = reading.encoding

    def decode(self, raw: bytes, *, is_last: bool) -> bytes:
        """Return what these bytes are in UTF-8; the first ones without a byte order mark."""
        if self._is_utf8:
            text = raw
        else:
            try:
                text = self._decoder.decode(raw, is_last).encode()
            except UnicodeError as fault:
                raise _undecodable(self._uri, self._encoding, fault) from fault
        if self._is_first and text:
            self._is_first = False
            text = text.removeprefix(_BOM)
        return text


def _check_encoding(encoding: str, uri: str) -> None:
    if not is_text_encoding(encoding):
        raise DataError(
            f"{encoding!r} is no encoding of text that Python knows",
            where=uri,
            expected="the name of one in data.read.encoding",
            mend="Try utf-8, latin-1 or cp1252.",
        )


def _to_utf8(raw: bytes, uri: str, reading: Reading, *, is_whole: bool) -> bytes:
    return _Decoder(uri, reading).decode(raw, is_last=is_whole)


def _undecodable(uri: str, encoding: str, fault: UnicodeError) -> DataError:
    return DataError(
        f"the text is not {encoding} ({fault})",
        where=uri,
        expected="text in the encoding that data.read.encoding names",
        mend="Set data.read.encoding to what the file was written in.",
    )


def decompressed(source: pa.NativeFile, compression: str | None) -> pa.NativeFile:
    """Return a stream of what a file holds when unpacked, the file itself if it is not packed."""
    return pa.CompressedInputStream(source, compression) if compression else source


def read_exactly(source: pa.NativeFile, num_bytes: int) -> bytes:
    """Return the next `num_bytes`, fewer only at the end; a decompressor gives less at a time."""
    parts: list[bytes] = []
    while num_bytes > 0:
        part = source.read(min(num_bytes, _READ_BYTES))
        if not part:
            break
        parts.append(part)
        num_bytes -= len(part)
    return b"".join(parts)
