"""What a column holds, in some rows; what rows hold together, and the type that fits them all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final, final

import numpy as np

from distrain.data.columns import NUMBER_TYPES, common_type

# Text with more different values than this share of its rows tells rows apart, not kinds of rows.
NEARLY_UNIQUE: Final = 0.9
_FEW_ROWS: Final = 20
# On average; names and addresses have fewer.
_WORDS_OF_PROSE: Final = 8


@final
@dataclass(frozen=True)
class ColumnScan:
    """What some rows of a column hold; numbers and text each fill their own fields.

    Args:
        type: the column type.
        num_rows: how many rows.
        num_missing: rows without a value (NaN counts as none).
        num_infinite: rows that are plus or minus infinity.
        low: least finite number.
        high: greatest finite number.
        is_whole: whether all numbers are whole.
        is_rising: whether each number is larger than the one before, none missing.
        first: first number.
        last: last number.
        num_distinct: sum over runs of the different texts in each.
        is_numeric_text: whether all texts are numbers.
        only: the only text there is, None for none or several.
        no_number: the first text that is no finite number, and its row (from 0) among these.
        num_number_like: sum over runs of the different texts in each that are numbers, where not
            all are.
        num_date_like: likewise of those that look like dates, which were not read as dates.
        num_comma_like: likewise of those that are numbers with commas in them, as in '3,5'.
        num_words: about how many words all texts have, where nearly every row has its own.
    """

    type: str
    num_rows: int
    num_missing: int
    num_infinite: int = 0
    low: float = np.inf
    high: float = -np.inf
    is_whole: bool = True
    is_rising: bool = False
    first: float = np.nan
    last: float = np.nan
    num_distinct: int = 0
    is_numeric_text: bool = True
    only: str | None = None
    no_number: tuple[str, int] | None = None
    num_number_like: int = 0
    num_date_like: int = 0
    num_comma_like: int = 0
    num_words: int = 0

    @property
    def num_present(self) -> int:
        """Return how many rows have a value."""
        return self.num_rows - self.num_missing

    @property
    def is_constant(self) -> bool:
        """Return whether every row has the same value."""
        if self.num_missing or not self.num_rows:
            return False
        return self.only is not None or (self.low == self.high and not self.num_infinite)

    @property
    def is_row_number(self) -> bool:
        """Return whether whole numbers count the rows, one up from each to the next."""
        return (
            self.is_rising
            and self.is_whole
            and self.num_rows >= _FEW_ROWS
            and self.last - self.first == self.num_rows - 1
        )

    @property
    def is_nearly_unique(self) -> bool:
        """Return whether nearly every row has a text of its own."""
        return (
            self.num_present >= _FEW_ROWS and self.num_distinct >= NEARLY_UNIQUE * self.num_present
        )

    @property
    def is_prose(self) -> bool:
        """Return whether nearly every row has a text of its own, of several words."""
        return self.is_nearly_unique and self.num_words >= _WORDS_OF_PROSE * self.num_present


def combine_scans(scans: Sequence[ColumnScan]) -> ColumnScan:
    """Return what the rows of all scans hold together, given in their order."""
    return reduce(_combine_two, scans)


def resolve_type(scans: Sequence[ColumnScan]) -> str:
    """Return the one type of a column that runs may have read differently.

    Text that is all numbers is numbers, whether in all runs or where others are numbers.
    """
    filled = [scan for scan in scans if scan.num_present]
    if not filled:
        return "null"
    kinds = [scan.type for scan in filled]
    if all(
        k in NUMBER_TYPES or (s.type == "string" and s.is_numeric_text)
        for k, s in zip(kinds, filled, strict=True)
    ):
        whole = all(s.is_whole if s.type == "string" else s.type == "int64" for s in filled)
        return "int64" if whole else "double"
    return reduce(common_type, kinds)


def _combine_two(one: ColumnScan, two: ColumnScan) -> ColumnScan:
    if not one.num_present or not two.num_present:
        full, empty = (one, two) if one.num_present else (two, one)
        return replace(
            full,
            num_rows=one.num_rows + two.num_rows,
            num_missing=full.num_missing + empty.num_rows,
            is_rising=full.is_rising and not empty.num_rows,
            no_number=_earlier_no_number(one, two),
        )
    return ColumnScan(
        common_type(one.type, two.type),
        one.num_rows + two.num_rows,
        one.num_missing + two.num_missing,
        one.num_infinite + two.num_infinite,
        min(one.low, two.low),
        max(one.high, two.high),
        is_whole=one.is_whole and two.is_whole,
        is_rising=one.is_rising and two.is_rising and one.last < two.first,
        first=one.first,
        last=two.last,
        num_distinct=one.num_distinct + two.num_distinct,
        is_numeric_text=one.is_numeric_text and two.is_numeric_text,
        only=one.only if one.only == two.only else None,
        no_number=_earlier_no_number(one, two),
        num_number_like=one.num_number_like + two.num_number_like,
        num_date_like=one.num_date_like + two.num_date_like,
        num_comma_like=one.num_comma_like + two.num_comma_like,
        num_words=one.num_words + two.num_words,
    )


def _earlier_no_number(one: ColumnScan, two: ColumnScan) -> tuple[str, int] | None:
    if one.no_number is not None or two.no_number is None:
        return one.no_number
    value, row = two.no_number
    return value, row + one.num_rows
