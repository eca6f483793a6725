"""A run's used rows as tensors, the same arithmetic whenever a shard is made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import pyarrow as pa

from distrain.data.columns import TextRules, as_float64
from distrain.data.features import Transform
from distrain.data.shards import Array
from distrain.data.split import TRAIN, UNUSED, Assignment


@final
@dataclass(frozen=True)
class RunTensors:
    """Turns a run's rows into tensors.

    Args:
        transform: raw rows to tensors.
        weight: the column with row weights.
        types: column types.
        rules: how text is read.
    """

    transform: Transform
    weight: str | None
    types: Mapping[str, str]
    rules: TextRules

    def of_used(self, table: pa.Table, split: Assignment) -> tuple[dict[str, Array], Assignment]:
        """Return the tensors of the rows that some split uses, and the split of each of them.

        Args:
            table: a run's rows, clipped.
            split: the split of each of them, `(n,)`.
        """
        is_used = split != UNUSED
        if not is_used.all():
            table, split = table.filter(pa.array(is_used)), split[is_used]
        arrays = {**self.transform.apply(table), **self.transform.encode_target(table)}
        if self.weight is not None:
            kind = self.types[self.weight]
            weights = as_float64(table.column(self.weight), self.weight, kind, self.rules)
            arrays["weight"] = weights.astype(np.float32)
        return arrays, split


def of_split(arrays: Mapping[str, Array], split: Assignment, number: int) -> dict[str, Array]:
    """Return the columns and rows that one split's shard has.

    Args:
        arrays: from `RunTensors.of_used`.
        split: likewise.
        number: TRAIN, VALIDATION or TEST.
    """
    rows = np.flatnonzero(split == number)
    return {
        column: values[rows]
        for column, values in arrays.items()
        if column != "target" or number != TRAIN
    }


def packed_assignment(split: Assignment) -> bytes:
    """Return the split of each row in two bits."""
    return np.packbits(np.stack([split & 1, split >> 1]).astype(bool)).tobytes()


def unpacked_assignment(packed: bytes, num_rows: int) -> Assignment:
    """Return what `packed_assignment` packed, `(num_rows,)`."""
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=2 * num_rows)
    low, high = bits.reshape(2, num_rows).astype(np.int8)
    assignment: Assignment = low | high << 1
    return assignment
