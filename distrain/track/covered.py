"""What of a journal may be shipped: where steps can come out differently, only what will stay.

Under `reduction: fast` and `strategy: fsdp`, steps that are computed again after a resume may have
other values, and MLflow keeps the first it is sent. So metrics of training wait here until a
checkpoint covers their steps, and what came after the one that a resume went on from is left out.

    start of step k          (an attempt begins)   what waits is passed up to k, the rest left out
    checkpoint of step k     (it is committed)     what waits is passed up to k
    metrics of a step that is covered already      passed at once: those of the test split
    all is read, and the run has finished          what waits is passed

A run that failed, or was killed, may be resumed: the steps that it would then compute again wait
for that. With exact reduction nothing waits, since the first value is the only one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from distrain.track.journal_reading import JournalRecord

FINISHED = "FINISHED"


@final
@dataclass(frozen=True)
class Waiting:
    """Metrics that no checkpoint covers, and what is to be known of the journal so far.

    Attributes:
        segment: the segment whose metrics have to wait; None: none has to.
        metrics: those that do, in order.
        covered_step: the last step of that segment that a checkpoint covers.
        has_finished: whether the run has come to its end.
    """

    segment: str | None = None
    metrics: tuple[JournalRecord, ...] = ()
    covered_step: int = 0
    has_finished: bool = False

    def to_reread(self, positions: Mapping[str, int]) -> dict[str, int]:
        """Return from where another process reads on: it has to see again what waits, and why."""
        return {name: at for name, at in positions.items() if name != self.segment}


def pass_on(
    records: Sequence[JournalRecord], waiting: Waiting
) -> tuple[list[JournalRecord], Waiting]:
    """Return the records that may be shipped, and what waits after them.

    Args:
        records: the next ones of the journal; none: all of it has been read.
        waiting: what waited before them.
    """
    if not records and waiting.has_finished:
        return list(waiting.metrics), replace(waiting, metrics=())
    segment, metrics = waiting.segment, list(waiting.metrics)
    covered_step, has_finished = waiting.covered_step, waiting.has_finished
    passed: list[JournalRecord] = []
    for record in records:
        if record.kind in ("start", "checkpoint"):
            covered_step = _step(record)
            passed += (m for m in metrics if _step(m) <= covered_step)
            metrics = [m for m in metrics if _step(m) > covered_step]
        if record.kind == "start":
            segment, metrics = None if record.payload["is_exact"] else record.segment, []
        elif record.kind == "status":
            has_finished = record.payload["status"] == FINISHED
        if not _has_to_wait(record, segment):
            passed.append(record)
        elif record.segment == segment:  # else by a worker that was taken for lost
            (passed if _step(record) <= covered_step else metrics).append(record)
    return passed, Waiting(segment, tuple(metrics), covered_step, has_finished)


def _has_to_wait(record: JournalRecord, segment: str | None) -> bool:
    is_of_writer = segment is not None and segment.startswith(f"{record.writer}-")
    return record.kind == "metrics" and is_of_writer


def _step(record: JournalRecord) -> int:
    return int(record.payload["step"])
