"""One trial of a search, as its events tell of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, final

from distrain.errors import DistrainError
from distrain.track.trials import kind_of
from distrain.tune.explain import State
from distrain.tune.trials import WHOLE, Outcome

Kind = Literal["finished", "stopped", "failed", "going"]
_KINDS: Final[Mapping[str | None, Kind]] = {
    "finished": "finished",
    "stopped_early": "finished",
    "stopped": "stopped",
    "failed": "failed",
}


@final
@dataclass(frozen=True)
class TrialView:
    """One trial of a search, or a run that came after it.

    Attributes:
        number: in the events; that of an audit or of another seed is beyond all trials'.
        values: dotted key to value; of one that took over from another, those at its end.
        first_values: those that its model began with, its own or of the one that it goes back to.
        changes: `step` and `values` that changed there, of one that took over from another.
        state: what it is now, in the words of `distrain why`.
        outcome: how it ended; None: it has not.
        curve: (time, value of the metric), in order, from 1.
        score: what it came to: of a whole one the final model's value, else the last one that it
            reported; None: it has none. May be nan.
        epochs: its whole epochs.
        train_s: seconds inside it, over all attempts.
        spans: (from, to) in seconds since the search began, for each time that it ran.
        ended_s: when it ended, likewise; None: it has not.
        verdicts: fields of what was decided about it, in order.
        error: why it failed; None: it did not.
        num_lost: how often it lost its process.
    """

    number: int
    values: Mapping[str, Any]
    first_values: Mapping[str, Any]
    changes: Sequence[Mapping[str, Any]]
    state: State
    outcome: Outcome | None
    curve: tuple[tuple[int, float], ...]
    score: float | None
    epochs: int
    train_s: float
    spans: tuple[tuple[float, float], ...]
    ended_s: float | None
    verdicts: tuple[Mapping[str, Any], ...]
    error: DistrainError | None
    num_lost: int

    @property
    def kind(self) -> Kind:
        """Return what it is drawn as; one that was whole early has finished."""
        return _KINDS.get(self.outcome, "going")

    @property
    def is_whole(self) -> bool:
        """Return whether it came to a model of its own, which can win."""
        return self.outcome in WHOLE

    @property
    def origin(self) -> tuple[str, int]:
        """Return `trial`, `audit` or `confirm`, and the trial that it is, or goes on from."""
        return kind_of(self.number)[:2]

    @property
    def label(self) -> str:
        """Return what it is called."""
        kind, number, place = kind_of(self.number)
        behind = {"trial": "", "audit": ", audited", "confirm": f", other seed {place + 1}"}
        return f"trial {number}{behind[kind]}"

    @property
    def folder_name(self) -> str:
        """Return what its folder is called; an audit goes on in the stopped trial's."""
        kind, number = self.origin
        return f"{number if kind == 'audit' else self.number:04d}"

    @property
    def reason(self) -> str:
        """Return why it ended before its time, in a sentence; empty: it did not."""
        if self.error is not None:
            return self.error.message
        last = self.verdicts[-1] if self.verdicts else None
        if last is not None and last["action"] in ("stop", "finish"):
            return str(last["text"])
        if self.kind == "stopped":
            return "It was stopped with the search, not by the scheduler."
        if self.outcome == "stopped_early":
            return "It ended early by itself, and is whole."
        return ""

    @property
    def was_ended_by_scheduler(self) -> bool:
        """Return whether the scheduler ended it: it stopped it, or let it end early as whole."""
        last = self.verdicts[-1] if self.verdicts else None
        return last is not None and last["action"] in ("stop", "finish") and self.kind != "failed"
