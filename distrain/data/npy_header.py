"""The header of an array in NumPy's format. Arrays of Python objects are refused unread.

Source: the format's description in numpy.lib.format (NEP 1).
"""

import ast
import math
import struct
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, final

import numpy as np

from distrain.data.reading import Shape
from distrain.data.text_files import read_exactly
from distrain.errors import DataError

_MAGIC: Final = b"\x93NUMPY"
_MAX_HEADER_BYTES: Final = 2**16
_MAX_ROW_BYTES: Final = 2**26
_TABLE_BYTES: Final = 2**26
# Of a literal with too many parts within another Python says that memory, or its stack, is full.
_FAULTS: Final = (
    ValueError, TypeError, KeyError, SyntaxError, struct.error, IndexError, MemoryError,
    RecursionError,
)  # fmt: skip
_TABLE_ROWS: Final = 65_536


class Source(Protocol):
    """What is read front to back."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, fewer than asked for at the end alone."""


@final
@dataclass(frozen=True)
class ColumnNames:
    """How the columns of an array are called.

    Args:
        single: where a row is one value.
        many: where it is several, the beginning of each name; their number follows.
        image: where it is an image.
    """

    single: str
    many: str
    image: str


@final
@dataclass(frozen=True)
class ArrayForm:
    """What an array's header says, and the columns that it becomes.

    Args:
        uri: the file, and the array in it, for messages.
        shape: rows, and what each row is.
        dtype: of its items.
        is_by_column: whether it is stored column by column (Fortran's order).
        start: where in the file its items begin, in bytes.
        columns: the names of its columns.
        image_shapes: of images: channels, height and width, by column.
        names: how they are called.
        max_rows: rows of a table, at most.
    """

    uri: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_by_column: bool
    start: int
    columns: tuple[str, ...] = ()
    image_shapes: dict[str, Shape] = field(default_factory=dict)
    names: ColumnNames = ColumnNames("", "", "")
    max_rows: int = _TABLE_ROWS

    @property
    def num_rows(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Return the size of a row, at least 1."""
        return max(1, math.prod(self.shape[1:]) * self.dtype.itemsize)

    @property
    def num_bytes(self) -> int:
        """Return the size of all rows."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def rows_at_once(self) -> int:
        """Return how many rows make a table."""
        return max(1, min(self.max_rows, _TABLE_BYTES // self.row_bytes))


def read_header(source: Source, uri: str) -> ArrayForm:
    """Return shape and type from a header, which is read as a literal and never run.

    Args:
        source: the array, from its first byte; it then stands at its first item.
        uri: the file, and the array in it, for messages.

    Raises:
        DataError: it is no array of rows, or one of Python objects.
    """
    try:
        magic = read_exactly(source, 8)
        if magic[:6] != _MAGIC:
            raise ValueError("it does not begin as one")
        width, code = (2, "<H") if magic[6] == 1 else (4, "<I")
        (length,) = struct.unpack(code, read_exactly(source, width))
        if length > _MAX_HEADER_BYTES:
            raise ValueError(f"its header has {length:,} bytes")
        text = read_exactly(source, length).decode("utf-8" if magic[6] > 2 else "latin-1")
        header = ast.literal_eval(text.strip())
        dtype = np.lib.format.descr_to_dtype(header["descr"])
        shape = tuple(header["shape"])
        is_by_column = bool(header["fortran_order"]) and len(shape) > 1
        if not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"its shape is {shape}")
    except _FAULTS as fault:
        raise DataError(
            f"this is no array in NumPy's format ({fault})",
            where=uri,
            expected="what numpy.save writes",
            mend="Save it again, or name another file.",
        ) from fault
    form = ArrayForm(uri, shape, dtype, is_by_column, 8 + width + length)
    if dtype.hasobject:
        raise DataError(
            "the array holds Python objects, which would be unpickled",
            where=uri,
            expected="numbers, truth values, text or dates",
            mend="Save it with a plain dtype, e.g. array.astype(float) or array.astype(str).",
        )
    if not shape:
        raise no_rows(form)
    if form.row_bytes > _MAX_ROW_BYTES:
        raise DataError(
            f"a row has {form.row_bytes:,} bytes",
            where=uri,
            expected=f"at most {_MAX_ROW_BYTES:,}",
            mend="Save it with a row for each example.",
        )
    return form


def no_rows(form: ArrayForm) -> DataError:
    """Return the error for an array whose items are no rows of columns."""
    return DataError(
        f"the array has the shape {form.shape}, of {form.dtype}",
        where=form.uri,
        expected="(rows,), (rows, columns), or uint8 images: (rows, height, width[, channels])",
        mend="Reshape it, or save images as uint8.",
    )
