"""A run as a row of attempts: each a group of workers that ends whole, is stopped, or is lost.

    wait until there is room for the workers, as many as can be had
    train with them
    finished, stopped early, or interrupted by the user: that is the outcome
    stopped by the driver, to leave a node or to take one in: again, from the very next step
    lost: again from the newest checkpoint, unless the verdict says that it would be in vain

Ray Train could retry and resize by itself. But its resizing kills the group, so that all since the
last checkpoint is computed again, and sees a node that came or went only every 20 s
(`_AutoscalingCoordinatorActor.TICK_INTERVAL_S`); a group sized by such old news waits a minute
for a node that is gone; its preemption waits for a deadline, of 120 s where none is given; and its
counters know neither steps nor causes (Ray 2.60.0). Here a group is asked to stop at a step that
all of its workers agree on, and nothing is computed twice.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, final

from distrain.train.faults import Fault, verdict
from distrain.train.job import TrainOutcome
from distrain.train.nodes import Node
from distrain.train.placement import Placement, room

Reason = Literal["preemption", "resize"]

LOOK_S: Final = 0.25
SETTLE_S: Final = 10.0
"""How long room that should be there is waited for, before fewer workers are taken."""


class Record(Protocol):
    """Where the driver records; `distrain.track.journal.JournalWriter` is one."""

    def note(self, text: str) -> None:
        """Record something that the user should know."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Record tags of the run; the last value of a tag stands."""


@final
@dataclass(frozen=True)
class Ended:
    """How an attempt ended: one of the two is there.

    Attributes:
        outcome: what its workers returned.
        fault: what it was lost by.
        reason: what the driver stopped it for; None: it did not.
    """

    outcome: TrainOutcome | None = None
    fault: Fault | None = None
    reason: Reason | None = None


def train_in_attempts(
    attempt: Callable[[int, int], Ended],
    num_workers: Callable[[], int],
    max_failures: int,
    record: Record,
) -> TrainOutcome:
    """Return the outcome of the attempt that came to an end.

    Args:
        attempt: makes an attempt, given its number from 1 and how many workers it has.
        num_workers: waits for room and returns for how many workers there is.
        max_failures: how many attempts may be lost, of those made here: a resume counts anew.
        record: told what the user should know.

    Raises:
        TrainError: training failed, or more attempts were lost.
    """
    faults: list[Fault] = []
    counts: list[int] = []
    for number in itertools.count(1):
        count = num_workers()
        if counts and count != counts[-1]:
            record.note(f"training goes on with {_workers(count)} instead of {counts[-1]}")
        counts.append(count)
        record.tags({"distrain.workers_by_attempt": ", ".join(map(str, counts))})
        ended = attempt(number, count)
        if ended.fault is not None:
            faults.append(ended.fault)
            error = verdict(faults, max_failures)
            if error is not None:
                raise error
            record.note(f"{ended.fault.text}; training goes on from the newest checkpoint")
        elif ended.outcome is not None:
            if ended.outcome.status != "interrupted" or ended.reason is None:
                return ended.outcome
            record.note(f"stopped after step {ended.outcome.step}: {_REASONS[ended.reason]}")
    raise AssertionError("attempts are made until one returns")


_REASONS: Final = {
    "preemption": "a node of the workers is about to leave",
    "resize": "there is room for more workers",
}


def wait_for_room(
    placement: Placement,
    look: Callable[[], Sequence[Node]],
    note: Callable[[str], None],
    check: Callable[[], None],
) -> int:
    """Wait until the workers can be placed, and return how many.

    Where there is no room for the least number either, that number is returned after a while:
    Ray then holds a place for them in its queue, which is what an autoscaler adds nodes for.

    Args:
        placement: how many at least and at most, and what each of them takes.
        look: returns the nodes that are alive.
        note: told what is waited for.
        check: called while waiting; what it raises ends the waiting.
    """
    started = time.monotonic()
    while True:
        staying = [node for node in look() if not node.is_draining and node.answers()]
        wanted = min(placement.num_workers, room(placement, [node.total for node in staying]))
        free = room(placement, [node.free for node in staying])
        if free >= max(wanted, placement.min_workers):
            return wanted
        if time.monotonic() - started > SETTLE_S:
            break
        check()
        time.sleep(LOOK_S)
    if free < placement.min_workers:
        note(
            f"waiting for room for {_workers(placement.min_workers)}; the cluster has room for "
            f"{free} now"
        )
    return max(placement.min_workers, min(free, placement.num_workers))


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count != 1 else ''}"
