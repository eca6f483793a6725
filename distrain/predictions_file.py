"""One new file of predictions: CSV, Parquet or JSON lines, there whole or not at all."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from distrain.durable import sync_file
from distrain.errors import ConfigError, nearest


class TableWriter(ABC):
    """Writes tables one after the other. Call order: `write` any number of times, `close`."""

    @abstractmethod
    def write(self, table: pa.Table) -> None:
        """Append rows; all tables have the same columns, but a type may get wider."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left and close the file."""


@final
class _CsvWriter(TableWriter):
    """Text, UTF-8, with a header; lists as JSON."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._has_header = False

    def write(self, table: pa.Table) -> None:
        options = pyarrow.csv.WriteOptions(include_header=not self._has_header)
        pyarrow.csv.write_csv(_flat(table), self._file, options)
        self._has_header = True

    def close(self) -> None:
        self._file.close()


@final
class _JsonLinesWriter(TableWriter):
    """One JSON object a line, UTF-8; what JSON has no word for as text, NaN as null."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            line = json.dumps(_without_nan(row), ensure_ascii=False, default=str, allow_nan=False)
            self._file.write(line + "\n")

    def close(self) -> None:
        self._file.close()


@final
class _ParquetWriter(TableWriter):
    """Parquet with the types of the first table."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pyarrow.parquet.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        else:
            pyarrow.parquet.write_table(pa.table({}), self._path)


_WRITERS: Final[Mapping[str, Callable[[Path], TableWriter]]] = {
    ".csv": _CsvWriter,
    ".parquet": _ParquetWriter,
    ".jsonl": _JsonLinesWriter,
}


def check_out(out: Path, endings: Collection[str] = tuple(_WRITERS)) -> Path:
    """Return the file to write, absolute; writes nothing.

    Args:
        out: as the user named it.
        endings: what its name may end in, the usual one first.

    Raises:
        ConfigError: it exists already, its folder does not, or its extension names no format.
    """
    out = out.expanduser().absolute()
    where = f"--out {out}"
    if out.suffix.lower() not in endings:
        near = nearest(out.suffix.lower(), endings) or next(iter(endings))
        raise ConfigError(
            f"the extension {out.suffix!r} names no format that can be written",
            where=where,
            expected=f"a file that ends in {', '.join(endings)}",
            mend=f"Write {out.with_suffix(near).name}",
        )
    if out.exists() or out.is_symlink():
        raise ConfigError(
            "the file is there already",
            where=where,
            expected="a new file: nothing is overwritten",
            mend="Name another one, or remove it",
        )
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK | os.X_OK):
        raise ConfigError(
            "its folder does not exist, or cannot be written",
            where=where,
            expected="a folder that this user can write",
            mend=f"mkdir -p {out.parent}",
        )
    return out


@contextmanager
def open_writer(out: Path) -> Iterator[TableWriter]:
    """Give a writer for the length of a `with` block; the file appears at its end.

    Args:
        out: from `check_out`.

    Raises:
        ConfigError: a file of that name has appeared meanwhile.
    """
    with new_file(out) as unfinished:
        writer = _WRITERS[out.suffix.lower()](unfinished)
        try:
            yield writer
        finally:
            writer.close()


@contextmanager
def new_file(out: Path) -> Iterator[Path]:
    """Give a path to write to for the length of a `with` block; at its end it becomes the file.

    Where the block raises, nothing is left.

    Args:
        out: from `check_out`.

    Raises:
        ConfigError: a file of that name has appeared meanwhile.
    """
    unfinished = out.with_name(f".{out.stem}.{os.getpid()}.partial{out.suffix}")
    try:
        yield unfinished
        _publish(unfinished, out)
    finally:
        unfinished.unlink(missing_ok=True)


def _publish(unfinished: Path, out: Path) -> None:
    sync_file(unfinished)
    try:
        # A link, unlike a rename, never takes the place of a file that is there.
        out.hardlink_to(unfinished)
    except FileExistsError:
        check_out(out, (out.suffix.lower(),))
    except OSError:
        # Some file systems have no links.
        check_out(out, (out.suffix.lower(),))
        unfinished.rename(out)


def _flat(table: pa.Table) -> pa.Table:
    """Return a table whose lists are JSON text, which CSV has no other form for."""
    for place, column in enumerate(table.columns):
        if pa.types.is_nested(column.type) or isinstance(column.type, pa.BaseExtensionType):
            text = [None if value is None else json.dumps(value) for value in column.to_pylist()]
            table = table.set_column(place, table.column_names[place], pa.array(text, pa.string()))
    return table


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in row.items()}
