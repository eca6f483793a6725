"""What stands written of a search after all that was done to it, from three sides.

Its event log, which all of its drivers wrote; what each trial's network wrote down of the passes
that it was trained with, which knows nothing of the log; and MLflow's database.
"""

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from distrain.track.origin import KIND_TAG, TRIAL_TAG

MARK_KEY = "model.args.mark"
# Machines' use and seconds differ from run to run, whatever is done to it.
_UNLIKE = ("time/", "system/", "samples_per_second")

Event = Mapping[str, Any]


@final
@dataclass(frozen=True)
class Pass:
    """One forward pass in training, as `MarkedNet` wrote it down."""

    mark: int
    process: int
    time_ms: int


def read_passes(path: Path) -> list[Pass]:
    """Return the passes that a search's networks wrote down."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Pass(*map(int, line.split())) for line in lines]


def repeated_after_end(events: Sequence[Event]) -> list[int]:
    """Return the trials of which anything is logged behind their end, a second end included."""
    ended: set[int] = set()
    found: list[int] = []
    for event in events:
        if event["event"] not in ("suggested", "started", "reported", "paused", "lost", "ended"):
            continue
        if event["trial"] in ended:
            found.append(event["trial"])
        if event["event"] == "ended":
            ended.add(event["trial"])
    return found


def trained_after_end(
    events: Sequence[Event], passes: Sequence[Pass], drivers: Collection[int]
) -> list[int]:
    """Return the trials that were trained after their end was logged.

    Args:
        events: the search's.
        passes: what was written down.
        drivers: processes that try one batch before a run begins, which is no trial's.
    """
    marks = {e["assignment"][MARK_KEY]: e["trial"] for e in events if e["event"] == "suggested"}
    ends = {event["trial"]: event["time_ms"] for event in events if event["event"] == "ended"}
    late = {
        marks[one.mark]
        for one in passes
        if one.process not in drivers and one.time_ms > ends.get(marks[one.mark], one.time_ms)
    }
    return sorted(late)


def decisions(events: Sequence[Event]) -> list[str]:
    """Return the decision log: every field of each verdict, its sentence too, but its time."""
    return sorted(
        json.dumps({k: v for k, v in event.items() if k != "time_ms"}, sort_keys=True)
        for event in events
        if event["event"] == "decided"
    )


@final
@dataclass(frozen=True)
class Recorded:
    """What MLflow's database holds.

    Attributes:
        num_searches: runs of searches.
        trials: number of a trial to the number of its runs.
        num_versions: versions of registered models.
        num_deleted: runs that were deleted again, of any kind.
        num_open: runs that nothing has ended.
        points: trial, metric, step and value of what trials measured, sorted; doubled ones twice.
    """

    num_searches: int
    trials: Counter[int]
    num_versions: int
    num_deleted: int
    num_open: int
    points: list[tuple[int, str, int, float]]

    @property
    def num_doubled(self) -> int:
        """Return how many runs there are beyond one for the search and one for each trial."""
        return max(0, self.num_searches - 1) + sum(count - 1 for count in self.trials.values())


def recorded(database: Path) -> Recorded:
    """Return what a database of MLflow's holds."""
    with contextlib.closing(sqlite3.connect(database)) as connection:

        def ask(text: str, *values: str) -> list[tuple[Any, ...]]:
            return connection.execute(text, values).fetchall()

        active = "FROM runs JOIN tags USING (run_uuid) WHERE lifecycle_stage = 'active' "
        searches = ask(f"SELECT 1 {active} AND key = ? AND value = 'sweep'", KIND_TAG)
        trials = ask(f"SELECT value {active} AND key = ?", TRIAL_TAG)
        points = ask(
            "SELECT tags.value, metrics.key, step, metrics.value FROM runs "
            "JOIN tags USING (run_uuid) JOIN metrics USING (run_uuid) "
            "WHERE lifecycle_stage = 'active' AND tags.key = ?",
            TRIAL_TAG,
        )
        return Recorded(
            num_searches=len(searches),
            trials=Counter(int(value) for (value,) in trials),
            num_versions=len(ask("SELECT 1 FROM model_versions")),
            num_deleted=len(ask("SELECT 1 FROM runs WHERE lifecycle_stage != 'active'")),
            num_open=len(
                ask("SELECT 1 FROM runs WHERE lifecycle_stage = 'active' AND status = 'RUNNING'")
            ),
            points=sorted(
                (int(trial), key, step, value)
                for trial, key, step, value in points
                if not key.startswith(_UNLIKE)
            ),
        )
