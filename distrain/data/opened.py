"""A source whose columns are known, as whoever opens a format gives it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import pyarrow as pa

from distrain.data.files import Listing
from distrain.data.reading import Reading
from distrain.errors import DataError


@final
@dataclass(frozen=True)
class OpenedSource:
    """A source whose columns are known.

    Args:
        listing: its files.
        reading: how they are read; all columns are wanted.
        num_rows: how many rows it has.
        is_exact: whether that is exact, or estimated from the beginning.
        sample: its first rows; for formats whose files name their types it has no rows.
        is_whole: whether `sample` is all of it, as far as its columns go.
    """

    listing: Listing
    reading: Reading
    num_rows: int
    is_exact: bool
    sample: pa.Table
    is_whole: bool = False


def check_names_once(names: Sequence[str], uri: str) -> None:
    """Raise a DataError that names the columns that a file has more than once.

    Raises:
        DataError: there are some.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"columns stand there more than once: {listed(twice)}",
            where=uri,
            expected="a different name for each column",
            mend="Write the file again with other names.",
        )


def listed(names: Sequence[Any]) -> str:
    """Return names for a sentence, the first eight of them."""
    shown = ", ".join(map(repr, names[:8]))
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
