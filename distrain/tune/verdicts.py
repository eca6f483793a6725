"""Verdicts on trials: how values are ranked for them, and the sentences that tell of them. Pure.

Of two values the better one ranks first; nan is worse than everything; of equal values that of the
lower trial number is better.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, final

from distrain.config.names import Mode

Action = Literal["go_on", "stop", "finish", "copy"]
TimeAttr = Literal["epoch", "step"]
# Sorts from best to worst: whether it is nan, the value with its sign such that less is better, and
# the trial.
Standing = tuple[bool, float, int]


@final
@dataclass(frozen=True)
class Verdict:
    """What becomes of a trial, and by which numbers.

    Attributes:
        trial: its number.
        action: `go_on`; `stop`: it lost; `finish`: it ends early, as one that has finished; `copy`:
            it goes on from the state of another.
        time: epoch or step at which it was judged.
        value: what was judged, in the metric's own sense; None where that is nan.
        rung: index of the rung from 0; None where the scheduler has none.
        cut: value that had to be reached; None where there was none, or where it is nan.
        rank: place of the value among its rivals from 1; None where nothing was ranked.
        num_rivals: values it was compared with: at a rung those there, its own among them; for
            `median` those of the others.
        num_kept: how many of the rivals go on; None where no number was fixed.
        text: one sentence for `distrain why`.
        source: the trial whose state it goes on from; None: its own.
        assignment: the values that it goes on with, and those before; None: its own.
    """

    trial: int
    action: Action
    time: int
    value: float | None
    rung: int | None
    cut: float | None
    rank: int | None
    num_rivals: int
    num_kept: int | None
    text: str
    source: int | None = None
    assignment: Mapping[str, Any] | None = None

    def to_event(self) -> dict[str, Any]:
        """Return the fields of its event; what only a `copy` has, of that alone."""
        fields = asdict(self)
        if self.source is None:
            del fields["source"], fields["assignment"]
        return fields


def standing_of(trial: int, value: float, mode: Mode) -> Standing:
    """Return what sorts a trial's value among those of others."""
    if math.isnan(value):
        return True, 0.0, trial
    return False, signed(value, mode), trial


def value_of(standing: Standing, mode: Mode) -> float:
    """Return the value that a standing was made of."""
    is_nan, value, _ = standing
    return math.nan if is_nan else signed(value, mode)


def signed(value: float, mode: Mode) -> float:
    """Return a value such that less is better; the same again turns it back."""
    return value if mode == "min" else -value


def needed(cut: float, mode: Mode, *, is_equal_enough: bool) -> str:
    """Return in words which values reach a cut."""
    if math.isnan(cut):
        return "any number"
    words = {
        ("max", False): "more than",
        ("max", True): "at least",
        ("min", False): "less than",
        ("min", True): "at most",
    }
    return f"{words[mode, is_equal_enough]} {cut:.6g}"


def or_none(value: float) -> float | None:
    """Return a value as a verdict holds it: None for nan, which equals nothing, itself included."""
    return None if math.isnan(value) else value


@final
@dataclass(frozen=True)
class Contest:
    """The values at a rung, of which the best go on.

    Attributes:
        mode: whether less or more is better.
        time_attr: what time is counted in.
        time: where the rung is.
        rung: its index from 0.
        ranked: the values there, the best first.
        num_kept: how many of them go on, at least 1.
        is_open: whether more values may come after the verdict.
        num_absent: trials that ended before the rung, so that they have no value at it.
    """

    mode: Mode
    time_attr: TimeAttr
    time: int
    rung: int
    ranked: Sequence[Standing]
    num_kept: int
    is_open: bool = False
    num_absent: int = 0

    def verdict_on(self, rank: int) -> Verdict:
        """Return the verdict on the trial of a rank, from 1."""
        does_compete = self.num_kept < len(self.ranked)
        return Verdict(
            trial=self.ranked[rank - 1][2],
            action="go_on" if rank <= self.num_kept else "stop",
            time=self.time,
            value=or_none(self._value(rank)),
            rung=self.rung,
            cut=or_none(self._value(self.num_kept)) if does_compete else None,
            rank=rank,
            num_rivals=len(self.ranked),
            num_kept=self.num_kept,
            text=self._place(rank) + self._outcome(rank) + self._absent() + ".",
        )

    def _value(self, rank: int) -> float:
        return value_of(self.ranked[rank - 1], self.mode)

    def _named(self, rank: int) -> str:
        return f"{self._value(rank):.6g} (trial {self.ranked[rank - 1][2]})"

    def _place(self, rank: int) -> str:
        so_far = " so far" if self.is_open else ""
        return (
            f"At {self.time_attr} {self.time} its {self._value(rank):.6g} is rank {rank} of "
            f"{len(self.ranked)}{so_far}; "
        )

    def _outcome(self, rank: int) -> str:
        if self.num_kept == len(self.ranked):
            return "so few are not compared, and it goes on"
        if self.num_kept == 1:
            kept = f"only the best goes on, {self._named(1)}"
        else:
            kept = f"the best {self.num_kept} go on, {self._named(1)} to "
            kept += self._named(self.num_kept)
        return f"{kept}, and so does it" if rank <= self.num_kept else f"{kept}; {self._loss(rank)}"

    def _loss(self, rank: int) -> str:
        cut, trials = self._value(self.num_kept), (self.ranked[rank - 1][2], self._last_kept)
        gap = abs(cut - self._value(rank))
        missing = f", {gap:.3g} away" if math.isfinite(gap) and gap else ""
        reach = needed(cut, self.mode, is_equal_enough=trials[0] < trials[1])
        return f"it needed {reach}{missing}, and is stopped"

    @property
    def _last_kept(self) -> int:
        return self.ranked[self.num_kept - 1][2]

    def _absent(self) -> str:
        if not self.num_absent:
            return ""
        trials = "trial" if self.num_absent == 1 else "trials"
        return f" ({self.num_absent} {trials} that ended before did not compete)"
