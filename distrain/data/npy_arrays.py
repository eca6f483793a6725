"""Arrays in NumPy's format as tables: their rows read, and what columns these become."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.npy_header import ArrayForm, ColumnNames, Source, no_rows, read_header
from distrain.data.reading import Shape
from distrain.data.text_files import read_exactly
from distrain.errors import DataError

_MAX_WHOLE_BYTES: Final = 2**30
_PLAIN_KINDS: Final = "biufUSM"
"""Truth values, whole numbers, floating-point numbers, text, dates: NumPy's letters for them."""
_MAX_CHANNELS: Final = 4

Array = npt.NDArray[Any]


def array_form(
    source: Source, uri: str, names: ColumnNames, given: Sequence[str] = ()
) -> ArrayForm:
    """Return what the header of an array says; the source then stands at its first item.

    Args:
        source: the array, from its first byte.
        uri: the file, and the array in it, for messages.
        names: how its columns are called.
        given: names that take their place, in order.

    Raises:
        DataError: it is no array of rows, or one of Python objects.
    """
    form = read_header(source, uri)
    columns: list[str] = []
    shapes: dict[str, Shape] = {}
    for part in _parts(form, names):
        of_part = [part.image] if part.shape is not None else part.names
        if part.shape is not None:
            shapes[given[len(columns)] if len(given) > len(columns) else part.image] = part.shape
        columns += of_part
    if given and len(given) != len(columns):
        raise DataError(
            f"the array has {len(columns)} columns",
            where=uri,
            expected=f"{len(given)}, as data.read.names gives names",
            mend="Correct data.read.names.",
        )
    return replace(form, columns=tuple(given or columns), image_shapes=shapes, names=names)


def array_table(form: ArrayForm, block: Array) -> pa.Table:
    """Return rows of an array as a table of its columns.

    Args:
        form: the array.
        block: some of its rows, `(n, ...)`.
    """
    columns: list[pa.Array] = []
    for part in _parts(form, form.names):
        values = block if part.field is None else block[part.field]
        if part.shape is not None:
            columns.append(_images(values, part.shape))
        elif part.is_single:
            columns.append(_column(values, form.uri))
        else:
            columns += [_column(values[:, place], form.uri) for place in range(len(part.names))]
    return pa.table(dict(zip(form.columns, columns, strict=True)))


def read_rows(source: Source, form: ArrayForm, num_rows: int) -> Array:
    """Return the next rows of an array that is stored row by row.

    Raises:
        DataError: the file ends before them.
    """
    return _items(source, form, num_rows).reshape(num_rows, *form.shape[1:])


def read_whole(source: Source, form: ArrayForm) -> Array:
    """Return all rows of an array that is stored column by column.

    Raises:
        DataError: the file ends before its end, or it is too large.
    """
    if form.num_bytes > _MAX_WHOLE_BYTES:
        raise DataError(
            f"the array is stored column by column, and takes {form.num_bytes:,} bytes",
            where=form.uri,
            expected=f"at most {_MAX_WHOLE_BYTES:,}, or an array that is stored row by row",
            mend="Save numpy.ascontiguousarray of it.",
        )
    return _items(source, form, form.num_rows).reshape(form.shape, order="F")


def blocks_of(source: Source, form: ArrayForm, start: int, stop: int) -> Iterator[Array]:
    """Yield rows of an array, from the first that the source stands at, as many as make a table.

    Args:
        source: the array, where row `start` begins; where it is stored by column, all of it.
        form: the array.
        start: the first row.
        stop: the end of the rows.
    """
    whole = read_whole(source, form) if form.is_by_column else None
    while start < stop:
        end = min(start + form.rows_at_once, stop)
        yield read_rows(source, form, end - start) if whole is None else whole[start:end]
        start = end


@final
@dataclass(frozen=True)
class _Part:
    """What one field of an array becomes: an image, one column, or several."""

    field: str | None
    names: list[str]
    image: str
    is_single: bool
    shape: Shape | None = None


def _parts(form: ArrayForm, names: ColumnNames) -> Iterator[_Part]:
    if form.dtype.names is None:
        yield _part(form, None, (form.dtype, form.shape[1:]), names)
        return
    if len(form.shape) != 1:
        raise no_rows(form)
    for name in form.dtype.names:
        dtype = form.dtype[name]
        base, shape = dtype.subdtype or (dtype, ())
        yield _part(form, name, (base, shape), ColumnNames(name, name, name))


def _part(
    form: ArrayForm,
    field_: str | None,
    item: tuple[np.dtype[Any], tuple[int, ...]],
    names: ColumnNames,
) -> _Part:
    dtype, shape = item
    if dtype.kind not in _PLAIN_KINDS or (dtype.itemsize > 8 and dtype.kind == "f"):
        raise DataError(
            f"items of type {dtype} cannot be read",
            where=form.uri if field_ is None else f"{form.uri}, field {field_!r}",
            expected="numbers, truth values, text or dates",
            mend="Convert them, or leave them out.",
        )
    if len(shape) <= 1:
        width = shape[0] if shape else 1
        each = [f"{names.many}{place}" for place in range(width)] if shape else [names.single]
        return _Part(field_, each, names.image, is_single=not shape)
    image = _image_shape(shape) if dtype == np.uint8 else None
    if image is None:
        raise no_rows(form)
    return _Part(field_, [], names.image, False, image)


def _image_shape(shape: tuple[int, ...]) -> Shape | None:
    """Return channels, height and width of `(h, w)`, `(h, w, channels)` or `(channels, h, w)`."""
    if len(shape) == 2:
        return 1, *shape
    if len(shape) == 3 and shape[2] <= _MAX_CHANNELS:
        return shape[2], shape[0], shape[1]
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 and shape[0] <= _MAX_CHANNELS else None


def _images(values: Array, shape: Shape) -> pa.FixedSizeListArray:
    is_last = values.ndim == 4 and values.shape[1:] != shape
    first = values.transpose(0, 3, 1, 2) if is_last else values
    flat = pa.array(np.ascontiguousarray(first).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, math.prod(shape))


def _column(values: Array, uri: str) -> pa.Array:
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    if native.dtype.kind == "S":
        try:
            native = np.char.decode(native, "utf-8")
        except UnicodeDecodeError as fault:
            raise DataError(
                f"the text is not UTF-8 ({fault})",
                where=uri,
                expected="text as UTF-8",
                mend="Save it as text (dtype U), not as bytes.",
            ) from fault
    if native.dtype.kind == "M":
        native = native.astype("datetime64[us]")
    if native.dtype.kind == "U":
        return pa.array(native.tolist(), pa.string())
    return pa.array(native)


def _items(source: Source, form: ArrayForm, num_rows: int) -> Array:
    num_bytes = num_rows * math.prod(form.shape[1:]) * form.dtype.itemsize
    content = read_exactly(source, num_bytes)
    if len(content) < num_bytes:
        raise DataError(
            "the array ends early",
            where=form.uri,
            expected=f"{form.shape} of {form.dtype}, as its header says",
            mend="Fetch the file again.",
        )
    return np.frombuffer(content, dtype=form.dtype)
