"""What the manifest says about shards and columns."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from distrain.data.column_scan import ColumnScan
from distrain.data.fit import RunFit
from distrain.data.kinds import Columns
from distrain.data.shards import FORMAT_VERSION, SPLITS
from distrain.data.statistics import most_frequent
from distrain.data.write import RunWritten

_SHOWN_VALUES = 20


def describe_shards(written: Sequence[RunWritten]) -> dict[str, Any]:
    """Return the manifest's entries for format, splits and columns.

    Args:
        written: what each run became, in the order of the source, those of the test source last.
    """
    splits = {}
    for name in SPLITS:
        shards = [run.shards[name] for run in written if name in run.shards]
        splits[name] = {
            "num_rows": sum(shard.num_rows for shard in shards),
            "shards": [asdict(shard) for shard in shards],
        }
    columns = {name: column for run in written for name, column in run.columns.items()}
    return {
        "format": FORMAT_VERSION,
        "splits": splits,
        "columns": {name: column.to_json() for name, column in columns.items()},
    }


def describe_columns(
    columns: Columns, scans: Mapping[str, ColumnScan], fit: RunFit
) -> dict[str, dict[str, Any]]:
    """Return what each column holds: over all rows, and for features over training rows."""
    kinds = {
        **{plan.name: plan.kind for plan in columns.features},
        **dict.fromkeys(columns.ids, "id"),
    }
    profile = {}
    for name, scan in scans.items():
        entry: dict[str, Any] = {
            "kind": kinds.get(name, "none"),
            "type": scan.type,
            "num_rows": scan.num_rows,
            "num_missing": scan.num_missing,
        }
        if scan.low <= scan.high:
            entry |= {"low": scan.low, "high": scan.high}
        if name in fit.numbers and fit.numbers[name].count:
            numbers = fit.numbers[name]
            measures = {
                "mean": numbers.mean,
                "deviation": numbers.deviation,
                "median": numbers.median,
            }
            entry["training"] = {k: v for k, v in measures.items() if math.isfinite(v)}
        if name in fit.categories:
            counts = fit.categories[name].counts
            entry["num_values"] = len(counts)
            entry["training"] = {"values": dict(most_frequent(counts, _SHOWN_VALUES))}
        if name in fit.words:
            counts = fit.words[name].counts
            entry["num_words"] = len(counts)
            entry["training"] = {"words": dict(most_frequent(counts, _SHOWN_VALUES))}
        profile[name] = entry
    return profile
