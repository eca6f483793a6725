"""What a task is told about reading its unit, and what it tells about what it read."""

from dataclasses import dataclass, field
from typing import final

from distrain.data.columns import TextRules
from distrain.data.files import SourceFile

Shape = tuple[int, int, int]


@final
@dataclass(frozen=True)
class Reading:
    """How all units of a source are read.

    Args:
        format: a format of `data.format`, or `built-in`.
        columns: all columns of the source, in order.
        wanted: the columns that are kept.
        column_types: column name to type where it is known already; others are inferred.
        text: how text is read.
        encoding: of text files, by Python's name.
        delimiter: of text files.
        has_header: whether a text file's first record holds names.
        has_given_names: whether `columns` take the place of a header's names.
        image_shapes: of image columns: channels, height and width.
        image_size: height and width that images are brought to; None: others are refused.
        image_channels: likewise how many channels.
        arrays: of npz: columns, or their first part, to the arrays that hold them.
        is_by_line: of text: whether each line is an example; else each file is one.
    """

    format: str
    columns: tuple[str, ...]
    wanted: tuple[str, ...]
    column_types: dict[str, str] = field(default_factory=dict)
    text: TextRules = field(default_factory=TextRules)
    encoding: str = "utf-8"
    delimiter: str = ","
    has_header: bool = True
    has_given_names: bool = False
    image_shapes: dict[str, Shape] = field(default_factory=dict)
    image_size: tuple[int, int] | None = None
    image_channels: int | None = None
    arrays: dict[str, str] = field(default_factory=dict)
    is_by_line: bool = False


@final
@dataclass(frozen=True)
class Piece:
    """A part of a file: bytes for text (cut at the next line's start), else groups of rows.

    Args:
        file: the file.
        file_number: its place in the listing.
        number: which piece of the file this is, of `count`.
        count: how many pieces the file has.
        start: first byte, or group of rows.
        stop: end of bytes, or of groups; None: the file's end.
    """

    file: SourceFile
    file_number: int
    number: int = 0
    count: int = 1
    start: int = 0
    stop: int | None = None


@final
@dataclass(frozen=True)
class Unit:
    """What one task reads.

    Args:
        number: its place in the source.
        pieces: consecutive files, or one piece of a file.
        is_read_in_passes: whether the file is too large for memory and cannot be cut.
        memory_bytes: about how much it takes as a table.
    """

    number: int
    pieces: tuple[Piece, ...]
    is_read_in_passes: bool = False
    memory_bytes: int = 0


@final
@dataclass(frozen=True)
class PieceRead:
    """What was read of one piece.

    Args:
        file_number: the file's place in the listing.
        piece_number: the piece's place in the file.
        sha256: of the bytes that were read.
        num_bytes: how many.
        num_rows: how many rows they gave.
    """

    file_number: int
    piece_number: int
    sha256: str
    num_bytes: int
    num_rows: int


@final
class CannotCut(Exception):  # noqa: N818 (no fault of the data: it is read again as a stream)
    """A file that was cut at line breaks has records that go over them."""


@final
class FileLog:
    """Collects what a unit's reader reads: every piece once, its bytes and its rows."""

    def __init__(self) -> None:
        self._bytes: dict[tuple[int, int], tuple[str, int]] = {}
        self._rows: dict[tuple[int, int], int] = {}

    def add(self, piece: Piece, sha256: str, num_bytes: int) -> None:
        """Note the bytes of a piece."""
        self._bytes[piece.file_number, piece.number] = (sha256, num_bytes)

    def count_rows(self, piece: Piece, num_rows: int) -> None:
        """Note rows of a piece."""
        key = (piece.file_number, piece.number)
        self._rows[key] = self._rows.get(key, 0) + num_rows

    def pieces(self) -> list[PieceRead]:
        """Return what was read, in order."""
        return [
            PieceRead(*key, *content, self._rows.get(key, 0))
            for key, content in sorted(self._bytes.items())
        ]
