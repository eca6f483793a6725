"""Runs: the fixed pieces of 65,536 rows on which everything is computed, in the source's order.

Sums over runs, combined in their order, have the same bits on any number of CPUs. Ray Data cuts
and joins blocks of rows as it sees fit, so a run travels as a single row that holds the whole
table: one row cannot be cut. (Measured with Ray 2.60: `target_max_block_size=None` joins all blocks
of a read task into one, any number cuts blocks by size.)
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import pyarrow as pa

from distrain.data.arrow_files import read_arrow_unit
from distrain.data.builtin import load_built_in
from distrain.data.columns import common_type, type_name
from distrain.data.csv_files import read_csv_unit
from distrain.data.files import reading as reading_files
from distrain.data.idx_files import read_idx_unit
from distrain.data.image_files import read_image_unit
from distrain.data.json_files import read_json_unit
from distrain.data.npz_files import read_npz_unit
from distrain.data.numpy_files import read_npy_unit
from distrain.data.parquet_files import read_parquet_unit
from distrain.data.plain_values import PlainValue, from_plain, to_plain
from distrain.data.reading import CannotCut, FileLog, PieceRead, Reading, Unit
from distrain.data.text_examples import read_text_unit
from distrain.errors import DataError

RUN_ROWS: Final = 65_536
# Tables below this size, up to so many, are joined at a time.
_SMALL_BYTES: Final = 2**20
_MOST_WAITING: Final = 1_024
RunKey = tuple[int, int]
_READERS: Final = {
    "csv": read_csv_unit,
    "tsv": read_csv_unit,
    "json": read_json_unit,
    "jsonl": read_json_unit,
    "parquet": read_parquet_unit,
    "arrow": read_arrow_unit,
    "npy": read_npy_unit,
    "npz": read_npz_unit,
    "images": read_image_unit,
    "text": read_text_unit,
    "idx": read_idx_unit,
}


@final
@dataclass(frozen=True)
class Run:
    """Up to 65,536 consecutive rows of one unit.

    Args:
        unit: the unit's number in the source.
        number: the run's number in its unit.
        table: the rows, in column types.
        pieces: in a unit's last run, what was read for the unit.
    """

    unit: int
    number: int
    table: pa.Table
    pieces: tuple[PieceRead, ...] = ()

    @property
    def key(self) -> RunKey:
        """Return what identifies the run in its source."""
        return self.unit, self.number


def read_runs(unit: Unit, reading: Reading) -> Iterator[Run]:
    """Yield the runs of a unit, at least one, the last one with what was read.

    Raises:
        DataError: a file is not what it should be.
        CannotCut: a text file must not be cut at line breaks.
    """
    log = FileLog()
    number, last = 0, pa.table({})
    with reading_files(piece.file for piece in unit.pieces):
        for number, table in enumerate(cut_into_runs(_read_tables(unit, reading, log))):
            if number:
                yield Run(unit.number, number - 1, last)
            last = table
    yield Run(unit.number, number, last, tuple(log.pieces()))


def cut_into_runs(tables: Iterator[pa.Table], run_rows: int = RUN_ROWS) -> Iterator[pa.Table]:
    """Yield tables of exactly `run_rows` rows, the last one with what is left; none if none are."""
    rest: pa.Table | None = None
    for table in _gathered(tables):
        rest = table if rest is None or not rest.num_rows else _joined(rest, table)
        while rest.num_rows >= run_rows:
            yield rest.slice(0, run_rows)
            rest = rest.slice(run_rows)
    if rest is not None and rest.num_rows:
        yield rest


def _gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables with many small ones joined: one by one, each join would copy all before it."""
    waiting: list[pa.Table] = []
    num_bytes = 0
    for table in tables:
        if waiting and table.schema != waiting[0].schema:
            yield _in_one_piece(waiting)
            waiting, num_bytes = [], 0
        waiting.append(table)
        num_bytes += table.nbytes
        if num_bytes >= _SMALL_BYTES or len(waiting) == _MOST_WAITING:
            yield _in_one_piece(waiting)
            waiting, num_bytes = [], 0
    if waiting:
        yield _in_one_piece(waiting)


def _in_one_piece(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables).combine_chunks()


