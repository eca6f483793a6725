"""Sources opened and read as whole tables."""

from typing import Any

import pyarrow as pa

from distrain.config.data import ReadSettings
from distrain.data import units
from distrain.data.opened import OpenedSource
from distrain.data.opening import open_source
from distrain.data.runs import Run, read_runs


def opened(source: str | list[str], format_: str | None = None, **read: Any) -> OpenedSource:
    return open_source(source, format_, ReadSettings(**read))


def runs_of(source: OpenedSource) -> list[Run]:
    cut = units.cut_into_units(source.listing, source.reading)
    return [run for unit in cut for run in read_runs(unit, source.reading)]


def table_of(source: str | list[str], format_: str | None = None, **read: Any) -> pa.Table:
    tables = [run.table for run in runs_of(opened(source, format_, **read))]
    return pa.concat_tables([table for table in tables if table.num_rows])
