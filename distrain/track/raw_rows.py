"""Raw rows in whatever form they are held -> an Arrow table of the columns that are wanted.

Values keep their types: reading text as numbers, words for 'missing' and the like is the fitted
transform's work. pandas is not imported here; a DataFrame is taken by its methods.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from distrain.errors import DataError


def column_names(rows: Any) -> list[str]:
    """Return the names of the columns of raw rows, in order.

    Args:
        rows: an Arrow table, a pandas DataFrame, a dict of columns, or a list of dicts.

    Raises:
        DataError: rows of another form.
    """
    if isinstance(rows, pa.Table):
        return list(rows.column_names)
    if isinstance(rows, Mapping):
        return [str(name) for name in rows]
    if hasattr(rows, "columns") and hasattr(rows, "iloc"):
        return [str(name) for name in rows.columns]
    if isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
        return list(dict.fromkeys(str(name) for row in rows for name in row))
    raise DataError(
        f"rows of type {type(rows).__name__}",
        where="input rows",
        expected="a pandas DataFrame, an Arrow table, a list of dicts or a dict of columns",
    )


def to_table(rows: Any, wanted: Sequence[str]) -> pa.Table:
    """Return those of the wanted columns that the rows have, in the order in which they are wanted.

    A name that differs only by blanks around it is taken for the same.

    Args:
        rows: as for `column_names`.
        wanted: names of columns.
    """
    present = {name.strip(): name for name in column_names(rows)}
    present |= {name: name for name in column_names(rows)}
    chosen = {name: present[name] for name in wanted if name in present}
    return pa.table({name: _column(rows, source) for name, source in chosen.items()})


def _column(rows: Any, name: str) -> pa.Array | pa.ChunkedArray:
    if isinstance(rows, pa.Table):
        return rows.column(name)
    values = [row.get(name) for row in rows] if isinstance(rows, list | tuple) else rows[name]
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return _mixed(list(values))


def _mixed(values: list[Any]) -> pa.Array:
    """Return values of several types: arrays as nested lists, the rest as text."""
    if any(isinstance(value, np.ndarray) for value in values):
        return pa.array([None if value is None else np.asarray(value).tolist() for value in values])
    return pa.array([None if _is_missing(value) else str(value) for value in values], pa.string())


def _is_missing(value: Any) -> bool:
    return value is None or (not isinstance(value, str) and str(value) in ("nan", "<NA>", "NaT"))
