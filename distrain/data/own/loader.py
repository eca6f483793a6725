"""A worker's parts of every step, read from a Dataset of the user's own in the plan's order."""

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import final

import torch

from distrain.data.loader import Part, StepBatch
from distrain.data.own.reading import Request
from distrain.data.own.split import OwnSplit, answers
from distrain.data.plan import Plan, Rows


@final
class OwnLoader:
    """Delivers a worker's parts of the plan's steps, in order, as `loader.Loader` does.

    Processes that read ahead end with the block that reads.

    Args:
        split: the training split.
        plan: which rows make up which step.
        own_parts: the contiguous range of parts this worker owns.
        device: where the batches will be used; for a GPU they are put in pinned memory.
        one_part: the number of the single part that the worker's rows make; None: they make the
            plan's parts.
    """

    def __init__(
        self,
        split: OwnSplit,
        plan: Plan,
        own_parts: range,
        device: torch.device,
        *,
        one_part: int | None = None,
    ) -> None:
        self._split = split
        self._plan = plan
        self._own_parts = own_parts
        self._is_one_part = one_part is not None
        self._first_part = own_parts.start if one_part is None else one_part
        self._pin = device.type == "cuda"

    @contextlib.contextmanager
    def batches(self, start: int, stop: int) -> Iterator[Iterator[StepBatch]]:
        """Give the steps from `start` up to, not including, `stop`.

        Args:
            start: first step, from 0.
            stop: step after the last.
        """
        with contextlib.closing(self._read(start, stop)) as read:
            yield read

    def _read(self, start: int, stop: int) -> Generator[StepBatch]:
        split = self._split
        requests = _Requests(self._pieces, self._plan, split, range(start, stop))
        with contextlib.closing(
            answers(split.reader, requests, split.num_processes, pin=self._pin)
        ) as read:
            for step, batches in zip(range(start, stop), read, strict=True):
                epoch, step_in_epoch = self._plan.position(step)
                pairs = zip(requests.pending.popleft(), batches, strict=True)
                parts = [
                    Part(number, rows, split.rows_of(batch, rows))
                    for number, (rows, batch) in enumerate(pairs, self._first_part)
                ]
                yield StepBatch(step, epoch, self._plan.num_rows_in(step_in_epoch), parts)

    def _pieces(self, step: int) -> list[Rows]:
        """Return the rows of this worker's parts of a step."""
        epoch, step_in_epoch = self._plan.position(step)
        count = self._plan.num_rows_in(step_in_epoch)
        cuts = self._plan.parts(count, self._own_parts)
        if not cuts:
            return []
        if self._is_one_part:
            cuts = [(cuts[0][0], cuts[-1][1])]
        first = cuts[0][0]
        rows = self._plan.rows(epoch, step_in_epoch, first, cuts[-1][1])
        return [rows[begin - first : end - first] for begin, end in cuts]


@final
class _Requests:
    """The requests of a run of steps, each made when it is asked for.

    Attributes:
        pending: the rows of the parts of each request that is not answered yet, in order.
    """

    def __init__(
        self, pieces: Callable[[int], list[Rows]], plan: Plan, split: OwnSplit, steps: range
    ) -> None:
        self.pending: deque[list[Rows]] = deque()
        self._pieces = pieces
        self._plan = plan
        self._portion = split.portion
        self._steps = steps

    def __iter__(self) -> Iterator[Request]:
        for step in self._steps:
            pieces = self._pieces(step)
            self.pending.append(pieces)
            epoch, _ = self._plan.position(step)
            yield Request(str(epoch), [self._portion.numbers(piece) for piece in pieces])
