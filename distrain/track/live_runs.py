"""Runs that go on while they are listed: who is driven, and how far it is, from its own folder.

Only runs without a result are looked at: their lease, the end of their journal, and of a search its
events, of which a second look reads what is new alone.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, final

from distrain import lease
from distrain.config.source_lines import read_tree
from distrain.run_folder import CONFIG, JOURNAL
from distrain.track.journal_reading import DRIVER, last_written, metric_values, read_journal
from distrain.track.runs import UNFINISHED, RunSummary
from distrain.track.trials import AUDITS_FROM, SEARCH

RUNNING: Final = "running"
_LOOP: Final = "rank0"
_BEST: Final = "search/best"


@final
@dataclass
class _Events:
    """What is known of a running search's events, as far as they were read.

    Attributes:
        num_trials: how many there are to be; None: it does not say.
        metric: what decides.
        positions: segment file name to the byte behind what was read.
        running: trials that were given away and have not ended or paused.
        ended: outcome to how many ended so.
        began_ms: when its last driver began.
        ended_before: trials that had ended by then.
    """

    num_trials: int | None
    metric: str
    positions: dict[str, int] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)
    began_ms: int = 0
    ended_before: int = 0

    def take(self, event: Mapping[str, Any], time_ms: int) -> None:
        """Take in the next event."""
        kind, trial = event["event"], event.get("trial", -1)
        if kind == "began":
            self.began_ms, self.ended_before = time_ms, self.ended.total()
            self.running.clear()
        elif kind == "started":
            self.running.add(trial)
        elif kind in ("paused", "lost", "ended"):
            self.running.discard(trial)
        if kind == "ended" and 0 <= trial < AUDITS_FROM:
            self.ended[event["outcome"]] += 1


@final
class LiveRuns:
    """Looks at runs that go on, again and again."""

    def __init__(self) -> None:
        self._events: dict[str, _Events] = {}

    def look(self, runs: Sequence[RunSummary]) -> list[RunSummary]:
        """Return runs with what is known of those that go on.

        What cannot be read now, or was written by somebody else, stays as it is.

        Args:
            runs: as `list_runs` gives them; those at a store are left as they are.
        """
        return [self._look(run) if run.status == UNFINISHED else run for run in runs]

    def _look(self, run: RunSummary) -> RunSummary:
        run_dir = Path(run.run_dir)
        try:
            if not _is_driven(run_dir):
                return run
            is_search = run.kind == "search"
            live = self._of_search(run_dir) if is_search else _of_run(run_dir / JOURNAL)
        except (OSError, KeyError, TypeError, ValueError):  # the next look follows
            return run
        return replace(run, outcome=RUNNING, step=live.get("step", run.step), live=live)

    def _of_search(self, run_dir: Path) -> dict[str, Any]:
        if str(run_dir) not in self._events:
            self._events[str(run_dir)] = _events_of(run_dir)
        known = self._events[str(run_dir)]
        records, known.positions = read_journal(run_dir / JOURNAL, known.positions)
        for record in records:
            if record.kind == SEARCH:
                known.take(record.payload, record.time_ms)
        num_ended = known.ended.total()
        best = last_written(DRIVER, run_dir / JOURNAL, "metrics")
        return {
            "num_trials": known.num_trials,
            "num_ended": num_ended,
            "num_running": len(known.running),
            "num_stopped": known.ended["stopped"],
            "num_failed": known.ended["failed"],
            "metric": known.metric,
            "best": None if best is None else metric_values(best).get(_BEST),
            "left_s": _left_s(known, num_ended),
        }


def _is_driven(run_dir: Path) -> bool:
    """Return whether somebody drives a run; who only ships what it recorded does not."""
    holder = lease.read_holder(run_dir) if run_dir.is_dir() else None
    return holder is not None and not holder.is_shipping and not lease.is_free(run_dir)


def _events_of(run_dir: Path) -> _Events:
    config = read_tree(run_dir / CONFIG, CONFIG, 0)[0].values
    tune = config.get("tune")
    asked = tune if isinstance(tune, Mapping) else {}
    num_trials = asked.get("num_trials")
    return _Events(num_trials if isinstance(num_trials, int) else None, str(asked.get("metric")))


def _left_s(known: _Events, num_ended: int) -> float | None:
    """Return the seconds that are left at the pace of the last driver; None: nobody can tell."""
    num_done = num_ended - known.ended_before
    if known.num_trials is None or num_done <= 0:
        return None
    return (time.time() - known.began_ms / 1000) / num_done * max(0, known.num_trials - num_ended)


def _of_run(journal: Path) -> dict[str, Any]:
    """Return the last progress that a training loop has told, and how long ago; none: nothing."""
    last = last_written(_LOOP, journal, "progress")
    if last is None:
        return {}
    age_s = max(0.0, time.time() - last.time_ms / 1000)
    left_s = last.payload.get("left_s")
    left = {} if left_s is None else {"left_s": max(0.0, left_s - age_s)}
    return {**last.payload, **left, "age_s": round(age_s, 1)}
