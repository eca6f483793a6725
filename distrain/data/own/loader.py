"""A worker's parts of every step, read from a Dataset of the user's own in the plan's order."""

import contextlib
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any, Final, final

import torch

from distrain.data.loader import Part, StepBatch
from distrain.data.own.reading import Request
from distrain.data.own.split import OwnSplit, answers
from distrain.data.plan import Rows
from distrain.data.worker_parts import Outline, WorkerParts

# Steps whose rows are computed in one go: what a call costs by itself is little beside them.
ROWS_PLANNED: Final = 1 << 14
STEPS_PLANNED: Final = 64


@final
class OwnLoader:
    """Delivers a worker's parts of the plan's steps, in order, as `loader.Loader` does.

    Processes that read ahead end with the block that reads.

    Args:
        split: the training split.
        parts: which rows of each step are the worker's.
        device: where the batches will be used; for a GPU they are put in pinned memory.
    """

    def __init__(self, split: OwnSplit, parts: WorkerParts, device: torch.device) -> None:
        self._split = split
        self._parts = parts
        self._pin = device.type == "cuda"

    @contextlib.contextmanager
    def batches(self, start: int, stop: int) -> Iterator[Iterator[StepBatch]]:
        """Give the steps from `start` up to, not including, `stop`.

        Args:
            start: first step, from 0.
            stop: step after the last.
        """
        with contextlib.closing(self._read(range(start, stop))) as read:
            yield read

    def _read(self, steps: range) -> Generator[StepBatch]:
        split = self._split
        asked: deque[tuple[Outline, Rows]] = deque()
        requests = self._requests(steps, asked)
        with contextlib.closing(
            answers(split.reader, requests, split.num_processes, pin=self._pin)
        ) as read:
            for batches in read:
                yield self._batch(*asked.popleft(), batches)

    def _requests(self, steps: range, asked: deque[tuple[Outline, Rows]]) -> Iterator[Request]:
        """Yield what is to be read for each step, and enter it in `asked`."""
        at_once = max(1, min(STEPS_PLANNED, ROWS_PLANNED // self._parts.most_rows))
        for first in range(steps.start, steps.stop, at_once):
            outlines = self._parts.outlines(range(first, min(first + at_once, steps.stop)))
            indices = self._parts.indices(outlines)
            numbers = self._split.portion.numbers(indices)
            offset = 0
            for one in outlines:
                own = slice(offset, offset + one.num_own_rows)
                asked.append((one, indices[own]))
                cut = [numbers[own][piece] for _, piece in one.pieces()]
                yield Request(str(one.epoch), cut)
                offset = own.stop

    def _batch(self, outline: Outline, indices: Rows, batches: list[Any]) -> StepBatch:
        parts = [
            Part(number, indices[own], self._split.rows_of(batch, indices[own]))
            for (number, own), batch in zip(outline.pieces(), batches, strict=True)
        ]
        return StepBatch(outline.step, outline.epoch, outline.num_rows, parts)
