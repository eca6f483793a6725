"""What is to be predicted: classes or numbers, which classes, which one is the positive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from distrain.data.column_scan import ColumnScan
from distrain.data.columns import NUMBER_TYPES, TextRules, as_text
from distrain.data.features import Label, label_text, renamed
from distrain.data.profile import MAX_CLASSES, labelled_rows
from distrain.errors import DataError, did_you_mean

# Whole numbers with at most so many different values are classes unless the task is given.
MAX_INFERRED_CLASSES: Final = 20
# Beyond this, squares overflow.
_GREATEST_TARGET: Final = 1e100
_SHOWN_CHARACTERS: Final = 60


@final
@dataclass(frozen=True)
class TargetPlan:
    """What is predicted.

    Args:
        task: `classification` or `regression`.
        names: the target columns.
        types: their column types.
        classes: the labels, sorted; empty for regression.
        positive: index of the positive class, for two classes.
        labels: renaming of values.
        counts: labelled rows by label text.
    """

    task: str
    names: tuple[str, ...]
    types: Mapping[str, str]
    classes: tuple[Label, ...]
    positive: int | None
    labels: Mapping[str, str]
    counts: Mapping[str, int]

    def codes(self, table: pa.Table, rules: TextRules) -> npt.NDArray[np.int64]:
        """Return each row's class index (0 for regression), -1 without a target, `(n,)`."""
        if self.task == "regression":
            return np.where(labelled_rows(table, self.names, self.types, rules), 0, -1)
        name = self.names[0]
        text = renamed(as_text(table.column(name), name, self.types[name], rules), self.labels)
        known = pa.array([label_text(label) for label in self.classes], pa.string())
        index = pc.index_in(text, value_set=known, skip_nulls=True)
        unknown = pc.and_(pc.is_null(index), pc.is_valid(text))
        if pc.any(unknown).as_py():
            raise _unknown_class(text.filter(unknown)[0].as_py(), name, known.to_pylist())
        codes: npt.NDArray[np.int64] = pc.fill_null(index, -1).to_numpy(zero_copy_only=False)
        return codes.astype(np.int64)


@final
@dataclass(frozen=True)
class TargetWish:
    """What the configuration says about the target."""

    names: tuple[str, ...]
    task: str | None
    labels: Mapping[str, str]
    positive: Label | float | None


def plan_target(
    wish: TargetWish,
    scans: Mapping[str, ColumnScan],
    counts: Mapping[str, int] | None,
    rows_of_files: Mapping[str, int],
) -> TargetPlan:
    """Return what is predicted, inferred where it was not said.

    Args:
        wish: from the configuration.
        scans: the target columns over the whole source.
        counts: for a single target, rows by value as text; None: too many values.
        rows_of_files: how many rows each file of the source has, in order; for messages.

    Raises:
        DataError: a target is all missing, tells no rows apart, or is no number where it must be.
    """
    for name in wish.names:
        if not scans[name].num_present:
            raise DataError(
                "the target column has no value in any row",
                where=f"column {name!r}",
                expected="values to learn from",
                mend="Name another data.target, or check data.read.na_values.",
            )
    types = {name: scans[name].type for name in wish.names}
    merged = _renamed_counts(counts, wish.labels)
    task = wish.task or _inferred_task(wish, scans, merged)
    if task == "regression":
        for name in wish.names:
            _check_numbers(name, scans[name], rows_of_files)
        return TargetPlan(task, wish.names, types, (), None, {}, {})
    name = wish.names[0]
    if merged is None:
        raise DataError(
            f"the target has more than {MAX_CLASSES:,} different values",
            where=f"column {name!r}",
            expected="classes, with several rows each",
            mend="Name another data.target, or set data.task to regression if it is a number.",
        )
    if len(merged) < 2:
        raise DataError(
            f"the target has one class: {next(iter(merged))!r}",
            where=f"column {name!r}",
            expected="at least two classes to tell apart",
            mend="Name another data.target, or add rows of another class.",
        )
    if max(merged.values()) == 1:
        raise DataError(
            f"each of the {len(merged)} rows has a class of its own",
            where=f"column {name!r}",
            expected="classes, with several rows each",
            mend="Name another data.target, or set data.task to regression if it is a number.",
        )
    classes = _classes(merged, types[name], is_renamed=bool(wish.labels))
    positive = _positive(wish.positive, classes, merged)
    return TargetPlan(task, wish.names, types, classes, positive, wish.labels, merged)


