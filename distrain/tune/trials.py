"""A search's trials as values: what is known of one, what it measured, what it is given to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, final

from distrain.errors import DistrainError, TrainError, error_from_json
from distrain.tune.told import Told, ToldState
from distrain.tune.verdicts import Verdict

Reply = Literal["go_on", "pause", "stop", "end"]
Outcome = Literal["finished", "stopped_early", "stopped", "failed"]

WHOLE: Final = ("finished", "stopped_early")
"""Outcomes of trials that came to a model of their own, which can win."""
_TOLD_STATES: Final[Mapping[Outcome | None, ToldState]] = {
    None: "running",
    "finished": "finished",
    "stopped_early": "finished",
    "stopped": "stopped",
    "failed": "failed",
}


@final
@dataclass
class Trial:
    """One trial, as far as it is known.

    Attributes:
        number: from 0.
        assignment: its values, by dotted path; of one that took over from another, that one's with
            what was changed (`train.changes`).
        state: `waiting` to be given away, `running`, `paused` until it is decided on, or `ended`.
        outcome: how it ended: `finished`; `stopped_early` by its own early stopping, a plateau or
            the budget, but whole; `stopped` by the scheduler; `failed`.
        reports: (time, value of the metric), in order.
        epoch: its whole epochs; of one that has ended by itself, the one it ended in among them.
        step: committed steps, as last told.
        metrics: final values of one that is whole.
        weights_sha256: of its final model; empty: it has none.
        train_s: seconds inside it, over all attempts.
        before_s: those of earlier attempts.
        attempt: how often it was given away, over all drivers of the search.
        until: the time at which it pauses; None: it does not.
        is_kept: whether it was decided that it goes on after the pause that it is at, or nears.
        losses: steps at which it lost its process.
        error: why it failed.
        verdicts: what was decided about it.
        taken: the trial whose state it goes on from, its committed steps, and how often it had
            taken over another's itself by then; None: its own, or it has gone on from that.
    """

    number: int
    assignment: Mapping[str, Any]
    state: Literal["waiting", "running", "paused", "ended"] = "waiting"
    outcome: Outcome | None = None
    reports: list[tuple[int, float]] = field(default_factory=list)
    epoch: int = 0
    step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    weights_sha256: str = ""
    train_s: float = 0.0
    before_s: float = 0.0
    attempt: int = 0
    until: int | None = None
    is_kept: bool = False
    losses: list[int] = field(default_factory=list)
    error: DistrainError | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    taken: tuple[int, int, int] | None = None

    @property
    def time(self) -> int:
        """Return the time that it has reported last, 0 before the first."""
        return self.reports[-1][0] if self.reports else 0

    @property
    def num_taken(self) -> int:
        """Return how often it has taken over the state of another."""
        return sum(verdict.source is not None for verdict in self.verdicts)

    @property
    def has_ended(self) -> bool:
        """Return whether nothing can become of it any more."""
        return self.state == "ended"

    @property
    def is_whole(self) -> bool:
        """Return whether it came to a model of its own, which can win."""
        return self.outcome in WHOLE


@final
@dataclass(frozen=True)
class Report:
    """What a trial measured.

    Attributes:
        time: when, from 1.
        epoch: its whole epochs.
        step: committed steps.
        values: metric to value; not finite ones too.
        train_s: seconds inside it in this attempt.
        is_end: whether the trial ends by itself there: it is decided on no more. Logs of earlier
            versions do not say so.
    """

    time: int
    epoch: int
    step: int
    values: Mapping[str, float]
    train_s: float = 0.0
    is_end: bool = False

    @classmethod
    def of_event(cls, event: Mapping[str, Any]) -> "Report":
        """Return the report that an event tells of."""
        values = {name: float(value) for name, value in event["values"].items()}
        return cls(
            time=event["time"],
            epoch=event["epoch"],
            step=event["step"],
            values=values,
            train_s=event["train_s"],
            is_end=event.get("is_end", False),
        )


@final
@dataclass(frozen=True)
class Work:
    """A trial to run, or to go on with.

    Attributes:
        trial: its number.
        attempt: which time it is given away, from 1 on, over all drivers of the search.
        until: the time at which it pauses; None: it runs to its end.
        saved_step: where a checkpoint of this step is there, it is at that pause already.
    """

    trial: int
    attempt: int
    until: int | None
    saved_step: int | None = None


def told_of(trial: Trial, metric: str) -> Told:
    """Return what a sampler is told of a trial; its reports are told as they come."""
    state = _TOLD_STATES[trial.outcome]
    final_value = trial.metrics.get(metric)
    return Told(trial.number, trial.assignment, trial.reports, final_value, state)


def fields_of(error: DistrainError | None) -> dict[str, str] | None:
    """Return an error as the event log holds it, with whose fault it is where that is known."""
    if error is None:
        return None
    return {
        **error.to_json(),
        "class": getattr(error, "error_class", "") or type(error).__name__,
        "cause": getattr(error, "cause", ""),
    }


def error_of(fields: Mapping[str, str] | None) -> DistrainError | None:
    """Return the error that `fields_of` gave."""
    if fields is None:
        return None
    told = error_from_json(fields)
    if not isinstance(told, TrainError):
        return told
    return TrainError(
        told.message,
        where=told.where,
        expected=told.expected,
        mend=told.mend,
        cause=fields["cause"],
        error_class=fields["class"],
    )
