"""What a search cost, and what early termination saved of it. Pure.

Saved is what a stopped trial would have gone on for: the epochs to its full length, at the seconds
that an epoch of its own took. Its own early stopping might have ended it before, so that is at
most.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.cost import cost_of, gpu_hours
from distrain.report.search.trial import Kind, TrialView
from distrain.report.search.view import SearchView

KINDS: Final[tuple[Kind, ...]] = ("finished", "stopped", "failed", "going")


@final
@dataclass(frozen=True)
class Effort:
    """Epochs and seconds of some trials.

    Attributes:
        num_trials: how many there are.
        epochs: theirs.
        train_s: seconds inside them.
    """

    num_trials: int
    epochs: int
    train_s: float


@final
@dataclass(frozen=True)
class Savings:
    """What was spent and saved.

    Attributes:
        spent: by the search's own trials.
        by_kind: the same by how trials ended.
        afterwards: epochs and seconds of other seeds and audits, which are beyond the budget.
        num_stopped: trials that the scheduler ended before their time.
        saved_epochs: of those trials, at most; None: not known.
        saved_s: seconds of training that they would have taken; None: not known.
        gpus: of each trial; None: not known.
        price: of a GPU for an hour; None: none is given.
        busy: share of the time that places for trials were in use, 0 to 1; None: nothing ran.
        num_places: most trials that ran at a time.
    """

    spent: Effort
    by_kind: Mapping[Kind, Effort]
    afterwards: Effort
    num_stopped: int
    saved_epochs: int | None
    saved_s: float | None
    gpus: float | None
    price: float | None
    busy: float | None
    num_places: int

    @property
    def saved_fraction(self) -> float | None:
        """Return the share of all epochs, without early termination, that was saved."""
        if self.saved_epochs is None:
            return None
        whole = self.spent.epochs + self.saved_epochs
        return self.saved_epochs / whole if whole else None

    def gpu_hours(self, train_s: float) -> float | None:
        """Return the GPU-hours of seconds inside trials; None: they have none, or it is unknown."""
        return gpu_hours(train_s * self.gpus) if self.gpus else None

    def money(self, train_s: float) -> float | None:
        """Return what seconds inside trials cost; None: there is no price, or no GPU."""
        return cost_of(self.gpu_hours(train_s) or 0.0, self.price)


def savings(search: SearchView) -> Savings:
    """Return what a search has cost and saved so far."""
    ended = [trial for trial in search.trials if trial.was_ended_by_scheduler]
    lengths = [(trial, _full_epochs(trial, search)) for trial in ended]
    left = [(t, max(0, full - t.epochs)) for t, full in lengths if full is not None]
    is_known = len(left) == len(lengths)
    rows = places(search.trials)
    return Savings(
        spent=effort_of(search.trials),
        by_kind={kind: effort_of(search.of_kind(kind)) for kind in KINDS},
        afterwards=_afterwards(search),
        num_stopped=len(ended),
        saved_epochs=sum(epochs for _, epochs in left) if is_known else None,
        saved_s=_saved_s(left) if is_known else None,
        gpus=search.gpus_per_trial,
        price=search.settings.cluster.price_per_gpu_hour,
        busy=_busy(search, len(rows)),
        num_places=len(rows),
    )


def effort_of(trials: Sequence[TrialView]) -> Effort:
    """Return what trials cost together."""
    return Effort(
        len(trials),
        sum(trial.epochs for trial in trials),
        math.fsum(trial.train_s for trial in trials),
    )


def places(trials: Sequence[TrialView]) -> list[list[tuple[float, float, TrialView]]]:
    """Return the spans of trials in as few rows as they need, so that none overlap in a row.

    The log does not name the place that a trial ran at; whatever ran at one time has a row each.
    """
    spans = sorted(
        ((begin, end, trial) for trial in trials for begin, end in trial.spans),
        key=lambda span: (span[0], span[1], span[2].number),
    )
    rows: list[list[tuple[float, float, TrialView]]] = []
    for span in spans:
        free = next((row for row in rows if row[-1][1] <= span[0]), None)
        if free is None:
            rows.append([span])
        else:
            free.append(span)
    return rows


def _written_epochs(search: SearchView) -> int | None:
    """Return the epochs of a whole trial; where steps are asked for, those of the longest one."""
    if search.settings.train.steps is None:
        return search.settings.train.epochs
    return max((trial.epochs for trial in search.of_kind("finished")), default=None)


def _full_epochs(trial: TrialView, search: SearchView) -> int | None:
    own = trial.values.get("train.epochs")
    return own if isinstance(own, int) else _written_epochs(search)


def _saved_s(left: Sequence[tuple[TrialView, int]]) -> float | None:
    """Return the seconds of epochs that were left, each at its trial's own pace."""
    if any(trial.epochs == 0 for trial, epochs in left if epochs):
        return None
    return math.fsum(trial.train_s / trial.epochs * epochs for trial, epochs in left if epochs)


def _afterwards(search: SearchView) -> Effort:
    """Return what came after the search: of an audit what it ran beyond the trial's stop."""
    before = {trial.number: trial.epochs for trial in search.trials}
    epochs = [
        trial.epochs - (before.get(number, 0) if kind == "audit" else 0)
        for trial in search.told.later
        for kind, number in (trial.origin,)
    ]
    later = search.told.later
    return Effort(len(later), sum(max(0, one) for one in epochs), effort_of(later).train_s)


def _busy(search: SearchView, num_places: int) -> float | None:
    used = math.fsum(end - begin for trial in search.trials for begin, end in trial.spans)
    room = num_places * search.told.wall_s
    return min(1.0, used / room) if room else None
