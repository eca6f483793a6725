"""A few raw rows of a source, to go with a model that was trained on it. No Ray."""

import pyarrow as pa

from distrain.config.data import DataSettings
from distrain.data.features import Transform
from distrain.data.kinds import source_of
from distrain.data.opening import open_source
from distrain.data.runs import read_runs
from distrain.data.units import cut_into_units
from distrain.errors import DataError

EXAMPLE_ROWS = 3


def example_rows(data: DataSettings, transform: Transform) -> pa.Table:
    """Return the first rows of a source as its files have them.

    Args:
        data: the configuration, `${VAR}` filled in.
        transform: fitted on this source; its column types settle how text is read.

    Raises:
        DataError: the source is not there any more, or has no rows.
    """
    opened = open_source(source_of(data), data.format, data.read, transform.column_types)
    for unit in cut_into_units(opened.listing, opened.reading):
        for run in read_runs(unit, opened.reading):
            if run.table.num_rows:
                return run.table.slice(0, EXAMPLE_ROWS).combine_chunks()
    raise DataError("the source has no rows any more", where="data.source")