def pack_run(run: Run) -> pa.Table:
    """Return a run as a table of one row."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, run.table.schema) as writer:
        writer.write_table(run.table.combine_chunks())
    return _packed(run.key, text=to_plain(run.pieces).text, content=sink.getvalue())


def pack_result(key: RunKey, result: Any) -> pa.Table:
    """Return what was computed from a run, of a type that `plain_values` knows, as one row."""
    return _packed(key, *to_plain(result))


def pack_fault(key: RunKey, fault: DataError | CannotCut) -> pa.Table:
    """Return an error as a table of one row: raised in a Ray task it would lose its parts."""
    return _packed(key, fault=fault_to_json(fault))


def unpack_run(packed: pa.Table) -> Run:
    """Return the run in a table of one row, on the same memory."""
    raise_fault(packed)
    text, content = _plain_value(packed)
    pieces = from_plain(tuple[PieceRead, ...], PlainValue(text))
    return Run(*run_key(packed), pa.ipc.open_stream(content).read_all(), pieces)


def unpack_result(packed: pa.Table, kind: Any) -> tuple[RunKey, Any]:
    """Return a run's key and what was computed from it, a value of type `kind`."""
    raise_fault(packed)
    return run_key(packed), from_plain(kind, _plain_value(packed))


def raise_fault(packed: pa.Table) -> None:
    """Raise the error that a packed row stands for, if it does.

    Raises:
        DataError: as it was raised in the task.
        CannotCut: likewise.
    """
    text = packed.column("fault")[0].as_py()
    if text is not None:
        raise fault_from_json(text)


def fault_to_json(fault: DataError | CannotCut) -> str:
    """Return an error as JSON on one line."""
    if isinstance(fault, CannotCut):
        return json.dumps({"cannot_cut": str(fault)})
    parts = ("message", "where", "expected", "mend")
    return json.dumps({part: getattr(fault, part) for part in parts})


def fault_from_json(text: str) -> DataError | CannotCut:
    """Return the error that `fault_to_json` wrote down."""
    parts = json.loads(text)
    return CannotCut(parts["cannot_cut"]) if "cannot_cut" in parts else DataError(**parts)


def _packed(
    key: RunKey, text: str = "", content: pa.Buffer | bytes = b"", *, fault: str | None = None
) -> pa.Table:
    return pa.table(
        {
            "unit": pa.array([key[0]], pa.int64()),
            "run": pa.array([key[1]], pa.int64()),
            "text": pa.array([text], pa.large_string()),
            "content": one_value(content),
            "fault": pa.array([fault], pa.string()),
        }
    )


def _plain_value(packed: pa.Table) -> PlainValue:
    return PlainValue(packed.column("text")[0].as_py(), packed.column("content")[0].as_buffer())


def one_value(content: pa.Buffer | bytes) -> pa.Array:
    """Return an array of one binary value on the given memory, of any size."""
    buffer = pa.py_buffer(content)
    offsets = pa.py_buffer(np.array([0, buffer.size], dtype=np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, buffer])


def run_key(packed: pa.Table) -> RunKey:
    """Return what identifies the run in a table of one row."""
    return packed.column("unit")[0].as_py(), packed.column("run")[0].as_py()


def _read_tables(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    if reading.format != "built-in":
        yield from _READERS[reading.format](unit, reading, log)
        return
    piece = unit.pieces[0]
    table, sha256 = load_built_in(piece.file.uri)
    log.add(piece, sha256, table.nbytes)
    log.count_rows(piece, table.num_rows)
    yield table.select(reading.wanted)


def _joined(first: pa.Table, second: pa.Table) -> pa.Table:
    """Return two tables as one; a column that they read differently becomes what holds both."""
    if first.schema == second.schema:
        return pa.concat_tables([first, second])
    columns = {}
    for name in first.column_names:
        pair = first.column(name), second.column(name)
        kinds = [type_name(column.type) or "string" for column in pair]
        text = common_type(*kinds) == "string"
        kind = pa.string() if text else pair[kinds[0] == "null" or kinds[1] == "double"].type
        columns[name] = pa.chunked_array(
            [chunk.cast(kind) for column in pair for chunk in column.chunks], kind
        )
    return pa.table(columns)
