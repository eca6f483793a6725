"""Text files as UTF-8: a small one whole, a range of a large one, or one part after the other."""

import codecs
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, final

import pyarrow as pa

from distrain.config.names import is_text_encoding
from distrain.data.files import SourceFile, open_file
from distrain.data.reading import FileLog, Piece, Reading
from distrain.data.sniff import HEAD_BYTES, check_content, check_text
from distrain.errors import DataError

# A stream is parsed in parts of this size, so that a task's memory does not grow with the file.
STREAM_BYTES: Final = 64 * 2**20
MAX_UNPACKED_BYTES: Final = 4 * STREAM_BYTES
"""A packed file is held whole up to that size; a few bytes may unpack to any size."""
MAX_RECORD_BYTES: Final = 2 * STREAM_BYTES
_READ_BYTES: Final = 4 * 2**20
_PROBE_BYTES: Final = 2**16
_BOM: Final = codecs.BOM_UTF8


@final
@dataclass(frozen=True)
class Beginning:
    """The first whole records of a file.

    Args:
        text: as UTF-8.
        is_whole: whether it is the whole file.
        stored_bytes: how many bytes of the file, as stored, it came from.
    """

    text: bytes
    is_whole: bool
    stored_bytes: int


def read_beginning(
    file: SourceFile, reading: Reading, num_bytes: int, records_end: Callable[[bytes], int]
) -> Beginning:
    """Return a file's first whole records.

    Args:
        file: the file.
        reading: how it is read.
        num_bytes: how much of it is looked at, unpacked.
        records_end: where the last whole record of a text ends, 0 where none does.

    Raises:
        DataError: it is no text, or in another encoding.
    """
    with open_file(file.uri) as source:
        check_content(file, source.read(HEAD_BYTES), reading.format)
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
    return Beginning(text, is_whole, stored_bytes)


def load_text(piece: Piece, reading: Reading, log: FileLog) -> bytes | None:
    """Return a small file, or the lines that begin within a range of a large one.

    None stands for a packed file that is too large to be held when it is unpacked.
    """
    with open_file(piece.file.uri) as source:
        if piece.stop is None:
            raw = source.read()
            check_content(piece.file, raw[:HEAD_BYTES], reading.format)
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
    return _to_utf8(raw, piece.file.uri, reading, is_whole=True)


def text_parts(
    piece: Piece, reading: Reading, log: FileLog, records_end: Callable[[bytes], int]
) -> Iterator[tuple[bytes, int]]:
    """Yield a file that is too large to hold, part by part, cut where records end.

    Args:
        piece: the whole file.
        reading: how it is read.
        log: what was read is noted there, at the end.
        records_end: as for `read_beginning`.

    Yields:
        Whole records as UTF-8, and how many lines of the file come before them.

    Raises:
        DataError: a record does not end.
    """
    rest, lines = b"", 0
    with open_file(piece.file.uri) as source:
        check_content(piece.file, source.read(HEAD_BYTES), reading.format)
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
                yield part, lines
                lines += part.count(b"\n")
            if not raw:
                break
    log.add(piece, hashed.digest.hexdigest(), hashed.num_bytes)


def last_line_end(text: bytes) -> int:
    """Return where the last whole line ends, 0 where none does."""
    return text.rfind(b"\n") + 1


def lines_before(uri: str, byte_start: int) -> int:
    """Return how many lines of a file come before the one that begins at or after a byte."""
    if not byte_start:
        return 0
    with open_file(uri) as source:
        return int(source.read(byte_start - 1).count(b"\n")) + 1


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


def encoding_fault(text: bytes, uri: str, lines_before: int, start: int) -> DataError:
    """Return the error for bytes that are not in the stated encoding, with line and advice."""
    line = lines_before + text.count(b"\n", 0, start) + 1
    likely = likely_encoding(text, start)
    return DataError(
        f"byte 0x{text[start]:02x} is not UTF-8",
        where=f"{uri}:{line}",
        expected="text in the encoding that data.read.encoding names (utf-8 unless given)",
        mend=f"Set data.read.encoding, likely to {likely}.",
    )


def likely_encoding(text: bytes, start: int) -> str:
    """Return the encoding that text seems to have whose byte at `start` is not UTF-8."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    is_windows = any(0x80 <= byte < 0xA0 for byte in text[start : start + 4096])
    return "cp1252" if is_windows else "latin-1"


def encoding_seen(file: SourceFile, num_bytes: int) -> str | None:
    """Return the encoding that a file's beginning seems to have; None: UTF-8, or none of text.

    Args:
        file: the file; what is compressed is unpacked.
        num_bytes: how much of it is looked at.
    """
    with open_file(file.uri) as source:
        head = read_exactly(decompressed(source, file.compression), num_bytes)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # its end may cut a letter
    except UnicodeDecodeError as fault:
        return likely_encoding(head, fault.start)
    return None


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


def _endless_record(uri: str) -> DataError:
    return DataError(
        f"a record has more than {MAX_RECORD_BYTES:,} bytes",
        where=uri,
        expected="records that end, each at a line break outside of quotes",
        mend="Check its quotes, and that it is what it is called.",
    )
