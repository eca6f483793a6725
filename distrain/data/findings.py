"""What a user should know about the data: found while preparing, told, left as it is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, final

import numpy as np

from distrain.data.column_plan import ColumnPlan
from distrain.data.column_scan import ColumnScan
from distrain.data.columns import TIME_TYPES
from distrain.data.fit import RunFit
from distrain.data.rowkeys import Keys
from distrain.data.rows import RowPlan
from distrain.data.split import TEST, TRAIN, VALIDATION
from distrain.data.statistics import NumberStatistics
from distrain.data.target import TargetPlan, row_text, shortened
from distrain.data.write import RunWritten
from distrain.errors import nearest

# A class this many times rarer than the commonest is worth a word.
IMBALANCE: Final = 10
# So large a share of equal extreme targets looks like a cap.
_CAPPED_FRACTION: Final = 0.01
_CAPPED_ROWS: Final = 20
# Of fewer different texts nothing is told by their look.
_FEW_TEXTS: Final = 5
# From here on a few numbers outweigh all others in a standard deviation.
_SKEWED: Final = 3.0


@final
@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Args:
        kind: what kind of thing, a word.
        column: where; None: in the rows.
        message: what, and what was done about it.
        count: how many rows.
    """

    kind: str
    column: str | None
    message: str
    count: int

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain JSON."""
        return asdict(self)


def missing_values(scans: Mapping[str, ColumnScan], used: Sequence[str]) -> Iterator[Finding]:
    """Yield the columns with missing or infinite values, of those that are used."""
    for name in used:
        scan = scans[name]
        if scan.num_missing:
            share = scan.num_missing / scan.num_rows
            text = f"{share:.1%} of the rows have no value"
            yield Finding("missing-values", name, text, scan.num_missing)
        if scan.num_infinite:
            text = f"{scan.num_infinite:,} infinite numbers count as missing"
            yield Finding("infinite-values", name, text, scan.num_infinite)


def missing_targets(num_missing: int, names: Sequence[str], where: str) -> Iterator[Finding]:
    """Yield that rows without a target are left out, if there are some."""
    if num_missing:
        text = f"{num_missing:,} rows of {where} have no target and are in no split"
        yield Finding("missing-target", ", ".join(names), text, num_missing)


def time_split(rows: RowPlan) -> Iterator[Finding]:
    """Yield when validation and test begin, where the split is by time."""
    split, column = rows.split, rows.split_column
    if split is None or column is None or split.kind != "time":
        return
    begins = dict(zip(("validation", "test"), split.begins, strict=True))
    told = [
        f"{name} begins at {_time_text(at, rows.types[column])}"
        for name, at in begins.items()
        if np.isfinite(at)
    ]
    yield Finding("time-split", column, ", ".join(told) or "all rows are for training", 0)


def _time_text(time: float, type_: str) -> str:
    if type_ not in TIME_TYPES:
        return f"{time:.17g}"
    at = datetime.fromtimestamp(time, UTC).replace(tzinfo=None)
    form = {"date32[day]": "%Y-%m-%d", "time64[us]": "%H:%M:%S"}.get(type_, "%Y-%m-%d %H:%M:%S")
    return at.strftime(form)


def unread_columns(
    scans: Mapping[str, ColumnScan], rows_of_files: Mapping[str, int], used: Sequence[str]
) -> Iterator[Finding]:
    """Yield the columns of text that are mostly numbers, or dates, but for what is named.

    Args:
        scans: the columns.
        rows_of_files: how many rows each file of the source has, in order.
        used: the columns that are no target.
    """
    for name in used:
        scan = scans[name]
        if scan.no_number is None or scan.num_distinct < _FEW_TEXTS:
            continue
        value, row = scan.no_number
        if 2 * scan.num_number_like >= scan.num_distinct:
            text = (
                f"most of it is numbers, but {shortened(value)!r} ({row_text(row, rows_of_files)}) "
                "is none; taken as text. data.read.na_values makes such a word mean 'missing'"
            )
            yield Finding("numbers-and-text", name, text, scan.num_rows)
        elif 2 * scan.num_comma_like >= scan.num_distinct:
            text = (
                f"most of it is numbers with a comma, such as {shortened(value)!r} "
                f"({row_text(row, rows_of_files)}); taken as text. Write decimals with a point, "
                "and thousands without a sign between them"
            )
            yield Finding("commas-in-numbers", name, text, scan.num_rows)
        elif 2 * scan.num_date_like >= scan.num_distinct:
            text = (
                f"most of it looks like dates, such as {shortened(value)!r} "
                f"({row_text(row, rows_of_files)}), but not all of one form that is read; taken as "
                "text. Write them all as 2024-01-31 or 2024-01-31 12:00:00"
            )
            yield Finding("dates-as-text", name, text, scan.num_rows)


def similar_classes(target: TargetPlan) -> Iterator[Finding]:
    """Yield the classes whose names differ in case, blanks or signs alone."""
    alike: dict[str, list[str]] = {}
    for label in target.counts:
        alike.setdefault(_bare(label), []).append(label)
    for labels in alike.values():
        if len(labels) > 1:
            names = ", ".join(map(repr, sorted(labels)))
            text = f"the classes {names} may be one; data.labels renames them"
            count = sum(target.counts[label] for label in labels)
            yield Finding("similar-classes", target.names[0], text, count)


def _bare(label: str) -> str:
    """Return a name without what tells two spellings of it apart; numbers keep their signs."""
    folded = label.casefold().strip()
    letters = "".join(sign for sign in folded if sign.isalnum())
    return letters if letters and not letters.isdigit() else folded


def unused_labels(labels: Mapping[str, str], name: str, values: Iterable[str]) -> Iterator[Finding]:
    """Yield the renamings of target values that no row has.

    Args:
        labels: from `data.labels`.
        name: the target column.
        values: all its values, as text.
    """
    there = set(values)
    for label in labels:
        if label not in there:
            near = nearest(label, there)
            guess = f"; did you mean {near!r}?" if near else ""
            text = f"data.labels renames {label!r}, which no row has{guess}"
            yield Finding("unused-label", name, text, 0)


def class_imbalance(target: TargetPlan) -> Iterator[Finding]:
    """Yield that a class is rare, if one is."""
    if target.task != "classification":
        return
    most = max(target.counts.values())
    label, least = min(target.counts.items(), key=lambda item: (item[1], item[0]))
    if most >= IMBALANCE * least:
        text = f"class {label!r} is {most / least:.0f} times rarer than the commonest"
        yield Finding("class-imbalance", target.names[0], text, least)


def capped_targets(target: TargetPlan, statistics: Sequence[NumberStatistics]) -> Iterator[Finding]:
    """Yield targets of which many rows have the greatest or least value, as if capped."""
    for name, numbers in zip(target.names, statistics, strict=False):
        for end, value, rows in (
            ("greatest", numbers.high, numbers.num_high),
            ("least", numbers.low, numbers.num_low),
        ):
            if rows >= max(_CAPPED_ROWS, _CAPPED_FRACTION * numbers.count):
                text = f"{rows / numbers.count:.1%} of the training rows have the {end} value "
                yield Finding("capped-target", name, f"{text}{value:g}, as if it were cut", rows)


def skewed(
    plans: Sequence[ColumnPlan], numbers: Mapping[str, NumberStatistics]
) -> Iterator[Finding]:
    """Yield the numbers with a long tail that a logarithm would shorten.

    Args:
        plans: what the columns become.
        numbers: their statistics over training rows.
    """
    for plan in plans:
        if plan.kind != "numeric" or plan.scale != "standard":
            continue
        found = numbers[plan.name].skewness()
        if abs(found) < _SKEWED:
            continue
        in_logs = numbers[plan.name].skewness(of_logs=True)
        if abs(in_logs) <= abs(found) / 2:
            end = "above" if found > 0 else "below"
            text = (
                f"a few values are far {end} all others (skewness {found:.1f}; {in_logs:.1f} of "
                f"its logarithm: data.features, scale: log)"
            )
            yield Finding("skewed-column", plan.name, text, numbers[plan.name].count)


def duplicates(keys: Sequence[Keys], *, one_in: int, dropped: bool) -> Iterator[Finding]:
    """Yield that rows repeat others, if some do.

    Args:
        keys: row keys of all runs.
        one_in: of how many rows one was looked at.
        dropped: whether training rows that repeat another were left out.
    """
    joined = np.sort(np.concatenate(keys)) if keys else np.empty(0, np.uint64)
    repeats = int((joined[1:] == joined[:-1]).sum()) * one_in
    if repeats:
        about = "about " if one_in > 1 else ""
        done = "training rows that repeat one were dropped" if dropped else "they are kept"
        text = f"{about}{repeats:,} rows repeat another row in every column; {done}"
        yield Finding("duplicate-rows", None, text, repeats)


def rows_across_splits(fits: Sequence[RunFit], one_in: int) -> Iterator[Finding]:
    """Yield that rows of the validation and test splits are in the training split, too.

    Args:
        fits: of all runs, with row keys.
        one_in: of how many rows one was looked at.
    """
    keys = np.concatenate([fit.keys for fit in fits])
    split = np.concatenate([fit.key_splits for fit in fits])
    training = keys[split == TRAIN]
    for number, name in ((VALIDATION, "validation"), (TEST, "test")):
        rows = int(np.isin(keys[split == number], training).sum()) * one_in
        if rows:
            about = "about " if one_in > 1 else ""
            text = (
                f"{about}{rows:,} rows of the {name} split repeat a training row in every column: "
                f"its metrics look better for it (leave repeats out of the source)"
            )
            yield Finding("rows-across-splits", None, text, rows)


def leaked_rows(training: Sequence[Keys], test: Sequence[Keys], one_in: int) -> Iterator[Finding]:
    """Yield that rows of the test source are also in the training split, if some are."""
    if not training or not test:
        return
    rows = int(np.isin(np.concatenate(test), np.concatenate(training)).sum()) * one_in
    if rows:
        text = f"{rows:,} rows of data.test_source are also in the training split"
        yield Finding("test-rows-in-training", None, text, rows)


def streamed(written: Iterable[RunWritten], num_files: int) -> Finding:
    """Return that the training rows are left where they are.

    Args:
        written: what each run of the source became.
        num_files: files of the source.
    """
    shards = [run.shards["train"] for run in written if "train" in run.shards]
    count = sum(shard.num_rows for shard in shards)
    files = "file" if num_files == 1 else f"{num_files:,} files"
    text = (
        f"the {count:,} training rows stay in the {files} of data.source and are read from there "
        "in every epoch; validation and test rows are written"
    )
    return Finding("streamed", None, text, count)


def outliers(written: Sequence[RunWritten], cleaning: str) -> Iterator[Finding]:
    """Yield the columns with numbers far from the training mean.

    Args:
        written: what was found in each run.
        cleaning: `keep`, `clip` or `drop`.
    """
    rows: dict[str, int] = {}
    for result in written:
        for name, count in result.outliers.items():
            rows[name] = rows.get(name, 0) + count
    done = {
        "keep": "kept",
        "clip": "clipped in training rows",
        "drop": "such training rows dropped",
    }
    for name, count in rows.items():
        if count:
            text = f"{count:,} numbers further than 10 standard deviations from the training mean; "
            yield Finding("outliers", name, text + done[cleaning], count)