def _renamed_counts(
    counts: Mapping[str, int] | None, labels: Mapping[str, str]
) -> dict[str, int] | None:
    if counts is None:
        return None
    merged: dict[str, int] = {}
    for value, number in counts.items():
        label = labels.get(value, value)
        merged[label] = merged.get(label, 0) + number
    return merged


def _inferred_task(
    wish: TargetWish, scans: Mapping[str, ColumnScan], counts: Mapping[str, int] | None
) -> str:
    if len(wish.names) > 1:
        return "regression"
    scan = scans[wish.names[0]]
    if scan.type in ("string", "bool") or wish.labels or wish.positive is not None:
        return "classification"
    few = counts is not None and len(counts) <= MAX_INFERRED_CLASSES
    return "classification" if scan.is_whole and few else "regression"


def _check_numbers(name: str, scan: ColumnScan, rows_of_files: Mapping[str, int]) -> None:
    if scan.no_number is not None:
        value, row = scan.no_number
        raise DataError(
            f"the target is {shortened(value)!r} there, which is no number",
            where=f"column {name!r}, {row_text(row, rows_of_files)}",
            expected="numbers, for regression",
            mend="Correct the value; or name it under data.read.na_values if it means 'missing', "
            "set data.task to classification, or name another data.target.",
        )
    if scan.type not in (*NUMBER_TYPES, "bool"):
        raise DataError(
            f"the target holds {scan.type}, not numbers",
            where=f"column {name!r}",
            expected="numbers, for regression",
            mend="Set data.task to classification, or name another data.target.",
        )
    if max(abs(scan.low), abs(scan.high)) > _GREATEST_TARGET:
        raise DataError(
            f"the target goes from {scan.low:g} to {scan.high:g}",
            where=f"column {name!r}",
            expected=f"numbers up to {_GREATEST_TARGET:g} in size",
            mend="Scale the target.",
        )
    if scan.num_infinite:
        raise DataError(
            f"the target is infinite in {scan.num_infinite:,} rows",
            where=f"column {name!r}",
            expected="finite numbers",
            mend="Correct these rows or leave them out; an empty field counts as missing.",
        )
    if scan.low == scan.high:
        raise DataError(
            f"the target is {scan.low:g} in every row",
            where=f"column {name!r}",
            expected="different numbers to tell apart",
            mend="Name another data.target, or add rows with other values.",
        )


def row_text(row: int, rows_of_files: Mapping[str, int]) -> str:
    """Return where a row, counted from 0 in the source, stands: counted from 1 in its file."""
    before = 0
    for uri, num_rows in rows_of_files.items():
        if row < before + num_rows:
            return f"row {row - before + 1:,} of {uri}"
        before += num_rows
    return f"row {row + 1:,} of the source"  # of a sample not all files are counted


def shortened(text: str) -> str:
    """Return a text for a message, its beginning where it is long."""
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _classes(counts: Mapping[str, int], kind: str, *, is_renamed: bool) -> tuple[Label, ...]:
    if is_renamed or kind not in (*NUMBER_TYPES, "bool"):
        return tuple(sorted(counts))
    if kind == "bool":
        return tuple(sorted(value == "true" for value in counts))
    whole = all(_is_whole(value) for value in counts)
    if not whole:
        return tuple(sorted(counts, key=float))
    return tuple(sorted(int(value) for value in counts))


def _positive(
    wished: Label | float | None, classes: Sequence[Label], counts: Mapping[str, int]
) -> int | None:
    if wished is None:
        if len(classes) != 2:
            return None
        first, second = (counts[label_text(label)] for label in classes)
        return 0 if first < second else 1
    names = [label_text(label) for label in classes]
    wanted = str(wished).lower() if isinstance(wished, bool) else str(wished)
    if wanted not in names:
        raise DataError(
            f"{wanted!r} is no class of the target",
            where="data.positive",
            expected="a class, after renaming by data.labels",
            mend=did_you_mean(wanted, names, listed="Classes"),
        )
    if len(classes) != 2:
        raise DataError(
            f"a positive class is named, but there are {len(classes)} classes",
            where="data.positive",
            expected="two classes",
            mend="Leave it out.",
        )
    return names.index(wanted)


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _unknown_class(value: str, name: str, known: Sequence[str]) -> DataError:
    return DataError(
        f"{value!r} is no class of the training data",
        where=f"target column {name!r}",
        expected="the classes of data.source",
        mend=did_you_mean(value, known, listed="Classes")
        + " If it is another spelling, rename it by data.labels.",
    )
