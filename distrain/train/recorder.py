"""What is told of a run while it trains: to the journal, to the display, and of its speed."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar, final

from distrain.track.journal_reading import JournalRecord

WARM_UP_STEPS: Final = 20
LEAST_STEPS_FOR_SPEED: Final = 40
PROGRESS_INTERVAL_S: Final = 0.25

T = TypeVar("T")


class Journal(Protocol):
    """Where rank zero records; `distrain.track.journal.JournalWriter` is one."""

    def earlier(self, step: int, /) -> Iterable[JournalRecord]:
        """Give what earlier attempts have recorded of steps from this one on, the oldest first."""

    def start(self, step: int, *, is_exact: bool, every_steps: int) -> None:
        """Record that training goes on from a step; what came after it is void."""

    def checkpoint(self, step: int) -> None:
        """Record that a checkpoint was committed."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record metrics at a step."""

    def progress(self, values: Mapping[str, Any]) -> None:
        """Record something for a display to show."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Record tags of the run; the last value of a tag stands."""

    def note(self, text: str) -> None:
        """Record something that the user should know."""

    def trouble(self, values: Mapping[str, Any]) -> None:
        """Record a step whose loss was out of the ordinary."""

    def assessment(self, split: str, counts: Mapping[str, Any]) -> None:
        """Record where the final model is wrong on a split; see `mistakes.py`."""

    def sync(self) -> None:
        """Make durable what was recorded."""


@final
class NoJournal:
    """The journal of workers that record nothing."""

    def earlier(self, _step: int) -> Iterable[JournalRecord]:
        """Give nothing."""
        return ()

    def start(self, step: int, *, is_exact: bool, every_steps: int) -> None:
        """Do nothing."""

    def checkpoint(self, step: int) -> None:
        """Do nothing."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Do nothing."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def progress(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def trouble(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def assessment(self, split: str, counts: Mapping[str, Any]) -> None:
        """Do nothing."""

    def sync(self) -> None:
        """Do nothing."""


@final
@dataclass
class WeightedMean:
    """The mean of losses since it was last emptied.

    Args:
        loss_sum: sum of the rows' losses.
        weight: what to divide it by.
    """

    loss_sum: float = 0.0
    weight: float = 0.0

    def add(self, loss_sum: float, weight: float) -> None:
        """Take in a step's sums."""
        self.loss_sum += loss_sum
        self.weight += weight

    def take(self) -> float | None:
        """Return the mean and start anew; None where there is no weight."""
        mean = self.loss_sum / self.weight if self.weight > 0 else None
        self.loss_sum = self.weight = 0.0
        return mean


@final
@dataclass
class Stopwatch:
    """Where this worker's time goes, and how fast rows are trained on.

    A step's time runs from the end of the step before it, so waiting for data counts; what is
    `apart` does not count, nor do the first steps after a start.

    Args:
        timed_rows: rows of the steps that were timed.
        timed_s: seconds they took.
        before_s: seconds that earlier attempts have trained.
    """

    timed_rows: int = 0
    timed_s: float = 0.0
    before_s: float = 0.0
    waits: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(
            ("data", "compute", "reduce", "record", "evaluate", "checkpoint"), 0.0
        )
    )
    _num_steps: int = 0
    _last_end: float = field(default_factory=time.perf_counter)
    _started: float = field(default_factory=time.perf_counter)

    @property
    def used_s(self) -> float:
        """Return the seconds of training so far, over all attempts."""
        return self.before_s + time.perf_counter() - self._started

    def waiting_for(self, items: Iterable[T]) -> Iterator[T]:
        """Give the items; the time it takes to get them is time spent waiting for data."""
        iterator = iter(items)
        while True:
            started = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.waits["data"] += time.perf_counter() - started
            yield item

    def end_step(self, num_rows: int, reduce_s: float, step_s: float) -> None:
        """Take in a step.

        Args:
            num_rows: rows of the step over all workers.
            reduce_s: seconds in the exchange between workers.
            step_s: seconds of the whole step, the exchange included.
        """
        self.waits["compute"] += step_s - reduce_s
        self.waits["reduce"] += reduce_s
        now = time.perf_counter()
        self._num_steps += 1
        if self._num_steps > WARM_UP_STEPS:
            self.timed_rows += num_rows
            self.timed_s += now - self._last_end
        self._last_end = now

    def end_record(self, started: float) -> None:
        """Take in what was recorded of a step, which began at `started`; it counts as training."""
        self.waits["record"] += time.perf_counter() - started

    def end_apart(self, name: str, started: float) -> None:
        """Take in something done between steps that began at `started` (`time.perf_counter`)."""
        self._last_end = time.perf_counter()
        self.waits[name] += self._last_end - started

    def samples_per_second(self, num_steps: int) -> float | None:
        """Return rows per second; None where a run of `num_steps` steps is too short to tell."""
        if num_steps < LEAST_STEPS_FOR_SPEED or self.timed_s == 0:
            return None
        return self.timed_rows / self.timed_s

    def to_json(self) -> dict[str, Any]:
        """Return what outlives a restart."""
        return {
            "timed_rows": self.timed_rows,
            "timed_s": self.timed_s,
            "before_s": self.used_s,
        }


@final
class ProgressLine:
    """Tells a display how far the run is, a few times a second at most.

    Args:
        journal: where to.
        first_step: committed steps at the start.
        total_steps: steps of the run.
        steps_per_epoch: steps of an epoch.
        waits: this worker's seconds so far, as `Stopwatch` has them.
    """

    def __init__(
        self,
        journal: Journal,
        first_step: int,
        total_steps: int,
        steps_per_epoch: int,
        waits: Mapping[str, float],
    ) -> None:
        self._journal = journal
        self._waits = waits
        self._waited = (waits["data"], waits["reduce"])
        self._first_step = first_step
        self._total_steps = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._started = self._rows_since = time.perf_counter()
        self._last_time = float("-inf")
        self._rows = 0

    def tell(
        self, step: int, num_rows: int, loss: float | None, validation: tuple[str, float] | None
    ) -> None:
        """Record progress if the last time is long enough ago, or the end is reached.

        Args:
            step: committed steps.
            num_rows: rows of the step just taken.
            loss: its loss.
            validation: name and last value of the metric that matters; one that is not finite is
                left out, since JSON has no word for it.
        """
        now = time.perf_counter()
        self._rows += num_rows
        if now - self._last_time < PROGRESS_INTERVAL_S and step < self._total_steps:
            return
        took_s = now - self._started
        pace_s = took_s / max(1, step - self._first_step)
        window_s = max(now - self._rows_since, 1e-9)
        waited = (self._waits["data"], self._waits["reduce"])
        data_s, reduce_s = (end - start for end, start in zip(waited, self._waited, strict=True))
        self._journal.progress(
            {
                "epoch": -(-step // self._steps_per_epoch),
                "total_epochs": -(-self._total_steps // self._steps_per_epoch),
                "step": step,
                "total_steps": self._total_steps,
                "rows_per_s": self._rows / window_s,
                "window_s": round(window_s, 6),
                "data_s": round(data_s, 6),
                "reduce_s": round(reduce_s, 6),
                "loss": loss,
                "validation": list(validation)
                if validation and math.isfinite(validation[1])
                else None,
                # The first steps say nothing: evaluation and saving have not had their turn.
                "left_s": pace_s * (self._total_steps - step)
                if took_s >= PROGRESS_INTERVAL_S or step == self._total_steps
                else None,
            }
        )
        self._last_time = self._rows_since = now
        self._waited = waited
        self._rows = 0
