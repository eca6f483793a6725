"""A shard's content as arrays on the same memory, once it is known to be what `write_shard` writes.

Arrow would unpack what is compressed, whatever it unpacks to, and hand values of an extension type
to whoever has registered it: Ray unpickles those of its own. A shard has neither.
"""

import struct
from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from distrain.data.shards import Array, Column
from distrain.errors import DataError

_MAGIC: Final = b"ARROW1\0\0"
_END: Final = b"ARROW1"
# Of Arrow's own description of its messages (format/Message.fbs): their number in a table.
_MESSAGE_HEADER: Final = 2
_BATCH_COMPRESSION: Final = 3


def columns_of(
    buffer: pa.Buffer, columns: Mapping[str, Column], place: str, num_rows: int | None = None
) -> dict[str, Array]:
    """Return a shard's content as read-only arrays of shape `(rows, width)` on the same memory.

    Args:
        buffer: the shard's content.
        columns: the columns that are wanted.
        place: where it lies, for a message.
        num_rows: how many rows it has; None: that is not known.

    Raises:
        DataError: it is no shard, or has other columns.
    """
    try:
        batch = _batch_of(buffer)
        if num_rows is not None and batch.num_rows != num_rows:
            raise ValueError(f"it has {batch.num_rows:,} rows")
        return {name: _flat(batch, name, column) for name, column in columns.items()}
    except (OSError, ValueError, KeyError, MemoryError, pa.ArrowException, struct.error) as fault:
        raise unreadable(place, fault) from fault


def unreadable(place: str, fault: Exception) -> DataError:
    """Return the error for a shard that cannot be read."""
    return damaged(place, f"the shard cannot be read ({fault})", "an Arrow file")


def damaged(place: object, message: str, expected: str) -> DataError:
    """Return the error for a prepared dataset that is not as it was written."""
    return DataError(
        message,
        where=str(place),
        expected=expected,
        mend="Remove the prepared dataset's folder and run again: it will be made anew.",
    )


def _batch_of(buffer: pa.Buffer) -> pa.RecordBatch:
    """Return the only record batch of a shard; none of it is copied."""
    ends = [buffer.slice(0, len(_MAGIC)), buffer.slice(max(0, buffer.size - len(_END)))]
    if [end.to_pybytes() for end in ends] != [_MAGIC, _END]:
        raise ValueError("it does not begin and end as one")
    messages = pa.ipc.MessageReader.open_stream(buffer.slice(len(_MAGIC)))
    try:
        schema, content = messages.read_next_message(), messages.read_next_message()
    except StopIteration:
        raise ValueError("it ends before its rows") from None
    if (schema.type, content.type) != ("schema", "record batch"):
        raise ValueError(f"it begins with {schema.type} and {content.type}")
    if _is_compressed(content.metadata.to_pybytes()):
        raise ValueError("it is compressed")
    batch = pa.ipc.read_record_batch(content, pa.ipc.read_schema(schema))
    batch.validate()  # that no array claims more than its part of the file
    return batch


def _is_compressed(metadata: bytes) -> bool:
    """Return whether the buffers of a record batch are compressed, from its FlatBuffers table."""
    (root,) = struct.unpack_from("<I", metadata)
    header = _field(metadata, root, _MESSAGE_HEADER)
    if header is None:
        raise ValueError("its batch has no header")
    (offset,) = struct.unpack_from("<I", metadata, header)
    return _field(metadata, header + offset, _BATCH_COMPRESSION) is not None


def _field(data: bytes, table: int, number: int) -> int | None:
    """Return where a field of a FlatBuffers table stands, None where it is left out."""
    (back,) = struct.unpack_from("<i", data, table)
    layout = table - back
    (size,) = struct.unpack_from("<H", data, layout)
    place = 4 + 2 * number
    if place >= size:
        return None
    (offset,) = struct.unpack_from("<H", data, layout + place)
    return table + offset if offset else None


def _flat(batch: pa.RecordBatch, name: str, column: Column) -> Array:
    array: pa.Array = batch.column(name)
    kind, width = array.type, column.width
    is_list = pa.types.is_fixed_size_list(kind)
    if (kind.value_type if is_list else kind) != pa.from_numpy_dtype(np.dtype(column.dtype)):
        raise ValueError(f"{name} is of type {kind}, and not {column.dtype}")
    if (kind.list_size if is_list else 1) != width:
        raise ValueError(f"{name} is of type {kind}, and not of {width:,} values a row")
    flat: Array = (array.values if is_list else array).to_numpy(zero_copy_only=True)
    return flat.reshape(-1, width)
