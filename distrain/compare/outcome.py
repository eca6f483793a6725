"""What came of runs: how they ended, their metrics, their time; of searches, their trials too.

Only what is not the same in all of them, and every metric that was measured on the test split.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, final

from distrain.compare.intervals import SPLIT, Interval, Measured
from distrain.compare.sides import Side, table_of
from distrain.compare.what_differs import Row
from distrain.config.names import metric_mode
from distrain.evaluate.comparison import Comparison
from distrain.past.clock import split_time

Kind = Literal["text", "number", "seconds", "metric", "digest"]
Value = str | float | None
Told = Callable[[Side], Any]


@final
@dataclass(frozen=True)
class Outcome:
    """One thing that came of runs.

    Attributes:
        group: what it is a part of: `data`, `end`, `metrics`, `time` or `best`.
        what: its name.
        kind: how its values read.
        values: of each run, in their order; None: it has none.
        intervals: of each run, where its value may lie; None: not known.
        gains: of each run, how much better it is than the first; None: not known.
        best: the place of the run that has the best value; None: several have it, or none.
    """

    group: str
    what: str
    kind: Kind
    values: tuple[Value, ...]
    intervals: tuple[Interval | None, ...] = ()
    gains: tuple[Comparison | None, ...] = ()
    best: int | None = field(default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "group": self.group,
            "what": self.what,
            "values": list(self.values),
            "intervals": [None if pair is None else list(pair) for pair in self.intervals],
            "gains": [None if gain is None else _gain_json(gain) for gain in self.gains],
            "best": self.best,
        }


def outcomes(
    sides: Sequence[Side], measured: Measured, follows: Sequence[Row]
) -> tuple[Outcome, ...]:
    """Return what came of runs, or searches.

    Args:
        sides: the runs.
        measured: what is known of their metrics beside the values.
        follows: what of the data follows from what differs.
    """
    is_search = sides[0].is_search
    told = [
        *(Outcome("data", row.what, "text", row.values) for row in follows),
        *_told(sides, "end", _OF_SEARCHES if is_search else _OF_RUNS),
        *(_metric(sides, name, measured) for name in _metric_names(sides)),
        *_told(sides, "time", _TIMES_OF_SEARCHES if is_search else _TIMES_OF_RUNS),
        *(_best_values(sides) if is_search else ()),
    ]
    return tuple(one for one in told if _is_told(one))


def _is_told(outcome: Outcome) -> bool:
    """Return whether it is not the same in all, or a metric of the test split."""
    is_tested = outcome.kind == "metric" and outcome.what.startswith(SPLIT)
    has_any = any(value is not None for value in outcome.values)
    return has_any and (is_tested or len({repr(value) for value in outcome.values}) > 1)


def _told(
    sides: Sequence[Side], group: str, known: Mapping[str, tuple[Kind, Told]]
) -> list[Outcome]:
    return [
        Outcome(group, what, kind, tuple(told(side) for side in sides))
        for what, (kind, told) in known.items()
    ]


def _metric_names(sides: Sequence[Side]) -> list[str]:
    """Return the metrics of any run: those of the test split first, then as they were recorded."""
    names = [*dict.fromkeys(name for side in sides for name in side.metrics)]
    order = (SPLIT, "validation/", "train/")
    ranks = {
        name: next((i for i, s in enumerate(order) if name.startswith(s)), 3) for name in names
    }
    return sorted((name for name in names if name not in _NO_METRICS), key=lambda name: ranks[name])


def _metric(sides: Sequence[Side], name: str, measured: Measured) -> Outcome:
    values = tuple(side.metrics.get(name) for side in sides)
    return Outcome(
        "metrics",
        name,
        "metric",
        values,
        tuple(known.get(name) for known in measured.intervals),
        tuple(known.get(name) for known in measured.gains),
        _best(values, name),
    )


def _best(values: Sequence[float | None], name: str) -> int | None:
    mode = metric_mode(name)
    known = [value for value in values if value is not None and math.isfinite(value)]
    if mode is None or len(known) < len(values) or len(set(known)) < 2:
        return None
    best = min(known) if mode == "min" else max(known)
    return known.index(best) if known.count(best) == 1 else None


def _best_values(sides: Sequence[Side]) -> list[Outcome]:
    """Return the values of searches' best trials, by dotted path."""
    configs = [table_of(side.best.get("config")) for side in sides]
    names = [*dict.fromkeys(name for config in configs for name in config)]
    return [
        Outcome("best", name, "number", tuple(_plain(config.get(name)) for config in configs))
        for name in names
    ]


