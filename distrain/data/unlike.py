"""What rows to predict hold that the training rows did not, counted by column."""

import json
from collections.abc import Iterator
from typing import Any, Final, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from distrain.data.calendar_parts import CalendarFeature
from distrain.data.columns import as_float64, as_text, plain
from distrain.data.encoders import CategoricalFeature, NumericFeature
from distrain.data.features import Transform
from distrain.data.findings import Finding

_NOTE: Final = b"distrain.unlike"
_SHOWN_LETTERS: Final = 40


@final
class Unlike:
    """Counts by column: categories that the model does not know, values missing as never before."""

    def __init__(self) -> None:
        self._unknown: dict[str, tuple[int, str]] = {}
        self._missing: dict[str, int] = {}

    @classmethod
    def of(cls, transform: Transform, rows: pa.Table) -> "Unlike":
        """Return the counts of some rows, which the transform has been applied to.

        Args:
            transform: fitted on the training rows.
            rows: raw rows.
        """
        unlike = cls()
        for feature in transform.features:
            column = plain(rows.column(feature.name))
            if isinstance(feature, NumericFeature | CalendarFeature):
                unlike._look_at_numbers(feature, column, transform)
            elif isinstance(feature, CategoricalFeature):
                unlike._look_at_categories(feature, column, transform)
        return unlike

    def noted_on(self, table: pa.Table) -> pa.Table:
        """Return a table that carries these counts."""
        text = json.dumps([self._unknown, self._missing])
        return table.replace_schema_metadata({_NOTE: text.encode()})

    def add_noted(self, table: pa.Table) -> None:
        """Add the counts that a table carries."""
        unknown, missing = json.loads((table.schema.metadata or {})[_NOTE])
        for name, (count, value) in unknown.items():
            before, first = self._unknown.get(name, (0, value))
            self._unknown[name] = (before + count, first)
        for name, count in missing.items():
            self._missing[name] = self._missing.get(name, 0) + count

    def findings(self, transform: Transform, num_rows: int) -> Iterator[Finding]:
        """Yield what was counted, and what was made of it.

        Args:
            transform: fitted on the training rows.
            num_rows: rows that were looked at.
        """
        for feature in transform.features:
            name = feature.name
            if name in self._unknown:
                count, value = self._unknown[name]
                text = (
                    f"{count:,} of {num_rows:,} values are none of those that the model knows, the "
                    f"first {value!r}; they count as 'other'"
                )
                yield Finding("unknown-category", name, text, count)
            if name in self._missing:
                count = self._missing[name]
                done = (
                    f"filled with {feature.fill:g}"
                    if isinstance(feature, NumericFeature)
                    else "filled in as in training"
                    if isinstance(feature, CalendarFeature)
                    else "they count as 'other'"
                )
                text = f"{count:,} of {num_rows:,} values are missing, in training none; {done}"
                yield Finding("missing-values", name, text, count)

    def _look_at_numbers(
        self, feature: NumericFeature | CalendarFeature, column: pa.Array, transform: Transform
    ) -> None:
        if feature.indicator:
            return
        numbers = as_float64(column, feature.name, feature.type_, transform.text)
        if count := int((~np.isfinite(numbers)).sum()):
            self._missing[feature.name] = count

    def _look_at_categories(
        self, feature: CategoricalFeature, column: pa.Array, transform: Transform
    ) -> None:
        text: Any = as_text(column, feature.name, feature.type_, transform.text)
        if text.null_count and not feature.missing:
            self._missing[feature.name] = text.null_count
        there = text.drop_null()
        known = pc.is_in(there, value_set=pa.array(feature.values, pa.string()))
        unknown = there.filter(pc.invert(known))
        if len(unknown):
            self._unknown[feature.name] = (len(unknown), unknown[0].as_py()[:_SHOWN_LETTERS])
