"""The test split as its files have it: raw rows, which a model of any other transform can be given.

A prepared dataset holds tensors of one transform. The raw rows behind its test split are found
again by reading the source and dividing it as it was divided then, which is a pure function of it;
cleaning leaves test rows as they are.
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.config.data import DataSettings
from distrain.data.checking import open_checked, target_wish
from distrain.data.dividing import row_plan
from distrain.data.kinds import target_names
from distrain.data.on_ray import data_context, each_run
from distrain.data.opened import OpenedSource
from distrain.data.rows import RowPlan
from distrain.data.runs import Run
from distrain.data.scanning import ScannedSource, scan_source
from distrain.data.split import TEST
from distrain.data.target import plan_target


@final
@dataclass(frozen=True)
class _Rows:
    """Some rows of a run, as an Arrow stream's bytes, `(n,)`."""

    content: npt.NDArray[np.uint8]


@final
@dataclass(frozen=True)
class _TakeTestRows:
    """Takes the test rows of a run."""

    rows: RowPlan

    def __call__(self, run: Run) -> _Rows:
        table, split = self.rows.divide(run)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.filter(pa.array(split == TEST)).combine_chunks())
        return _Rows(np.frombuffer(sink.getvalue(), dtype=np.uint8))


def read_test_rows(data: DataSettings) -> pa.Table:
    """Return the rows of the test split with all of their columns, in the order of the split.

    Ray must be connected. They are held in memory, here; the source is read once more.

    Args:
        data: the configuration, `${VAR}` filled in.

    Raises:
        DataError: the source is not there any more, or cannot be read.
    """
    source, test = open_checked(data)
    with data_context():
        scanned = _scan(data, source)
        target = plan_target(
            target_wish(data),
            scanned.columns,
            scanned.counts[target_names(data)[0]],
            {file["uri"]: file["num_rows"] for file in scanned.files()},
        )
        rows = row_plan(data, scanned, target)
        runs = scanned.runs
        if test is not None:
            rows = replace(rows, split=None)
            runs = _scan(data, test, scanned.types).runs
        taken = [part for _, part in each_run(runs, _TakeTestRows(rows), _Rows)]
    tables = [pa.ipc.open_stream(part.content.tobytes()).read_all() for part in taken]
    return pa.concat_tables([table for table in tables if table.num_rows] or tables[:1])


def _scan(
    data: DataSettings, opened: OpenedSource, types: dict[str, str] | None = None
) -> ScannedSource:
    targets = target_names(data)
    fixed = data.split.column if data.split.kind == "fixed" and types is None else None
    counted = [*targets[:1], *([fixed] if fixed is not None else [])]
    columns = opened.reading.columns
    wanted = columns if types is None else tuple(name for name in columns if name in types)
    return scan_source(opened, wanted, counted, targets, types)
