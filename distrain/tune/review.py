"""A search as two tables, for whoever reviews it: its trials, and all that was decided of them."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from distrain.tune.search import Search
from distrain.tune.trials import Trial

FOLDER: Final = "search"
_DECISION: Final = (
    "trial",
    "time",
    "rung",
    "action",
    "value",
    "cut",
    "rank",
    "num_rivals",
    "source",
    "text",
)


def write_results(run_dir: Path, search: Search) -> Path:
    """Write `trials.csv` and `decisions.csv` and return their folder.

    Args:
        run_dir: the sweep's.
        search: at its end.
    """
    folder = run_dir / FOLDER
    folder.mkdir(exist_ok=True)
    metric = search.plan.metric
    head = ("trial", "setting", "outcome", "epoch", "step", "train_s", metric, "config", "error")
    _write(
        folder / "trials.csv",
        head,
        (_trial(trial, metric, search.plan.num_seeds) for trial in search.trials),
    )
    verdicts = (
        [getattr(verdict, name) for name in _DECISION]
        for trial in search.trials
        for verdict in trial.verdicts
    )
    _write(folder / "decisions.csv", _DECISION, verdicts)
    return folder


def _trial(trial: Trial, metric: str, num_seeds: int) -> list[Any]:
    last = trial.reports[-1][1] if trial.reports else None
    return [
        trial.number,
        trial.number // num_seeds,
        trial.outcome,
        trial.epoch,
        trial.step,
        round(trial.train_s, 3),
        trial.metrics.get(metric, last),
        json.dumps(dict(trial.assignment)),
        trial.error.message if trial.error is not None else None,
    ]


def _write(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
