"""Which rows of every step a worker reads: its own parts of the plan's steps. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from distrain.data.plan import Plan, Rows


@final
@dataclass(frozen=True)
class Outline:
    """A step of which nothing was read yet.

    Attributes:
        step: optimizer step, from 0.
        epoch: epoch, from 0.
        num_rows: rows of the step over all workers.
        first_part: the number of the worker's first part.
        cuts: (start, stop) of each of the worker's parts among the step's rows, one after the
            other; none where the step has no part for the worker.
    """

    step: int
    epoch: int
    num_rows: int
    first_part: int
    cuts: list[tuple[int, int]]

    @property
    def num_own_rows(self) -> int:
        """Return the number of the worker's rows."""
        return self.cuts[-1][1] - self.cuts[0][0] if self.cuts else 0

    def pieces(self, offset: int = 0) -> Iterator[tuple[int, slice]]:
        """Yield the number of each part, and where its rows are among the worker's.

        Args:
            offset: where the worker's rows of the step begin.
        """
        for number, (start, stop) in enumerate(self.cuts, self.first_part):
            yield number, slice(offset, offset + stop - start)
            offset += stop - start


@final
@dataclass(frozen=True)
class WorkerParts:
    """The parts of every step that a worker owns.

    Args:
        plan: which rows make up which step.
        owned: the contiguous range of its parts.
        one_part: the number of the single part that the worker's rows make; None: they make the
            plan's parts.
    """

    plan: Plan
    owned: range
    one_part: int | None = None

    @property
    def most_rows(self) -> int:
        """Return the rows of a step that the worker has, at most."""
        return self.plan.global_batch_size * len(self.owned) // self.plan.logical_shards + 1

    def outlines(self, steps: range) -> list[Outline]:
        """Return the outlines of some steps."""
        return [self._outline(step) for step in steps]

    def indices(self, outlines: Sequence[Outline]) -> Rows:
        """Return the worker's rows of some steps, one step after the other, `(n,)`.

        They are indices into the training split. One call for many steps costs far less than one
        for each.
        """
        return self.plan.rows_of_pieces(
            [(one.step, one.cuts[0][0], one.cuts[-1][1]) for one in outlines if one.cuts]
        )

    def _outline(self, step: int) -> Outline:
        epoch, step_in_epoch = self.plan.position(step)
        count = self.plan.num_rows_in(step_in_epoch)
        cuts = self.plan.parts(count, self.owned)
        if self.one_part is None:
            return Outline(step, epoch, count, self.owned.start, cuts)
        as_one = [(cuts[0][0], cuts[-1][1])] if cuts else []
        return Outline(step, epoch, count, self.one_part, as_one)
