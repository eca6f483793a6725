"""Steps computed again after a resume, compared with what was recorded of them before.

With exact reduction every value has to be what it was, to the last bit. So what a crash costs pays
for a check of that promise: on the machines, the data and the model of the run itself.

A recorded loss is the mean over the steps since the record before. Where `track.every_steps` was
changed in the course of a run, or a run that came to an end was made longer, it may be over other
steps than before, and is not compared. (The record before, in the journal, does not tell it: a
checkpoint keeps the sum that its own attempt had begun.)
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, final

from distrain.track.journal_reading import JournalRecord, metric_values
from distrain.train.recorder import Journal

TAG: Final = "distrain.broken_bits"
# Seconds are never the same twice.
_TIMES: Final = "time/"
_MEAN: Final = "train/loss"


@final
@dataclass
class Replay:
    """What earlier attempts have recorded of the steps to come, and how it compares.

    Attributes:
        start: the step that this attempt goes on from.
        recorded: by step and metric, what it is to be compared with.
        last_step: the last step of these, 0 where there is none.
        is_told: whether a difference has been told before; the user is told once.
        num_compared: values that were compared.
        num_different: those that were not the same.
        example: the first of them, in words.
    """

    start: int = 0
    recorded: dict[tuple[int, str], float] = field(default_factory=dict)
    last_step: int = 0
    is_told: bool = False
    num_compared: int = 0
    num_different: int = 0
    example: str = ""

    @classmethod
    def of(cls, records: Iterable[JournalRecord], start: int, every_steps: int) -> "Replay":
        """Return what is to be compared with.

        Args:
            records: of all earlier attempts, the oldest first; of metrics, at least those since
                `every_steps` before the start.
            start: the step that this attempt goes on from.
            every_steps: steps between two records of the loss.
        """
        replay, found = cls(start), dict[tuple[int, str], float]()
        has_other_means = False
        for record in records:
            if record.kind == "start":
                has_other_means |= record.payload["every_steps"] != every_steps
            elif record.kind == "tags" and TAG in record.payload:
                replay.is_told = True
            elif record.kind == "metrics":
                for name, value in metric_values(record).items():
                    found.setdefault((int(record.payload["step"]), name), value)
        compared = comparable(found, every_steps, has_other_means=has_other_means)
        replay.recorded = {key: value for key, value in compared.items() if key[0] >= start}
        replay.last_step = max((step for step, _ in replay.recorded), default=0)
        return replay

    def compare(self, step: int, values: Mapping[str, float]) -> None:
        """Compare the values of a step with those that it had before, if it had any."""
        for name, value in values.items():
            known = self.recorded.pop((step, name), None)
            if known is None:
                continue
            self.num_compared += 1
            if is_same(value, known):
                continue
            self.num_different += 1
            if not self.example:
                self.example = f"{name} of step {step} was {known!r} and is now {value!r}"

    @contextmanager
    def told_at_the_end(self, journal: Journal) -> Iterator[None]:
        """Tell of differences when a `with` block ends, by an error too, which comes first."""
        try:
            yield
        except BaseException:  # goes through: what differs is told first
            with suppress(OSError):  # a disk that takes nothing hides nothing
                self.tell(journal)
            raise
        self.tell(journal)

    def tell(self, journal: Journal) -> None:
        """Record, once in a run, that there were differences; nothing where there were none."""
        if self.is_told or not self.num_different:
            return
        self.is_told = True
        count = f"{self.num_different} of {self.num_compared} values"
        journal.tags({TAG: f"{count}, after step {self.start}: {self.example}"})
        journal.note(
            f"bits are broken: {count} that were computed again after step {self.start} are not "
            f"what they were: {self.example}; the first ones are kept. Code, a library or the "
            "machine has changed, or an operation gives other bits each time"
        )


def comparable(
    found: Mapping[tuple[int, str], float], every_steps: int, *, has_other_means: bool
) -> dict[tuple[int, str], float]:
    """Return the values that have to be the same when their steps are computed again.

    Args:
        found: what was recorded, by step and metric.
        every_steps: steps between two records of the loss.
        has_other_means: whether that was another number for a part of the run.
    """
    odd_steps = [step for step, name in found if name == _MEAN and step % every_steps]
    return {
        (step, name): value
        for (step, name), value in found.items()
        if not name.startswith(_TIMES)
        and not (name == _MEAN and (has_other_means or _is_cut(step, odd_steps, every_steps)))
    }


def is_same(one: float, other: float) -> bool:
    """Return whether two values are the same to the last bit, or neither is a number."""
    return one == other or (math.isnan(one) and math.isnan(other))


def _is_cut(step: int, odd_steps: Sequence[int], every_steps: int) -> bool:
    """Return whether a record at the end of a run lies between a step and the regular one before.

    Args:
        step: of a recorded mean.
        odd_steps: of all means that were recorded at another step than a regular one.
        every_steps: from one regular step to the next.
    """
    regular = (step - 1) // every_steps * every_steps
    return any(regular < odd < step for odd in odd_steps)
