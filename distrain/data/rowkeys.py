"""A 64-bit key for each row, equal for equal rows, wherever and however they were read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.columns import TextRules, as_float64, as_text, plain
from distrain.data.features import pixels_of

Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
_MISSING: Final = np.uint64(0x9E3779B97F4A7C15)


@final
@dataclass(frozen=True)
class RunKeys:
    """The keys of a run's rows.

    Args:
        keys: of the rows that were looked at, in order, `(n,)`.
        is_training: which of these rows are for training, `(n,)`.
    """

    keys: Keys
    is_training: Mask


def row_keys(
    table: pa.Table,
    columns: Sequence[str],
    types: Mapping[str, str],
    rules: TextRules,
    codes: npt.NDArray[np.int64],
) -> Keys:
    """Return a key for each row over some columns and a code, shape `(n,)`.

    Numbers count by value (5 and 5.0 are equal), text after cleaning, missing equals missing.

    Args:
        table: the rows.
        columns: which columns count.
        types: their column types.
        rules: how text is read.
        codes: what counts besides, for each row: its class, however it is spelled, `(n,)`.
    """
    keys = mixed(codes.astype(np.uint64))
    for name in columns:
        column = plain(table.column(name))
        keys = mixed(keys + _column_keys(column, name, types[name], rules))
    return keys


def _column_keys(column: pa.Array, name: str, type_: str, rules: TextRules) -> Keys:
    if type_ == "image":
        pixels = pixels_of(column, name).reshape(len(column), -1)
        return _byte_keys(pixels)
    if type_ == "string":
        return _text_keys(as_text(column, name, type_, rules))
    numbers = as_float64(column, name, type_, rules) + 0.0  # -0.0 becomes 0.0
    bits = np.ascontiguousarray(numbers).view(np.uint64)
    return np.where(np.isnan(numbers), _MISSING, bits)


def _text_keys(text: pa.Array) -> Keys:
    """Return the sum over a text's bytes of a number drawn from (byte, place in the text)."""
    large = text.cast(pa.large_string())
    _, offsets, content = large.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[large.offset : large.offset + len(large) + 1]
    if content is None or not len(bounds):
        sums = np.zeros(len(large), dtype=np.uint64)
    else:
        data = np.frombuffer(content, dtype=np.uint8)[bounds[0] : bounds[-1]].astype(np.uint64)
        ends = bounds - bounds[0]
        lengths = np.diff(ends)
        place = np.arange(len(data), dtype=np.int64) - np.repeat(ends[:-1], lengths)
        totals = np.zeros(len(data) + 1, dtype=np.uint64)
        np.cumsum(mixed((place.astype(np.uint64) << np.uint64(8)) | data), out=totals[1:])
        sums = totals[ends[1:]] - totals[ends[:-1]]
        sums += lengths.astype(np.uint64)
    return np.where(large.is_null().to_numpy(zero_copy_only=False), _MISSING, sums)


def _byte_keys(rows: npt.NDArray[np.uint8]) -> Keys:
    width = -(-rows.shape[1] // 8) * 8
    padded = np.zeros((len(rows), width), dtype=np.uint8)
    padded[:, : rows.shape[1]] = rows
    words = padded.view(np.uint64)
    keys = np.zeros(len(rows), dtype=np.uint64)
    for place in range(words.shape[1]):
        keys = mixed(keys + words[:, place])
    return keys


def mixed(values: Keys) -> Keys:
    """Return each value scrambled, one to one (splitmix64; Steele, Lea & Flood 2014)."""
    mixed: Any = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    keys: Keys = mixed ^ (mixed >> np.uint64(31))
    return keys