def _plain(value: Any) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        return str(value)
    return value


def _result(*keys: str) -> Told:
    """Return what gives a field of a run's result; None where there is none."""

    def told(side: Side) -> Any:
        value: Any = side.result
        for key in keys:
            value = table_of(value).get(key)
        return value if isinstance(value, str | int | float) else None

    return told


def _model(side: Side) -> str | None:
    model = table_of(side.result.get("model"))
    return f"{model.get('name')} version {model.get('version')}" if model else None


def _error(side: Side) -> str | None:
    error = table_of(side.result.get("error"))
    return str(error.get("message")) if error else None


def _goals(side: Side) -> str | None:
    goals = table_of(side.result.get("goals"))
    num_met = sum(table_of(goal).get("met") is True for goal in goals.values())
    return f"{num_met} of {len(goals)} met" if goals else None


def _num_commands(side: Side) -> int | None:
    return len(side.told.sessions) or None


def _num_attempts(side: Side) -> int | None:
    return len(side.told.attempts) or None


def _took_s(side: Side) -> float | None:
    return split_time(side.told).wall_s if side.told.has_end else None


_NO_METRICS: Final = ("samples_per_second",)
_ENDS: Final[Mapping[str, tuple[Kind, Told]]] = {
    "status": ("text", lambda side: side.status),
    "error": ("text", _error),
    "goals": ("text", _goals),
    "commands": ("number", _num_commands),
}
_MADE: Final[Mapping[str, tuple[Kind, Told]]] = {
    "weights": ("digest", _result("weights_sha256")),
    "model": ("text", _model),
}
_OF_RUNS: Final[Mapping[str, tuple[Kind, Told]]] = {
    **_ENDS,
    "attempts": ("number", _num_attempts),
    "epochs": ("number", _result("epoch")),
    "steps": ("number", _result("step")),
    **_MADE,
}
_OF_SEARCHES: Final[Mapping[str, tuple[Kind, Told]]] = {
    **_ENDS,
    "trials": ("number", _result("num_trials")),
    "stopped early": ("number", _result("num_stopped_early")),
    "failed": ("number", _result("num_failed")),
    "epochs": ("number", _result("epochs_spent")),
    "best trial": ("number", _result("best", "trial")),
    "mean over its seeds": ("number", _result("best", "mean")),
    "mean of other seeds": ("number", _result("confirm", "mean")),
    "deviation of other seeds": ("number", _result("confirm", "std")),
    "stops that were wrong": ("number", _result("audit", "num_wrong")),
    **_MADE,
}
_TIMES_OF_RUNS: Final[Mapping[str, tuple[Kind, Told]]] = {
    "took": ("seconds", _took_s),
    "rows per second": ("number", _result("samples_per_second")),
    "workers": ("number", _result("num_workers")),
}
_TIMES_OF_SEARCHES: Final[Mapping[str, tuple[Kind, Told]]] = {
    "took": ("seconds", _took_s),
    "searched": ("seconds", _result("wall_s")),
}


def _gain_json(gain: Comparison) -> dict[str, Any]:
    return {
        "gain": gain.gain,
        "low": gain.low,
        "high": gain.high,
        "p": gain.p,
        "is_better": gain.is_better,
        "num_rows": gain.num_rows,
    }
