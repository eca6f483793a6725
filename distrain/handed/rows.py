"""Data from memory, or from Ray Data, as one Parquet file below the storage, named by its content.

From there on it is a source like any other: a run that goes on, and a reproduction, read that file.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from distrain.errors import DataError, first_line

BATCH_ROWS: Final = 65_536
_DIGITS: Final = 16
_CHUNK_BYTES: Final = 1 << 22


def is_ray_dataset(data: Any) -> bool:
    """Return whether this is a `ray.data.Dataset`, without importing Ray."""
    return is_of(data, "ray", "Dataset")


def is_rows(data: Any) -> bool:
    """Return whether `write_rows` takes it."""
    is_table = is_of(data, "pandas", "DataFrame") or hasattr(data, "__arrow_c_stream__")
    return is_table or is_ray_dataset(data)


def write_rows(data: Any, folder: Path) -> Path:
    """Write rows to a file in a folder, unless it is there already, and return its path.

    Args:
        data: what `is_rows` is true of: a pandas DataFrame (without its index), an Arrow table,
            whatever else gives an Arrow stream (polars), or a `ray.data.Dataset`, whose rows go
            through this process in their order.
        folder: made where it is missing.

    Raises:
        DataError: a column cannot be written.
    """
    schema, batches = _of_ray(data) if is_ray_dataset(data) else _of_table(_table(data))
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".rows-{uuid.uuid4().hex}.parquet"
    try:
        with pq.ParquetWriter(partial, schema) as writer:
            for batch in batches:
                writer.write_table(batch.cast(schema), row_group_size=BATCH_ROWS)
        path = folder / f"{_sha256(partial)[:_DIGITS]}.parquet"
        if not path.exists():
            partial.rename(path)
    except (pa.ArrowException, OSError) as fault:
        raise DataError(
            f"the rows cannot be written to a file ({first_line(fault)})",
            where="data",
            expected="columns of one type each, and room for them in the storage",
            mend="Convert the column, e.g. by df[column].astype(str), or make room",
        ) from fault
    finally:
        partial.unlink(missing_ok=True)
    return path


def is_of(data: Any, library: str, name: str) -> bool:
    """Return whether data is of a library's class, which is loaded then; imports nothing.

    Args:
        data: anything.
        library: top-level name of the library.
        name: the class's.
    """
    return any(
        kind.__module__.partition(".")[0] == library and kind.__name__ == name
        for kind in type(data).__mro__
    )


def _table(data: Any) -> pa.Table:
    if isinstance(data, pa.Table):
        return data
    try:
        if is_of(data, "pandas", "DataFrame"):
            named = data.set_axis([str(column) for column in data.columns], axis=1)
            return pa.Table.from_pandas(named, preserve_index=False).replace_schema_metadata()
        return pa.table(data)
    except (pa.ArrowException, TypeError, ValueError) as fault:
        raise DataError(
            f"it cannot be made a table ({_told(fault)})",
            where="data",
            expected="columns of one type each",
            mend="Convert the column, e.g. by df[column].astype(str)",
        ) from fault


def _told(fault: Exception) -> str:
    """Return what Arrow says, with the column, which it names in a second argument."""
    return ". ".join(str(part).splitlines()[0] for part in fault.args if str(part)) or str(fault)


def _of_table(table: pa.Table) -> tuple[pa.Schema, Iterable[pa.Table]]:
    plain = pa.schema([(field.name, _plain_type(field.type)) for field in table.schema])
    return plain, (
        table.slice(start, BATCH_ROWS) for start in range(0, max(1, table.num_rows), BATCH_ROWS)
    )


def _of_ray(dataset: Any) -> tuple[pa.Schema, Iterable[pa.Table]]:
    """Return the rows of a `ray.data.Dataset` in their order, in batches of a fixed size."""
    batches = _ray_batches(dataset)
    first = next(batches, None)
    if first is None:
        raise DataError(
            "the dataset has no rows",
            where="data",
            expected="rows",
            mend="Look at what it reads, e.g. by dataset.show(5)",
        )
    schema = pa.schema([(field.name, _plain_type(field.type)) for field in first.schema])

    def all_batches() -> Iterator[pa.Table]:
        yield first
        yield from batches

    return schema, all_batches()


def _ray_batches(dataset: Any) -> Iterator[pa.Table]:
    try:
        with _in_order(dataset):
            yield from dataset.iter_batches(batch_size=BATCH_ROWS, batch_format="pyarrow")
    except Exception as fault:  # the user's own functions may raise anything; told with its cause
        raise DataError(
            f"the dataset failed: {type(fault).__name__}: {first_line(fault)}",
            where="data",
            expected="a ray.data.Dataset that gives all of its rows",
            mend="Look at what it does, e.g. by dataset.show(5)",
        ) from fault


@contextmanager
def _in_order(dataset: Any) -> Iterator[None]:
    """Let a dataset give its rows in their order: by default it is that of whoever was first."""
    options = dataset.context.execution_options
    before = options.preserve_order
    options.preserve_order = True
    try:
        yield
    finally:
        options.preserve_order = before


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):  # a categorical column
        return _plain_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()  # the same rows are the same file, whatever library they come from
    return pa.binary() if pa.types.is_large_binary(kind) else kind


def _sha256(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest()
